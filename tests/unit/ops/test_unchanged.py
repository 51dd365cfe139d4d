"""What was found when there was nothing to do: believed as long as all that it came from is the same, and no longer."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from rustun.ops.unchanged import CLOCK_S, Answer, recall, remember

FOUND = {"files": ["a"], "current": True}
QUESTION = ("gen-config", "fleet.toml")
KEPT = ".unchanged-gen-config"


@dataclass(frozen=True)
class World:
    """A folder with two files, one that is missing, and an answer that came from them an hour later."""

    folder: Path
    patch: pytest.MonkeyPatch

    @property
    def answer(self) -> Answer:
        """What is kept here."""
        files = [str(self.folder / name) for name in ("one", "two", "missing")]
        return Answer(QUESTION, FOUND, tuple(files), (str(self.folder / "below"),), time.time(), time.time() + 60)

    def recalled(self) -> object:
        """What is found for the usual question."""
        return recall([self.folder], QUESTION)

    def later(self, seconds: float) -> None:
        """Let time pass, or go back."""
        now = time.time() + seconds
        self.patch.setattr(time, "time", lambda: now)


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """An answer that was kept."""
    (tmp_path / "below").mkdir()
    for name in ("one", "two", "below/three"):
        (tmp_path / name).write_text("text")
    world = World(tmp_path, monkeypatch)
    world.later(3600)
    remember(tmp_path, world.answer)
    return world


def test_what_nobody_changed_is_known(world: World) -> None:
    """Each run would find out again what the one before it knew."""
    assert world.recalled() == FOUND
    world.later(59)
    assert world.recalled() == FOUND


def as_many_bytes(world: World) -> None:
    """Write other bytes and hide it as well as one can."""
    file = world.folder / "one"
    before = file.stat()
    file.write_text("TEXT")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


def link(world: World) -> None:
    """Put a link to the same bytes in the place of a file in a folder."""
    (world.folder / "below" / "three").rename(world.folder / "elsewhere")
    (world.folder / "below" / "three").symlink_to(world.folder / "elsewhere")


def altered(world: World) -> None:
    """Let somebody write another answer into what is kept."""
    kept = json.loads((world.folder / KEPT).read_text())
    kept["found"]["current"] = False
    (world.folder / KEPT).write_text(json.dumps(kept))


CHANGES: dict[str, Callable[[World], object]] = {
    "other bytes, as many, from the same time": as_many_bytes,
    "a byte more": lambda world: (world.folder / "one").write_text("text\n"),
    "a file is gone": lambda world: (world.folder / "two").unlink(),
    "a file changes its name": lambda world: (world.folder / "two").rename(world.folder / "missing"),
    "a file is a folder": lambda world: (world.folder / "below").rename(world.folder / "missing"),
    "one is there that was missing": lambda world: (world.folder / "missing").write_text(""),
    "another mode": lambda world: (world.folder / "one").chmod(0o640),
    "another name in a folder": lambda world: (world.folder / "below" / "new").write_text(""),
    "a name less in a folder": lambda world: (world.folder / "below" / "three").unlink(),
    "a link in a folder": link,
    "a folder that others may write to": lambda world: (world.folder / "below").chmod(0o777),
    "a folder on the way that others may write to": lambda world: world.folder.chmod(0o777),
    "its time is over": lambda world: world.later(60),
    "the clock went back": lambda world: world.later(-1),
    "another answer": altered,
    "no answer": lambda world: (world.folder / KEPT).unlink(),
    "half an answer": lambda world: (world.folder / KEPT).write_text((world.folder / KEPT).read_text()[:99]),
    "no answer but JSON": lambda world: (world.folder / KEPT).write_text("[1]"),
    "JSON without end": lambda world: (world.folder / KEPT).write_text("[" * 100_000),
    "another folder to ask from": lambda world: world.patch.chdir(world.folder / "below"),
    "keys handed over by a service manager": lambda world: world.patch.setenv("CREDENTIALS_DIRECTORY", "/run/x"),
    "another user": lambda world: world.patch.setattr(os, "geteuid", lambda: 12345),
}


@pytest.mark.parametrize("change", CHANGES)
def test_nothing_is_believed_once_something_changed(world: World, change: str) -> None:
    """Generated files would be called current that are not, and a fleet would run on what nobody wants any more."""
    CHANGES[change](world)
    assert world.recalled() is None


def test_another_question_has_no_answer_here(world: World) -> None:
    """One inventory's answer would be told of another."""
    assert recall([world.folder], ("gen-config", "other.toml")) is None
    assert recall([world.folder / "below"], QUESTION) is None
    assert recall([world.folder / "below", world.folder], QUESTION) == FOUND


@pytest.mark.parametrize("name", ["one", "below/new", "missing"])
def test_what_changed_while_the_task_ran_is_not_kept(world: World, name: str) -> None:
    """An answer from bytes that are gone would be told of those that came meanwhile."""
    (world.folder / KEPT).unlink()
    world.later(-3600 + CLOCK_S / 2)
    (world.folder / name).write_text("meanwhile")
    if name == "missing":
        (world.folder / name).unlink()
    remember(world.folder, world.answer)
    assert not (world.folder / KEPT).exists()


def test_where_nothing_can_be_kept_the_old_answer_stays(world: World) -> None:
    """Half an answer would stand where a whole one was."""
    with pytest.raises(FileNotFoundError):
        remember(world.folder / "none", world.answer)
    with pytest.raises(FileNotFoundError):
        remember(world.folder, replace(world.answer, folders=(str(world.folder / "none"),)))
    assert world.recalled() == FOUND
