"""Where running laboratories are found: one folder for each, with its control socket and who owns it.

    $XDG_RUNTIME_DIR/rustun-lab/NAME/     or /run/rustun-lab (root), or /tmp/rustun-lab-UID
      owner.json      pid of the process that holds the laboratory, its inventory, its logs, whose tests' it is
      control.sock    requests to it (keeper.py)
      keeper.log      what it said when it failed

A laboratory is alive exactly while somebody holds the lock on its folder: first `lab-up`, which makes it, then the
keeper, which inherits the lock, and process 1 inside. The kernel lets it go when the last of them dies, however that
comes about. Only a folder whose lock is free is ever removed by anybody else, and only one below this user's own: a
name is one word, never a path.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import socket
import stat
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from netlab.errors import BadInput, EnvironmentLacks
from rustun.printable import quoted

CONTROL: Final = "control.sock"
OWNER: Final = "owner.json"
KEEPER_LOG: Final = "keeper.log"
FOLDER: Final = "rustun-lab"
TESTS: Final = "RUSTUN_LAB_TESTS"  # environment: tells the tests that bring laboratories up from others
OWNER_BYTES: Final = 1 << 16
SOCKET_BYTES: Final = 107  # of a socket's path, unix(7)
_NAME: Final = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*")


@dataclass(frozen=True, slots=True)
class Owner:
    """The process that holds a laboratory, what it was made from, and the tests that brought it up, if any did."""

    pid: int
    inventory: str
    logs: str
    tests: str = ""


@dataclass(frozen=True, slots=True)
class RunFolder:
    """The folder of one laboratory, named after it."""

    path: Path

    @property
    def name(self) -> str:
        """The laboratory's name."""
        return self.path.name

    @property
    def alive(self) -> bool:
        """True while somebody holds it."""
        try:
            os.close(_locked(self.path, fcntl.LOCK_SH | fcntl.LOCK_NB))  # who else looks now shares the lock
        except BlockingIOError:
            return True
        except FileNotFoundError:
            return False
        return False

    def owner(self) -> Owner | None:
        """Return who owns it, None while the keeper has not said so."""
        try:
            owner = Owner(**json.loads(_words_in(self.path / OWNER)))
        except (OSError, ValueError, TypeError, RecursionError):
            return None
        texts = (owner.inventory, owner.logs, owner.tests)
        return owner if type(owner.pid) is int and all(type(text) is str for text in texts) else None

    def claim(self, inventory: Path, logs: Path) -> None:
        """Write down that this process owns it."""
        draft = self.path / f"{OWNER}.new"
        owner = Owner(os.getpid(), str(inventory), str(logs), os.environ.get(TESTS, ""))
        draft.write_text(json.dumps(asdict(owner)) + "\n")
        draft.replace(self.path / OWNER)

    def connect(self) -> socket.socket:
        """Connect to the laboratory. Raises BadInput when nobody answers."""
        control = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            control.connect(str(self.path / CONTROL))
        except OSError as error:
            control.close()
            remedy = "./invoke lab-sweep removes what a killed one left"
            raise BadInput(f'laboratory "{self.name}" does not answer: {error.strerror}', remedy) from error
        return control

    def remove(self) -> None:
        """Remove the folder and all in it."""
        shutil.rmtree(self.path, ignore_errors=True)


def _words_in(file: Path) -> bytes:
    """Return the beginning of a file, which may be another user's: of anything but a regular one, nothing is read."""
    descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        return os.read(descriptor, OWNER_BYTES) if stat.S_ISREG(os.fstat(descriptor).st_mode) else b""
    finally:
        os.close(descriptor)


def take(name: str) -> tuple[RunFolder, int]:
    """Make the folder of a laboratory, in place of what a dead one left; return it and the descriptor that holds it.

    Raises:
        BadInput: a laboratory of this name lives, or it is no name.
    """
    folder = RunFolder(root() / judged(name))
    alone = _locked(root(), fcntl.LOCK_EX)  # nobody takes or sweeps a folder meanwhile
    try:
        if folder.alive:
            raise BadInput(f'laboratory "{name}" is up already', "./invoke lab-down, or give another --name")
        folder.remove()
        folder.path.mkdir(mode=0o700)
        return folder, _locked(folder.path, fcntl.LOCK_EX)
    finally:
        os.close(alone)


def judged(name: str) -> str:
    """Return a laboratory's name. Raises BadInput: it would lead somewhere else, or no socket could be called so."""
    if not _NAME.fullmatch(name):
        raise BadInput(f"{quoted(name)} cannot name a laboratory", "letters, digits, -, _ and dots, as in rehearsal-2")
    if (long := len(os.fsencode(root() / name / CONTROL)) - SOCKET_BYTES) > 0:
        raise BadInput(f"{quoted(name)} is too long to name a laboratory", f"by {long}; --name gives it another")
    return name


def sweep() -> list[RunFolder]:
    """Remove the folders that dead laboratories of this user left, and return them."""
    alone = _locked(root(), fcntl.LOCK_EX)
    try:
        dead = [folder for folder in all_folders() if not folder.alive]
        for folder in dead:
            folder.remove()
    finally:
        os.close(alone)
    return dead


def _locked(path: Path, how: int) -> int:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, how)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def root() -> Path:
    """Return this user's folder of laboratories, made if it was missing.

    Raises:
        EnvironmentLacks: it cannot be made, or somebody else made it.
    """
    base = os.environ.get("XDG_RUNTIME_DIR", "")
    if os.geteuid() == 0:
        path = Path("/run", FOLDER)
    elif base and os.access(base, os.W_OK):
        path = Path(base, FOLDER)
    else:
        path = Path(f"/tmp/{FOLDER}-{os.geteuid()}")
    try:
        path.mkdir(mode=0o700, exist_ok=True)
        found = path.lstat()
    except OSError as error:
        raise EnvironmentLacks(f"{path}: cannot be made: {error.strerror}", "set XDG_RUNTIME_DIR") from error
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        raise EnvironmentLacks(f"{path} belongs to somebody else", "set XDG_RUNTIME_DIR to a folder of your own")
    return path


def all_folders() -> list[RunFolder]:
    """Return every laboratory's folder of this user, dead ones too, by name."""
    return [RunFolder(path) for path in sorted(root().iterdir()) if path.is_dir()]


def find(name: str) -> RunFolder:
    """Return the laboratory called `name`; without a name the only one that is up, or all that is left of one.

    Raises:
        BadInput: there is none, or more than one.
    """
    folders = all_folders()
    if not name:  # what a killed one left is in nobody's way
        folders = [folder for folder in folders if folder.alive] or folders
    if not folders:
        raise BadInput("no laboratory is up", "./invoke lab-up")
    chosen = [folder for folder in folders if not name or folder.name == name]
    if len(chosen) == 1:
        return chosen[0]
    names = ", ".join(folder.name for folder in folders)
    raise BadInput(f'no laboratory "{name}"' if name else "several laboratories are up", f"--name one of: {names}")
