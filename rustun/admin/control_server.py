"""Answer questions on the control socket, beside the loop's real work.

Rules of this module
  1. Each question is an exchange of its own (exchange.py), in slices that no packet waits for.
  2. At most MAX_CONNECTIONS at once; when more come the oldest has to go, so that readers that hang cannot keep others
     out. Those that follow something go last: they are told something all the time.
  3. A socket file that a dead process left is replaced; one that a living process answers on never is.
  4. `close` removes the file only where it is still the one that was made here.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable, Generator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from rustun.admin.access import OWNER_MODE, let_group_in
from rustun.admin.asking import Answers, Ask, Document, Handler, Steps, find
from rustun.admin.control import FOLLOWED_BYTES_PER_S, MAX_PATH_BYTES, STATUS_REQUEST, WATCH_REQUEST
from rustun.admin.exchange import Exchange, peer_of
from rustun.admin.process_report import process_report
from rustun.admin.watching import Watching
from rustun.backends.base import Reactor
from rustun.errors import HostError, RightsError

MAX_CONNECTIONS: Final = 16
ACCEPT_PAUSE_SECONDS: Final = 1.0  # when the process has no descriptor left
WATCH_SECONDS: Final = 1.0  # where the question does not say
LEAST_WATCH_SECONDS: Final = 0.1
MOST_WATCH_SECONDS: Final = 3600.0

Status = Callable[[str, str, str], Document | Steps]  # of a cluster, of a member, since `as_of`; empty for all


class ControlServer:
    """Answers questions about this process on a Unix socket.

    Args:
        reactor: whose loop calls back.
        path: of the socket file; its folder is made (0755) where only that is missing.
        role: "server" or "client".
        status: returns the role's part of the document for a cluster and a member, and what the reader has already
            (`as_of` of another document); empty: of all. Called once per request, on the loop. A long list may be an
            iterator (see encode_in_pieces).
        handlers: who answers what beside `status` and `watch`, by the word that is asked.
        group: whose users may ask too (access.py).
    """

    def __init__(
        self,
        reactor: Reactor,
        path: Path,
        role: str,
        status: Status,
        handlers: Mapping[str, Handler] | None = None,
        group: str = "",
    ) -> None:
        self._reactor = reactor
        self._path = path
        self._role = role
        self._status = status
        own: dict[str, Handler] = {STATUS_REQUEST: self._answer_status, WATCH_REQUEST: self._answer_watch}
        self._handlers = {**own, **(handlers or {})}
        self._group = group
        self._started = reactor.now()
        self._listener: socket.socket | None = None
        self._file_id = (0, 0)  # device and inode of our socket file
        self._connections: dict[Exchange, None] = {}  # oldest first

    def start(self) -> None:
        """Listen from now on.

        Raises:
            RightsError: the folder or the file may not be made by this user, or not given to the group.
            HostError: another process answers there, something else has that name, the path cannot be used, or there
                is no such group.
        """
        self._listener = _listen(self._path)
        status = self._path.lstat()
        self._file_id = (status.st_dev, status.st_ino)
        try:
            let_group_in(self._path, self._group)
        except (HostError, RightsError):
            self.close()
            raise
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

    def document(self, cluster: str = "", member: str = "", since: str = "") -> Steps:
        """Make the status document as it is now, in short steps; of one cluster or member where one is named.

        Args:
            since: `as_of` of a document that the reader has; of what it knows there is told what changed.
        """
        part = self._status(cluster, member, since)
        found = (yield from part) if isinstance(part, Generator) else part
        return {**process_report(self._role, self._reactor, self._started), **found}

    def _answer(self, ask: Ask) -> Document | Steps | Answers:
        return find(self._handlers, ask)(ask)

    def _answer_status(self, ask: Ask) -> Steps:
        cluster, member, since = ask.text("cluster"), ask.text("member"), ask.text("since")
        ask.close()
        return self.document(cluster, member, since)

    def _answer_watch(self, ask: Ask) -> Answers:
        seconds = ask.number("seconds", WATCH_SECONDS, LEAST_WATCH_SECONDS, MOST_WATCH_SECONDS)
        cluster, member = ask.text("cluster"), ask.text("member")
        ask.close()
        watching = Watching(self._reactor, seconds, lambda: self.document(cluster, member))
        return Answers(watching.begin, watching.end, waiting=1, bytes_per_s=FOLLOWED_BYTES_PER_S)

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
        self.adopt(accepted)

    def adopt(self, connection: socket.socket) -> None:
        """Answer on a connection, whatever way it came; from now on it is owned by this object."""
        if len(self._connections) >= MAX_CONNECTIONS:
            next((one for one in self._connections if not one.streams), next(iter(self._connections))).close()
        connection.setblocking(False)
        self._connections[Exchange(self._reactor, connection, self._answer, self._forget)] = None

    def _resume(self) -> None:
        if self._listener is not None:
            self._reactor.watch(self._listener, self._on_connection, None)

    def _forget(self, connection: Exchange) -> None:
        self._connections.pop(connection, None)


def _listen(path: Path) -> socket.socket:
    if len(os.fsencode(path)) > MAX_PATH_BYTES:
        limit = f"a socket's path may have {MAX_PATH_BYTES} bytes"
        raise HostError(f"the control socket's path is too long: {path}", f"{limit}; name a shorter one with --control")
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        os.fchmod(listener.fileno(), OWNER_MODE)  # Linux gives the file this mode at bind: at no moment is it wider
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
            owner = peer_of(probe).pid
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
