"""The host as a deployment sees it: its files below one root, its programs, its users, its clock."""

from __future__ import annotations

import contextlib
import grp
import hashlib
import json
import os
import pwd
import shutil
import socket
import stat
import subprocess
import time
from collections.abc import Iterable
from typing import Any, Final

Json = dict[str, Any]

CONFIG: Final = "/etc/rustun"
UNITS: Final = "/etc/systemd/system"
PROGRAM: Final = "/opt/rustun"
RELEASES: Final = f"{PROGRAM}/releases"
CURRENT: Final = f"{PROGRAM}/current"
STATE: Final = "/var/lib/rustun/deploy"  # one folder for each generation, by number
SOCKETS: Final = "/run/rustun"
OURS: Final = (f"{CONFIG}/", f"{UNITS}/rustun-", f"{PROGRAM}/", f"{STATE}/")  # nothing else is written or removed
COMPLETE: Final = "complete.json"  # in a release, written last; one without it is a ruin
PROGRAM_SECONDS: Final = 120.0  # for one program; starting a unit on a slow host takes some seconds
STATUS_SECONDS: Final = 5.0  # as long as rustun gives a reader of its status
MAX_STATUS_BYTES: Final = 64 << 20


class StepError(Exception):
    """A step that could not be taken: why, what to do about it, and the last lines of a log where there is one."""

    def __init__(self, reason: str, remedy: str = "", log: Iterable[str] = ()) -> None:
        super().__init__(reason)
        self.reason = reason
        self.remedy = remedy
        self.log = list(log)


class System:
    """The real host.

    Attributes:
        root: where its files are.
    """

    root = "/"

    def at(self, path: str) -> str:
        """Return where a file of the host stands."""
        return os.path.join(self.root, path.lstrip("/"))

    def now(self) -> float:
        """Return the host's time, unix seconds."""
        return time.time()

    def pause(self, seconds: float) -> None:
        """Let time pass between two looks at a service."""
        time.sleep(seconds)

    def run(self, *words: str) -> tuple[int, str]:
        """Run a program; return its exit code and output. One that is not there, or hangs, has failed with 127."""
        try:
            done = subprocess.run(
                words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                errors="replace", timeout=PROGRAM_SECONDS, check=False,
            )  # fmt: skip
        except (OSError, subprocess.TimeoutExpired) as error:
            return 127, str(error)
        return done.returncode, done.stdout

    def owner(self, status: os.stat_result) -> tuple[str, str]:
        """Return the names of a file's owner and group; numbers where they have none."""
        with contextlib.suppress(KeyError):
            return pwd.getpwuid(status.st_uid).pw_name, grp.getgrgid(status.st_gid).gr_name
        return str(status.st_uid), str(status.st_gid)

    def give(self, path: str, owner: str, group: str) -> None:
        """Make a file somebody's. Raises: StepError: there is no such user or group."""
        try:
            os.chown(path, pwd.getpwnam(owner).pw_uid, grp.getgrnam(group).gr_gid)
        except KeyError:
            raise StepError(f"there is no user or group {owner}:{group}") from None

    def has_user(self, name: str) -> bool:
        """Return whether there is a user of that name."""
        with contextlib.suppress(KeyError):
            return bool(pwd.getpwnam(name))
        return False

    def ask_status(self, path: str) -> Json | None:
        """Return the status document of the process on a control socket; None where nobody answers."""
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as peer:
                peer.settimeout(STATUS_SECONDS)
                peer.connect(path)
                peer.sendall(b"status\n")
                with peer.makefile("rb") as stream:
                    answer = json.loads(stream.read(MAX_STATUS_BYTES))
        except (OSError, ValueError):
            return None
        return answer if isinstance(answer, dict) else None

    def words_of(self, pid: int) -> list[str]:
        """Return the command line of a process; nothing where it is gone."""
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                return file.read().decode(errors="replace").split("\0")
        except OSError:
            return []

    def pythons(self) -> list[Json]:
        """Return the host's Python interpreters, each with its version, those first that its PATH names first."""
        found: dict[str, str] = {}
        for name in ("python3", *(f"python3.{minor}" for minor in range(19, 8, -1))):
            path = shutil.which(name)
            if path and os.path.realpath(path) not in found:
                code = "import sys; print('.'.join(map(str, sys.version_info[:3])))"
                failed, version = self.run(path, "-I", "-c", code)
                if not failed:
                    found[os.path.realpath(path)] = version.strip()
        return [{"path": path, "version": version} for path, version in found.items()]


def names(path: str) -> list[str]:
    """Return what a folder holds, sorted; nothing where there is none."""
    with contextlib.suppress(OSError):
        return sorted(os.listdir(path))
    return []


def digest_of(path: str) -> str:
    """Return the SHA-256 of a file, in hex. Raises: OSError."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for piece in iter(lambda: file.read(1 << 20), b""):
            digest.update(piece)
    return digest.hexdigest()


def describe(system: System, path: str) -> Json:
    """Return mode and owners of a file or folder of the host. Raises: OSError."""
    status = os.lstat(system.at(path))
    owner, group = system.owner(status)
    return {"mode": f"{stat.S_IMODE(status.st_mode):04o}", "owner": owner, "group": group}
