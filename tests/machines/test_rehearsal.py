"""`./invoke lab-up --machines`: real machines that stay, made from an inventory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.netlab.child import ROOT

LIMIT_S = 100.0  # only reached where something hangs
FLEET = """
[fleet]
name = "acme"
servers = [{ address = "203.0.113.7:8080", ssh = "root@vpn.acme.example" }]
[cluster.beijing]
network = "10.0.1.0/24"
[cluster.beijing.member.gateway]
address = "10.0.1.1"
ciders = ["192.168.1.0/24"]
ssh = "root@gw.acme.example"
[lab.host.printer]
behind = "gateway"
address = "192.168.1.7"
"""


def lab(*words: str) -> str:
    """Run one of the laboratory's commands and return what it printed."""
    command = [sys.executable, "-m", "netlab", *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_machines_that_stay(tmp_path: Path) -> None:
    """Nobody could rehearse a deployment with the inventory's own words, or play in a machine."""
    (tmp_path / "acme.toml").write_text(FLEET)
    name = ("--name", f"machines-{os.getpid()}")
    inventory = ("--inventory", str(tmp_path / "acme.toml"), "--build", str(tmp_path))
    assert f"{name[1]} is up" in lab("up", *inventory, *name, "--machines")
    try:
        found = {
            node["node"]: (node["role"], node["state"]) for node in json.loads(lab("status", *name, "--json"))["nodes"]
        }
        assert found["server"] == found["gateway"] == ("machine", "running")
        assert found["printer"] == ("host", "-")
        assert lab("exec", *name, "control", "--", "ssh", "root@vpn.acme.example", "hostname") == "server\n"
        assert lab("exec", *name, "gateway", "--", "sh", "-c", 'echo "$0  $1"', "two  words", "*") == "two  words  *\n"
        lab("exec", *name, "gateway", "--", "ping", "-c", "1", "203.0.113.7")
        lab("exec", *name, "gateway", "--", "ping", "-c", "1", "192.168.1.7")
        assert "192.168.1.7" in lab("exec", *name, "printer", "--", "ip", "address")
    finally:
        down = lab("down", *name)
    assert "clean" in down
