"""routes.json while the relay runs: rows 25 to 28 of the faults."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from netlab.worlds.ip_packets import udp_packet
from rustun.backends.memory.reactor import EPOCH_S
from tests.simulation.conftest import MakeWorld
from tests.simulation.peers import NoisePeer
from tests.simulation.world import Entry, entry, office

IN_FORCE_S = 1.0


def half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-40])


def huge(path: Path) -> None:
    os.truncate(path, 100 << 20)


def directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


def dangling(path: Path) -> None:
    path.unlink()
    path.symlink_to("nowhere.json")


DAMAGE: dict[str, Callable[[Path], object]] = {
    "half written": half,
    "empty": lambda path: path.write_bytes(b""),
    "binary": lambda path: path.write_bytes(bytes(range(256)) * 64),
    "100 MB": huge,
    "a folder": directory,
    "deleted": Path.unlink,
    "a symlink to nowhere": dangling,
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
def test_row_25_a_damaged_file_changes_nothing_and_is_shouted(
    make_world: MakeWorld, damage: Callable[[Path], object]
) -> None:
    """Row 25. If this fails, a full disk or a slip of the hand takes every member off the air."""
    entries = office(2)
    world = make_world(entries)
    sender, receiver = world.online("m0", "m1")
    damage(world.routes_file)
    world.run(IN_FORCE_S)
    packet = udp_packet("10.0.1.1", "10.0.1.2", (1, 2), b"still there")
    sender.send(packet)
    world.run()
    assert receiver.packets == [packet]
    assert sender.client.reconnects == receiver.client.reconnects == 0
    status = world.status()
    assert any("was refused" in str(alarm) for alarm in status["alarms"])
    assert world.server.roster.problems
    world.run(30.0)
    if world.routes_file.is_dir():
        world.routes_file.rmdir()
    world.write_routes([*entries, entry("new", "10.0.7.7")])
    world.run(IN_FORCE_S)
    assert world.status()["alarms"] == []
    assert "new" in world.core.members


def test_row_25_a_symlink_that_is_swapped_is_followed(make_world: MakeWorld) -> None:
    """Row 25. If this fails, configuration tools that swap links change nothing."""
    world = make_world(office(1))
    folder = world.routes_file.parent
    (folder / "second.json").write_text(json.dumps(office(3)))
    (folder / "link").symlink_to("second.json")
    os.rename(folder / "link", world.routes_file)
    world.run(IN_FORCE_S)
    assert set(world.core.members) == {"m0", "m1", "m2"}


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"identity": "m1"}, "m1"),
        ({"private_ip": "10.0.1.2"}, "10.0.1.2"),
        ({"ciders": ["10.0.1.2/32"]}, "10.0.1.2"),
        ({"ciders": ["-j ACCEPT"]}, "-j ACCEPT"),
        ({"private_ip": "10.0.1.2; reboot"}, "reboot"),
        ({"surprise": 1, "private_ip": 7}, "private_ip"),
    ],
)
def test_row_26_a_file_with_one_bad_entry_is_refused_whole(
    make_world: MakeWorld, change: dict[str, object], word: str
) -> None:
    """Row 26. If this fails, a file is taken in part, or somebody believes a removal that is not in force."""
    world = make_world(office(4))
    hosts = world.online("m0", "m1")
    entries = office(3)
    entries[2] = {**entry("third", "10.0.1.99"), **change}
    world.write_routes(entries)
    world.run(IN_FORCE_S)
    roster = world.server.roster
    assert any(word in problem for problem in roster.problems)
    assert {"m2", "m3"} <= set(roster.not_in_force)
    assert "m3" in world.core.members
    assert any("STILL MEMBERS" in text for text in world.log.texts("routes-refused"))
    assert [host.client.reconnects for host in hosts] == [0, 0]


def test_row_26_default_routes_may_be_offered_by_two(make_world: MakeWorld) -> None:
    """Row 26. If this fails, a cluster cannot have two exits."""
    entries = [{**one, "ciders": ["0.0.0.0/0"]} if at < 2 else one for at, one in enumerate(office(3))]
    world = make_world(entries)
    world.online("m0", "m2")
    assert not world.server.roster.problems


def without(entries: list[Entry]) -> list[Entry]:
    return entries[1:]


def disabled(entries: list[Entry]) -> list[Entry]:
    return [{**entries[0], "enabled": False}, *entries[1:]]


def moved(entries: list[Entry]) -> list[Entry]:
    return [{**entries[0], "cluster": "shanghai"}, *entries[1:]]


def rekeyed(entries: list[Entry]) -> list[Entry]:
    return [{**entries[0], "public_key": "3p7bfXt9wbTTW2HC7OQ1Nz+DQ8hbeGdNrfx+FG+IK08="}, *entries[1:]]


CHANGES = {"removed": without, "disabled": disabled, "moved": moved, "re-keyed": rekeyed}


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize(("reason", "change"), CHANGES.items(), ids=CHANGES.keys())
def test_row_27_who_is_taken_out_goes_within_a_second_and_others_lose_nothing(
    make_world: MakeWorld, reason: str, change: Callable[[list[Entry]], list[Entry]], legacy: bool
) -> None:
    """Row 27. If this fails, a dismissed member goes on, or everybody feels that somebody left."""
    world = make_world(office(3), security={"minimum_tier": "legacy"})
    (leaver,) = world.online("m0", legacy=legacy)
    stays = world.online("m1", "m2")
    session = world.session("m0")
    world.write_routes(change(office(3)))
    sent: list[bytes] = []
    for number in range(100):  # a packet each 10 ms, before, while and after
        packet = udp_packet("10.0.1.2", "10.0.1.3", (1, 2), number.to_bytes(2, "big"))
        stays[0].send(packet)
        sent.append(packet)
        leaver.tun.send(udp_packet("10.0.1.1", "10.0.1.3", (1, 2), b"leaver"))
        world.run(0.01)
    assert session.closed
    assert world.core.closes[reason] == 1
    assert [packet for packet in stays[1].packets if b"leaver" not in packet] == sent
    late = len(stays[1].packets)
    world.run(2.0)
    assert [host.client.reconnects for host in stays] == [0, 0]
    known = stays[0].client.peers.entries
    assert ("m0" in known) == (reason == "re-keyed")
    assert len(stays[1].packets) == late
    if not legacy:
        assert reason in leaver.log.texts("not-connected")[0]


def test_a_moved_member_comes_back_in_its_new_cluster(make_world: MakeWorld) -> None:
    """If this fails, a member that moves is lost, or still sees its old neighbours."""
    world = make_world([*office(2), entry("s", "10.0.1.7", "shanghai")])
    hosts = world.online("m0", "m1", "s")
    world.write_routes([*moved(office(2)), entry("s", "10.0.1.7", "shanghai")])
    world.run(5.0)
    assert world.session("m0").cluster.name == "shanghai"
    assert set(hosts[0].client.peers.entries) == {"s"}
    hosts[0].send(udp_packet("10.0.1.1", "10.0.1.2", (1, 2), b"old neighbour"))
    hosts[0].send(udp_packet("10.0.1.1", "10.0.1.7", (1, 2), b"new neighbour"))
    world.run()
    assert hosts[1].packets == []
    assert len(hosts[2].packets) == 1


def test_a_new_prefix_is_in_force_within_a_second_everywhere(make_world: MakeWorld) -> None:
    """If this fails, a LAN that was added needs a restart somewhere."""
    world = make_world(office(3))
    hosts = world.online("m0", "m1")
    entries = office(3)
    entries[0]["ciders"] = ["10.77.0.0/16"]
    world.write_routes(entries)
    world.run(2.5)  # a second for the file, a second for the news
    assert "10.77.0.0/16" in [str(prefix) for prefix in hosts[1].client.host_report.routed]
    packet = udp_packet("10.0.1.2", "10.77.3.3", (1, 2), b"into the LAN")
    hosts[1].send(packet)
    world.run()
    assert hosts[0].packets == [packet]
    assert [host.client.reconnects for host in hosts] == [0, 0]


def test_a_changed_address_reaches_its_member_in_session(make_world: MakeWorld) -> None:
    """If this fails, a member keeps an address that is no longer its own."""
    world = make_world(office(2))
    hosts = world.online("m0", "m1")
    entries = office(2)
    entries[0]["private_ip"] = "10.0.5.5"
    world.write_routes(entries)
    world.run(2.5)
    assert hosts[0].status()["addresses"] == ["10.0.5.5/16", "fd00:1::1/64"]
    assert hosts[0].client.reconnects == 0
    hosts[1].send(udp_packet("10.0.1.2", "10.0.5.5", (1, 2), b"to the new address"))
    world.run()
    assert len(hosts[0].packets) == 1


def test_row_28_a_reload_every_100_ms_loses_no_session(make_world: MakeWorld) -> None:
    """Row 28. If this fails, a control plane that writes often wears the relay out."""
    world = make_world(office(30))
    peers = [NoisePeer(world, f"m{number}") for number in range(8)]
    hosts = world.online("m20", "m21")
    sessions = set(world.core.sessions)
    for number in range(100):
        entries = office(30)
        entries[29]["name"] = f"name {number}"
        world.write_routes(entries)
        world.run(0.1)
    assert set(world.core.sessions) == sessions
    assert hosts[0].client.reconnects == 0
    assert hosts[0].client.peers.entries["m29"].name.startswith("name ")
    assert not any(peer.ended for peer in peers)
    assert set(world.core.clusters) == {"beijing"}


@pytest.mark.parametrize("legacy", [False, True])
def test_expires_at_ends_a_session_in_time(make_world: MakeWorld, legacy: bool) -> None:
    """If this fails, a guest stays after the day that was written down."""
    world = make_world(office(2), security={"minimum_tier": "legacy"})
    end = datetime.fromtimestamp(EPOCH_S + 600, UTC)
    entries = office(2)
    entries[0]["expires_at"] = end.isoformat()
    world.write_routes(entries)
    world.run(IN_FORCE_S)
    guest, other = world.online("m0", "m1", legacy=legacy)
    world.reactor.run_until(599.0)
    assert world.present == {"m0", "m1"}
    world.reactor.run_until(601.0)
    assert world.present == {"m1"}
    assert world.core.closes["expired"] == 1
    world.run(90.0)
    assert world.present == {"m1"}
    assert guest.failures == []
    assert other.client.reconnects == 0
    entries[0]["expires_at"] = (end + timedelta(days=1)).isoformat()
    world.write_routes(entries)
    world.run_until_online("m0", limit_s=90.0)


def test_the_longest_entry_that_is_allowed_harms_nobody(make_world: MakeWorld) -> None:
    """If this fails, one long entry throws the whole cluster out, again and again."""
    world = make_world(office(3), security={"minimum_tier": "legacy"})
    hosts = [*world.online("m0", "m1"), *world.online("m2", legacy=True)]
    seen = [f"fd00:aaaa:bbbb:cccc:dddd:eeee:ffff:{number:x}/128" for number in range(0x1000, 0x1000 + 400)]
    entries = office(3)
    entries[0]["ciders"] = seen
    entries[0]["cider_mapping"] = {prefix: prefix.replace("fd00", "fd11") for prefix in seen}
    world.write_routes(entries)
    world.run(5.0)
    assert world.status()["alarms"] == []
    assert [host.client.reconnects for host in hosts] == [0, 0, 0]
    assert len(hosts[1].client.peers.entries["m0"].prefixes) == 400
    world.write_routes([{**entries[0], "ciders": [*seen, "10.9.9.0/24"]}, *entries[1:]])
    world.run(5.0)
    assert world.server.roster.problems
    assert [host.client.reconnects for host in hosts] == [0, 0, 0]
