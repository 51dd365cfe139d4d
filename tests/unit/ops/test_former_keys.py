"""Key files that an earlier member of the same name left: whoever writes the name again is told."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from rustun.config.keys import new_private_key, public_key_of
from rustun.ops import exit_codes, generate
from rustun.ops.editing import run
from rustun.ops.editing.run import Order
from rustun.ops.generation import prepare

HEAD = '[fleet]\nname = "acme"\nservers = [{ address = "198.18.0.1:8080" }]\n[cluster.red]\nnetwork = "10.0.1.0/24"\n'
OWN = public_key_of(new_private_key())


class Fleet:
    """An inventory that somebody edits by hand, and its generated files; seconds pass between two runs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.inventory = folder / "acme.toml"
        self.seconds = 0

    def generate(self, *members: str) -> tuple[int, list[str]]:
        """Write the members and generate; return the exit code and the warnings that were due before."""
        self.inventory.write_text(HEAD + "".join(f"[cluster.red.member.{member}\n" for member in members))
        told = [str(note) for note in prepare(self.inventory, None, self.folder).notes]
        code = generate.run(self.inventory, None, self.folder, check=False, diff=False, as_json=False)
        self.seconds += 10
        for path in self.folder.rglob("*"):
            if path.is_file() and path.stat().st_mtime > 1_000_000:  # what this run has written
                os.utime(path, (self.seconds, self.seconds))
        return code, told


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    """A fleet that has, and had, a member called carol."""
    made = Fleet(tmp_path)
    assert made.generate("alice]", "carol]") == (exit_codes.OK, [])
    assert made.generate("alice]") == (exit_codes.OK, [])
    return made


def test_who_had_the_name_before_does_not_come_in_unnoticed(fleet: Fleet, capsys: pytest.CaptureFixture[str]) -> None:
    """The stolen host of a member that was removed would be in again as soon as somebody gets its name."""
    code, told = fleet.generate("alice]", "bob]", "carol]")
    file = fleet.folder / "build" / "acme" / "secrets" / "members" / "carol.key"
    assert (code, len(told)) == (exit_codes.OK, 1)
    assert told[0].startswith(f'{file}: warning: is older than the new member "carol"')
    assert "key = 2 makes a new one" in told[0]
    assert told[0].partition(";")[0] in capsys.readouterr().err
    assert fleet.generate("alice]", "bob]", "carol]") == (exit_codes.OK, [])  # said once, when it is decided


@pytest.mark.parametrize("line", ["carol]\nkey = 2", f'carol]\npublic_key = "{OWN}"'], ids=["next", "own"])
def test_another_key_is_nothing_to_warn_of(fleet: Fleet, line: str) -> None:
    """The warning would stay after its remedy was followed, and be read no more."""
    assert fleet.generate("alice]", line) == (exit_codes.OK, [])


def test_who_was_there_all_the_time_may_go_back_to_its_first_key(fleet: Fleet) -> None:
    """A rotation that is undone would look like an intruder."""
    assert fleet.generate("alice]\nkey = 2") == (exit_codes.OK, [])
    assert fleet.generate("alice]") == (exit_codes.OK, [])


def test_who_is_renamed_keeps_a_key_and_nothing_is_said(fleet: Fleet) -> None:
    """Every rename would look like an intruder."""
    assert run.rename_member(Order(fleet.inventory, fleet.folder / "build"), "alice", "al") == exit_codes.OK
    assert prepare(fleet.inventory, None, fleet.folder).notes == ()


def _open_sealed(build: Path) -> None:
    (build / "secrets" / "members" / "carol.key").touch()


def _lose_routes(build: Path) -> None:
    (build / "routes.json").unlink()


def _break_routes(build: Path) -> None:
    (build / "routes.json").write_text("[{]")


@pytest.mark.parametrize("happens", [_open_sealed, _lose_routes, _break_routes])
def test_what_tells_nothing_is_no_warning(fleet: Fleet, happens: Callable[[Path], None]) -> None:
    """A colleague's new member, whose key was just opened here, would be suspected; or there would be a traceback."""
    happens(fleet.folder / "build" / "acme")
    assert fleet.generate("alice]", "carol]") == (exit_codes.OK, [])
