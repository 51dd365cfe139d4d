"""What a relay that runs for months must not keep, and what it must not do after it stood still."""

from __future__ import annotations

import gc
from collections.abc import Callable

import pytest

from netlab.worlds.ip_packets import udp_packet
from tests.simulation.conftest import MakeWorld
from tests.simulation.peers import NoisePeer, RawPeer
from tests.simulation.seed_peer import SeedClient
from tests.simulation.world import KEY, World, office

LEGACY = {"minimum_tier": "legacy"}


def seed_session(world: World) -> None:
    seed = SeedClient(world, "m0", world.method, KEY)
    seed.shake_hands()
    seed.close()


def noise_session(world: World) -> None:
    peer = NoisePeer(world, "m0")
    peer.send_packets(udp_packet("10.0.1.1", "10.0.1.2", (1, 2), b"to somebody"))
    peer.close()


def half_a_handshake(world: World) -> None:
    peer = NoisePeer(world, "m0", connected=False)
    peer.shake_hands()
    peer.close()


def garbage(world: World) -> None:
    RawPeer(world).send(b"GET / HTTP/1.1\r\n\r\n")


@pytest.mark.parametrize("visit", [seed_session, noise_session, half_a_handshake, garbage])
def test_a_connection_that_ended_is_gone_at_once(make_world: MakeWorld, visit: Callable[[World], None]) -> None:
    """If this fails, each connection leaves memory to the cycle collector, which comes by once in 50,000 objects."""
    world = make_world(office(2), security=LEGACY)
    (other,) = world.online("m1")
    kinds = ("NoiseSession", "SeedSession", "PendingConnection", "Outbox", "LinuxStream")
    gc.collect()
    gc.disable()
    try:
        before = sum(type(thing).__name__ in kinds for thing in gc.get_objects())
        for _ in range(3):
            visit(world)
            world.run(1.0)
            other.send(udp_packet("10.0.1.2", "10.0.1.1", (2, 1), b"the relay's memory of the sender before is gone"))
            world.run(1.0)
        left = sum(type(thing).__name__ in kinds for thing in gc.get_objects())
    finally:
        gc.enable()
    assert left == before


def test_who_is_no_member_any_more_is_forgotten(make_world: MakeWorld) -> None:
    """If this fails, a control plane that gives every device a new identity fills the relay's memory."""
    world = make_world(office(2), security=LEGACY)
    for _ in range(2):
        SeedClient(world, "m0", world.method, KEY).shake_hands()
    world.write_routes(office(2)[1:])
    world.run(1.0)
    assert not world.core.sessions
    assert not world.core.last_seen
    assert not world.core.takeover._recent


def test_members_outlive_a_relay_that_stood_still(make_world: MakeWorld) -> None:
    """If this fails, a relay that was stopped for half a minute throws out everybody whose bytes wait in its kernel."""
    world = make_world(office(3))
    hosts = world.online("m0", "m1", "m2")
    world.reactor._now += 30.0  # less than the keys live, and than the clients' own patience
    world.run(20.0)
    assert [host.client.reconnects for host in hosts] == [0, 0, 0]
    world.network.faults.cut.update(host.network.address for host in hosts)
    world.run(27.0)
    assert world.core.closes == {"silent": 3}, "put off once, not for ever"


def test_a_silent_member_is_found_between_two_pauses(make_world: MakeWorld) -> None:
    """If this fails, a relay that is always late never looks for members that are gone."""
    world = make_world(office(1))
    (host,) = world.online("m0")
    world.faults.cut.add(host.network.address)
    for _ in range(20):
        world.reactor._now += 2.0
        world.run(0.01)
    assert "m0" not in world.present
