"""Which of the processes on this host a question goes to."""

from __future__ import annotations

from pathlib import Path

from rustun.admin.control import FOLDER, find_sockets
from rustun.errors import HostError, UsageError

SERVER_NAME = "server.sock"


def whom(control: Path | None, *, clients_first: bool) -> Path:
    """Return the control socket to ask.

    Args:
        control: the one that was named; None for one in the usual folder.
        clients_first: where a server and a client are there, which of them.

    Raises: HostError: there is none. UsageError: there are several clients, and one of them is meant.
    """
    if control is not None:
        return control
    found = find_sockets()
    if not found:
        remedy = "start `rustun serve` or `rustun connect`, or name a control socket with --control PATH"
        raise HostError(f"nothing runs here: no control socket in {FOLDER}", remedy)
    servers = [path for path in found if path.name == SERVER_NAME]
    clients = [path for path in found if path.name != SERVER_NAME]
    chosen = (clients or servers) if clients_first else (servers or clients)
    if len(chosen) > 1:
        names = ", ".join(str(path) for path in chosen)
        raise UsageError(f"several clients run here: {names}", "name one of them with --control PATH")
    return chosen[0]
