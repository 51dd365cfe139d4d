"""Whole deployments against hosts in memory: order, idempotence, failures, interruptions."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rustun.ops.deploy.far.system import CURRENT, STATE
from tests.unit.ops.deploy.fleet import Fleet

SERVER = "rustun-server.service"


def client(name: str) -> str:
    """Return the unit of a member."""
    return f"rustun-client@{name}.service"


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    """A server and two members, deployed."""
    made = Fleet(tmp_path, "bj-a", "bj-b")
    assert made.deploy() == {"server": ["done"], "bj-a": ["done"], "bj-b": ["done"]}
    for host in made.hosts.values():
        host.commands.clear()
    return made


def test_a_first_deployment_and_a_second(tmp_path: Path) -> None:
    """A fleet would not come up, or every deployment would restart it."""
    fleet = Fleet(tmp_path, "bj-a", "bj-b")
    order: list[str] = []
    fleet.before_apply = order.append
    assert fleet.deploy() == {"server": ["done"], "bj-a": ["done"], "bj-b": ["done"]}
    assert order[:2] == ["server", "bj-a"]
    server, member = fleet.host("server"), fleet.host("bj-a")
    assert (set(server.active), set(member.active)) == ({SERVER}, {client("bj-a")})
    assert (server.enabled, "rustun" in server.users) == ({SERVER}, True)
    key = Path(server.at("/etc/rustun/secrets/server.key"))
    assert (oct(key.stat().st_mode & 0o777), server.owner(key.stat())) == ("0o640", ("root", "rustun"))
    assert oct(Path(member.at("/etc/rustun/secrets/members/bj-a.key")).stat().st_mode & 0o777) == "0o600"
    found = [path for path, _ in member.files() if "bj-b" in path or "server" in path]
    assert found == []  # nobody else's files
    before = dict(server.files()), dict(member.files())
    assert fleet.deploy() == {}
    assert (dict(server.files()), dict(member.files())) == before


def test_a_prefix_reaches_the_server_and_nobody_else_is_touched(fleet: Fleet) -> None:
    """Adding a LAN to one site would cost the others their sessions."""
    fleet.members["bj-b"] = 'ciders = ["192.168.7.0/24"]'
    assert fleet.deploy() == {"server": ["done"], "bj-b": ["done"]}
    assert fleet.host("server").commands == [f"reload {SERVER}"]
    assert fleet.host("bj-a").commands == []
    assert fleet.host("bj-b").commands == [f"reload {client('bj-b')}"]


def test_a_pre_shared_key_comes_and_goes(fleet: Fleet) -> None:
    """A member would be out for good after its key came, or its key stay on hosts that do not need it."""
    psk = "/etc/rustun/secrets/psks/bj-b.psk"
    server, member = fleet.host("server"), fleet.host("bj-b")
    fleet.members["bj-b"] = "psk = true"
    assert fleet.deploy() == {"server": ["done"], "bj-b": ["done"]}
    assert Path(server.at(psk)).read_bytes() == Path(member.at(psk)).read_bytes()
    assert server.commands == [f"reload {SERVER}"]
    assert member.commands == ["daemon-reload", f"restart {client('bj-b')}"]
    assert fleet.deploy() == {}
    fleet.members["bj-b"] = ""
    assert fleet.deploy() == {"server": ["done"], "bj-b": ["done"]}
    assert not any(Path(host.at(psk)).parent.exists() for host in (server, member))
    assert member.commands[2:] == ["daemon-reload", f"reload {client('bj-b')}"]


def test_a_new_release_proves_itself_on_one_member_first(fleet: Fleet) -> None:
    """A broken release would take the whole fleet down at once, the server before all."""
    order: list[str] = []
    fleet.before_apply = order.append
    fleet.wheels.digest_now = "release2"
    fleet.host("bj-a").status[client("bj-a")] = {"role": "client", "identity": "bj-a", "state": "connecting"}
    assert fleet.deploy() == {"bj-a": ["failed"], "bj-b": ["not begun"], "server": ["not begun"]}
    assert order == ["bj-a"]
    assert Path(fleet.host("bj-a").at(CURRENT)).readlink() == Path("releases/release1")
    assert not Path(fleet.host("bj-a").at("/opt/rustun/releases/release2")).exists()
    fleet.host("bj-a").status.clear()
    order.clear()
    assert fleet.deploy() == {"bj-a": ["done"], "bj-b": ["done"], "server": ["done"]}
    assert order == ["bj-a", "bj-b", "server"]


def test_a_server_learns_before_and_is_renewed_after(fleet: Fleet) -> None:
    """A new member would come before its server knows it, or the server would restart before the release is tried."""
    order: list[str] = []
    fleet.before_apply = order.append
    fleet.wheels.digest_now = "release2"
    fleet.members["bj-c"] = ""
    results = fleet.deploy()
    assert results == {"server": ["done", "done"], "bj-a": ["done"], "bj-b": ["done"], "bj-c": ["done"]}
    assert (order[0], order[-1]) == ("server", "server")
    assert fleet.host("server").commands == [f"reload {SERVER}", f"restart {SERVER}"]
    assert fleet.deploy() == {}


def test_a_removed_member_leaves_nothing_behind(fleet: Fleet) -> None:
    """A key and a service would stay on a host that is no more in the inventory."""
    del fleet.members["bj-b"]
    assert fleet.deploy() == {"server": ["done", "done"], "bj-b": ["done"]}
    gone = fleet.host("bj-b")
    assert (list(gone.files()), gone.active, gone.enabled) == ([], {}, set())
    assert client("bj-b") not in gone.active
    assert fleet.deploy() == {}


def test_a_removed_member_whose_host_is_down_is_remembered(fleet: Fleet) -> None:
    """Once it is up again its service would run on, and nobody would know of it."""
    del fleet.members["bj-b"]
    fleet.down.add("bj-b")
    assert fleet.deploy() == {"server": ["done"]}
    routes = json.loads(Path(fleet.host("server").at("/etc/rustun/routes.json")).read_text())
    assert [entry["identity"] for entry in routes] == ["bj-a"]  # cut off at once
    fleet.down.clear()
    assert fleet.deploy() == {"bj-b": ["done"], "server": ["done"]}
    assert fleet.deploy() == {}


def test_a_host_that_is_down_does_not_hold_up_the_others(fleet: Fleet) -> None:
    """One laptop that is off would keep a fleet from being changed."""
    fleet.down.add("bj-a")
    fleet.members["bj-a"] = fleet.members["bj-b"] = "mtu = 1400"
    found = fleet.look()
    assert found.unreachable["root@bj-a"].reason == "Connection timed out"
    assert fleet.deploy(found=found) == {"bj-b": ["done"]}


def test_a_server_that_fails_ends_it(fleet: Fleet) -> None:
    """Members would be sent to a server that does not know them."""
    fleet.members["bj-c"] = ""
    fleet.host("server").status[SERVER] = {"role": "server", "alarms": ["routes.json was refused"], "routes": {}}
    assert fleet.deploy(max_failures=9) == {"server": ["failed"], "bj-c": ["not begun"]}


def test_so_many_failures_and_no_more(fleet: Fleet) -> None:
    """A mistake of the operator would reach every host of the fleet."""
    for name in ("bj-a", "bj-b"):
        fleet.members[name] = "mtu = 1400"
        fleet.host(name).status[client(name)] = {"role": "client", "identity": name, "state": "waiting"}
    before = {name: dict(fleet.host(name).files()) for name in ("bj-a", "bj-b")}
    assert fleet.deploy(max_failures=2) == {"bj-a": ["failed"], "bj-b": ["failed"]}
    assert {name: dict(fleet.host(name).files()) for name in before} == before


def test_a_host_that_changed_since_the_plan_is_left_alone(fleet: Fleet) -> None:
    """What is done would not be what was shown and confirmed."""
    fleet.members["bj-a"] = "mtu = 1400"
    found = fleet.look()
    Path(fleet.host("bj-a").at("/etc/rustun/secrets/members/bj-a.key")).chmod(0o644)
    assert fleet.deploy(found=found) == {"bj-a": ["changed"]}
    assert fleet.deploy() == {"bj-a": ["done"]}


def test_nobody_is_touched_where_wheels_are_missing(fleet: Fleet) -> None:
    """A host would lose its tunnel to a release that cannot be installed."""
    fleet.wheels.digest_now, fleet.wheels.missing = "release2", "no wheels for Linux armv6l"
    before = {name: dict(host.files()) for name, host in fleet.hosts.items()}
    found = fleet.look()
    assert set(found.problems.values()) == {("no wheels for Linux armv6l",)}
    assert fleet.deploy(found=found) == {"bj-a": ["unfit"], "bj-b": ["unfit"], "server": ["unfit"]}
    assert {name: dict(host.files()) for name, host in fleet.hosts.items()} == before


def test_wheels_are_asked_for_by_nobody_who_needs_none(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an index in reach no prefix could be changed, and no member's host be cleared."""
    monkeypatch.delattr(type(fleet.wheels), "release")
    fleet.members["bj-a"] = "mtu = 1400"
    assert fleet.deploy() == {"bj-a": ["done"]}
    fleet.wheels.digest_now = "release2"
    del fleet.members["bj-b"]
    assert fleet.deploy("bj-b") == {"bj-b": ["done"]}


def test_a_host_with_an_old_python_is_named_before_anything_is_touched(fleet: Fleet) -> None:
    """Its release would be unpacked and fail, and the host go through a change and back."""
    fleet.host("bj-a").interpreters = [{"path": "/usr/bin/python3", "version": "3.9.2"}]
    found = fleet.look()
    found.close()
    [[problem]] = found.problems.values()
    assert problem.startswith("its newest Python is 3.9.2")


def test_a_limit_names_hosts(fleet: Fleet) -> None:
    """A trial on one host would reach all of them."""
    fleet.wheels.digest_now = "release2"
    assert fleet.deploy("bj-b") == {"bj-b": ["done"]}
    assert fleet.deploy("bj-*") == {"bj-a": ["done"]}


def test_one_host_cannot_carry_the_number_off(fleet: Fleet) -> None:
    """Whoever is root on a member could end all deployments, for ever."""
    kept = Path(fleet.host("bj-a").at("/var/lib/rustun/deploy"))
    (kept / "1").rename(kept / "999999")
    found = fleet.look()
    found.close()
    assert found.unreachable["root@bj-a"].reason == "it tells of deployment 999999, all others of 1 at most"
    fleet.members["bj-b"] = "mtu = 1400"
    assert fleet.deploy()["bj-b"] == ["done"]
    assert Path(fleet.host("bj-b").at("/var/lib/rustun/deploy/2")).exists()


def test_generations_have_one_number_in_the_whole_fleet(fleet: Fleet) -> None:
    """Going back to a deployment would mean another state on each host."""
    fleet.members["bj-b"] = "mtu = 1400"
    fleet.deploy()
    fleet.members["bj-a"] = "mtu = 1400"
    fleet.deploy()
    numbers = {
        name: [path.name for path in sorted(Path(host.at(STATE)).iterdir()) if path.name.isdigit()]
        for name, host in fleet.hosts.items()
    }
    assert numbers == {"server": ["1"], "bj-a": ["1", "3"], "bj-b": ["1", "2"]}
