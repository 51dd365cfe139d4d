"""The control socket's language: what both ends of it must agree on (docs/status.md).

A stream socket in the file system that its owner, root and perhaps a group may ask (access.py). The reader writes a
question and a newline; the process answers one JSON object and closes, or one after the other until the reader closes.
Documents grow by new keys only; a change that could break a reader gets the next SCHEMA.
    status                                      {"schema": 1, "role": "server", "version": "0.1.0", "pid": 4711, ...}
    {"ask": "ping", "member": "bj-dev"}         {"schema": 1, ...}
    hello                                       {"schema": 1, "error": "unknown request", "remedy": "ask one of: ..."}
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

SCHEMA: Final = 1
STATUS_REQUEST: Final = "status"
WATCH_REQUEST: Final = "watch"
MAX_REQUEST_BYTES: Final = 4096  # newline included; four names of 255 bytes, each of which JSON may write as three
MAX_DOCUMENT_BYTES: Final = 64 << 20  # 5,000 sessions take about 3 MiB
FOLLOWED_BYTES_PER_S: Final = 1 << 20  # of documents that are told again and again: 1,500 sessions a second
EXCHANGE_SECONDS: Final = 5.0  # for the question, and for each bit of an answer
MAX_PATH_BYTES: Final = 107  # struct sockaddr_un without the closing zero

FOLDER: Final = Path("/run/rustun")
SERVER_SOCKET: Final = FOLDER / "server.sock"


def client_socket(tun_name: str) -> Path:
    """Return the default path of the client that owns the device `tun_name`."""
    return FOLDER / f"client-{tun_name}.sock"


def find_sockets(folder: Path = FOLDER) -> list[Path]:
    """Return the control sockets in `folder`, the server's first; none when there is no such folder."""
    return [path for path in (folder / "server.sock", *sorted(folder.glob("client-*.sock"))) if path.is_socket()]
