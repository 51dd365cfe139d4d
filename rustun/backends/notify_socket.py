"""The service manager's socket: one datagram of `NAME=value` lines for each thing that it is told (sd_notify(3)).

Rules of this module
  1. Whoever started this process says where the socket is ($NOTIFY_SOCKET: a path, or @ and an abstract name) and how
     often it wants a sign of life ($WATCHDOG_USEC, meant for the process $WATCHDOG_PID). All three are taken out of the
     environment: a child that inherited them would speak for this process.
  2. Nothing waits for the service manager. What it has no room for now is handed back, to be told later.
  3. A service manager that is gone, or says what cannot be understood, stops nothing.
"""

from __future__ import annotations

import os
import socket
from collections.abc import MutableMapping
from dataclasses import dataclass
from typing import Final, Self

NOTIFY_SOCKET: Final = "NOTIFY_SOCKET"
WATCHDOG_USEC: Final = "WATCHDOG_USEC"
WATCHDOG_PID: Final = "WATCHDOG_PID"
MAX_NAME_BYTES: Final = 107  # struct sockaddr_un without the closing zero


@dataclass(frozen=True, slots=True)
class NotifySocket:
    """The way to the service manager that started this process.

    Attributes:
        address: of its datagram socket, as bind(2) takes it.
        watchdog_s: a process that is silent for longer is killed; None where nobody looks.
    """

    address: bytes
    watchdog_s: float | None
    _socket: socket.socket

    @classmethod
    def take_from(cls, environ: MutableMapping[str, str]) -> Self | None:
        """Return what an environment names and take it out of there; None where no service manager wants to be told."""
        name = os.fsencode(environ.pop(NOTIFY_SOCKET, ""))
        watchdog_s = _watchdog_s(environ.pop(WATCHDOG_USEC, ""), environ.pop(WATCHDOG_PID, ""))
        if not name.startswith((b"/", b"@")) or len(name) > MAX_NAME_BYTES:
            return None
        address = b"\0" + name[1:] if name.startswith(b"@") else name
        return cls(address, watchdog_s, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC))

    def send(self, message: str) -> bool:
        """Tell one thing; return False where there is no room for it now."""
        try:
            self._socket.sendto(message.encode(), socket.MSG_DONTWAIT, self.address)
        except BlockingIOError:
            return False
        except OSError:  # rule 3
            return True
        return True

    def close(self) -> None:
        """Tell no more; a second call is harmless."""
        self._socket.close()


def _watchdog_s(microseconds: str, pid: str) -> float | None:
    """Return after how many seconds of silence this process is killed."""
    if pid and pid != str(os.getpid()):
        return None
    return int(microseconds) / 1e6 if microseconds.isdecimal() and int(microseconds) > 0 else None
