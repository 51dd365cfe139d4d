"""A client whose network changes under it: rows 32 and 33, and connections that somebody on the path forgets."""

from __future__ import annotations

import pytest

from netlab.worlds.ip_packets import udp_packet
from rustun.client.path_watch import LEAST_PROBE_SECONDS
from rustun.protocol.tiers import Tier
from tests.simulation.conftest import MakeWorld
from tests.simulation.world import SERVER, Host, World, entry, office

PROMISE_S = 1.0  # key tier: traffic flows again within this after the new path works
STALL_LIMIT_S = 5.0  # a standstill is noticed within about three, and left
ELSEWHERE = "198.18.77.7"


def flows_after(world: World, first: Host, second: Host, limit_s: float) -> float:
    """Send a packet each way every 10 ms until both arrive; return how long that took."""
    began = world.reactor.now()
    there, back = len(second.packets), len(first.packets)
    number = 0
    while len(second.packets) == there or len(first.packets) == back:
        assert world.reactor.now() - began < limit_s, (first.status(), first.log.events[-5:])
        number += 1
        first.send(udp_packet("10.0.1.1", "10.0.1.2", (1, 2), number.to_bytes(4, "big")))
        second.send(udp_packet("10.0.1.2", "10.0.1.1", (2, 1), number.to_bytes(4, "big")))
        world.run(0.01)
    return world.reactor.now() - began


@pytest.mark.parametrize(("tier", "limit_s"), [(Tier.KEY, 0.2), (Tier.SHARED, 1.5)])
def test_a_host_that_changed_its_address_is_back_at_once(make_world: MakeWorld, tier: Tier, limit_s: float) -> None:
    """Row 32. If this fails, who walks from one network into another waits, although the host knows."""
    world = make_world(office(2), tier=tier)
    first, second = world.online("m0", "m1")
    world.run(10.0)
    first.move(ELSEWHERE)
    assert flows_after(world, first, second, limit_s) < limit_s
    assert first.client.reconnects == 1
    assert second.client.reconnects == 0
    assert world.session("m0").stream.remote.host == ELSEWHERE


def test_a_path_that_died_is_left_within_a_second(make_world: MakeWorld) -> None:
    """Row 32. If this fails, a host whose default route moved to another interface hangs on its old connection."""
    world = make_world(office(2), tier=Tier.KEY)
    first, second = world.online("m0", "m1")
    world.run(10.0)
    old = first.network.address
    world.faults.cut.add(old)
    first.network.address = ELSEWHERE  # the old address is still there, and leads nowhere
    first.monitor.change()
    assert LEAST_PROBE_SECONDS < flows_after(world, first, second, PROMISE_S) < PROMISE_S
    world.run(1.0)
    world.network.mend(old)
    world.run(30.0)
    assert first.client.reconnects == 1
    assert len(world.core.sessions) == 2


def test_a_network_that_comes_back_is_used_at_once(make_world: MakeWorld) -> None:
    """Row 32. If this fails, a laptop that was offline for an hour waits half a minute more when it is back."""
    world = make_world(office(2), tier=Tier.KEY)
    first, second = world.online("m0", "m1")
    world.faults.cut.add(first.network.address)
    world.run(3600.0)
    assert first.client.session is None
    world.faults.cut.clear()
    first.move(ELSEWHERE)
    assert flows_after(world, first, second, PROMISE_S) < PROMISE_S


def test_a_session_that_answers_stays_whatever_changes(make_world: MakeWorld) -> None:
    """If this fails, each container that starts on a host costs its tunnel the session."""
    world = make_world(office(2), tier=Tier.KEY)
    world.faults.latency_s = 0.1
    first, second = world.online("m0", "m1")
    session = first.client.session
    for _ in range(200):
        first.monitor.change()
        world.run(0.2)
    assert first.client.session is session
    assert not world.core.closes
    world.run(30.0)
    assert second.client.reconnects == first.client.reconnects == 0
    assert len(world.log.texts("session-up")) == 2, "no connection was opened beside"


def test_a_slow_answer_keeps_the_session(make_world: MakeWorld) -> None:
    """If this fails, a path with long queues loses a session that works, at each change of the host's network."""
    world = make_world(office(2), tier=Tier.KEY)
    first, _ = world.online("m0", "m1")
    world.run(10.0)
    session = first.client.session
    world.faults.latency_s = 0.4  # an answer takes longer than a probe waits, and a new session takes longer still
    first.monitor.change()
    world.run(10.0)
    assert first.client.session is session
    assert first.client.reconnects == 0
    assert len(first.log.texts("path-doubt")) == 1
    assert len(world.log.texts("session-up")) == 2


def test_a_host_that_slept_an_hour_is_back_at_once(make_world: MakeWorld) -> None:
    """Row 33. If this fails, a laptop that wakes up shows a session whose keys are dead."""
    world = make_world(office(2), tier=Tier.KEY)
    first, second = world.online("m0", "m1")
    world.faults.cut.add(first.network.address)
    world.run(3600.0)
    world.reactor.suspend(3600.0)
    world.network.mend(first.network.address)
    first.monitor.change()
    assert flows_after(world, first, second, PROMISE_S) < PROMISE_S


@pytest.mark.parametrize("tier", [Tier.KEY, Tier.SHARED])
@pytest.mark.parametrize("asks", ["at its next look", "for its network has changed"])
def test_no_question_is_asked_with_keys_that_are_too_old(make_world: MakeWorld, tier: Tier, asks: str) -> None:
    """Row 33. If this fails, a host that slept uses keys beyond the life that was promised for them."""
    world = make_world(office(1), tier=tier)
    (host,) = world.online("m0")
    world.run(10.5)
    session = host.client.session
    assert session is not None
    before = session.stream.path()
    world.reactor.suspend(181.0)
    if asks == "for its network has changed":
        host.client.network_changed()
    world.run(0.0005)  # nothing of a next session is on its way yet
    assert session.closed
    assert session.stream.path() == before


@pytest.mark.parametrize("tier", [Tier.KEY, Tier.SHARED])
def test_a_connection_that_a_router_forgot_is_left(make_world: MakeWorld, tier: Tier) -> None:
    """If this fails, a NAT box with a short memory takes a client off the air for its whole silence limit."""
    world = make_world(office(2), tier=tier)
    first, second = world.online("m0", "m1")
    world.run(10.0)
    first.network.move(ELSEWHERE)  # nobody tells the host: its packets have another source now
    assert flows_after(world, first, second, STALL_LIMIT_S) < STALL_LIMIT_S


def test_a_small_packet_that_is_lost_does_not_make_a_path_narrow(make_world: MakeWorld) -> None:
    """If this fails, an idle connection that a NAT box forgets costs an hour of throughput each time."""
    world = make_world(office(2), tier=Tier.KEY)
    first, second = world.online("m0", "m1")
    world.run(10.0)
    first.network.move(ELSEWHERE)
    first.send(udp_packet("10.0.1.1", "10.0.1.2", (1, 2), bytes(1000)))
    world.run(STALL_LIMIT_S)
    assert flows_after(world, first, second, 0.1) < 0.1
    assert first.log.texts("path-doubt")
    assert first.log.texts("narrow-path") == []


@pytest.mark.parametrize("tier", [Tier.KEY, Tier.SHARED])
def test_a_short_outage_ends_no_session(make_world: MakeWorld, tier: Tier) -> None:
    """If this fails, two seconds without a network cost packets that TCP would have brought."""
    world = make_world(office(2), tier=tier)
    first, second = world.online("m0", "m1")
    world.run(10.0)
    session = first.client.session
    packet = udp_packet("10.0.1.1", "10.0.1.2", (1, 2), b"late")
    world.faults.cut.add(SERVER.host)
    first.send(packet)
    world.run(2.0)
    world.network.mend(SERVER.host)
    world.run(10.0)
    assert first.client.session is session
    assert second.packets == [packet]


@pytest.mark.parametrize("tier", [Tier.KEY, Tier.SHARED])
def test_a_longer_outage_is_over_when_the_path_is_back(make_world: MakeWorld, tier: Tier) -> None:
    """If this fails, a client waits for a kernel that repeats its packets more and more rarely."""
    world = make_world(office(2), tier=tier)
    first, second = world.online("m0", "m1")
    world.run(10.0)
    world.faults.cut.add(SERVER.host)
    world.run(40.0)
    assert first.client.session is not None, "it might still recover"
    world.network.mend(SERVER.host)
    assert flows_after(world, first, second, PROMISE_S) < PROMISE_S


def test_waits_that_a_server_asked_for_are_not_cut_short(make_world: MakeWorld) -> None:
    """If this fails, two hosts with one key throw each other out as often as their networks change."""
    world = make_world(office(1), tier=Tier.KEY)
    (first,) = world.online("m0")
    second = world.host("m0")
    world.run(1.0)
    assert second.client.session is not None
    assert first.client.session is None
    for _ in range(50):
        first.monitor.change()
        world.run(1.0)
    assert second.client.reconnects == 0


def test_a_refused_client_does_not_ask_at_each_change(make_world: MakeWorld) -> None:
    """If this fails, a flapping interface of a disabled member floods the server with handshakes."""
    world = make_world(office(1))
    (host,) = world.online("m0")
    world.write_routes([entry("m0", "10.0.1.1", enabled=False)])
    world.run(3.0)
    refused = world.core.closes["refused"]
    for _ in range(100):
        host.monitor.change()
        world.run(0.2)
    assert world.core.closes["refused"] == refused


def test_a_host_without_any_network_does_not_spin(make_world: MakeWorld) -> None:
    """If this fails, a cable with a loose contact fills the log and takes the processor."""
    world = make_world(office(1), tier=Tier.KEY)
    (host,) = world.online("m0")
    world.faults.cut.add(host.network.address)
    for _ in range(100):
        host.monitor.change()
        world.run(0.2)
    world.run(100.0)
    assert len(host.log.texts("path-doubt")) == 1
    assert host.client.session is None
    assert len(host.log.texts("not-changed-over") + host.log.texts("not-connected")) < 20
