"""A laboratory that is up follows its inventory, and who is not concerned does not notice."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from pathlib import Path
from typing import IO, Any

import pytest

from netlab.control.asking import demand, send
from netlab.handle import RunningLab
from netlab.pytest_plugin import FromInventory
from tests.netlab.lab_cases import INVENTORY
from tests.netlab.test_lab import ROOT, STRICT, netlab

WAIT_S = 60.0  # only reached where something hangs
NEW_MEMBER = """
[cluster.beijing.member.bj-new]
address = "10.0.1.9"
ciders = ["192.168.77.0/24"]

"""
NEW_LAB = """
[lab.host.bj-camera]
behind = "bj-new"
address = "192.168.77.5"

[lab.nat.bj-nat]
kind = "strict"
before = ["bj-office-gw"]

[lab.link.bj-new]
delay = "5ms"
"""
OLD_MEMBER = """
[cluster.beijing.member.bj-dev]
name = "Beijing development"
address = "10.0.1.2"
"""


@pytest.fixture
def fleet(tmp_path: Path) -> Path:
    """Return an inventory of the test's own."""
    path = tmp_path / "follows.toml"
    path.write_text(INVENTORY.read_text().replace('name = "demo"', 'name = "follows"'))
    return path


@pytest.fixture
def lab(fleet: Path, lab_from: FromInventory) -> RunningLab:
    """Bring up a laboratory of it."""
    return lab_from(fleet)


def change(fleet: Path) -> None:
    """Write a member, a host, a router and a link more, and a member less."""
    text = fleet.read_text()
    assert OLD_MEMBER in text
    text = text.replace("[cluster.beijing.member.bj-office-gw]", f"{NEW_MEMBER}[cluster.beijing.member.bj-office-gw]")
    fleet.write_text(text.replace(OLD_MEMBER, "") + NEW_LAB)


def until(lines: IO[str], name: str, node: str) -> list[dict[str, Any]]:
    """Read events until there is one of a node; return all."""
    seen = []
    for line in lines:
        seen.append(json.loads(line))
        if (seen[-1]["event"], seen[-1].get("node")) == (name, node):
            return seen
    raise AssertionError(f"no {name} of {node}: {seen}")


def test_members_come_and_go_and_the_others_lose_nothing(fleet: Path, lab: RunningLab) -> None:
    """Whoever rehearses a change on a laboratory that is up would disturb everybody, or prove only a part of it."""
    folder = lab.folder
    assert demand(folder, {"do": "diff"}, WAIT_S)["changes"] == []
    command = [*STRICT, "-m", "netlab", "exec", "--name", lab.name, "sh-db", "--", "ping", "-i", "0.01", "10.0.2.1"]
    pipe = subprocess.PIPE
    with (
        subprocess.Popen(command, cwd=ROOT, stdout=pipe, stderr=pipe, text=True, start_new_session=True) as ping,
        folder.connect() as control,
    ):
        assert ping.stdout is not None
        heard = ping.stdout.readline() + ping.stdout.readline()
        control.settimeout(WAIT_S)
        send(control, {"do": "events"})
        events = control.makefile()
        assert json.loads(events.readline())["event"] == "snapshot"
        change(fleet)
        applied = demand(folder, {"do": "apply"}, WAIT_S)
        seen = until(events, "session-online", "bj-new")
        os.killpg(ping.pid, signal.SIGINT)  # as ctrl-C of a terminal does
        heard += ping.stdout.read()  # `communicate` would pass over what has been read beyond the two lines
        echoes = [int(number) for number in re.findall(r"icmp_seq=(\d+)", heard)]
    assert len(echoes) > 50
    assert echoes == list(range(1, len(echoes) + 1)), "an echo was lost, came late or twice"
    told = {(one["sign"], one["what"], one["name"]) for one in applied["changes"]}
    both = {("~", "link", "bj-new->server"), ("~", "link", "server->bj-new")}
    come = {("+", "member", "bj-new"), ("+", "host", "bj-camera"), ("+", "nat", "bj-nat")}
    assert told - both == {*come, ("-", "member", "bj-dev")}
    found = applied["reachability"]
    assert (found["as_expected"], found["surprises"], found["unproven"]) == (True, [], []), found
    assert {"node-down", "node-up", "process-started", "session-offline", "apply-step"} <= {
        one["event"] for one in seen
    }
    nodes = {node["node"] for node in demand(folder, {"do": "nodes"})["nodes"]}
    assert nodes == {"server", "bj-new", "bj-camera", "bj-office-gw", "bj-nat", "sh-office-gw", "sh-printer", "sh-db"}
    again = demand(folder, {"do": "apply"}, WAIT_S)
    assert (again["changes"], again["steps"]) == ([], [])
    down = netlab("down", "--name", lab.name)
    assert (down.returncode, "clean" in down.stdout) == (0, True), down.stdout + down.stderr
