"""Laboratories of a part of a fleet, and of each combination of its matrix, by the command that people type."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
LIMIT_S = 90  # only reached where something hangs
FLEET = """
[fleet]
name = "fleet"
servers = [{ address = "198.18.0.1:8080" }]
[cluster.taken]
network = "10.0.1.0/24"
[cluster.taken.member.one]
[cluster.taken.member.two]
[cluster.left]
network = "10.0.2.0/24"
[cluster.left.member.three]
[lab.matrix]
cipher = ["aes256", "chacha20"]
"""


def netlab(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command of the laboratory as the tasks do."""
    command = [sys.executable, "-X", "dev", "-W", "error", "-m", "netlab", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=LIMIT_S, check=False)


def test_a_part_of_a_fleet_in_every_combination(tmp_path: Path) -> None:
    """A rehearsal would be of others than were asked for, or all combinations of it the same one."""
    (tmp_path / "fleet.toml").write_text(FLEET)
    name = f"test-choice-{os.getpid()}"
    options = ["--inventory", str(tmp_path / "fleet.toml"), "--build", str(tmp_path / "build"), "--name", name]
    laboratories = {cipher: f"{name}-{cipher}" for cipher in ("aes256", "chacha20")}
    try:
        done = netlab("up", *options, "--limit", "taken", "--matrix")
        assert done.returncode == 0, done.stdout + done.stderr
        assert "2 of 3 members; left out: three" in done.stdout
        for cipher, laboratory in laboratories.items():
            document: dict[str, Any] = json.loads(netlab("status", "--name", laboratory, "--json").stdout)
            server, *others = document["nodes"]
            assert [node["node"] for node in others] == ["one", "two"]
            assert {session["cipher"] for session in server["rustun"]["sessions"]} == {cipher}
        assert sorted(path.name for path in (tmp_path / "build").glob("fleet*")) == [
            "fleet-lab-taken-aes256",
            "fleet-lab-taken-chacha20",
        ]
    finally:
        for laboratory in laboratories.values():
            netlab("down", "--name", laboratory)
    assert netlab("status", "--name", laboratories["aes256"]).returncode == 2
