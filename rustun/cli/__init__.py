"""The command line: arguments, composition, signals, exit codes; the only place that picks concrete backends."""

from rustun.cli.commands import main

__all__ = ["main"]
