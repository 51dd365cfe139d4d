"""The control socket's language: what both ends of it must agree on (docs/status.md).

A stream socket in the file system, mode 0600, so that only its owner and root read it. The reader writes `status` and a
newline; the process answers one JSON object and closes. Documents grow by new keys only; a change that could break a
reader gets the next SCHEMA.

    {"schema": 1, "role": "server" | "client", "version": "0.1.0", "pid": 4711, "uptime_s": 93.5, ...}
    {"schema": 1, "error": "unknown request; ask `status`"}
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

SCHEMA: Final = 1
STATUS_REQUEST: Final = b"status"
MAX_REQUEST_BYTES: Final = 64  # newline included
MAX_DOCUMENT_BYTES: Final = 64 << 20  # 5,000 sessions take about 3 MiB
EXCHANGE_SECONDS: Final = 5.0  # from accept to the answer's last byte
MAX_PATH_BYTES: Final = 107  # struct sockaddr_un without the closing zero

FOLDER: Final = Path("/run/rustun")
SERVER_SOCKET: Final = FOLDER / "server.sock"


def client_socket(tun_name: str) -> Path:
    """Return the default path of the client that owns the device `tun_name`."""
    return FOLDER / f"client-{tun_name}.sock"


def find_sockets(folder: Path = FOLDER) -> list[Path]:
    """Return the control sockets in `folder`, the server's first; none when there is no such folder."""
    return [path for path in (folder / "server.sock", *sorted(folder.glob("client-*.sock"))) if path.is_socket()]
