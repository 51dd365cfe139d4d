"""A world of its own in which everything is counted that a laboratory could leave; tests run a function inside.

Rules of this module
  1. The world has a user namespace of its own, for root as well: the kernel counts the namespaces that are made in one
     and refuses those over a limit (namespaces(7), /proc/sys/user). So each that still exists is seen, also one that no
     process and no name refers to.
  2. The function's process is number 1: every process that is left is one of ours, and its child in the end.
  3. What is to be gone is waited for, since the kernel takes namespaces away when it finds the time; not for ever.
"""

from __future__ import annotations

import functools
import os
import select
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import Final

from netlab import kernel
from netlab.namespaces import enter_own_world
from netlab.worlds.leftovers import descriptors, processes
from netlab.worlds.own_world import hide_journals
from tests.netlab.child import load_case, run_in_child

LIMIT_S: Final = 2400  # only reached where something hangs; a soak takes half of it
PATIENCE_S: Final = 60.0  # only reached where something hangs
STEP_S: Final = 0.02
KINDS: Final = {
    "net": kernel.CLONE_NEWNET,
    "mnt": kernel.CLONE_NEWNS,
    "pid": kernel.CLONE_NEWPID,
    "user": kernel.CLONE_NEWUSER,
}
OWN: Final = {"net": 1, "mnt": 1, "pid": 1, "user": 0}  # the world's user namespace counts in the one around it
MANY: Final = 10_000  # namespaces: no limit
FOLDERS: Final = tuple(map(Path, ("/run", "/dev/shm", "/var/lib/rustun")))


def in_counted_world(function: Callable[[Path], None]) -> Callable[[Path], None]:
    """Make a test, which takes its folder, run in such a world; it fails with what was written there."""

    @functools.wraps(function)
    def run(tmp_path: Path) -> None:
        run_in_child("tests.netlab.counted_world", function, str(tmp_path), limit_s=LIMIT_S)

    return run


def picture(*folders: Path) -> dict[str, list[str]]:
    """Return all that there is in this world but namespaces, and the files in further folders."""
    nft = subprocess.run(["nft", "list", "ruleset"], capture_output=True, text=True, check=True, timeout=PATIENCE_S)
    files = (path for folder in (*FOLDERS, *folders) for path in folder.rglob("*"))
    return {
        "processes": [f"{pid} {_command(pid)}" for pid in processes()],
        "links": sorted(name for _, name in socket.if_nameindex()),
        "rules": nft.stdout.splitlines(),
        "mounts": Path("/proc/self/mountinfo").read_text().splitlines(),
        "files": sorted(map(str, files)),
        "descriptors": descriptors(),
    }


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return "(gone)"


def until_ended(child: int) -> None:
    """Wait until a child has ended, which stays to be reaped; reap whoever else ends meanwhile.

    As process 1 has to: a pid namespace goes only when somebody has reaped all that was in it, and a program that
    somebody ran in there from outside is this process's own once that somebody is dead.
    """
    with _patience():
        while (ended := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT)) is not None and ended.si_pid != child:
            os.waitpid(ended.si_pid, 0)


def reap_all() -> None:
    """Wait until this process is the only one; fail with the others' names where they stay."""
    with _patience():
        try:
            while True:
                os.waitpid(-1, 0)
        except ChildProcessError:
            assert processes() == [os.getpid()]


@contextmanager
def _patience() -> Iterator[None]:
    """Fail with the names of all processes where the context takes too long."""

    def late(_number: int, _frame: object) -> None:
        raise AssertionError(f"processes are left: {picture()['processes']}")

    signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, PATIENCE_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def until_alone() -> None:
    """Wait until there are no namespaces but those of this world."""
    deadline = monotonic() + PATIENCE_S
    while (found := {kind: _count(kind) for kind in KINDS}) != OWN:
        assert monotonic() < deadline, f"namespaces: {found}, of this world: {OWN}"
        select.select((), (), (), STEP_S)


def _count(kind: str) -> int:
    """Return how many exist: the largest limit that refuses another one."""
    limit = Path(f"/proc/sys/user/max_{kind}_namespaces")
    try:
        for number in range(1, MANY):
            limit.write_text(str(number))
            if _makes_one(KINDS[kind]):
                return number - 1
    finally:
        limit.write_text(str(MANY))
    raise AssertionError(f"{kind}: more than {MANY} namespaces, or none to be had")


def _makes_one(flag: int) -> bool:
    child = os.fork()
    if child == 0:
        try:
            kernel.unshare(flag)
        except OSError:
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def inside(file: str, name: str, folder: str) -> int:
    """Run one function of one test file in there."""

    def run() -> int:
        hide_journals()
        load_case(file, name)(Path(folder))
        return 0

    if os.geteuid() == 0:
        kernel.unshare(kernel.CLONE_NEWUSER)
        for map_name, text in (("setgroups", "deny"), ("uid_map", "0 0 1"), ("gid_map", "0 0 1")):
            Path("/proc/self", map_name).write_text(text)
    return enter_own_world(run)
