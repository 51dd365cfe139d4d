"""docs/operations.md from its beginning: each command is typed, on hosts in memory, and shows what stands there."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.unit.ops.desk import Desk

FLEET = Path(__file__).resolve().parents[3] / "docs" / "fleet.md"
SERVER, STORE = "vpn.acme.example", "store.acme.example"
SECOND = "69e63b7e" + "0" * 56  # a release
ROUTES = """\
[{"cluster": "beijing", "identity": "bj-office", "private_ip": "10.0.1.1", "mask": "255.255.255.0",
  "gateway": "10.0.1.254", "ciders": ["192.168.1.0/24"]}]
"""
OLD_SERVER = """
[server_config]
listen_addr = "0.0.0.0:8080"
[crypto_config]
chacha20poly1305 = "kept-by-few-8FzQ2mW4xT7pLc9v"
[route_config]
routes_file = "routes.json"
"""


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """Return a checkout with nothing in it."""
    return Desk(tmp_path, monkeypatch, "operations.md")


def test_every_example_shows_what_one_sees(desk: Desk) -> None:
    """An operator would compare what is seen with what never was, and look for a fault that is none."""
    a_fleet_is_started(desk)
    it_changes(desk)
    keys_are_exchanged(desk)
    a_member_is_changed_on_the_server(desk)
    a_host_is_down_and_a_change_taken_back(desk)
    keys_are_lost(desk)
    assert desk.left == []


def a_fleet_is_started(desk: Desk) -> None:
    (desk.folder / "routes.json").write_text(ROUTES)
    (desk.folder / "server.toml").write_text(OLD_SERVER)
    desk.type("./invoke inventory-import")
    desk.inventory.write_text(FLEET.read_text().split("inventory/acme.toml:\n\n```toml\n")[1].split("```")[0])
    desk.type("./invoke plan")
    desk.type("./invoke deploy")
    desk.type("./invoke secrets-seal")


def it_changes(desk: Desk) -> None:
    desk.type("./invoke add-member")
    desk.type("./invoke plan")
    desk.quietly("deploy")
    desk.type("./invoke edit-member")
    desk.type("./invoke plan")
    desk.quietly("deploy")
    desk.sessions(SERVER, "bj-office", "bj-dev", "bj-store")
    desk.type("./invoke status")


def keys_are_exchanged(desk: Desk) -> None:
    desk.type("./invoke rotate-keys && ./invoke deploy")
    desk.hosts.down.add(STORE)
    desk.type("./invoke rotate-keys", code=3)
    desk.hosts.down.clear()
    desk.quietly("rotate-keys", "deploy", "rotate-keys", "deploy")


def a_member_is_changed_on_the_server(desk: Desk) -> None:
    routes = Path(desk.hosts.host(SERVER).at("/etc/rustun/routes.json"))
    deployed = routes.read_text()
    entries = json.loads(deployed)
    [switched_off] = [entry for entry in entries if entry["identity"] == "bj-dev"]
    switched_off["enabled"] = False
    routes.write_text(json.dumps(entries))
    desk.type("./invoke plan")
    routes.write_text(deployed)


def a_host_is_down_and_a_change_taken_back(desk: Desk) -> None:
    desk.quietly("edit-member bj-dev --set mtu=1400")
    desk.hosts.down.add(STORE)
    desk.type("./invoke deploy", code=5)
    desk.hosts.down.clear()
    desk.type("./invoke rollback")
    desk.sessions(SERVER, "bj-office", "bj-dev", "bj-store")
    desk.type("./invoke status")
    desk.quietly("deploy")
    desk.hosts.wheels.digest_now = SECOND
    desk.type("./invoke plan")
    desk.quietly("deploy")


def keys_are_lost(desk: Desk) -> None:
    desk.quietly("secrets-seal")
    shutil.rmtree(desk.folder / "secrets")
    desk.type("./invoke plan", code=2)
    desk.type("./invoke secrets-open")
    desk.type("./invoke plan")
    shutil.rmtree(desk.folder / "secrets")
    shutil.rmtree(desk.folder / "build")
    desk.type("./invoke plan", code=2)
    (desk.folder / "inventory" / "acme.keys.age").unlink()
    desk.type("./invoke deploy", code=5)
