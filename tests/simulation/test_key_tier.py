"""The key tier as a whole: who comes in, who does not, and what ends a session."""

from __future__ import annotations

from netlab.worlds.ip_packets import udp_packet
from rustun.protocol.tiers import Tier
from tests.simulation.conftest import MakeWorld
from tests.simulation.world import office


def test_two_members_with_keys_reach_each_other(make_world: MakeWorld) -> None:
    """If this fails, nobody can use the tier that keeps the promises."""
    world = make_world(office(2), tier=Tier.KEY)
    first, second = world.online("m0", "m1")
    assert world.session("m0").tier is Tier.KEY
    packet = udp_packet("10.0.1.1", "10.0.1.2", (1, 2), b"hello")
    first.send(packet)
    world.run()
    assert packet in second.packets
