"""The list of laboratories."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from netlab.control import listing, runfolder
from netlab.control.listing import Listed, age, listed, table
from netlab.control.runfolder import FOLDER, RunFolder


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let folders be looked for in places of the test's own."""
    for name in ("own", "run/user", "tmp"):
        (tmp_path / name).mkdir(parents=True)
    monkeypatch.setattr(runfolder, "root", lambda: tmp_path / "own")
    monkeypatch.setattr(listing, "RUN", tmp_path / "run")
    monkeypatch.setattr(listing, "TMP", tmp_path / "tmp")
    return tmp_path


def test_the_living_and_the_dead_are_told_apart(root: Path) -> None:
    """People would talk to a ruin, or sweep somebody's work."""
    living, held = runfolder.take("living")
    living.claim(Path("/fleets/acme.toml"), Path("/logs"))
    (root / "own" / "ruin").mkdir()
    found = {one.laboratory: one for one in map(listed, listing.folders())}
    assert {name: one.state for name, one in found.items()} == {"living": "up", "ruin": "dead"}
    assert (found["living"].pid, found["living"].inventory) == (os.getpid(), "/fleets/acme.toml")
    assert (found["ruin"].pid, found["ruin"].inventory) == (0, "")
    assert "lab-sweep" in table(list(found.values()))[-1]
    os.close(held)


def test_root_sees_those_of_other_users_and_follows_no_forged_name(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root overlooks what runs on the machine, or a user's link shows root a folder of somebody else."""
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    mine = os.getuid()
    (root / "tmp" / f"{FOLDER}-{mine}" / "theirs").mkdir(parents=True)
    (root / "run" / "user" / str(mine) / FOLDER / "more").mkdir(parents=True)
    (root / "run" / "user" / str(mine) / FOLDER / "link").symlink_to(root / "own")
    (root / "tmp" / f"{FOLDER}-{mine + 1}" / "forged").mkdir(parents=True)
    (root / "tmp" / f"{FOLDER}-{mine + 2}").symlink_to(root / "own")
    assert [folder.name for folder in listing.folders()] == ["more", "theirs"]
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert listing.folders() == []


def test_what_others_wrote_cannot_steer_a_terminal() -> None:
    """A user's file makes root's terminal do things."""
    one = Listed("acme", "alice", "up", "2027-01-31T12:00:00+00:00", 3.0, 7, "/tmp/\x1b[31m\nroot", "")
    lines = table([one, replace(one, laboratory="b\x07")])
    assert len(lines) == 3
    assert all(line.isprintable() for line in lines)
    assert table([]) == ["no laboratory is up: ./invoke lab-up"]


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (8, "8 s"), (60, "1 min"), (725, "12 min 5 s"), (273_605, "3 d 4 h")]
)
def test_an_age_is_said_in_its_two_largest_units(seconds: float, text: str) -> None:
    """Nobody reads 273605 seconds."""
    assert age(seconds) == text


def test_a_folder_that_goes_meanwhile_is_no_error(root: Path) -> None:
    """A list that is printed while somebody takes a laboratory down would fail."""
    assert listed(RunFolder(root / "own" / "gone")).state == "dead"
