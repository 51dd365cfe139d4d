"""A program of ours in a process of its own: started, watched, ended.

Rules of this module
  1. It is run as a program (exec): of this process's memory it has nothing, of its descriptors standard error and one
     end of the door, of its environment what ENVIRONMENT names.
  2. It is the same rustun as this one, wherever that was found, and never one of the working directory.
  3. The door is how it asks this process: it hands over one end of a connection that it made itself. What is no such
     connection is closed.
"""

from __future__ import annotations

import os
import signal
import socket
import stat
import struct
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import rustun
from rustun.errors import HostError

ENVIRONMENT: Final = ("PATH", "LANG", "LC_ALL", "TZ", "SSL_CERT_FILE", "CREDENTIALS_DIRECTORY", "JOURNAL_STREAM")
_DESCRIPTOR: Final = struct.Struct("=i")
# Python's own way in (-m) puts the working directory first; this finds the package that runs here, then its modules.
_START: Final = (
    "import sys, runpy; sys.path.insert(0, {folder!r}); import rustun; del sys.path[0]; "
    "runpy.run_module({module!r}, run_name='__main__', alter_sys=True)"
)


class OwnProgram:
    """A running program.

    Args:
        module: of rustun, run as `python -m` would.
        arguments: of its command line; the number of its end of the door is added behind `--door`.
    Attributes:
        door: our end; readable when a connection comes, and when the other end is closed.

    Raises: HostError: it cannot be started.
    """

    def __init__(self, module: str, arguments: Sequence[str]) -> None:
        self.door, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.door.setblocking(False)
        start = _START.format(folder=str(Path(rustun.__file__).parents[1]), module=module)
        number = theirs.fileno()
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", start, *arguments, "--door", str(number)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=(number,),
                env={name: os.environ[name] for name in ENVIRONMENT if name in os.environ},
            )
            self._handle = os.pidfd_open(self._process.pid)
        except OSError as error:
            self.door.close()
            raise HostError(f"cannot start {module}: {error.strerror}", "see to processes and memory") from None
        finally:
            theirs.close()

    @property
    def pid(self) -> int:
        """Its number."""
        return self._process.pid

    def fileno(self) -> int:
        """Return a descriptor that is readable once the program has ended (pidfd_open(2)); -1 when closed."""
        return self._handle

    def connection(self) -> socket.socket | None:
        """Return the connection that came through the door; None when there is none, or what came is none.

        Raises: EOFError: the other end is closed.
        """
        try:
            # socket.recv_fds passes its flags over: what came would be inherited by the next program
            data, told, _, _ = self.door.recvmsg(1, socket.CMSG_LEN(_DESCRIPTOR.size), socket.MSG_CMSG_CLOEXEC)
        except BlockingIOError:
            return None
        except OSError:
            raise EOFError from None
        if not data:
            raise EOFError
        return _as_connection(*_DESCRIPTOR.unpack(told[0][2])) if told else None  # nothing but SCM_RIGHTS is asked for

    def end(self, number: int = signal.SIGTERM) -> None:
        """Send it a signal; harmless when it has ended."""
        self._process.send_signal(number)

    def close(self, patience_s: float) -> str:
        """Wait for its end, kill it where that takes longer than `patience_s`, and say how it ended."""
        try:
            code = self._process.wait(patience_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        self.door.close()
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1
        with suppress(ValueError):
            return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        return f"killed by signal {-code}"


def _as_connection(descriptor: int) -> socket.socket | None:
    if not stat.S_ISSOCK(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        return None
    connection = socket.socket(fileno=descriptor)
    if (connection.family, connection.type) != (socket.AF_UNIX, socket.SOCK_STREAM):
        connection.close()
        return None
    connection.setblocking(False)
    return connection
