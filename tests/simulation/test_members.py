"""Members reach each other, whatever each of them speaks; clusters never do."""

from __future__ import annotations

from tests.ip_packets import udp_packet
from tests.simulation.conftest import MakeWorld
from tests.simulation.world import entry, office


def test_two_members_exchange_packets(make_world: MakeWorld) -> None:
    """If this fails, nothing works."""
    world = make_world(office(2))
    a, b = world.online("m0", "m1")
    there = udp_packet("10.0.1.1", "10.0.1.2", (1, 2), b"there")
    back = udp_packet("fd00:1::2", "fd00:1::1", (2, 1), b"and back")
    a.send(there)
    b.send(back)
    world.run()
    assert b.packets == [there]
    assert a.packets == [back]


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
    sent = {}
    for number, (host, peer) in enumerate([(a1, a2), (b1, b2)]):
        sent[host.identity] = [
            udp_packet("10.0.1.1", "10.0.1.2", (number, 2), host.identity.encode()),
            udp_packet("192.168.1.9", "10.0.1.2", (number, 2), b"LAN of " + host.identity.encode()),
        ]
        host.send(*sent[host.identity])
        world.run()
        assert peer.packets == sent[host.identity]
    assert a1.packets == b1.packets == []
    assert set(a1.client.peers.entries) == {"a2"}
    assert set(b2.client.peers.entries) == {"b1"}
