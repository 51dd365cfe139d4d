"""The laboratory in the hands of an ordinary user; root becomes one, whoever is one stays so."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.netlab.ordinary_user import ROOT, USER

LIMIT_S = 90  # only reached where something hangs
STRICT = (sys.executable, "-X", "dev", "-W", "error")
NEEDED = ("netlab", "rustun", "inventory", "templates")


@pytest.fixture(scope="module")
def checkout() -> Iterator[Path]:
    """Copy what the demo needs into a folder that belongs to the user."""
    with TemporaryDirectory() as folder:
        place = Path(folder)
        for name in NEEDED:
            shutil.copytree(ROOT / name, place / name, ignore=shutil.ignore_patterns("__pycache__"))
        for path in (place, *place.rglob("*")) if os.geteuid() == 0 else ():
            os.chown(path, USER, USER)
        yield place


def demo(checkout: Path, tun_mode: str, namespaces: str) -> subprocess.CompletedProcess[str]:
    """Run the demo as an ordinary user in their checkout."""
    become = [*STRICT, "-m", "tests.netlab.ordinary_user", str(checkout), tun_mode, namespaces]
    inventory = str(checkout / "inventory" / "demo.toml")
    command = [*STRICT, "-m", "netlab", "demo", "--inventory", inventory, "--seconds", "0.2", "--json"]
    return subprocess.run(become + command, cwd=ROOT, capture_output=True, text=True, timeout=LIMIT_S, check=False)


def test_the_demo_comes_out_as_expected_and_needs_no_root(checkout: Path) -> None:
    """The first command that people type shows something else than it promises, or asks for root."""
    done = demo(checkout, "0666", "allowed")
    assert done.returncode == 0, done.stdout + done.stderr
    facts = json.loads(done.stdout)
    assert (facts["failures"], facts["left"]) == ([], [])
    assert facts["reachability"]["probes"] > 200
    assert facts["reachability"]["surprises"] == facts["reachability"]["unproven"] == []
    assert {cell["found"] for cell in facts["reachability"]["cells"]} == {"yes", "no"}
    assert (checkout / "build" / "demo" / "routes.json").stat().st_uid == (os.geteuid() or USER)


def test_what_a_user_lacks_is_said_with_its_remedy(checkout: Path) -> None:
    """A user without the right would get a traceback, or no way on."""
    for tun_mode, namespaces, said in (
        ("0600", "allowed", "lab: /dev/net/tun is not open to this user\n"),
        ("0666", "forbidden", "lab: this user may make no user namespaces here ("),
    ):
        done = demo(checkout, tun_mode, namespaces)
        assert done.returncode == 4, done.stdout + done.stderr
        assert done.stderr.startswith(said)
        assert done.stderr.splitlines()[1].startswith("  run it as root, or")
        assert len(done.stderr.splitlines()) == 2
