"""Whoever stops a task, wherever: files are as they were or as they should be, each whole, and the way on is clear."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pyrage
import pytest

from rustun.config.keys import new_private_key, public_key_of
from rustun.ops import generate, sealing
from tests.unit.ops.stopping import TASKS, WORLD, visible

ROOT: Final = Path(__file__).resolve().parents[3]
LIMIT_S: Final = 120  # only reached where something hangs
FLEET: Final = """\
[fleet]
name = "acme"
servers = [{ address = "198.18.0.1:8080" }]
"""
RED: Final = """\
[cluster.red]
network = "10.0.1.0/24"

[cluster.red.member.alice]
ciders = ["8.8.8.0/24"]

[cluster.red.member.bob]
address = "10.0.1.9"
"""
MORE: Final = '\n[cluster.red.member.dave]\nciders = ["192.168.7.0/24"]\n\n[cluster.red.member.erin]\n'
ROUTES: Final = [
    {"cluster": "red", "identity": "alice", "private_ip": "10.0.1.2", "mask": "255.255.255.0", "gateway": "10.0.1.254"}
]
SERVER: Final = """\
[server_config]
listen_addr = "0.0.0.0:8080"

[crypto_config]
aes256 = "0123456789abcdef0123456789abcdef"

[route_config]
routes_file = "routes.json"
"""
# What comes before the rest, one behind the other, each whole: nobody notices before the rest comes.
AHEAD: Final = {
    "gen-config": ("inventory/acme/inventory.lock", "secrets/"),
    "inventory-import": ("build/new/secrets", "secrets/"),
}


def without_keys(world: Path) -> None:
    """Leave the keys of a world in their sealed file alone."""
    inventory, build = world / "inventory" / "acme", world / "build"
    assert sealing.run_seal(inventory, build, None) == sealing.OK
    for name in ("server.key", "members/bob.key"):
        (world / "secrets" / "acme" / name).unlink()


def with_more_members(world: Path) -> None:
    """Let there be something to generate, addresses and keys among it."""
    with (world / "inventory" / "acme" / "red.toml").open("a") as file:
        file.write(MORE)


PREPARED: Final[dict[str, Callable[[Path], None]]] = {
    "gen-config": with_more_members,
    "secrets-open": without_keys,
}


def make_world(world: Path) -> None:
    """Make a fleet with generated files, and what the tasks need beside it."""
    inventory = world / "inventory" / "acme"
    inventory.mkdir(parents=True)
    (inventory / "fleet.toml").write_text(FLEET)
    (inventory / "red.toml").write_text(RED)
    assert generate.run(inventory, None, world, check=False, diff=False, as_json=False) == generate.OK
    identity = pyrage.x25519.Identity.generate()
    (world / "identity").write_text(str(identity))
    (inventory / "recipients").write_text(f"{identity.to_public()}\n")
    entry = {**ROUTES[0], "ciders": [], "public_key": public_key_of(new_private_key())}
    (world / "routes.json").write_text(json.dumps([entry]))
    (world / "server.toml").write_text(SERVER)


@pytest.fixture(params=TASKS)
def tries(request: pytest.FixtureRequest, tmp_path: Path) -> list[dict[str, Any]]:
    """Return what stopping.py says of a task."""
    make_world(tmp_path / WORLD)
    if prepare := PREPARED.get(request.param):
        prepare(tmp_path / WORLD)
    command = [sys.executable, "-m", "tests.unit.ops.stopping", str(tmp_path), request.param]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def changed(before: dict[str, str], after: dict[str, str]) -> set[str]:
    """Return the names of files that differ."""
    return {name for name in {**before, **after} if before.get(name) != after.get(name)}


def test_a_stopped_task_leaves_everything_as_it_was_or_as_it_should_be(tries: list[dict[str, Any]]) -> None:
    """Ctrl-C, or the end of a login, would leave half of a change behind, or half of a file."""
    before, whole, *stopped = tries
    old, new = before["files"], whole["files"]
    assert whole["code"] == 0, whole["said"]
    assert (wished := changed(old, new))
    first = AHEAD.get(whole["task"], ())
    fronts = [{name for name in wished if name.startswith(first[:count])} for count in range(len(first) + 1)]
    assert {one["run"] for one in stopped} == {"interrupted", "again"}
    for one in stopped:
        assert "Traceback" not in one["said"]
        if one["run"] == "interrupted":
            assert (one["code"], "interrupted" in one["said"]) == (130, True), (one["step"], one["said"])
            made = changed(old, one["files"])
            assert made in (*fronts, wished), (one["step"], made)
            assert not any(changed(one["files"], new) & {name} for name in made), (one["step"], made)
        else:
            left = visible(one["left"])
            assert all(left.get(name) in (old.get(name), new.get(name)) for name in {**left, **old, **new}), one["step"]
            assert left == new or visible(one["files"]) == new, (one["step"], one["said"])
            assert visible(one["kept"]).items() <= one["keys"].items(), one["step"]
