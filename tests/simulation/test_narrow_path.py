"""A path that swallows full segments without telling anybody: noticed, gone around, remembered, and tried again."""

from __future__ import annotations

import pytest

from netlab.worlds.ip_packets import udp_packet
from rustun.client.narrow_paths import REMEMBERED_SECONDS
from rustun.protocol.tiers import Tier
from tests.simulation.conftest import MakeWorld
from tests.simulation.world import SERVER, Host, World, office

NOTICED_S = 5.0  # about three; and on the shared tier one for the session that stands still to answer
BULK = [udp_packet("10.0.1.1", "10.0.1.2", (1, number), bytes(1400)) for number in range(1, 50)]
BULK_BACK = [udp_packet("10.0.1.2", "10.0.1.1", (1, number), bytes(1400)) for number in range(1, 50)]
TIERS = pytest.mark.parametrize("tier", [Tier.KEY, Tier.SHARED])


def in_a_narrow_place(world: World) -> tuple[Host, Host]:
    """Bring m0 online behind a narrow path, and m1 elsewhere; let them rest for a while."""
    first, second = world.online("m0", "m1")
    world.faults.narrow.add(first.network.address)
    world.run(15.0)
    assert first.log.texts("path-doubt") == []
    return first, second


def sends_small(host: Host) -> bool:
    """Tell whether the session of a host has small segments."""
    assert host.client.session is not None
    path = host.client.session.stream.path()
    assert path is not None
    return path.segment_bytes <= 1220


@TIERS
@pytest.mark.parametrize("upwards", [True, False])
def test_bulk_gets_through_a_narrow_path(make_world: MakeWorld, tier: Tier, upwards: bool) -> None:
    """If this fails, who is behind a tunnel or PPPoE of his own can log in, and not copy a file."""
    world = make_world(office(2), tier=tier)
    first, second = in_a_narrow_place(world)
    sender, receiver, bulk = (first, second, BULK) if upwards else (second, first, BULK_BACK)
    if not upwards:
        first.send(udp_packet("10.0.1.1", "10.0.1.2", (1, 2), b"send me the file"))
    sender.send(*bulk)
    world.run(NOTICED_S)
    assert sends_small(first)
    assert not sends_small(second)
    assert len(first.log.texts("narrow-path")) == 1
    receiver.tun.received.clear()
    sender.send(*bulk)
    world.run()
    assert receiver.packets == bulk
    assert first.client.reconnects == 1


def test_a_cluster_that_is_told_in_large_pages_is_noticed_at_once(make_world: MakeWorld) -> None:
    """If this fails, a client of a large cluster behind a narrow path knows nobody for as long as it is quiet."""
    world = make_world(office(60), tier=Tier.KEY)
    host = world.host("m0")
    world.faults.narrow.add(host.network.address)
    world.run(6.0)
    assert sends_small(host)
    assert len(host.client.peers.entries) == 59


def test_what_was_learnt_holds_for_an_hour(make_world: MakeWorld) -> None:
    """If this fails, each reconnect stands still for seconds, or a path that was mended stays slow for ever."""
    world = make_world(office(2), tier=Tier.KEY)
    first, _ = in_a_narrow_place(world)
    first.send(*BULK)
    world.run(NOTICED_S)
    world.run(REMEMBERED_SECONDS / 2)
    first.client.reload()
    world.run(5.0)
    assert sends_small(first)
    world.run(REMEMBERED_SECONDS / 2)
    first.client.reload()
    world.run(5.0)
    assert not sends_small(first)


def test_another_network_gets_another_chance(make_world: MakeWorld) -> None:
    """If this fails, a laptop that was on a narrow path once is slow wherever it goes."""
    world = make_world(office(2), tier=Tier.KEY)
    first, _ = in_a_narrow_place(world)
    first.send(*BULK)
    world.run(NOTICED_S)
    assert sends_small(first)
    first.move("198.18.77.7")
    world.run(1.0)
    assert not sends_small(first)


@TIERS
def test_a_dead_path_is_not_a_narrow_one(make_world: MakeWorld, tier: Tier) -> None:
    """If this fails, each outage in the middle of a transfer costs an hour of throughput."""
    world = make_world(office(2), tier=tier)
    first, _ = world.online("m0", "m1")
    world.run(10.0)
    world.faults.cut.add(SERVER.host)
    first.send(*BULK)
    world.run(100.0)
    assert first.log.texts("path-doubt")
    world.network.mend(SERVER.host)
    world.run(40.0)
    assert first.client.session is not None
    assert not sends_small(first)
    assert first.log.texts("narrow-path") == []


def after_bulk(world: World, *, upwards: bool) -> tuple[Host, Host]:
    """Bring m0 and m1 online, and have a file carried one way."""
    first, second = world.online("m0", "m1")
    sender, receiver, bulk = (first, second, BULK) if upwards else (second, first, BULK_BACK)
    sender.send(*bulk)
    world.run(2.5)
    assert receiver.packets == bulk
    return first, second


def forget(host: Host) -> None:
    """Do what a NAT box does that forgets a connection: nothing that is sent on it gets anywhere."""
    assert host.client.session is not None
    host.client.session.stream._lost = True  # type: ignore[attr-defined]


@TIERS
@pytest.mark.parametrize("upwards", [True, False])
def test_a_path_that_carried_a_file_was_cut_off(make_world: MakeWorld, tier: Tier, upwards: bool) -> None:
    """If this fails, five seconds without a network in the middle of a transfer cost an hour of throughput."""
    world = make_world(office(2), tier=tier)
    first, _ = after_bulk(world, upwards=upwards)
    world.faults.cut.add(first.network.address)
    forget(first)
    first.send(*BULK)
    world.run(5.0)
    assert first.log.texts("path-doubt")
    world.network.mend(first.network.address)
    world.run(10.0)
    assert first.client.reconnects == 1
    assert not sends_small(first)
    assert first.log.texts("narrow-path") == []


@TIERS
def test_a_connection_that_was_forgotten_carried_a_file(make_world: MakeWorld, tier: Tier) -> None:
    """If this fails, a NAT box that forgets a connection costs an hour of throughput."""
    world = make_world(office(2), tier=tier)
    first, second = after_bulk(world, upwards=False)
    forget(first)
    first.send(*BULK)
    world.run(NOTICED_S)
    assert first.client.reconnects == 1
    assert not sends_small(first)
    second.tun.received.clear()
    first.send(*BULK)
    world.run()
    assert second.packets == BULK


@TIERS
@pytest.mark.parametrize("upwards", [True, False])
def test_a_path_that_becomes_narrow_is_found(make_world: MakeWorld, tier: Tier, upwards: bool) -> None:
    """If this fails, a host whose traffic takes another way one day can copy no file until it is restarted."""
    world = make_world(office(2), tier=tier)
    first, second = after_bulk(world, upwards=upwards)
    world.faults.narrow.add(first.network.address)
    sender, receiver, bulk = (first, second, BULK) if upwards else (second, first, BULK_BACK)
    for small in (False, True):
        world.run(3.0)  # what was asked at the start has been answered
        first.send(udp_packet("10.0.1.1", "10.0.1.2", (1, 2), b"send me the file"))
        sender.send(*bulk)
        world.run(NOTICED_S)
        assert sends_small(first) is small
    receiver.tun.received.clear()
    sender.send(*bulk)
    world.run()
    assert receiver.packets == bulk
    assert first.client.reconnects == 2


def test_a_path_that_no_segments_pass_is_not_hammered(make_world: MakeWorld) -> None:
    """If this fails, a path that takes connections and no data makes a client connect without end."""
    world = make_world(office(2), tier=Tier.KEY)
    first, _ = in_a_narrow_place(world)
    before = len(world.log.texts("session-up"))
    for _ in range(60):
        first.send(*BULK[:2])
        forget(first)
        world.run(5.0)
    assert len(world.log.texts("session-up")) - before <= 60
