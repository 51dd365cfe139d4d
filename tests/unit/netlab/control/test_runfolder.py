"""Folders of laboratories: who holds one, and who may take it away."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from netlab.control import runfolder
from netlab.control.runfolder import RunFolder
from netlab.errors import BadInput, EnvironmentLacks


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let folders be made in one of the test's own."""
    monkeypatch.setattr(runfolder, "root", lambda: tmp_path)
    return tmp_path


def test_a_name_is_taken_while_its_laboratory_lives(root: Path) -> None:
    """Two people who bring up the same fleet take each other's laboratory away."""
    folder, held = runfolder.take("acme")
    assert folder.alive
    with pytest.raises(BadInput, match='"acme" is up already'):
        runfolder.take("acme")
    other, other_held = runfolder.take("acme-2")
    (folder.path / "keeper.log").write_text("what the first one said")
    os.close(held)
    assert (folder.alive, other.alive) == (False, True)
    again, held = runfolder.take("acme")
    assert (again.alive, list(again.path.iterdir())) == (True, [])
    os.close(held)
    os.close(other_held)


@pytest.mark.parametrize("name", ["..", ".", "", "../other", "{outside}", "a/b", "a\n", "ä", "x" * 200])
def test_what_is_no_name_touches_nothing(root: Path, tmp_path_factory: pytest.TempPathFactory, name: str) -> None:
    """`lab-up --name ~/labs` would remove that folder with all in it, as what a dead laboratory left."""
    outside = tmp_path_factory.mktemp("outside")
    precious = [outside / "precious", root / "precious", root.parent / "precious"]
    for file in precious:
        file.write_text("")
    with pytest.raises(BadInput, match="name a laboratory"):
        runfolder.take(name.format(outside=outside))
    assert all(file.exists() for file in precious)


def test_who_inherits_a_folder_holds_it_until_his_death(root: Path) -> None:
    """A laboratory whose lab-up has ended is swept away while it runs, or one whose keeper was killed never is."""
    folder, held = runfolder.take("acme")
    keeper = os.fork()
    if keeper == 0:
        signal.pause()
    os.close(held)
    assert folder.alive
    assert runfolder.sweep() == []
    os.kill(keeper, signal.SIGKILL)
    os.waitpid(keeper, 0)
    assert not folder.alive


def test_a_sweep_takes_the_dead_and_nobody_else(root: Path) -> None:
    """A sweep ends somebody's work, or leaves ruins for ever."""
    living, held = runfolder.take("living")
    ruin = RunFolder(root / "ruin")
    ruin.path.mkdir()
    (ruin.path / "owner.json").write_text(f'{{"pid": {os.getpid()}, "inventory": "", "logs": ""}}')  # the pid is reused
    assert runfolder.sweep() == [ruin]
    assert runfolder.all_folders() == [living]
    os.close(held)
    assert runfolder.sweep() == [living]
    assert runfolder.sweep() == []


@pytest.mark.parametrize(
    "words",
    [
        '{"pid": "1", "inventory": "", "logs": ""}',
        '{"pid": true, "inventory": "", "logs": ""}',
        '{"pid": 1, "inventory": 5, "logs": ""}',
        '{"pid": 1, "inventory": "", "logs": "", "tests": []}',
        "[" * 100_000,
        '{"pid": 1}',
        "",
    ],
)
def test_an_owner_that_nobody_wrote_is_none(root: Path, words: str) -> None:
    """A user's file ends root's lab-ls in a traceback, and no laboratory is listed any more."""
    (root / "owner.json").write_text(words)
    assert RunFolder(root).owner() is None


def test_nothing_but_a_file_is_read(root: Path) -> None:
    """A pipe that a user leaves in the place of the file holds root's lab-ls for ever; a link leads it anywhere."""
    os.mkfifo(root / "owner.json")
    assert RunFolder(root).owner() is None
    (root / "owner.json").unlink()
    (root / "real").write_text('{"pid": 1, "inventory": "", "logs": ""}')
    (root / "owner.json").symlink_to(root / "real")
    assert RunFolder(root).owner() is None
    (root / "real").rename(root / "owner.json")
    assert RunFolder(root).owner() == runfolder.Owner(1, "", "")


def test_what_another_user_made_is_not_touched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever makes the folder first owns all laboratories that others bring up later."""
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    (tmp_path / runfolder.FOLDER).mkdir()
    with pytest.raises(EnvironmentLacks, match="belongs to somebody else"):
        runfolder.sweep()


def test_the_ruin_of_another_is_in_nobodys_way(root: Path) -> None:
    """One laboratory that was killed asks for --name in every command until somebody sweeps."""
    ruin = RunFolder(root / "ruin")
    ruin.path.mkdir()
    assert runfolder.find("") == ruin
    living, held = runfolder.take("living")
    assert (runfolder.find(""), runfolder.find("ruin")) == (living, ruin)
    _, other_held = runfolder.take("other")
    with pytest.raises(BadInput, match="several laboratories are up") as told:
        runfolder.find("")
    assert told.value.remedy == "--name one of: living, other"
    os.close(held)
    os.close(other_held)
