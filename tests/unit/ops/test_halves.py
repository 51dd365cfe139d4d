"""A list done by this process and a fork of it, in an interpreter that has no other thread, as a task's has none."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Sequence

import pytest

from rustun.ops.halves import WORTH_US, in_halves

SCRIPT = """
import os, signal
from rustun.ops.halves import WORTH_US, in_halves
os.sched_getaffinity = lambda _: {{0, 1}}
first = os.getpid()

def work(items):
    {work}

found = in_halves(work, range(8), lambda item: WORTH_US)
{after}
"""


def run(work: str, after: str) -> subprocess.CompletedProcess[str]:
    """Do some work on the numbers 0 to 7 in two processes, and something with what was found."""
    script = SCRIPT.format(work=work, after=after)
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=False)


def test_two_processes_find_what_one_finds() -> None:
    """Half of a fleet would be left out, or keys would go to the wrong members."""
    done = run("return [(item, os.getpid()) for item in items]", "print([item for item, _ in found], len(dict(found)))")
    assert done.stdout == "[0, 1, 2, 3, 4, 5, 6, 7] 8\n", done.stderr
    done = run("return [os.getpid() == first for item in items]", "print(found.count(True), found.index(False))")
    assert done.stdout == "4 4\n", done.stderr


def test_the_halves_take_as_long() -> None:
    """The process that got routes.json would still read when the other one is long done."""
    script = SCRIPT.replace("lambda item: WORTH_US", "lambda item: WORTH_US if item else 7 * WORTH_US")
    script = script.format(work="return [os.getpid() == first for item in items]", after="print(found.count(True))")
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=False)
    assert done.stdout == "1\n", done.stderr


def test_what_goes_wrong_in_the_fork_goes_wrong_here() -> None:
    """A full disk would be told as a dead process, or not at all."""
    done = run("if 7 in items: raise OSError(28, 'No space left', 'client-7.toml')\n    return []", "")
    assert "OSError: [Errno 28] No space left: 'client-7.toml'" in done.stderr


def test_a_fork_that_dies_is_no_success() -> None:
    """Files that nobody read would count as good."""
    done = run("if os.getpid() != first: os.kill(os.getpid(), signal.SIGKILL)\n    return [*items]", "print(found)")
    assert "HostError: the second process that did half of the work died" in done.stderr
    assert not done.stdout


def test_a_fork_ends_with_the_process_that_failed() -> None:
    """After ctrl-C a process would go on in the background, and hold the lock of the folder."""
    work = "if os.getpid() == first: raise KeyboardInterrupt\n    signal.pause()"
    done = run(work, "")  # who waits for the end of its output waits for the fork as well
    assert "KeyboardInterrupt" in done.stderr


def test_a_fork_ends_with_the_process_that_was_killed() -> None:
    """It would wait for ever for who takes its answer, and hold the folder's lock: nobody could generate."""
    work = "if os.getpid() == first: os.kill(first, signal.SIGKILL)\n    return ['x' * 100_000 for _ in items]"
    assert run(work, "").returncode == -9  # who waits for the end of its output waits for the fork as well


def test_ctrl_c_is_for_the_first_process_alone() -> None:
    """Both would tidy up the same folder and say that they were interrupted, or neither could be any more."""
    work = "if os.getpid() != first: os.kill(os.getpid(), signal.SIGINT)\n    return [*items]"
    done = run(work, "print(found)\nos.kill(first, signal.SIGINT)")
    assert done.stdout == "[0, 1, 2, 3, 4, 5, 6, 7]\n" and "KeyboardInterrupt" in done.stderr


@pytest.mark.parametrize("before", ["os.fork = none", "signal.signal(signal.SIGCHLD, signal.SIG_IGN)"])
def test_without_a_fork_one_process_does_all(before: str) -> None:
    """Who may have no more processes, or was started by who ignores children, could not generate a large fleet."""
    after = "print(found.count(True), signal.pthread_sigmask(signal.SIG_BLOCK, ()), len(os.listdir('/proc/self/fd')))"
    setting = "import errno, os, signal\n\ndef none():\n    raise BlockingIOError(errno.EAGAIN, 'too many')\n"
    script = setting + before + SCRIPT.format(work="return [os.getpid() == first for _ in items]", after=after)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=False)
    assert done.stdout == "8 set() 4\n", done.stderr


def test_a_fork_tidies_up_nothing() -> None:
    """It would take away a temporary folder that the other process still works in."""
    work = "if os.getpid() != first: raise SystemExit('never')\n    return [*items]"
    done = run(work, "").stderr
    assert "the second process" in done and "never" not in done
    script = "import atexit; atexit.register(print, 'tidy')\n" + SCRIPT.format(work="return [*items]", after="")
    once = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=False)
    assert once.stdout == "tidy\n", once.stderr


@pytest.mark.parametrize("threads, cost_us", [(1, WORTH_US), (0, WORTH_US / 100)])
def test_a_process_alone_does_all(threads: int, cost_us: float) -> None:
    """A fork of a process with threads may wait for ever for a lock; for little work it only costs."""
    over = threading.Event()
    others = [threading.Thread(target=over.wait) for _ in range(threads)]
    for other in others:
        other.start()
    calls: list[Sequence[int]] = []

    def work(items: Sequence[int]) -> list[int]:
        calls.append(items)
        return [*items]

    try:
        assert in_halves(work, range(8), lambda _: cost_us) == [*range(8)]
    finally:
        over.set()
        for other in others:
            other.join()
    assert calls == [range(8)]
