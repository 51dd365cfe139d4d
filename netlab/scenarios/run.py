"""Let scenarios be played, each in a process and a world of its own, and see what becomes of every step.

Rules of this module
  1. Not run is not passed: a step that nobody told of, because its process ended or hung, failed.
  2. What a scenario and its processes print goes to a file beside theirs; the terminal is for the steps.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

from netlab import kernel
from netlab.errors import EXIT_UNEXPECTED, EnvironmentLacks, LabError
from netlab.scenarios.kernel_tests import KernelTests
from netlab.scenarios.play import News, State, Tell, play_in_own_world
from netlab.scenarios.scenario import Scenario

PATIENCE_S: Final = 120.0  # for one step; only reached where something hangs
OUTPUT: Final = "output.txt"
OUTPUT_LINES: Final = 20  # of the end of it, where nothing else says what happened


@dataclass(slots=True)
class Course:
    """How a scenario goes, or went.

    Attributes:
        files: folder of its files, with all that was printed in output.txt.
        steps: what is known of each, in their order.
    """

    scenario: Scenario | KernelTests
    files: Path
    steps: list[News] = field(init=False)

    def __post_init__(self) -> None:
        self.steps = [News(number, "pending") for number in range(len(self.scenario.words))]

    @property
    def state(self) -> State:
        """Of the whole."""
        states = [step.state for step in self.steps]
        for one in ("failed", "running"):
            if one in states:
                return one
        return "done" if set(states) == {"done"} else "pending"

    @property
    def seconds(self) -> float:
        """That all steps took together."""
        return sum(step.seconds for step in self.steps)

    @property
    def failure(self) -> News | None:
        """The step that failed."""
        return next((step for step in self.steps if step.state == "failed"), None)


def run(scenario: Scenario | KernelTests, folder: Path, show: Callable[[Course], None]) -> Course:
    """Let a scenario be played.

    Args:
        folder: for its files; there, and empty.
        show: is called before it begins, and whenever a step has got into another state.
    Raises:
        EnvironmentLacks: no world can be made here.
    """
    course = Course(scenario, folder)
    show(course)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        _be(scenario, folder, writing)
    os.close(writing)
    try:
        for news in _told(reading, child):
            course.steps[news.step] = news
            show(course)
    finally:
        os.close(reading)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code == EnvironmentLacks.exit_code:
        raise EnvironmentLacks(f"{scenario.name} cannot be played here", _last_words(folder))
    if course.state not in ("done", "failed"):
        at = next(step.step for step in course.steps if step.state != "done")
        why = f"nothing happened for {PATIENCE_S:.0f} s" if code < 0 else f"its process ended with exit code {code}"
        course.steps[at] = News(at, "failed", why=f"{why}\n{_last_words(folder)}")
        show(course)
    return course


def _told(reading: int, child: int) -> Iterator[News]:
    """Yield what is told until the other end is closed; end the process that says nothing for too long."""
    held = b""
    while select.select([reading], [], [], PATIENCE_S)[0]:
        piece = os.read(reading, 1 << 16)
        if not piece:
            return
        *lines, held = (held + piece).split(b"\n")
        for line in lines:
            yield News(**json.loads(line))
    os.kill(child, signal.SIGKILL)  # and with it all of its world


def _be(scenario: Scenario | KernelTests, folder: Path, writing: int) -> None:
    """Play in this process, which is a fork; never returns."""
    code = EXIT_UNEXPECTED
    try:
        kernel.die_with_parent(signal.SIGKILL)
        output = os.open(folder / OUTPUT, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        for number in (1, 2):
            os.dup2(output, number)
        if isinstance(scenario, Scenario):
            code = play_in_own_world(scenario, folder, _teller(writing))
        else:
            from netlab.scenarios import pytest_steps  # pytest takes its time to come

            code = pytest_steps.play(scenario, _teller(writing))
    except LabError as error:
        os.write(2, f"{error}\n".encode())
        code = error.exit_code
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _teller(writing: int) -> Tell:
    def tell(news: News) -> None:
        os.write(writing, f"{json.dumps(asdict(news))}\n".encode())

    return tell


def _last_words(folder: Path) -> str:
    lines = (folder / OUTPUT).read_text(errors="replace").splitlines() if (folder / OUTPUT).exists() else []
    return "\n".join(lines[-OUTPUT_LINES:])
