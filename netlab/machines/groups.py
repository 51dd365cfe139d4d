"""Control groups of real machines: one for each run, one below it for each machine.

    /sys/fs/cgroup/rustun-machines-TOKEN/NAME/   systemd-nspawn makes supervisor and payload in there

Rules of this module
  1. The hierarchy (version 2) is mounted in the mount namespace of the run, over whatever the host has there, so that
     machines boot alike on every host and nothing of the host's changes.
  2. Groups are the one thing of a run that no namespace takes along when it ends. A run holds a lock on its own group
     as long as it lives; a group whose lock is free belongs to the dead, and `sweep` removes it.
"""

from __future__ import annotations

import fcntl
import os
import select
from pathlib import Path
from secrets import token_hex
from time import monotonic
from typing import Final

from netlab import kernel

ROOT: Final = Path("/sys/fs/cgroup")
PREFIX: Final = "rustun-machines-"
KILL_SECONDS: Final = 10.0


def mount() -> None:
    """Mount the hierarchy in this mount namespace, which has to be the run's own."""
    kernel.mount("none", str(ROOT), "cgroup2", kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC)


class RunGroup:
    """The group of one run, which this process holds until `remove`."""

    def __init__(self) -> None:
        root = _locked(ROOT)  # nobody sweeps between the next two lines
        self.path = ROOT / f"{PREFIX}{token_hex(4)}"
        self.path.mkdir()
        self._lock = _locked(self.path)
        os.close(root)

    def remove(self) -> list[str]:
        """Kill what still runs inside and remove it; return what stayed, in words."""
        left = empty(self.path)
        os.close(self._lock)
        return left


def empty(path: Path) -> list[str]:
    """Kill all that runs in a group, remove it with all below it, and return what stayed, in words."""
    (path / "cgroup.kill").write_text("1")
    with (path / "cgroup.events").open() as events:
        changes = select.poll()
        changes.register(events, select.POLLPRI)
        deadline = monotonic() + KILL_SECONDS
        while "populated 1" in events.read():
            if monotonic() > deadline:
                return [f"processes in {path.name}"]
            changes.poll(1000)
            events.seek(0)
    for below, _, _ in os.walk(path, topdown=False):
        os.rmdir(below)
    return []


def sweep() -> list[str]:
    """Remove the groups of dead runs; return what was done, in words. The hierarchy has to be mounted."""
    root = _locked(ROOT)
    done = []
    for path in sorted(ROOT.glob(f"{PREFIX}*")):
        try:
            held = _locked(path, wait=False)
        except BlockingIOError:
            continue
        stayed = empty(path)
        os.close(held)
        done += stayed or [f"removed control group {path.name}"]
    os.close(root)
    return done


def _locked(path: Path, *, wait: bool = True) -> int:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:
        os.close(descriptor)
        raise
    return descriptor
