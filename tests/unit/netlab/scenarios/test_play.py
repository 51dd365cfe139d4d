"""A scenario is played step by step, and what goes wrong is told where it went wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from netlab.errors import ExpectationFailed
from netlab.scenarios.play import News, explained, play
from netlab.scenarios.scenario import Scenario
from tests.unit.netlab.scenarios import stages

ROOT = Path(__file__).parents[4]


def played(scenario: Scenario, folder: Path) -> tuple[bool, list[tuple[int, str]], News]:
    """Return whether it passed, the states of its steps in the order of telling, and the last word."""
    told: list[News] = []
    passed = play(scenario, folder, told.append)
    return passed, [(news.step, news.state) for news in told], told[-1]


def test_each_step_begins_and_ends_in_its_order(tmp_path: Path) -> None:
    """People would see a step as done that was never begun, or not see where a run stands."""
    passed, states, _ = played(stages.all_is_well, tmp_path)
    assert passed
    assert states == [(step, state) for step in range(4) for state in ("running", "done")]
    assert stages.LAST[0].done == ["up", "knock", "wait", "down"]


def test_the_first_fault_is_told_and_the_stage_is_taken_down(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A failure would be told as that of the stage, which falls because a step did; or leave the stage standing."""
    passed, states, last = played(stages.a_step_fails, tmp_path)
    assert (passed, states[-1]) == (False, (2, "failed"))
    assert last.why == "assert found == 4"
    assert last.seconds < stages.SLOW_S, "what the stage took to fall is no part of the step"
    assert last.where.startswith("tests/unit/netlab/scenarios/stages.py:")
    assert last.where.endswith(" in fall")
    assert stages.LAST[0].done == ["knock", "down"]
    assert "the stage falls as well" in capsys.readouterr().err


def test_what_is_left_fails_the_last_step(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A scenario would pass that leaves something behind."""
    passed, states, last = played(stages.nothing_may_be_left, tmp_path)
    assert (passed, states[-1], last.why) == (False, (2, "failed"), "a process is left")
    assert "a process is left" in capsys.readouterr().err


def test_a_picture_that_lacks_a_node_fails_before_the_first_step(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Pictures would show other networks than what is tried."""
    passed, states, last = played(stages.nobody_is_drawn, tmp_path)
    assert (passed, states) == (False, [(0, "running"), (0, "failed")])
    assert last.why == "the picture lacks a, relay"
    assert stages.LAST[0].done == []
    assert "lacks" in capsys.readouterr().err


def test_a_fault_is_explained_by_its_own_words() -> None:
    """People would have to read a traceback."""
    assert explained(ExpectationFailed("a process ended", "its log"))[0] == "a process ended\n  its log"
    assert explained(KeyError("x"))[0] == "KeyError: 'x'"
    assert explained(TimeoutError())[0] == "TimeoutError"
