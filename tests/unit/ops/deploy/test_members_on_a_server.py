"""Members that somebody changed on a server, in the dashboard for one: what a deployment from the inventory says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rustun.ops.deploy import deploying, plan, status
from rustun.ops.deploy.deploying import Manner
from rustun.ops.units import SERVER_UNIT
from tests.unit.ops.deploy.fleet import Fleet, target

YES = Manner(yes=True)
OWN = "/var/lib/rustun/server/routes.json"  # where a server may write by itself


def planned(fleet: Fleet, capsys: pytest.CaptureFixture[str]) -> str:
    """Return what a plan shows."""
    assert plan.run(target(fleet), as_json=False, diff=False, offline=False, check=False) == 0
    return " ".join(capsys.readouterr().out.split())


def members(fleet: Fleet) -> list[dict[str, Any]]:
    """Return the entries of the deployed file."""
    found: list[dict[str, Any]] = json.loads(Path(fleet.host("server").at("/etc/rustun/routes.json")).read_text())
    return found


def changed(fleet: Fleet, path: str) -> None:
    """Switch one member off, take another out and add a third, in a file on the server."""
    first, second = members(fleet)
    guest = {**second, "identity": "guest", "private_ip": "10.0.1.77"}
    file = Path(fleet.host("server").at(path))
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps([{**first, "enabled": False}, guest]))


DIFFERENCES = (
    "~ member beijing/bj-a switched on it may come",
    "+ member beijing/bj-b new, address 10.0.1.2",
    "- member beijing/guest removed its session ends",
)


def test_a_change_in_the_deployed_file_is_named_before_it_is_taken_back(
    fleet: Fleet, capsys: pytest.CaptureFixture[str]
) -> None:
    """Who was put out on the server comes in again with the next deployment, and nobody was told."""
    changed(fleet, "/etc/rustun/routes.json")
    shown = planned(fleet, capsys)
    for words in (*DIFFERENCES, "! host server /etc/rustun/routes.json was edited on the host"):
        assert words in shown
    assert "who notices: bj-a (may come in), bj-b (may come in), guest (cut off), nobody else" in shown
    assert status.run(target(fleet), as_json=False) == 0
    assert "3 steps" in capsys.readouterr().out
    assert deploying.deploy(target(fleet), Manner()) == 2, "nobody is here to be asked"
    assert "bj-b" not in str(members(fleet))
    assert deploying.deploy(target(fleet), YES) == 0
    assert [entry["identity"] for entry in members(fleet)] == ["bj-a", "bj-b"]
    assert "enabled" not in members(fleet)[0]


def test_a_change_in_a_file_of_the_servers_own_is_named_too(fleet: Fleet, capsys: pytest.CaptureFixture[str]) -> None:
    """A deployment leads a server back to its own file, and the plan is silent about whom that lets in again."""
    changed(fleet, OWN)
    host = fleet.host("server")
    config = Path(host.at("/etc/rustun/server.toml"))
    config.write_text(config.read_text().replace('"routes.json"', f'"{OWN}"'))
    usual = host._usual(SERVER_UNIT)
    host.status[SERVER_UNIT] = {**usual, "routes": {**usual["routes"], "file": OWN}}
    host.run("systemctl", "restart", SERVER_UNIT)
    shown = planned(fleet, capsys)
    for words in (*DIFFERENCES, "server.toml was edited on the host", f"! host server its members are in {OWN} now"):
        assert words in shown
    assert "server (restarts)" in shown
    del host.status[SERVER_UNIT]
    assert deploying.deploy(target(fleet), YES) == 0
    capsys.readouterr()
    assert "3 hosts unchanged" in planned(fleet, capsys)


def test_a_file_that_stays_in_force_is_compared_with_nothing(fleet: Fleet, capsys: pytest.CaptureFixture[str]) -> None:
    """Where templates name another file on purpose, each plan says that members go who stay."""
    changed(fleet, OWN)
    host = fleet.host("server")
    usual = host._usual(SERVER_UNIT)
    host.status[SERVER_UNIT] = {**usual, "routes": {**usual["routes"], "file": OWN}}
    host.run("systemctl", "restart", SERVER_UNIT)
    assert "3 hosts unchanged" in planned(fleet, capsys)
