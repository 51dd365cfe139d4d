"""The worlds of a test, each looked through when the test is over."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.simulation.world import Entry, World

MakeWorld = Callable[..., World]


@pytest.fixture
def make_world(tmp_path: Path) -> Iterator[MakeWorld]:
    """Return what makes a World of entries and settings."""
    worlds: list[World] = []

    def make(entries: list[Entry], **settings: Any) -> World:
        folder = tmp_path / str(len(worlds))
        folder.mkdir()
        worlds.append(World(folder, entries, **settings))
        return worlds[-1]

    yield make
    for world in worlds:
        world.finish()
