"""Where processes say that they are ready, as they do to the service manager of a real host (sd_notify(3)).

Rules of this module
  1. Who spoke is said by the kernel: the sender's process id comes with each datagram.
  2. The socket lives only while somebody waits: a process that finds no room in it would try again all the time.
"""

from __future__ import annotations

import os
import socket
import struct
from pathlib import Path
from typing import Final

_CREDENTIALS: Final = struct.Struct("=iII")  # struct ucred: pid, uid, gid
_MESSAGE_BYTES: Final = 4096
_READY: Final = b"READY=1"


class Readiness:
    """A socket for any number of processes that are started meanwhile; `close` it when all are ready.

    Args:
        path: of the socket, which must not be there; its folder must.
    Attributes:
        environment: what the processes need in theirs.
        pids: who has said so, as far as `collect` has read.
    """

    def __init__(self, path: Path) -> None:
        self.environment = {"NOTIFY_SOCKET": str(path)}
        self.pids: set[int] = set()
        self._path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self._socket.bind(os.fspath(path))

    def fileno(self) -> int:
        """Return a descriptor that becomes readable when somebody speaks."""
        return self._socket.fileno()

    def collect(self) -> None:
        """Read what was said so far, without waiting."""
        while True:
            try:
                words, ancillary, _, _ = self._socket.recvmsg(_MESSAGE_BYTES, socket.CMSG_SPACE(_CREDENTIALS.size))
            except BlockingIOError:
                return
            if _READY in words.splitlines():
                self.pids |= {
                    _CREDENTIALS.unpack(data)[0] for _, kind, data in ancillary if kind == socket.SCM_CREDENTIALS
                }

    def close(self) -> None:
        """Hear no more, and remove the socket's file."""
        self._socket.close()
        self._path.unlink(missing_ok=True)
