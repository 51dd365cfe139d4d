"""Members reach each other, whatever each of them speaks; clusters never do."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import pytest

from netlab.worlds.ip_packets import ACK, PSH, tcp_packet, udp_packet
from tests.simulation.conftest import MakeWorld
from tests.simulation.kernel import is_right, on_the_wire, unfinished
from tests.simulation.world import Host, World, entry, office

KINDS: dict[str, dict[str, Any]] = {"shared": {}, "no-offload": {"offload": False}, "legacy": {"legacy": True}}
LARGE = bytes(range(256)) * 80  # 20 KB: fifteen segments


def mixed_world(make_world: MakeWorld) -> tuple[World, dict[str, Host]]:
    """Return a world with two members of each kind, in the order of their addresses, all online."""
    world = make_world(office(6), security={"minimum_tier": "legacy"})
    names = [f"{kind}-{number}" for number in range(2) for kind in KINDS]
    hosts = {name: world.host(f"m{at}", **KINDS[name[:-2]]) for at, name in enumerate(names)}
    world.run_until_online(*(host.identity for host in hosts.values()))
    world.run(12.0)  # two keepalives: members on the seed's wire learn of the others from nothing else
    return world, hosts


def address(host: Host, version: int) -> str:
    number = int(host.identity[1:]) + 1
    return f"10.0.1.{number}" if version == 4 else f"fd00:1::{number}"


def speakers(hosts: dict[str, Host], version: int) -> list[Host]:
    """Return who has an address of that version: the seed's wire has no word for IPv6."""
    return [host for name, host in hosts.items() if version == 4 or not name.startswith("legacy")]


def seen_by_applications(host: Host) -> list[bytes]:
    return [part for header, packet in host.tun.received for part in on_the_wire(packet, header)]


@pytest.mark.parametrize("version", [4, 6])
def test_every_kind_of_member_reaches_every_other(make_world: MakeWorld, version: int) -> None:
    """If this fails, some mix of shared tier, offloads and the seed's wire loses or changes packets."""
    world, hosts = mixed_world(make_world)
    for sender, receiver in permutations(speakers(hosts, version), 2):
        source, destination = address(sender, version), address(receiver, version)
        complete = [
            udp_packet(source, destination, (1000, 2000), b"odd", 9),
            tcp_packet(source, destination, (1000, 2000), b"a segment", sequence=5, flags=ACK | PSH, identification=9),
        ]
        before = len(seen_by_applications(receiver))
        sender.send(complete[0])
        takes_offloads = bool(sender.tun.offloads)
        packet, header = unfinished(complete[1]) if takes_offloads else (complete[1], bytes(10))
        sender.send(packet, header=header)
        world.run()
        assert seen_by_applications(receiver)[before:] == complete, (sender.identity, receiver.identity)
    for host in hosts.values():
        assert not host.drops, host.identity


@pytest.mark.parametrize("version", [4, 6])
def test_a_large_packet_arrives_whole_or_cut_as_the_receiver_takes_it(make_world: MakeWorld, version: int) -> None:
    """If this fails, a member without offloads (a peer of the seed) gets packets that no network would carry."""
    world, hosts = mixed_world(make_world)
    sender = hosts["shared-0"]
    for receiver in speakers(hosts, version):
        if receiver is sender:
            continue
        source, destination = address(sender, version), address(receiver, version)
        whole = tcp_packet(source, destination, (7, 8), LARGE, sequence=1 << 31, flags=ACK | PSH, identification=3)
        packet, header = unfinished(whole, 1380)
        sender.send(packet, header=header)
        world.run()
        arrived = [packet for _, packet in receiver.tun.received]
        seen = seen_by_applications(receiver)
        assert seen == on_the_wire(packet, header)
        assert all(is_right(part) and len(part) <= 1440 for part in seen)
        assert len(arrived) == (1 if receiver is hosts["shared-1"] else 15), receiver.identity


def test_a_legacy_member_has_no_ipv6(make_world: MakeWorld) -> None:
    """If this fails, packets reach the kernel of a host that never was given an address for them."""
    world, hosts = mixed_world(make_world)
    sender, receiver = hosts["shared-0"], hosts["legacy-0"]
    sender.send(udp_packet(address(sender, 6), address(receiver, 6), (1, 2), b"?"))
    world.run()
    assert receiver.packets == []
    assert receiver.drops == {"bad-source": 1}


def test_large_datagrams_arrive_one_by_one(make_world: MakeWorld) -> None:
    """If this fails, QUIC and the like break between members of different kinds."""
    world, hosts = mixed_world(make_world)
    sender = hosts["shared-0"]
    for name, receiver in hosts.items():
        if receiver is not sender:
            whole = udp_packet(address(sender, 4), address(receiver, 4), (7, 8), LARGE[:6000], 3)
            packet, header = unfinished(whole, 1200)
            sender.send(packet, header=header)
            world.run()
            assert seen_by_applications(receiver) == on_the_wire(packet, header), name


def test_a_small_mtu_cuts_the_stream_smaller(make_world: MakeWorld) -> None:
    """If this fails, a member with a narrow device gets segments that do not fit it."""
    world = make_world(office(2))
    (sender,) = world.online("m0")
    (receiver,) = world.online("m1", mtu=1280, offload=False)
    whole = tcp_packet("10.0.1.1", "10.0.1.2", (7, 8), LARGE, sequence=9, flags=ACK)
    packet, header = unfinished(whole, 1460)
    sender.send(packet, header=header)
    world.run()
    seen = seen_by_applications(receiver)
    assert b"".join(part[40:] for part in seen) == LARGE
    assert max(len(part) for part in seen) == 1280
    assert all(is_right(part) for part in seen)


def test_two_clusters_with_identical_addresses_never_see_each_other(make_world: MakeWorld) -> None:
    """If this fails, one tenant reads or disturbs another."""
    lan = ["192.168.1.0/24"]
    world = make_world(
        [
            entry("a1", "10.0.1.1", "first", ciders=lan),
            entry("a2", "10.0.1.2", "first"),
            entry("b1", "10.0.1.1", "second", ciders=lan),
            entry("b2", "10.0.1.2", "second"),
        ]
    )
    a1, a2, b1, b2 = world.online("a1", "a2", "b1", "b2")
    for number, (host, peer) in enumerate([(a1, a2), (b1, b2)]):
        sent = [
            udp_packet("10.0.1.1", "10.0.1.2", (number, 2), host.identity.encode()),
            udp_packet("192.168.1.9", "10.0.1.2", (number, 2), b"LAN of " + host.identity.encode()),
        ]
        host.send(*sent)
        world.run()
        assert peer.packets == sent
    assert a1.packets == b1.packets == []
    assert set(a1.client.peers.entries) == {"a2"}
    assert set(b2.client.peers.entries) == {"b1"}


def test_fifty_clients_all_to_all(make_world: MakeWorld) -> None:
    """Row 22. If this fails, a busy cluster comes to a stand, or packets are mixed up between members."""
    count = 50
    world = make_world(office(count))
    hosts = world.online(*(f"m{number}" for number in range(count)), offload=False)
    world.faults.short_writes = True
    expected: dict[int, set[bytes]] = {number: set() for number in range(count)}
    for sender, receiver in permutations(range(count), 2):
        packet = udp_packet(f"10.0.1.{sender + 1}", f"10.0.1.{receiver + 1}", (sender, receiver), b"all to all" * 20)
        expected[receiver].add(packet)
        hosts[sender].send(packet)
    world.run(5.0)
    for number, host in enumerate(hosts):
        assert len(host.packets) == count - 1
        assert set(host.packets) == expected[number]
