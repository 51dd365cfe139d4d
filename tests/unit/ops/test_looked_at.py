"""What gen-config found when there was nothing to do, and whether it still holds: compared with finding out again."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest

from rustun.ops import generate, generation, looked_at, templating
from rustun.ops.linting import run as linting
from rustun.ops.unchanged import recall

KEPT, KEPT_LINT = ".unchanged-gen-config", ".unchanged-lint"
FLEET = """\
[fleet]
name = "f"
servers = [{ address = "a.example:1" }]
"""
CLUSTER = """\
[cluster.c]
network = "10.0.0.0/24"
[cluster.c.member.alice]
[cluster.c.member.bob]
expires_at = 2100-01-01
[cluster.c.member.carol]
tier = "shared"
[cluster.c.member.dave]
psk = true
"""
REAL_TIME = time.time
IN_2099, IN_2101 = 4_070_908_800.0, 4_133_980_800.0  # unix seconds


@dataclass(frozen=True)
class World:
    """A fleet whose files are current, and gen-config in a process of any time."""

    folder: Path
    patch: pytest.MonkeyPatch
    capsys: pytest.CaptureFixture[str]

    @property
    def fleet(self) -> Path:
        """The inventory, a folder."""
        return self.folder / "fleet"

    @property
    def out(self) -> Path:
        """The generated files."""
        return self.folder / "build" / "f"

    def run(self, *, check: bool = False) -> tuple[int, dict[str, object], str]:
        """Return exit code, facts and notes of gen-config."""
        code = generate.run(self.fleet, None, self.folder, check=check, diff=False, as_json=True)
        said = self.capsys.readouterr()
        return code, json.loads(said.out) if said.out else {}, said.err

    def at(self, moment: float) -> None:
        """Let it be another time, for the processes of this project alone."""
        self.patch.setattr(time, "time", lambda: moment)


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[World]:
    """A fleet of which an answer is kept; its templates are its own."""
    world = World(tmp_path, monkeypatch, capsys)
    templates = shutil.copytree(templating.TEMPLATES, tmp_path / "templates")
    for module in (templating, looked_at):
        monkeypatch.setattr(module, "TEMPLATES", templates)
    forget_templates()
    made = ModuleType("rustun.made_for_this_test")
    made.__file__ = str(tmp_path / "made.py")
    Path(made.__file__).write_text("1\n")
    monkeypatch.setitem(sys.modules, made.__name__, made)
    world.fleet.mkdir()
    (world.fleet / "fleet.toml").write_text(FLEET)
    (world.fleet / "c.toml").write_text(CLUSTER)
    (world.fleet / "f.policy").write_text("alice can reach bob\n")
    world.at(IN_2099)
    assert world.run()[0] == 0
    assert not (world.out / KEPT).exists(), "the answer of a run that wrote something is another one the next time"
    (world.out / "logs").mkdir()
    (world.out / "logs" / "mine").write_text("mine")
    assert world.run()[0] == 0
    assert (world.out / KEPT).exists()
    yield world
    forget_templates()


def forget_templates() -> None:
    """Let templates be compiled anew."""
    templating._compiled.cache_clear()
    templating._environment.cache_clear()


def test_a_fleet_that_is_current_is_not_loaded(world: World) -> None:
    """Looking at a large fleet of which nothing changed would take as long as generating it."""
    truth = world.run(check=True)
    for check in (True, False):
        code, facts, notes = world.run(check=check)
        assert (code, facts, notes) == (0, truth[1] | {"written": not check}, truth[2])
    world.patch.setattr(generation, "prepare", None)
    assert world.run(check=True) == truth
    assert list(truth[1]) == [
        "schema", "inventory", "fleet", "clusters", "members", "folder", "current", "written", "lock", "files",
        "new_secrets", "unknown",
    ]  # fmt: skip
    assert truth[1]["unknown"] == ["logs/mine"]


def append(path: Path) -> None:
    """Add a line to a file."""
    path.write_text(path.read_text() + "\n# more\n")


CHANGES: dict[str, Callable[[World], object]] = {
    "inventory": lambda world: append(world.fleet / "c.toml"),
    "a member more": lambda world: (world.fleet / "d.toml").write_text("[cluster.c.member.erin]\n"),
    "a file of the inventory gone": lambda world: (world.fleet / "c.toml").unlink(),
    "lock": lambda world: append(world.fleet / "inventory.lock"),
    "lock gone": lambda world: (world.fleet / "inventory.lock").unlink(),
    "policy": lambda world: (world.fleet / "f.policy").write_text("alice cannot reach bob\n"),
    "another policy": lambda world: (world.fleet / "g.policy").write_text("nobody can reach bob\n"),
    "a generated file": lambda world: append(world.out / "client-alice.toml"),
    "a unit": lambda world: append(world.out / "units" / "rustun-server.service"),
    "a generated file gone": lambda world: (world.out / "routes.json").unlink(),
    "a file that nobody generates": lambda world: (world.out / "more.toml").write_text(""),
    "one in a folder": lambda world: (world.out / "logs" / "more").write_text(""),
    "one that is gone": lambda world: (world.out / "logs" / "mine").unlink(),
    "a key": lambda world: shutil.copy(
        world.out / "secrets" / "members" / "alice.key", world.out / "secrets" / "members" / "bob.key"
    ),
    "a key gone": lambda world: (world.out / "secrets" / "members" / "alice.key").unlink(),
    "a key open to others": lambda world: (world.out / "secrets" / "members" / "alice.key").chmod(0o644),
    "the shared key gone": lambda world: (world.out / "secrets" / "shared.key").unlink(),
    "a psk": lambda world: (world.out / "secrets" / "psks" / "dave.psk").write_text("short\n"),
    "a folder of keys open to others": lambda world: (world.folder / "secrets").chmod(0o777),
    "the way to the keys gone": lambda world: (world.out / "secrets").unlink(),
    "all keys gone": lambda world: shutil.rmtree(world.folder / "secrets"),
    "all generated files gone": lambda world: shutil.rmtree(world.out),
    "template": lambda world: append(world.folder / "templates" / "client.toml.j2"),
    "code": lambda world: append(world.folder / "made.py"),
    "time of a member over": lambda world: world.at(IN_2101),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_is_found_as_if_nothing_were_known(world: World, change: str) -> None:
    """gen-config would call files current that are not, or miss a key that is open to others."""
    CHANGES[change](world)
    forget_templates()
    assert recall([world.out], ("gen-config", str(world.fleet), "")) is None
    found = world.run(check=True)
    (world.out / KEPT).unlink(missing_ok=True)
    assert world.run(check=True) == found


LINT_CHANGES: dict[str, Callable[[World], object]] = {
    "inventory": lambda world: append(world.fleet / "c.toml"),
    "a member more": lambda world: (world.fleet / "d.toml").write_text("[cluster.d]\nnetwork = '10.0.1.0/24'\n"),
    "baseline": lambda world: append(world.fleet / "lint.baseline"),
    "baseline gone": lambda world: (world.fleet / "lint.baseline").unlink(),
    "a guessable shared key": lambda world: (world.out / "secrets" / "shared.key").write_text("rustun\n"),
    "a guessable psk": lambda world: (world.out / "secrets" / "psks" / "dave.psk").write_text("aaaa\n"),
    "an old key": lambda world: os.utime(world.out / "secrets" / "members" / "alice.key", (1, 1)),
    "all keys gone": lambda world: shutil.rmtree(world.folder / "secrets"),
    "code": lambda world: append(world.folder / "made.py"),
    "keys that grow old": lambda world: world.at(time.time() + 400 * 86400),
    "a member whose time will be over soon": lambda world: world.at(IN_2099 + 340 * 86400),
}


@pytest.mark.parametrize("change", LINT_CHANGES)
def test_lint_judges_anew_what_changed(world: World, change: str) -> None:
    """A key that everybody knows, or that is as old as it should not be, would stay unseen."""

    def said() -> tuple[int, str]:
        code = linting.run(world.fleet, world.folder / "build", strict=True, accepting=False, as_json=False)
        return code, world.capsys.readouterr().out

    world.patch.setattr(time, "time", REAL_TIME)
    world.at(time.time() + 3600)
    linting.run(world.fleet, world.folder / "build", strict=False, accepting=True, as_json=False)
    world.capsys.readouterr()
    first = said()
    assert first[0] == 0
    assert (world.out / KEPT_LINT).exists()
    assert recall([world.out], ("lint", str(world.fleet))) is not None
    assert said() == first
    LINT_CHANGES[change](world)
    assert recall([world.out], ("lint", str(world.fleet))) is None
    found = said()
    (world.out / KEPT_LINT).unlink(missing_ok=True)
    assert said() == found


def test_keys_that_are_links_are_looked_at_each_time(world: World) -> None:
    """Whoever may write where a link leads could exchange a key, and nobody would look."""
    (world.out / KEPT).unlink()
    key = world.out / "secrets" / "members" / "alice.key"
    key.rename(world.folder / "alice.key")
    key.symlink_to(world.folder / "alice.key")
    assert world.run()[0] == 0
    assert not (world.out / KEPT).exists()


def test_check_keeps_nothing(world: World) -> None:
    """`--check` says that it writes nothing."""
    (world.out / KEPT).unlink()
    assert world.run(check=True)[0] == 0
    assert not (world.out / KEPT).exists()


def test_a_folder_that_takes_no_file_is_current_all_the_same(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """gen-config would fail where there is nothing to write, on a folder that it may only read."""
    (world.out / KEPT).unlink()

    def refuse(*_words: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(generate, "remember", refuse)
    assert world.run()[0] == 0
