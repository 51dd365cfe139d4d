"""Play one scenario in a world of its own, and tell each step as it comes.

Rules of this module
  1. The process that plays is number 1 of its world (namespaces.py): whatever a scenario leaves running ends with it.
  2. A step is told when it begins and when it has ended; after one that failed the stage is taken down, and what that
     says besides is not told: the first fault is the one to look at.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import monotonic
from types import FrameType
from typing import Final, Literal

from netlab.errors import EXIT_OK, EXIT_UNEXPECTED, EnvironmentLacks, LabError
from netlab.processes import CHECKOUT
from netlab.scenarios import catalogue
from netlab.scenarios.scenario import Scenario, not_shown
from netlab.worlds.own_world import run_in_own_world

State = Literal["pending", "running", "done", "failed"]
OWN: Final = (CHECKOUT / "netlab", CHECKOUT / "tests")


@dataclass(frozen=True, slots=True)
class News:
    """A step has got into another state.

    Attributes:
        step: its place, from 0: the setting up.
        seconds: that it took, once it has ended.
        why, where: what went wrong in words, and the place in the code.
    """

    step: int
    state: State
    seconds: float = 0.0
    why: str = ""
    where: str = ""


Tell = Callable[[News], None]


def play(scenario: Scenario, folder: Path, tell: Tell) -> bool:
    """Play a scenario in this process's namespaces; return whether all of it came out as it should.

    Args:
        folder: for its files; there, and empty.
        tell: is told of each step when it begins and when it has ended.
    """
    last = len(scenario.steps) + 1
    step, began = 0, monotonic()

    def begin(number: int) -> None:
        nonlocal step, began
        if number:
            tell(News(step, "done", monotonic() - began))
        step, began = number, monotonic()
        tell(News(step, "running"))

    fault: Exception | None = None
    took = 0.0
    try:
        begin(0)
        with scenario.stage(folder) as stage:
            try:
                missing = not_shown(stage.nodes, scenario.picture)
                assert not missing, f"the picture lacks {', '.join(missing)}"
                for number, act in enumerate(scenario.steps, start=1):
                    begin(number)
                    act(stage)
            except Exception as error:
                fault, took = error, monotonic() - began
                raise
            begin(last)
        tell(News(step, "done", monotonic() - began))
    except Exception as error:  # noqa: BLE001  whatever ends a scenario is told as its failure
        traceback.print_exc()
        tell(News(step, "failed", took if fault else monotonic() - began, *explained(fault or error)))
        return False
    return True


def explained(error: Exception) -> tuple[str, str]:
    """Return what went wrong, in words, and where in our own code."""
    where, line = "", ""
    frames: list[tuple[FrameType, int]] = list(traceback.walk_tb(error.__traceback__))
    for summary in traceback.StackSummary.extract(iter(frames), lookup_lines=True):
        if any(Path(summary.filename).is_relative_to(folder) for folder in OWN):
            where = f"{Path(summary.filename).relative_to(CHECKOUT)}:{summary.lineno} in {summary.name}"
            line = summary.line or ""
    if isinstance(error, LabError):
        return str(error), where
    said = str(error)
    if isinstance(error, AssertionError):
        return said or line, where
    return f"{type(error).__name__}: {said}" if said else type(error).__name__, where


def play_in_own_world(scenario: Scenario, folder: Path, tell: Tell) -> int:
    """Play a scenario in a world of its own; return 0, or 5 where something came out otherwise.

    Must be called while this process has one thread.

    Raises:
        EnvironmentLacks: no world can be made here, or this Python leaves assertions out.
    """
    if not __debug__:
        raise EnvironmentLacks("this Python leaves assertions out", "run it without -O and PYTHONOPTIMIZE")

    return run_in_own_world(lambda: EXIT_OK if play(scenario, folder, tell) else EXIT_UNEXPECTED, folder)


def inside(name: str, folder: str) -> int:
    """Play a scenario by its name, its steps on standard output."""
    scenario = catalogue.SCENARIOS[name]
    return play_in_own_world(scenario, Path(folder), partial(_print, scenario.words))


def _print(words: tuple[str, ...], news: News) -> None:
    print(
        f"{news.state:<8}{news.seconds:6.1f} s  {words[news.step]}", *filter(None, (news.where, news.why)), flush=True
    )
