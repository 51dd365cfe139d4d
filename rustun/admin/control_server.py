"""Answer questions on the control socket, beside the loop's real work.

Rules of this module
  1. Nothing blocks: reading and writing happen when the socket is ready, and a long document is encoded a piece at a
     time, only as fast as its reader takes it.
  2. At most MAX_CONNECTIONS at once, each done within EXCHANGE_SECONDS; when more come the oldest has to go, so that
     one reader that hangs cannot keep others out.
  3. A socket file that a dead process left is replaced; one that a living process answers on never is.
  4. `close` removes the file only where it is still the one that was made here.
"""

from __future__ import annotations

import errno
import json
import os
import socket
import struct
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Final

import rustun
from rustun.admin.control import (
    EXCHANGE_SECONDS,
    MAX_PATH_BYTES,
    MAX_REQUEST_BYTES,
    SCHEMA,
    STATUS_REQUEST,
)
from rustun.backends.base import Reactor
from rustun.errors import HostError, RightsError

MAX_CONNECTIONS: Final = 16
ITEMS_PER_PIECE: Final = 32  # of a list: 13 kB and 0.4 ms of sessions
OUTPUT_BYTES: Final = 32 << 10  # encode more only when less than this waits to be written
ACCEPT_PAUSE_SECONDS: Final = 1.0  # when the process has no descriptor left
UCRED: Final = struct.Struct("=iII")  # struct ucred: pid, uid, gid

Document = Mapping[str, object]


class ControlServer:
    """Serves the status document of this process on a Unix socket.

    Args:
        reactor: whose loop calls back.
        path: of the socket file; its folder is made (0755) where only that is missing.
        role: "server" or "client".
        status: returns the role's part of the document; called once per request, on the loop. A long list may be an
            iterator (see encode_in_pieces).
    """

    def __init__(self, reactor: Reactor, path: Path, role: str, status: Callable[[], Document]) -> None:
        self._reactor = reactor
        self._path = path
        self._role = role
        self._status = status
        self._started = reactor.now()
        self._listener: socket.socket | None = None
        self._file_id = (0, 0)  # device and inode of our socket file
        self._connections: dict[_Connection, None] = {}  # oldest first

    def start(self) -> None:
        """Listen from now on.

        Raises:
            RightsError: the folder or the file may not be made by this user.
            HostError: another process answers there, something else has that name, or the path cannot be used.
        """
        self._listener = _listen(self._path)
        status = self._path.lstat()
        self._file_id = (status.st_dev, status.st_ino)
        self._reactor.watch(self._listener, self._on_connection, None)

    def close(self) -> None:
        """Stop answering and remove the file; a second call is harmless."""
        if self._listener is None:
            return
        self._reactor.unwatch(self._listener)
        self._listener.close()
        self._listener = None
        for connection in list(self._connections):
            connection.close()
        with suppress(OSError):
            status = self._path.lstat()
            if (status.st_dev, status.st_ino) == self._file_id:
                self._path.unlink()

    def document(self) -> dict[str, object]:
        """Return the whole status document as it is now."""
        uptime = round(self._reactor.now() - self._started, 3)
        head = {"schema": SCHEMA, "role": self._role, "version": rustun.__version__, "pid": os.getpid()}
        return {**head, "uptime_s": uptime, **self._status()}

    def _on_connection(self) -> None:
        if self._listener is None:
            return
        try:
            accepted, _ = self._listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        except OSError:  # EMFILE and the like: a level-triggered listener would come back at once, for ever
            self._reactor.unwatch(self._listener)
            self._reactor.call_at(self._reactor.now() + ACCEPT_PAUSE_SECONDS, self._resume)
            return
        if len(self._connections) >= MAX_CONNECTIONS:
            next(iter(self._connections)).close()
        accepted.setblocking(False)
        self._connections[_Connection(self._reactor, accepted, self.document, self._forget)] = None

    def _resume(self) -> None:
        if self._listener is not None:
            self._reactor.watch(self._listener, self._on_connection, None)

    def _forget(self, connection: _Connection) -> None:
        self._connections.pop(connection, None)


class _Connection:
    """One question and its answer."""

    def __init__(
        self,
        reactor: Reactor,
        peer: socket.socket,
        document: Callable[[], Document],
        on_close: Callable[[_Connection], None],
    ) -> None:
        self._reactor = reactor
        self._peer = peer
        self._document = document
        self._on_close = on_close
        self._request = bytearray()
        self._pieces: Iterator[bytes] = iter(())
        self._output = bytearray()
        self._all_encoded = False
        self._deadline = reactor.call_at(reactor.now() + EXCHANGE_SECONDS, self.close)
        reactor.watch(peer, self._on_readable, None)

    def close(self) -> None:
        self._deadline.cancel()
        self._reactor.unwatch(self._peer)
        self._peer.close()
        self._on_close(self)

    def _on_readable(self) -> None:
        try:
            received = self._peer.recv(MAX_REQUEST_BYTES + 1 - len(self._request))
        except BlockingIOError:
            return
        except OSError:
            self.close()
            return
        self._request += received
        line, newline, _ = self._request.partition(b"\n")
        if newline:
            self._answer(bytes(line))
        elif not received or len(self._request) > MAX_REQUEST_BYTES:
            self.close()

    def _answer(self, request: bytes) -> None:
        self._reactor.unwatch(self._peer)  # should the document fail, only the deadline is left to call back
        known = request.strip() == STATUS_REQUEST
        answer = self._document() if known else {"schema": SCHEMA, "error": "unknown request; ask `status`"}
        self._pieces = encode_in_pieces(answer)
        self._reactor.watch(self._peer, None, self._on_writable)

    def _on_writable(self) -> None:
        while not self._all_encoded and len(self._output) < OUTPUT_BYTES:
            piece = next(self._pieces, None)
            self._all_encoded = piece is None
            self._output += piece or b""
        try:
            sent = self._peer.send(self._output)
        except BlockingIOError:
            return
        except OSError:
            self.close()
            return
        del self._output[:sent]
        if self._all_encoded and not self._output:
            self.close()


def encode_in_pieces(document: Document) -> Iterator[bytes]:
    """Encode a document as one line of JSON; lists, and iterators instead of lists, ITEMS_PER_PIECE at a time.

    An iterator's items are made when their piece is asked for: 5,000 sessions cost the loop 150 short steps, not one
    of 80 ms.
    """
    before = "{"
    for key, value in document.items():
        yield f"{before}{json.dumps(key)}: ".encode()
        before = ", "
        if not isinstance(value, (list, tuple, Iterator)):
            yield json.dumps(value).encode()
            continue
        items, separator = iter(value), ""
        yield b"["
        while piece := list(islice(items, ITEMS_PER_PIECE)):
            yield f"{separator}{json.dumps(piece)[1:-1]}".encode()
            separator = ", "
        yield b"]"
    yield b"}\n"


def _listen(path: Path) -> socket.socket:
    if len(os.fsencode(path)) > MAX_PATH_BYTES:
        limit = f"a socket's path may have {MAX_PATH_BYTES} bytes"
        raise HostError(f"the control socket's path is too long: {path}", f"{limit}; name a shorter one with --control")
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        os.fchmod(listener.fileno(), 0o600)  # Linux gives the file this mode at bind: at no moment is it wider
        if not path.parent.is_dir():
            path.parent.mkdir(mode=0o755)
        if path.is_symlink() or path.exists():
            _remove_stale(path)
        listener.bind(os.fspath(path))
        listener.listen(MAX_CONNECTIONS)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        raise _bind_error(path, error) from error
    except BaseException:
        listener.close()
        raise
    return listener


def _remove_stale(path: Path) -> None:
    """Remove the socket file of a process that is gone. Raises HostError where there is something else."""
    if path.is_symlink() or not path.is_socket():
        raise HostError(f"{path} is there and is not a socket", "remove it, or name another path with --control")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(os.fspath(path))
        except (ConnectionRefusedError, FileNotFoundError):
            path.unlink(missing_ok=True)
            return
        except BlockingIOError:  # its queue is full: alive, but we cannot learn who
            owner = 0
        else:
            owner, _, _ = UCRED.unpack(probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, UCRED.size))
    who = f" (pid {owner})" if owner else ""
    raise HostError(
        f"already running{who}: a process answers on {path}",
        "stop that one first, or give this one a control socket of its own with --control PATH",
    )


def _bind_error(path: Path, error: OSError) -> HostError | RightsError:
    message = f"cannot make the control socket {path}: {error.strerror or error}"
    if isinstance(error, PermissionError) or error.errno == errno.EROFS:
        return RightsError(message, "name a place that this user may write to with --control PATH")
    return HostError(message, "name another place with --control PATH; its folder must be there")
