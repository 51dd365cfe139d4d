"""A scenario without a kernel: its stage is two names and a list of what was done."""

from __future__ import annotations

import select
from collections.abc import Iterator
from pathlib import Path

from netlab.scenarios.scenario import scenario


class Stage:
    """Remembers what was done."""

    nodes = ("a", "relay")

    def __init__(self) -> None:
        self.done: list[str] = []


def knock(stage: Stage) -> None:
    """Knock at the relay."""
    stage.done.append("knock")


def wait(stage: Stage) -> None:
    """Wait for an answer.

    It is not long.
    """
    stage.done.append("wait")


def fall(_stage: Stage) -> None:
    """Fall over."""
    found = 3
    assert found == 4


LAST = [Stage()]
SLOW_S = 0.2  # that a stage takes to fall


@scenario(knock, wait, rows="7")
def all_is_well(_folder: Path) -> Iterator[Stage]:
    """Somebody knocks and is answered.

    a ---- relay
    """
    LAST[0] = stage = Stage()
    stage.done.append("up")
    yield stage
    stage.done.append("down")


@scenario(knock, fall, wait)
def a_step_fails(_folder: Path) -> Iterator[Stage]:
    """Somebody knocks and falls.

    a ---- relay
    """
    LAST[0] = stage = Stage()
    try:
        yield stage
    finally:
        stage.done.append("down")
        select.select([], [], [], SLOW_S)
        raise ValueError("the stage falls as well")


@scenario(knock)
def nothing_may_be_left(_folder: Path) -> Iterator[Stage]:
    """Somebody knocks and goes.

    a ---- relay
    """
    yield Stage()
    raise AssertionError("a process is left")


@scenario(knock)
def nobody_is_drawn(_folder: Path) -> Iterator[Stage]:
    """Somebody knocks, whom nobody sees.

    b ---- relays
    """
    LAST[0] = stage = Stage()
    yield stage
