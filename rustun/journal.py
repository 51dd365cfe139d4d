"""The journal of systemd: entries with their fields, by its native protocol (systemd.io/JOURNAL_NATIVE_PROTOCOL).

Rules of this module
  1. It is used where a service manager has connected standard error to the journal: $JOURNAL_STREAM names the device
     and inode that standard error has (systemd.exec(5)). Whoever redirects it has the lines where he wants them.
  2. One datagram per entry, `NAME=value` lines. MESSAGE is what people read, fields and all; each field stands by
     itself besides: RUSTUN_EVENT, RUSTUN_IDENTITY, ...
  3. Nothing waits for the journal. What it has no room for, or what came while it was restarted, is lost, counted, and
     said with the next entry.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Mapping
from typing import Final, TextIO

from rustun.logs import LEVELS, Entry, Plain, lost_lines, says

JOURNAL_STREAM: Final = "JOURNAL_STREAM"
JOURNAL_SOCKET: Final = "/run/systemd/journal/socket"
IDENTIFIER: Final = "rustun"
PRIORITIES: Final[Mapping[str, int]] = {"debug": 7, "info": 6, "warning": 4, "error": 3}  # syslog(3)


def is_journal(stream: TextIO, environ: Mapping[str, str]) -> bool:
    """Tell whether what is written to a stream goes to the journal."""
    try:
        status = os.fstat(stream.fileno())
    except (OSError, ValueError):  # closed, or in memory
        return False
    return environ.get(JOURNAL_STREAM) == f"{status.st_dev}:{status.st_ino}"


class JournalWriter:
    """Sends entries to the journal.

    Args:
        lowest: the least level that is sent.
        path: of the journal's socket.

    Raises: OSError: it cannot be reached now; no object is made.
    """

    def __init__(self, lowest: str, path: str = JOURNAL_SOCKET) -> None:
        self._lowest = LEVELS.index(lowest)
        self._path = path
        self._lost = 0
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
        try:
            self._socket.sendto(b"", path)  # the journal passes over what is empty
        except OSError:
            self._socket.close()
            raise

    def wants(self, level: str, name: str) -> bool:
        """Say whether events of `level` are sent at all."""
        return LEVELS.index(level) >= self._lowest

    def write(self, entry: Entry) -> None:
        """Send one, and before it how many were lost since the last one that could be sent."""
        if self._lost and self._send(lost_lines(entry.time, self._lost)):
            self._lost = 0
        if self._lost or not self._send(entry):
            self._lost += 1

    def close(self) -> None:
        """Send no more; a second call is harmless."""
        self._socket.close()

    def _send(self, entry: Entry) -> bool:
        try:
            self._socket.sendto(datagram(entry), self._path)  # by name each time: a restarted journal has a new socket
        except OSError:  # rule 3
            return False
        return True


def datagram(entry: Entry) -> bytes:
    """Return an entry as the journal takes it; every value is one line, so none needs its length told."""
    fields = {
        "MESSAGE": entry.text(),
        "PRIORITY": str(PRIORITIES[entry.level]),
        "SYSLOG_IDENTIFIER": IDENTIFIER,
        "RUSTUN_EVENT": entry.name,
        **{f"RUSTUN_{name.upper()}": _value(value) for name, value in entry.fields.items() if says(value)},
    }
    return "".join(f"{name}={value}\n" for name, value in fields.items()).encode()


def _value(value: Plain) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
