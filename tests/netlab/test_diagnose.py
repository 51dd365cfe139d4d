"""ping, trace and capture with real processes, devices and packets."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from time import monotonic
from typing import Any

from netlab.capture import pcapng
from netlab.configuration import configure, load
from netlab.lab import Files, Laboratory
from netlab.processes import CHECKOUT, NodeProcess, environment
from netlab.topology import SERVER
from tests.netlab.own_world import in_own_world

FLEET = """
[fleet]
name = "small"
servers = [{ address = "203.0.113.9:9000" }]
[cluster.three]
network = "10.0.1.0/24"
[cluster.three.member.first]
[cluster.three.member.second]
[cluster.three.member.third]
"""
PATIENCE_S = 20.0
ECHO, REPLY = 8, 0


def rustun(lab: Laboratory, node: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command of rustun in a node, which asks the process there."""
    command = [sys.executable, "-m", "rustun", *arguments, "--control", str(lab.control(node))]
    options: dict[str, Any] = {"cwd": CHECKOUT, "env": environment(), "capture_output": True, "text": True}
    return lab.namespaces[node].run(lambda: subprocess.run(command, timeout=PATIENCE_S, check=False, **options))


def kinds(file: Path) -> list[tuple[bool, int]]:
    """Return direction and ICMP type of each packet of a capture."""
    found = [one for one in pcapng.read(file) if isinstance(one, pcapng.Packet)]
    return [(one.goes_out, one.data[20]) for one in found if one.data[9] == 1]


def pings(lab: Laboratory) -> None:
    """Both planes from a client, one from the server, and a host behind nobody."""
    done = rustun(lab, "first", "ping", "second", "-c", "3", "-i", "0.1", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert [(found[plane]["sent"], found[plane]["answered"]) for plane in ("control", "data")] == [(3, 3), (3, 3)]
    assert 0 < found["control"]["min_ms"] <= found["control"]["max_ms"] < 1000
    assert 0 < found["data"]["min_ms"] <= found["data"]["max_ms"] < 1000
    from_server = rustun(lab, SERVER, "ping", "second", "-c", "1")
    assert (from_server.returncode, "control  1 of 1 answered" in from_server.stdout) == (0, True), from_server.stderr
    nowhere = rustun(lab, "first", "ping", "192.0.2.77", "-c", "1")
    assert (nowhere.returncode, "data     not measured: no member" in nowhere.stdout) == (1, True), nowhere.stderr


def captures(lab: Laboratory, folder: Path) -> None:
    """The packets of one of two members, each with its direction."""
    file, log = folder / "c.pcapng", folder / "capture.log"
    words = ["capture", "second", "-w", str(file), "-c", "6", "--control", str(lab.control("first"))]
    started = NodeProcess("capture", lab.namespaces["first"], [sys.executable, "-m", "rustun", *words], CHECKOUT, log)
    lab.wait_until(lambda: "capturing at" in log.read_text(), "the capture did not begin")
    for member in ("third", "second"):
        assert rustun(lab, "first", "ping", member, "-c", "3", "-i", "0.1").returncode == 0
    assert started.reap(monotonic() + PATIENCE_S) == 0, log.read_text()
    assert kinds(file) == [(True, ECHO), (False, REPLY)] * 3
    assert "6 packets of second (3 in, 3 out)" in log.read_text()
    assert "0 were dropped" in log.read_text()
    assert (file.stat().st_mode & 0o777) == 0o600
    (statistics,) = [one for one in pcapng.read(file) if isinstance(one, pcapng.Statistics)]
    assert statistics.received >= 12
    assert rustun(lab, "first", "capture", "second", "-w", str(file)).returncode == 1, "it is there already"


def without_a_member(lab: Laboratory) -> None:
    """What ping and trace say of a member that goes."""
    passes = rustun(lab, SERVER, "trace", "first", "second")
    assert (passes.returncode, passes.stdout.splitlines()[0]) == (0, "pass: goes to second"), passes.stdout
    assert rustun(lab, "first", "trace", "first", "second").returncode == 0
    assert lab.stop(["second"]) == []
    lab.wait_until(lambda: (lab.status(SERVER) or {})["online"] == 2, "the server did not notice")
    dropped = rustun(lab, SERVER, "trace", "first", "second")
    assert (dropped.returncode, dropped.stdout.splitlines()[0].partition(":")[0]) == (1, "drop (offline)")
    lost = rustun(lab, "first", "ping", "second", "-c", "1")
    assert (lost.returncode, "data     0 of 1 answered" in lost.stdout) == (1, True), lost.stdout


@in_own_world
def test_a_newcomer_finds_out_what_is_wrong(tmp_path: Path) -> None:
    """Whoever asks why a member cannot be reached is told something that is not so."""
    source = tmp_path / "small.toml"
    source.write_text(FLEET)
    made = configure(source, load(source), tmp_path / "small")
    lab = Laboratory(made.spec, Files(made.folder, tmp_path / "logs", Path("/run/small")))
    lab.start()
    pings(lab)
    captures(lab, tmp_path)
    without_a_member(lab)
    assert lab.close() == []
