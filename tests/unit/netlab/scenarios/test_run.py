"""What becomes of a scenario whose process tells, ends, hangs, or cannot begin."""

from __future__ import annotations

import os
import select
from collections.abc import Callable
from pathlib import Path

import pytest

from netlab.errors import EnvironmentLacks
from netlab.scenarios import run as module
from netlab.scenarios.play import News, Tell
from netlab.scenarios.run import Course, run
from netlab.scenarios.scenario import Scenario
from tests.unit.netlab.scenarios.stages import all_is_well

Play = Callable[[Scenario, Path, Tell], int]


def all_steps(_scenario: Scenario, _folder: Path, tell: Tell) -> int:
    """Pass."""
    for step in range(4):
        tell(News(step, "running"))
        tell(News(step, "done", 0.5))
    return 0


def ends_early(_scenario: Scenario, _folder: Path, tell: Tell) -> int:
    """Say something and be gone, with the exit code of success."""
    tell(News(0, "done"))
    tell(News(1, "running"))
    os.write(1, b"something else is wrong\n")
    return 0


def hangs(_scenario: Scenario, _folder: Path, tell: Tell) -> int:
    """Begin, and never come back."""
    tell(News(0, "running"))
    select.select([], [], [])
    return 0


def lacks(_scenario: Scenario, _folder: Path, _tell: Tell) -> int:
    """Find no world."""
    raise EnvironmentLacks("no namespaces here", "run it as root")


def went(monkeypatch: pytest.MonkeyPatch, folder: Path, play: Play) -> tuple[Course, int]:
    """Return how it went, and how often that was shown."""
    monkeypatch.setattr(module, "play_in_own_world", play)
    shown: list[Course] = []
    return run(all_is_well, folder, shown.append), len(shown)


def test_all_steps_done_is_passed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing would ever pass, or people would not see a run move."""
    course, shown = went(monkeypatch, tmp_path, all_steps)
    assert (course.state, course.seconds, course.failure, shown) == ("done", 2.0, None, 9)


def test_a_process_that_ends_early_failed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A scenario that broke off would count as passed: nobody told of a failure."""
    course, _ = went(monkeypatch, tmp_path, ends_early)
    assert [step.state for step in course.steps] == ["done", "failed", "pending", "pending"]
    assert course.failure is not None
    assert course.failure.why == "its process ended with exit code 0\nsomething else is wrong"


def test_a_process_that_hangs_is_ended(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A run would wait for ever, or count as passed."""
    monkeypatch.setattr(module, "PATIENCE_S", 0.2)
    course, _ = went(monkeypatch, tmp_path, hangs)
    assert (course.state, course.steps[0].why[:19]) == ("failed", "nothing happened fo")


def test_what_the_machine_lacks_is_no_failure(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """People on a machine without namespaces would look for the fault in the tunnel."""
    with pytest.raises(EnvironmentLacks, match="all-is-well cannot be played here\n.*no namespaces here\n.*as root"):
        went(monkeypatch, tmp_path, lacks)
