"""How scenarios are shown."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from netlab.scenarios import command, show
from netlab.scenarios.catalogue import ALL, SCENARIOS
from netlab.scenarios.play import News
from netlab.scenarios.run import Course
from tests.unit.netlab.scenarios.stages import all_is_well

FILES = Path("build/logs/scenarios/all-is-well")
FAILED = """
all-is-well: Somebody knocks and is answered. (row 7)

    a ---- relay

  done       1.2 s  Set the stage up.
  FAILED     0.5 s  Knock at the relay.
  pending           Wait for an answer.
  pending           Take it down; nothing may be left.

    nobody opens
    not even after a while

    at     netlab/door.py:7 in knock
    files  build/logs/scenarios/all-is-well
"""
STORY = (
    News(0, "running"),
    News(0, "done", 1.23),
    News(1, "running"),
    News(1, "failed", 0.5, "nobody opens\nnot even after a while", "netlab/door.py:7 in knock"),
)


def told(shown: show.Paper | show.Terminal) -> Course:
    """Tell the story of a failure."""
    course = Course(all_is_well, FILES)
    shown(course)
    for news in STORY:
        course.steps[news.step] = news
        shown(course)
    return course


def test_lines_that_stay_are_printed_once(capsys: pytest.CaptureFixture[str]) -> None:
    """A log would show steps twice, or not what was left undone."""
    told(show.Paper())
    assert capsys.readouterr().out == FAILED


def test_a_terminal_shows_all_steps_from_the_beginning(capsys: pytest.CaptureFixture[str]) -> None:
    """People would not see what is still to come, or a page full of old lines."""
    told(show.Terminal())
    first, *later = capsys.readouterr().out.split("\x1b[4A\x1b[J")
    assert first.count("  pending  ") == 4
    assert [page.count("running") for page in later] == [1, 0, 1, 0]
    assert later[-1] == FAILED.split("relay\n\n", 1)[1]


def test_a_document_has_each_step_and_its_end() -> None:
    """A machine that reads it could not tell which step failed."""
    document = json.loads(json.dumps(show.outcome(told(show.Paper()))))
    assert (document["name"], document["state"], document["seconds"]) == ("all-is-well", "failed", 1.73)
    assert [step["state"] for step in document["steps"]] == ["done", "failed", "pending", "pending"]
    assert document["steps"][1]["words"] == "Knock at the relay."


def test_the_list_has_steps_and_pictures(capsys: pytest.CaptureFixture[str]) -> None:
    """Nobody could see what a scenario does before it is run."""
    assert command.show_list(as_json=True) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["schema"] == 1
    assert [one["name"] for one in document["scenarios"]] == list(ALL)
    assert all(one["shows"] and one["steps"] for one in document["scenarios"])
    assert all(one["picture"] for one in document["scenarios"] if one["name"] in SCENARIOS)
