"""The units as systemd itself reads them: `systemd-analyze` on a folder that looks like a host; nothing is started."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from rustun.ops.inventory import load_inventory
from rustun.ops.keyring import gather
from rustun.ops.units import CLIENT_UNIT, PROGRAM, client_unit, units

FLEET = """
[fleet]
name = "keyed"
minimum_tier = "key"
servers = [{ address = "a.example.org:9000" }, { name = "hk-1", address = "b.example.org:9000" }]
[cluster.a]
network = "10.0.1.0/24"
[cluster.a.member.plain]
[cluster.a.member.turning]
key = [1, 2]
[cluster.a.member."50% / é"]
"""
CLIENTS = [client_unit(identity) for identity in ("plain", "turning", "50% / é")]
# `verify` takes a file, not an instance, and what follows a colon for the name of an alias.
FILES = {unit: unit.replace(":", "-") for unit in CLIENTS}
PROGRAMS = (PROGRAM, "/usr/bin/install", "/bin/kill", "/bin/mkdir")
UNITS = "etc/systemd/system"
LOW_PORT = FLEET.replace("a.example.org:9000", "a.example.org:443")
LIMIT_S = 60


@pytest.fixture(scope="module", params=[FLEET, LOW_PORT], ids=["usual", "low-port"])
def host(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the units of a fleet, systemd's own, and programs where the units want them."""
    folder = tmp_path_factory.mktemp("units")
    inventory, root = folder / "fleet.toml", folder / "root"
    inventory.write_text(request.param)
    for name, text in units(gather(load_inventory(inventory), folder / "build")).items():
        place = root / UNITS / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
    own = next(place for place in map(Path, ("/usr/lib/systemd/system", "/lib/systemd/system")) if place.is_dir())
    shutil.copytree(own, root / "usr/lib/systemd/system", symlinks=True, ignore=shutil.ignore_patterns("*.service*"))
    (root / "lib").symlink_to("usr/lib")
    for program in PROGRAMS:
        place = root / program[1:]
        place.parent.mkdir(parents=True, exist_ok=True)
        place.touch(0o755)
    for unit, file in FILES.items():
        shutil.copy(root / UNITS / CLIENT_UNIT, root / UNITS / file)
        if (root / UNITS / f"{unit}.d").is_dir() and file != unit:
            shutil.copytree(root / UNITS / f"{unit}.d", root / UNITS / f"{file}.d")
    return root


def analyze(root: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = ["systemd-analyze", f"--root={root}", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=False)


@pytest.mark.parametrize("unit", ["rustun-server.service", *FILES.values()])
def test_units_are_clean(host: Path, unit: str) -> None:
    """systemd passes over a line that it does not know, or does not load the unit at all."""
    done = analyze(host, "verify", f"/{UNITS}/{unit}")
    assert (done.stdout + done.stderr, done.returncode) == ("", 0)


def test_a_broken_unit_is_not_called_clean(host: Path) -> None:
    """The test above passes whatever stands in a unit."""
    broken = host / UNITS / "broken.service"
    broken.write_text((host / UNITS / "rustun-server.service").read_text().replace("Type=", "Typo="))
    assert "'Typo'" in analyze(host, "verify", f"/{UNITS}/broken.service").stderr


@pytest.mark.parametrize(("unit", "most"), [("rustun-server.service", 2.0), ("rustun-client@plain.service", 4.0)])
def test_what_a_unit_may_do(host: Path, unit: str, most: float) -> None:
    """A service that is broken into can do more to its host than it needs for its work."""
    words = ("--offline=true", "--json=short", f"--threshold={round(most * 10)}")
    done = analyze(host, "security", *words, unit)
    open_doors = [one["name"] for one in json.loads(done.stdout or "[]") if not one["set"]]
    assert done.returncode == 0, f"{unit} is over {most}: {done.stderr}{open_doors}"
