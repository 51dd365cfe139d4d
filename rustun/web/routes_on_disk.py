"""The members' file on the disk: read, and replaced when it still is what whoever changes it was shown.

Rules of this module
  1. All of this blocks: callers on a loop put it on a thread.
  2. A file is replaced whole (rustun.durable), under a lock that only this user can take, after a last look at its
     bytes: what somebody wrote meanwhile is never written over.
  3. The last MAX_SHOWN states are kept, compressed, so that who comes too late is told what changed meanwhile.
  4. On a host that is deployed from an inventory (docs/deploy.md) that makes the file: each proposal says so, and who
     may not write is sent there, since what is changed here alone does not last.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shlex
import time
import zlib
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Final

from rustun.config.files import MAX_ROUTES_BYTES, read_bytes, user_name
from rustun.config.server import STATE_FOLDER
from rustun.durable import replace_file
from rustun.web.changes import MAX_TOLD, changes, in_words
from rustun.web.management import Proposal, Refused
from rustun.web.routes_text import RoutesText, cut_routes

MAX_SHOWN: Final = 8
LOCK_SECONDS: Final = 2.0  # replacing a file takes some 10 ms
LOCK_PAUSE_SECONDS: Final = 0.02
DEPLOYMENTS: Final = STATE_FOLDER.parent / "deploy"  # there, unreadable, on each host that the toolkit has deployed
IN_THE_INVENTORY: Final = "change it in the inventory (./invoke edit-member, ...), then ./invoke deploy"
DOES_NOT_LAST: Final = (
    "this host is deployed from an inventory: the next deployment takes this back, unless it is changed there as well"
)
Make = Callable[[RoutesText], Proposal]
Signature = tuple[int, int, int, int]


class RoutesOnDisk:
    """The states of one members' file that somebody was shown. Args: path: of routes.json."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._latest: tuple[Signature, RoutesText] | None = None
        self._shown: OrderedDict[str, bytes] = OrderedDict()  # digest -> bytes, compressed; latest last

    def read(self) -> RoutesText:
        """Return the present state. Raises: ConfigError: not readable, or no list of members."""
        signature = _signature(self.path)
        if signature is None or self._latest is None or self._latest[0] != signature:
            text = cut_routes(self.path, read_bytes(self.path, MAX_ROUTES_BYTES))
            self._latest = (signature, text) if signature is not None else None
            self._remember(text)
            return text
        return self._latest[1]

    def propose(self, make: Make, shown: str) -> Proposal:
        """Return the proposal that `make` makes from the present state.

        Args:
            shown: digest of the state that the change was thought of for; empty for whatever it is now.

        Raises: Refused: also where it is not the present state any more. ConfigError: as `read`.
        """
        present = self.read()
        if shown and shown != present.digest:
            raise self._changed(shown, present)
        proposal = make(present)
        return replace(proposal, notes=(*proposal.notes, DOES_NOT_LAST)) if os.path.isdir(DEPLOYMENTS) else proposal

    def write(self, proposal: Proposal) -> None:
        """Make a proposal true. Raises: Refused: the file was changed meanwhile, or cannot be written."""
        path = Path(os.path.realpath(self.path))  # a link stays a link
        try:
            with _alone_with(path):
                like = path.stat()
                if read_bytes(path, MAX_ROUTES_BYTES) != proposal.before.data:
                    self._latest = None
                    raise self._changed(proposal.before.digest, self.read())
                replace_file(path, proposal.after.data, like=like)
        except OSError as error:
            raise _unwritable(path, error) from error
        self._latest = None  # somebody may have written again meanwhile
        self._remember(proposal.after)

    def _remember(self, text: RoutesText) -> None:
        self._shown.pop(text.digest, None)
        self._shown[text.digest] = zlib.compress(text.data, 1)
        while len(self._shown) > MAX_SHOWN:
            self._shown.popitem(last=False)

    def _changed(self, shown: str, present: RoutesText) -> Refused:
        kept = self._shown.get(shown)
        told: dict[str, object] = {"digest": present.digest}
        words = "what it was is not known here any more"
        if kept is not None:
            meanwhile = changes(cut_routes(self.path, zlib.decompress(kept)), present)
            words = in_words(meanwhile)
            told["changes"] = [change.told() for change in meanwhile[:MAX_TOLD]]
        message = f"{self.path.name} was changed meanwhile: {words}"
        return Refused("changed", message, "look at it again, and repeat what you did", told)


def _signature(path: Path) -> Signature | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino


@contextmanager
def _alone_with(path: Path) -> Iterator[None]:
    """Keep other writers of ours off a file. Raises: OSError: somebody holds the lock and does not let go.

    The lock is a file that nobody else can open. A folder, which everybody can, anybody of this host could hold for
    ever, and so keep in whom the operator takes out.
    """
    lock = path.with_name(f".{path.name}.lock")
    until = time.monotonic() + LOCK_SECONDS
    while (descriptor := _take(lock)) < 0:
        if time.monotonic() >= until:
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        time.sleep(LOCK_PAUSE_SECONDS)
    try:
        yield
    finally:
        lock.unlink(missing_ok=True)
        os.close(descriptor)


def _take(lock: Path) -> int:
    """Return a descriptor that holds a lock, -1 where somebody else does. Raises: OSError."""
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with suppress(BlockingIOError, FileNotFoundError):  # the latter where who had it took it off meanwhile
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(descriptor), os.lstat(lock)):
            return descriptor
    os.close(descriptor)
    return -1


def _unwritable(path: Path, error: OSError) -> Refused:
    if isinstance(error, BlockingIOError):
        return Refused("unwritable", f"somebody else is writing in {path.parent}", "try again")
    if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
        return Refused("unwritable", f"{path} cannot be written: {error.strerror}", "look at the disk")
    user = user_name(os.geteuid())
    may_not = f"user {user} may not replace files in {path.parent}"
    if os.path.isdir(DEPLOYMENTS):
        return Refused("unwritable", f"{may_not}: this host is deployed from an inventory", IN_THE_INVENTORY)
    own = STATE_FOLDER / path.name
    give = f"sudo install -D -o {user} -m 0640 {shlex.quote(str(path))} {own}"
    remedy = f'run: {give}; write [route_config] routes_file = "{own}", and start the server again'
    return Refused("unwritable", may_not, remedy)
