"""`rustun status`: show what runs on this host."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Final

from rustun.admin.control import FOLDER, SCHEMA, find_sockets
from rustun.admin.control_client import read_status
from rustun.errors import HostError, RustunError

PLAIN_COLUMNS: Final = 100  # width where there is no terminal to ask


def status(control: Path | None, *, as_json: bool) -> int:
    """Print the status of the process on `control`, or of all that are found in the default folder.

    Raises: RustunError when there is none, or `control` cannot be read.
    """
    documents = [read_status(control)] if control is not None else _read_found()
    if as_json:
        shown = documents[0] if len(documents) == 1 else {"schema": SCHEMA, "instances": documents}
        print(json.dumps(shown, indent=2))
    else:
        _show(documents)
    return 0


def _read_found() -> list[dict[str, object]]:
    """Read every socket of the default folder; what cannot be read is told on standard error, beside what can."""
    documents: list[dict[str, object]] = []
    errors: list[RustunError] = []
    for path in find_sockets():
        try:
            documents.append(read_status(path))
        except RustunError as error:
            errors.append(error)
    if not documents:
        remedy = "start `rustun serve` or `rustun connect`, or name a control socket with --control PATH"
        raise errors[0] if errors else HostError(f"nothing runs here: no control socket in {FOLDER}", remedy)
    for failure in errors:
        print(f"rustun status: {failure.message}\n  {failure.remedy}", file=sys.stderr)
    return documents


def _show(documents: list[dict[str, object]]) -> None:
    from rich.console import Console  # here, because --json does not need its 80 ms and 10 MB

    from rustun.admin.status_view import show_status

    console = Console(width=None if sys.stdout.isatty() else PLAIN_COLUMNS, highlight=False)
    for number, document in enumerate(documents):
        if number:
            console.print()
        show_status(document, console)
