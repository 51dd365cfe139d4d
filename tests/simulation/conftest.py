"""The worlds of a test, each looked through when the test is over."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

import rustun.protocol.suites
from rustun.protocol.suites import shared_psk
from tests.simulation.world import Entry, World

stretched = cache(shared_psk)  # 0.1 s each, and every world has the same key


@pytest.fixture(autouse=True)
def _stretch_keys_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rustun.protocol.suites, "shared_psk", stretched)


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
