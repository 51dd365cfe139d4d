"""Deployments to real machines, over real ssh, to a real systemd."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from netlab.machines.network import MachineSpec
from netlab.machines.running import Machines, machines
from tests.machines.world import on_machines
from tests.netlab.child import ROOT

SPECS = [MachineSpec("server"), MachineSpec("bj-a"), MachineSpec("bj-b")]
INVENTORY = """\
[fleet]
name = "acme"
servers = [{ address = "server:8080", ssh = "root@server" }]

[cluster.beijing]
network = "10.0.1.0/24"

[cluster.beijing.member.bj-a]
ssh = "root@bj-a"
address = "10.0.1.1"

[cluster.beijing.member.bj-b]
ssh = "root@bj-b"
address = "10.0.1.2"
"""


def invoke(folder: Path, task: str, *words: str, checkout: Path = ROOT) -> tuple[int, dict[str, Any]]:
    """Run a task on the inventory in a folder; return its exit code and what it prints as JSON."""
    command = [sys.executable, "-m", "invoke", "--search-root", str(checkout), task, "--json"]
    command += ["--inventory", str(folder / "acme.toml"), "--out", str(folder / "build"), *words]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def results(report: dict[str, Any]) -> dict[str, list[str]]:
    """Return what became of the visits of each host."""
    found: dict[str, list[str]] = {}
    for host in report["hosts"]:
        found.setdefault(host["names"][0], []).append(host["result"])
    return found


def edit(folder: Path, old: str, new: str) -> None:
    """Change the inventory."""
    file = folder / "acme.toml"
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def pings(running: Machines) -> None:
    """The members reach each other through the tunnel."""
    running["bj-a"].run("ping -c 2 -W 5 10.0.1.2")


@on_machines
def test_a_fleet_from_nothing_to_nothing(tmp_path: Path) -> None:
    """What works against hosts in memory would not work on hosts."""
    (tmp_path / "acme.toml").write_text(INVENTORY)
    with machines(SPECS, tmp_path) as running:
        code, report = invoke(tmp_path, "deploy", "--yes")
        assert (code, results(report)) == (0, {"server": ["done"], "bj-a": ["done"], "bj-b": ["done"]}), report
        pings(running)
        code, report = invoke(tmp_path, "deploy", "--yes")
        assert (code, report["hosts"], len(report["unchanged"])) == (0, [], 3)
        session = running["bj-a"].run("systemctl show -P MainPID rustun-client@bj-a")
        edit(tmp_path, 'address = "10.0.1.2"', 'address = "10.0.1.2"\nciders = ["192.168.7.0/24"]')
        code, report = invoke(tmp_path, "deploy", "--yes")
        assert (code, results(report)) == (0, {"server": ["done"], "bj-b": ["done"]}), report
        assert running["bj-a"].run("systemctl show -P MainPID rustun-client@bj-a") == session
        assert "192.168.7.0/24 dev rustun0" in running["bj-a"].run("ip route")
        code, report = invoke(tmp_path, "status")
        assert (code, [(row["service"], row["session"], row["differences"]) for row in report["hosts"]]) == (
            0, [("active", "", 0), ("active", "online", 0), ("active", "online", 0)],
        )  # fmt: skip
        text = (tmp_path / "acme.toml").read_text()
        (tmp_path / "acme.toml").write_text(text[: text.index("[cluster.beijing.member.bj-b]")])
        code, report = invoke(tmp_path, "deploy", "--yes")
        assert (code, results(report)) == (0, {"server": ["done", "done"], "bj-b": ["done"]}), report
        left = "find /etc/rustun /opt/rustun /etc/systemd/system -name '*rustun*' 2>/dev/null; ls /sys/class/net"
        assert "rustun" not in running["bj-b"].run(f"{left}; true")
