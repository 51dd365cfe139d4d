"""The command line: arguments, composition, signals, exit codes; the only place that picks concrete backends.

Each command's own module is imported when that command runs, so that a relay carries no netlink and no tables.
"""

from rustun.cli.commands import main

__all__ = ["main"]
