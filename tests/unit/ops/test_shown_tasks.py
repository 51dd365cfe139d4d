"""docs/deploy.md, lint.md, policy.md and migrating.md: their tasks are typed, and show what stands there."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from rustun.ops.inventory import load_inventory
from rustun.ops.policy.assertions import read_policy
from tests.shown import ROOT, blocks
from tests.unit.cli.test_migrating import Migration
from tests.unit.ops.desk import Desk

TWO_SITES = """\
[fleet]
name = "acme"
servers = [{ address = "192.0.2.1:8080", ssh = "root@server" }]
[cluster.beijing]
network = "10.0.1.0/24"
[cluster.beijing.member.bj-a]
ssh = "root@bj-a"
[cluster.beijing.member.bj-b]
ssh = "root@bj-b"
"""
SERVERS = '[fleet]\nname = "acme"\nservers = [{ address = "198.51.100.1:8080" }]\n'
BEIJING = """\
# One tenant, one file.

[cluster.beijing]
network = "10.0.1.0/24"
network6 = "fd00:1::/64"

[cluster.beijing.member.bj-dev]
name = "Beijing development"
address = "10.0.1.2"

[cluster.beijing.member.bj-gw]
name = "Beijing office"
address = "10.0.1.1"
ciders = ["8.8.8.0/24"]
"""
NAMED_IN_A_POLICY = """\
[fleet]
name = "fleet"
servers = [{ address = "198.51.100.1:8080" }]
[cluster.beijing]
network = "10.0.1.0/24"
[cluster.beijing.member.bj-dev]
[cluster.beijing.member.bj-office-gw]
tags = ["office"]
[cluster.shanghai]
network = "10.0.2.0/24"
[cluster.shanghai.member.sh-db]
[cluster.shanghai.member.alice]
[cluster.shanghai.member.bob]
[cluster.shanghai.member.laptop]
"""
OPEN = """\
[fleet]
name = "fleet"
servers = [{ address = "198.51.100.1:8080" }]
[cluster.red]
network = "10.0.1.0/24"
[cluster.red.member.gate]
address = "10.0.1.1"
[cluster.red.member.bob]
address = "10.0.1.4"
"""


def test_a_change_is_planned_and_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An operator who learns from deploy.md what a plan and a status look like would not know them again."""
    desk = Desk(tmp_path, monkeypatch, "deploy.md")
    desk.inventory.write_text(TWO_SITES)
    desk.quietly("deploy", "edit-member bj-b --set ciders=192.168.7.0/24")
    desk.type("./invoke plan")
    desk.quietly("edit-member bj-b --unset ciders")
    desk.sessions("server", "bj-a", "bj-b")
    desk.type("./invoke status")
    assert desk.left == []


def test_a_finding_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What lint.md says of a finding would not be what lint says."""
    desk = Desk(tmp_path, monkeypatch, "lint.md")
    desk.inventory = desk.folder / "inventory" / "acme"
    desk.inventory.mkdir()
    (desk.inventory / "fleet.toml").write_text(SERVERS)
    (desk.inventory / "beijing.toml").write_text(BEIJING)
    desk.type("./invoke lint")
    assert desk.left == []


def test_assertions_hold_and_do_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever reads in policy.md what is said of a broken assertion would not find it in what is said."""
    desk = Desk(tmp_path, monkeypatch, "policy.md")
    desk.inventory = desk.folder / "inventory" / "demo.toml"
    for name in ("demo.toml", "demo.policy"):
        shutil.copy(ROOT / "inventory" / name, desk.inventory.parent)
    desk.type("./invoke policy-test")
    desk.inventory = desk.folder / "inventory" / "fleet.toml"
    desk.inventory.write_text(OPEN)
    desk.inventory.with_suffix(".policy").write_text("bob can reach gate\n\nnobody can reach 10.0.1.4\n")
    desk.type("./invoke policy-test", code=5)
    assert desk.left == []


def test_the_form_of_a_policy_is_read(tmp_path: Path) -> None:
    """Whoever copies the first lines of policy.md would be told that they make no sense."""
    [policy] = [text for language, text in blocks(ROOT / "docs" / "policy.md") if language == "text"]
    (tmp_path / "fleet.toml").write_text(NAMED_IN_A_POLICY)
    (tmp_path / "fleet.policy").write_text(policy)
    assert len(read_policy(tmp_path / "fleet.policy", load_inventory(tmp_path / "fleet.toml"))) == 6


def test_files_of_the_seed_become_an_inventory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who comes from the seed with many hosts would have to write all of them down anew."""
    desk = Desk(tmp_path, monkeypatch, "migrating.md")
    migration = Migration(desk.folder)
    desk.type("./invoke inventory-import")
    found = {member.identity for member in load_inventory(desk.folder / "inventory" / "old.toml").members}
    assert found == set(migration.entries)
    assert desk.left == []
