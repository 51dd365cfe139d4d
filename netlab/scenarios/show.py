"""How scenarios are shown: as they go on a terminal, line by line elsewhere, as a document at the end.

Rules of this module
  1. All steps of a scenario are shown from the beginning, on a terminal; where lines stay, each is printed once it has
     ended, and after a failure also what was not begun.
  2. What a scenario says is shown as it is: it is our own.
"""

from __future__ import annotations

import shutil
from dataclasses import asdict
from typing import Any, Final

from netlab.scenarios.kernel_tests import KernelTests
from netlab.scenarios.run import Course
from netlab.scenarios.scenario import Scenario

SCHEMA: Final = 1
UP_AND_CLEAR: Final = "\x1b[{}A\x1b[J"  # ECMA-48: the cursor so many lines up, then erase what is below
ENDED: Final = ("done", "failed")


def heading(scenario: Scenario | KernelTests) -> list[str]:
    """Return the lines above a scenario's steps: what it shows, and its picture."""
    rows = f" (row{'s' * (',' in scenario.rows)} {scenario.rows})" if scenario.rows else ""
    picture = [*(f"    {line}".rstrip() for line in drawn(scenario)), ""] if scenario.picture else []
    return ["", f"{scenario.name}: {scenario.shows}{rows}", "", *picture]


def drawn(scenario: Scenario | KernelTests) -> list[str]:
    """Return the lines of its picture."""
    return scenario.picture.splitlines()


def step_lines(course: Course) -> list[str]:
    """Return a line for each step: its state, what it took, what it does."""
    lines = []
    for news, words in zip(course.steps, course.scenario.words, strict=True):
        took = f"{news.seconds:5.1f} s" if news.state in ENDED else " " * 7
        lines.append(f"  {news.state.upper() if news.state == 'failed' else news.state:<7}  {took}  {words}")
    return lines


def failure_lines(course: Course) -> list[str]:
    """Return what went wrong, where, and where to read more; nothing unless something did."""
    if course.failure is None:
        return []
    why = [f"    {line}" for line in course.failure.why.splitlines()]
    return ["", *why, "", f"    at     {course.failure.where}", f"    files  {course.files}"]


def facts(scenario: Scenario | KernelTests) -> dict[str, Any]:
    """Return a scenario as it is listed in a document."""
    listed = {"name": scenario.name, "shows": scenario.shows, "rows": scenario.rows}
    return {**listed, "steps": list(scenario.words), "picture": drawn(scenario)}


def outcome(course: Course) -> dict[str, Any]:
    """Return how a scenario went as it stands in a document."""
    steps = [{"words": words, **asdict(news)} for words, news in zip(course.scenario.words, course.steps, strict=True)]
    known = {"name": course.scenario.name, "state": course.state, "seconds": round(course.seconds, 3)}
    return {**known, "steps": steps, "files": str(course.files)}


class Paper:
    """Prints a scenario line by line, where lines stay."""

    def __init__(self) -> None:
        self._printed = -1

    def __call__(self, course: Course) -> None:
        """Print what is new."""
        lines = [] if self._printed >= 0 else heading(course.scenario)
        ended = sum(news.state in ENDED for news in course.steps)
        until = len(course.steps) if course.failure else ended
        lines += step_lines(course)[max(self._printed, 0) : until] + failure_lines(course)
        self._printed = until
        for line in lines:
            print(line, flush=True)


class Terminal:
    """Shows a scenario on a terminal, all its steps all the time."""

    def __init__(self) -> None:
        self._shown = 0

    def __call__(self, course: Course) -> None:
        """Show how it stands now."""
        width = shutil.get_terminal_size().columns - 1  # a line that is broken in two could not be taken back
        steps = [line[:width] for line in step_lines(course)]
        above = UP_AND_CLEAR.format(self._shown) if self._shown else "\n".join([*heading(course.scenario), ""])
        self._shown = len(steps)
        print(above + "\n".join([*steps, *failure_lines(course)]), flush=True)
