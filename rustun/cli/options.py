"""Options that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

# Whether it is there and may be read is judged where a good message is made: not by click, which has no remedy.
FILE: Final = click.Path(path_type=Path, readable=False)

control_option = click.option(
    "--control", type=FILE, metavar="PATH", help="Control socket that `rustun status` reads. [default: in /run/rustun]"
)
verbose_option = click.option(
    "-v", "--verbose", "verbosity", count=True, help="Log more; -vv adds tracebacks of errors."
)
log_format_option = click.option(
    "--log-format",
    type=click.Choice(["auto", "text", "json"]),
    default="auto",
    show_default=True,
    help="Of the log; auto: text on a terminal, fields in the journal, else JSON lines.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print the same facts as JSON, and only that.")


def role_of(server: bool, client: bool) -> str:
    """Return the role that --server or --client names, empty for neither. Raises: click.UsageError: both are there."""
    if server and client:
        raise click.UsageError("--server and --client exclude each other: choose one")
    return "server" if server else "client" if client else ""
