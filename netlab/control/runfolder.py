"""Where running laboratories are found: one folder for each, with its control socket and who owns it.

    $XDG_RUNTIME_DIR/rustun-lab/NAME/     or /run/rustun-lab (root), or /tmp/rustun-lab-UID
      owner.json      pid and start time of the process that holds the laboratory, its inventory
      control.sock    requests to it (keeper.py)
      keeper.log      what it said when it failed

A laboratory is alive exactly while the process with that pid *and* that start time is; pids are used again. Only a
folder whose owner is dead is ever removed by anybody else.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import stat
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from netlab.errors import BadInput, EnvironmentLacks

CONTROL: Final = "control.sock"
OWNER: Final = "owner.json"
KEEPER_LOG: Final = "keeper.log"
FOLDER: Final = "rustun-lab"


@dataclass(frozen=True, slots=True)
class Owner:
    """The process that holds a laboratory; `started` is its start time in clock ticks since boot."""

    pid: int
    started: int
    inventory: str
    logs: str

    @property
    def alive(self) -> bool:
        """True while that very process runs."""
        return start_time(self.pid) == self.started


@dataclass(frozen=True, slots=True)
class RunFolder:
    """The folder of one laboratory, named after it."""

    path: Path

    @property
    def name(self) -> str:
        """The laboratory's name."""
        return self.path.name

    def owner(self) -> Owner | None:
        """Return who owns it, None when that cannot be read."""
        try:
            return Owner(**json.loads((self.path / OWNER).read_text()))
        except (OSError, ValueError, TypeError):
            return None

    def claim(self, inventory: Path, logs: Path) -> None:
        """Write down that this process owns it."""
        owner = Owner(os.getpid(), start_time(os.getpid()) or 0, str(inventory), str(logs))
        (self.path / OWNER).write_text(json.dumps(asdict(owner)) + "\n")

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


def start_time(pid: int) -> int | None:
    """Return when a process was started, in clock ticks since boot; None when there is none, or only its remains."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else int(fields[19])


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
    """Return the laboratory called `name`, or the only one there is when no name is given. Raises BadInput."""
    folders = all_folders()
    if not folders:
        raise BadInput("no laboratory is up", "./invoke lab-up")
    chosen = [folder for folder in folders if not name or folder.name == name]
    if len(chosen) == 1:
        return chosen[0]
    names = ", ".join(folder.name for folder in folders)
    raise BadInput(f'no laboratory "{name}"' if name else "several laboratories are up", f"--name one of: {names}")
