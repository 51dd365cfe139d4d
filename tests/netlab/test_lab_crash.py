"""A laboratory is killed at random moments of its life, and nothing of it is left, though nobody sweeps.

Rules of this module
  1. The moment and the victim are drawn from a seed: while it comes up, while it is up and somebody runs a program in
     it, while it goes down; one of who brings it up, asks it something, keeps it, its first process, any other.
  2. Without its keeper or its first process it is gone; else it is taken down where it still lives, as a person would.
     What may be left is its run folder, which is nobody's then, and files in the folder that it generates into, which
     the next one makes anew.
  3. Ten crashes here, fifty in `./invoke soak`.
"""

from __future__ import annotations

import os
import random
import select
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from time import monotonic
from typing import Final

from netlab.control import runfolder
from netlab.worlds.leftovers import processes
from tests.netlab.child import ROOT
from tests.netlab.counted_world import in_counted_world, picture, reap_all, until_alone, until_ended

CRASHES: Final = 25 if os.environ.get("HYPOTHESIS_PROFILE") == "soak" else 5  # of each test
PHASES: Final = ("up", "running", "down")
VICTIMS: Final = ("asker", "keeper", "first", "any")
FATAL: Final = ("keeper", "first")  # without them no laboratory goes on
NAME: Final = "crash"
FLEET: Final = f"""
[fleet]
name = "{NAME}"
servers = [{{ address = "198.18.0.1:8080" }}]
[cluster.one]
network = "10.0.1.0/24"
[cluster.one.member.lone]
ciders = ["192.168.1.0/24"]
[lab.host.shed]
behind = "lone"
address = "192.168.1.7"
"""


class Life:
    """One laboratory's life, by the commands that people type."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        (folder / "temporary").mkdir()
        (folder / "fleet.toml").write_text(FLEET)
        self.seconds: dict[str, float] = {}

    def command(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start a command."""
        environment = {**os.environ, "TMPDIR": str(self._folder / "temporary")}
        return subprocess.Popen(
            [sys.executable, "-m", "netlab", *arguments],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )

    def up(self) -> subprocess.Popen[bytes]:
        """Begin to bring it up."""
        build = str(self._folder / "build")
        return self.command("up", "--inventory", str(self._folder / "fleet.toml"), "--build", build)

    def down(self) -> subprocess.Popen[bytes]:
        """Begin to take it down."""
        return self.command("down", "--name", NAME)

    def picture(self) -> dict[str, list[str]]:
        """Return what there is beside the run folder and what it generates."""
        seen = picture(self._folder / "temporary")
        own = str(runfolder.root())
        return {**seen, "files": [file for file in seen["files"] if not file.startswith(own)]}

    def once(self) -> None:
        """Go through a whole life without a crash, and see how long its parts take."""
        for phase, begin in (("up", self.up), ("down", self.down)):
            began = monotonic()
            assert ended(begin()) == 0, f"{phase} fails"
            self.seconds[phase] = monotonic() - began

    def crash(self, chance: random.Random) -> str:
        """Live, be killed, be taken down if that is still needed; return what happened, in words."""
        phase, who, share = chance.choice(PHASES), chance.choice(VICTIMS), chance.random()
        asker = self.up()
        if phase != "up":
            assert ended(asker) == 0, "it does not come up after a crash"
        if phase == "running":
            asker = self.command("exec", "--name", NAME, "lone", "--", "sh", "-c", "echo in; exec cat")
            assert asker.stdout is not None
            assert asker.stdout.readline() == b"in\n"
        elif phase == "down":
            asker = self.down()
        if phase != "running":
            moment(asker, share * self.seconds[phase])
        who, victim = chosen(who, asker.pid, chance)
        kill(victim)
        ended(asker)
        if who not in FATAL and any(folder.alive for folder in runfolder.all_folders()):
            ended(self.down())
        elif who in FATAL and phase == "running":
            reap_all()
            code, said = told(self.down())
            assert (code, said.rpartition("s, ")[2]) == (5, "its keeper was dead already\n"), said
        return f"{phase} at {share:.2f}, {who}"


def told(process: subprocess.Popen[bytes]) -> tuple[int, str]:
    """Say no more to a command, wait for its end and return its exit code and what it has said since."""
    assert process.stdin is not None
    assert process.stdout is not None
    with process:
        process.stdin.close()
        until_ended(process.pid)
        return process.wait(), process.stdout.read().decode()


def ended(process: subprocess.Popen[bytes]) -> int:
    """Do the same, and return the exit code alone."""
    return told(process)[0]


def moment(process: subprocess.Popen[bytes], seconds: float) -> None:
    """Return after that time, or when the process has ended."""
    watched = os.pidfd_open(process.pid)
    select.select((watched,), (), (), seconds)
    os.close(watched)


def chosen(who: str, asker: int, chance: random.Random) -> tuple[str, int]:
    """Return a victim and its process id; who was drawn may not be there yet, then it is the asker."""
    below = tree()
    keepers = [pid for pid in (*below.get(asker, ()), *below.get(1, ())) if pid != asker and "keep" in words(pid)]
    firsts = [child for keeper in keepers for child in below.get(keeper, ())]
    found: dict[str, Sequence[int]] = {
        "asker": [asker],
        "keeper": keepers,
        "first": firsts,
        "any": [pid for first in firsts for pid in below.get(first, ())],
    }
    who = who if found[who] else "asker"
    return who, chance.choice(found[who])


def tree() -> dict[int, list[int]]:
    """Return the children of each process."""
    below: dict[int, list[int]] = {}
    for pid in processes():
        try:
            parent = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        except OSError:  # it ended while we looked
            continue
        below.setdefault(parent, []).append(pid)
    return below


def words(pid: int) -> list[str]:
    """Return a process's command line."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    except OSError:
        return []


def kill(pid: int) -> None:
    """Kill it, unless it has just ended."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def crashes(folder: Path, seed: int) -> None:
    """Crash it that often in one world; nothing may be left each time, and the next one has to come up."""
    life = Life(folder)
    life.once()
    reap_all()
    before = life.picture()
    chance = random.Random(seed)
    for number in range(CRASHES):
        happened = life.crash(chance)
        reap_all()
        after = life.picture()
        assert after == before, f"crash {number} ({happened}): {after}, before: {before}"
        until_alone()
        assert not any(one.alive for one in runfolder.all_folders()), f"crash {number} ({happened}): the folder is held"
        print(f"crash {number}: {happened}", flush=True)
    assert ended(life.command("sweep")) == 0
    assert runfolder.all_folders() == []


@in_counted_world
def test_a_crash_leaves_nothing(tmp_path: Path) -> None:
    """Every crash of a laboratory leaves processes, namespaces, links, rules or files that somebody has to find."""
    crashes(tmp_path, 71)


@in_counted_world
def test_another_crash_leaves_nothing(tmp_path: Path) -> None:
    """The same, from another seed: two workers share the time."""
    crashes(tmp_path, 72)
