"""What a scenario is: a stage that is set up, steps on it one after the other, and a stage that is taken down.

Rules of this module
  1. A scenario is written as one function, which sets its stage up, yields it and takes it down; its name is the
     scenario's. Its docstring says in one line what it shows, and draws the stage.
  2. Steps are declared before anything begins. Each is a function of the stage; what it says of itself in the first
     line of its docstring is what people are shown.
  3. All nodes of a stage stand in its picture, "m1 .. m50" for many; a scenario whose picture lacks one fails.
  4. An expectation is an `assert`: nobody may run scenarios with a Python that leaves those out (play.py looks).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from inspect import cleandoc
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

SET_UP: Final = "Set the stage up."
TAKE_DOWN: Final = "Take it down; nothing may be left."
RANGE: Final = re.compile(r"([a-z-]+)(\d+) \.\. \1(\d+)")
NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*")


class Stage(Protocol):
    """What a scenario acts on."""

    @property
    def nodes(self) -> Collection[str]:
        """The names of its machines."""


StageT = TypeVar("StageT", bound=Stage)


@dataclass(frozen=True, slots=True)
class Scenario:
    """One scenario.

    Attributes:
        name: what people type.
        shows: what holds where it passes, in one line.
        picture: its nodes and cables, drawn.
        rows: of the table of faults, where it shows some ("24, 27").
        steps: what is done on the stage, in this order.
        stage: sets the stage up in a folder for files, and takes it down.
        long: too long for every run of the tests; the soak plays it.
    """

    name: str
    shows: str
    picture: str
    rows: str
    steps: tuple[Callable[[Any], None], ...]
    stage: Callable[[Path], AbstractContextManager[Any]]
    long: bool = False

    @property
    def words(self) -> tuple[str, ...]:
        """All that is done, a line each, from the first to the last."""
        return (SET_UP, *(_described(step)[0] for step in self.steps), TAKE_DOWN)


def scenario(
    *steps: Callable[[StageT], None], rows: str = "", long: bool = False
) -> Callable[[Callable[[Path], Iterator[StageT]]], Scenario]:
    """Make a scenario of the function that sets its stage up, yields it and takes it down.

    Args:
        steps: in their order; each is a function that says in its docstring what it does.
        rows: of the table of faults that it shows.
        long: the soak plays it, not every run of the tests.
    """

    def made(function: Callable[[Path], Iterator[StageT]]) -> Scenario:
        shows, picture = _described(function)
        name = function.__name__.replace("_", "-")
        return Scenario(name, shows, picture, rows, steps, contextmanager(function), long)

    return made


def not_shown(nodes: Collection[str], picture: str) -> list[str]:
    """Return the nodes that a picture lacks."""
    shown = set(NAME.findall(picture))
    for stem, first, last in RANGE.findall(picture):
        shown.update(f"{stem}{number}" for number in range(int(first), int(last) + 1))
    return sorted(set(nodes) - shown)


def _described(function: Callable[..., object]) -> tuple[str, str]:
    """Return the first line of a function's docstring, and what stands below as it is."""
    first, _, rest = (function.__doc__ or "").partition("\n")
    return first.strip(), cleandoc(rest) if rest.strip() else ""
