"""`invoke status` as an operator sees it, on hosts in memory."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rustun.ops.deploy import deploying, status
from rustun.ops.deploy.deploying import Manner
from tests.unit.ops.deploy.fleet import Fleet, TwinTarget, target

YES = Manner(yes=True)


def test_status(fleet: Fleet, capsys: pytest.CaptureFixture[str]) -> None:
    """Nobody would see at a glance which host is down, behind, or cut off."""
    fleet.members["bj-a"] = "mtu = 1400"
    fleet.members["by-hand"] = ""
    fleet.down.add("bj-b")
    sessions = [{"identity": "bj-a", "state": "online", "proof_age_s": 3.2}]
    offline = [{"identity": "bj-b", "state": "offline", "last_seen_age_s": 7300.0}]
    Path(fleet.host("server").at("/run/rustun/rustun-server.service.sock")).write_text(
        json.dumps({"pid": 101, "version": "0.1.0", "sessions": sessions, "offline": offline})
    )
    path = fleet.write()
    path.write_text(path.read_text().replace('ssh = "root@by-hand"\n', ""))
    aim = TwinTarget(path, fleet.folder / "build", fleet.folder, fleet=fleet)
    assert status.run(aim, as_json=False) == 5
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert rows[2] == ["beijing", "bj-a", "active", "0.1.0", "online", "3", "s", "ago", "1", "3", "steps"]
    assert rows[3][:6] == ["beijing", "bj-b", "unreachable", "-", "offline", "2"]
    assert rows[4][:4] == ["beijing", "by-hand", "by", "hand"]


def test_a_host_that_has_left_and_is_not_cleared_is_in_the_status(
    fleet: Fleet, capsys: pytest.CaptureFixture[str]
) -> None:
    """A laptop that was away when its owner left would keep its keys, and nobody think of it again."""
    del fleet.members["bj-b"]
    fleet.down.add("bj-b")
    assert deploying.deploy(target(fleet), YES) == 5
    capsys.readouterr()
    assert status.run(target(fleet), as_json=False) == 0  # the fleet is as wished
    lines = capsys.readouterr().out.splitlines()
    assert lines[3].split() == ["-", "bj-b", "left", "-", "-", "-", "-", "-"]
    assert lines[4] == "bj-b: Connection timed out"
    assert status.run(target(fleet, "bj-a"), as_json=True) == 0
    assert [row["name"] for row in json.loads(capsys.readouterr().out)["hosts"]] == ["bj-a"]
    fleet.down.clear()
    assert status.run(target(fleet), as_json=True) == 0
    row = json.loads(capsys.readouterr().out)["hosts"][-1]
    assert (row["name"], row["ssh"], row["service"], row["ok"]) == ("bj-b", "root@bj-b", "left", True)
    assert row["differences"] > 0
    assert deploying.deploy(target(fleet), YES) == 0
    capsys.readouterr()
    assert status.run(target(fleet), as_json=True) == 0
    assert [row["name"] for row in json.loads(capsys.readouterr().out)["hosts"]] == ["server", "bj-a"]


def test_of_others_sessions_a_member_is_no_witness(fleet: Fleet, capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever has a member's host could make a member that is away look as if it were there."""
    told = {"pid": 1, "sessions": [{"identity": "bj-b", "state": "online", "proof_age_s": 1.0}]}
    Path(fleet.host("bj-a").at("/run/rustun/another.sock")).write_text(json.dumps(told))
    assert status.run(target(fleet), as_json=True) == 0
    assert {host["name"]: host["session"] for host in json.loads(capsys.readouterr().out)["hosts"]}["bj-b"] == ""
