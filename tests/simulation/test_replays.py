"""Somebody plays back what he has recorded: rows 9 and 10, and what row 13 says of a server's part."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest

from netlab.worlds.ip_packets import udp_packet
from rustun.protocol.frames import HEADER_BYTES
from rustun.protocol.handshake import MAX_REPLY_BYTES
from rustun.protocol.tiers import Tier
from tests.simulation.conftest import MakeWorld
from tests.simulation.middleman import ADDRESS, Middleman
from tests.simulation.peers import RawPeer
from tests.simulation.picture import Picture, picture
from tests.simulation.seed_peer import DATA, HANDSHAKE, SeedClient
from tests.simulation.world import KEY, SERVER, Host, World, office

TIERS = pytest.mark.parametrize("tier", [Tier.KEY, Tier.SHARED])
PACKET = udp_packet("10.0.1.1", "10.0.1.2", (1, 2), b"once")
REPLY = udp_packet("10.0.1.2", "10.0.1.1", (2, 1), b"still here")
NO_BUDGET = {
    "connections_per_second_per_source": 1_000_000,
    "handshakes_per_second_per_source": 1_000_000,
    "handshake_burst_per_source": 1_000_000,
}  # the budgets are the subject of other tests; here every replay is to be heard
SOURCES = 100
PENDING_S = 6.0  # after that no unproven connection is left


@dataclass
class Recording:
    """A world in which m0 has said PACKET to m1 through somebody who listened."""

    world: World
    man: Middleman
    host: Host
    other: Host

    @property
    def first(self) -> bytes:
        """The first message."""
        return self.man.from_client[0]

    @property
    def rest(self) -> bytes:
        """All records of the client."""
        return b"".join(self.man.from_client[1:])

    def picture(self) -> Picture:
        """Return everything but the strangers."""
        return replace(picture(self.world), strangers=0)


def record(make_world: MakeWorld, tier: Tier) -> Recording:
    """Let m0 say PACKET to m1, and somebody record it."""
    world = make_world(office(2), tier=tier, limits=NO_BUDGET)
    man = Middleman(world)
    (other,) = world.online("m1")
    (host,) = world.online("m0", server=str(ADDRESS))
    host.send(PACKET)
    world.run()
    assert other.packets == [PACKET]
    return Recording(world, man, host, other)


@pytest.mark.parametrize(("tier", "times"), [(Tier.KEY, 10_000), (Tier.KEY, 1), (Tier.SHARED, 1000)])
def test_row_9_a_replayed_first_message_changes_nothing(make_world: MakeWorld, tier: Tier, times: int) -> None:
    """Row 9. If this fails, who recorded a handshake throws the member out, takes its packets, or makes news."""
    recording = record(make_world, tier)
    world = recording.world
    before = recording.picture()
    attackers = [world.new_host() for _ in range(SOURCES)]
    for number in range(times):
        stream = attackers[number % SOURCES].connect(SERVER)
        world.run(0.003)
        assert stream.send(recording.first) == len(recording.first)
    world.run(0.01)
    now = recording.picture()
    assert (now.clusters, now.hosts, now.alarms, now.queued_bytes) == (
        before.clusters, before.hosts, before.alarms, before.queued_bytes
    ), "while the last of them are still open"  # fmt: skip
    world.run(PENDING_S)
    assert recording.picture() == before
    assert not len(world.server.acceptor.pending)
    assert set(world.core.closes) <= {"handshake-timeout", "crowded-out"}
    assert sum(world.core.closes.values()) == times, "every one was heard, and is gone"
    recording.other.send(REPLY)
    world.run()
    assert recording.host.packets == [REPLY]


@TIERS
@pytest.mark.parametrize("patient", [True, False])
@pytest.mark.parametrize("present", [True, False])
def test_row_10_a_recorded_session_does_not_play_again(
    make_world: MakeWorld, tier: Tier, patient: bool, present: bool
) -> None:
    """Row 10. If this fails, packets of an old session are delivered once more, or an old session takes a place."""
    recording = record(make_world, tier)
    world = recording.world
    if not present:
        recording.host.client.stop("off", lambda: None)
        world.run(2.0)
    before = recording.picture()
    peer = RawPeer(world)
    if patient:
        peer.send(recording.first)
        assert HEADER_BYTES < len(peer.received) <= HEADER_BYTES + MAX_REPLY_BYTES
        peer.send(recording.rest)
    else:  # bytes behind a first message are refused
        peer.send(recording.first + recording.rest)
        assert peer.received == b""
    assert peer.ended == "reset"
    world.run()
    assert recording.picture() == before
    assert recording.other.packets == [PACKET]


@TIERS
def test_row_9_a_recording_is_nothing_after_a_restart(make_world: MakeWorld, tier: Tier) -> None:
    """Row 9. If this fails, a server that forgot its sessions believes a recording."""
    recording = record(make_world, tier)
    world = recording.world
    recording.host.client.stop("off", lambda: None)
    world.run(1.0)
    world.stop_server()
    world.start_server()
    world.run_until_online("m1")
    world.run(2.0)
    before = recording.picture()
    for _ in range(10):
        peer = RawPeer(world)
        peer.send(recording.first)
        assert HEADER_BYTES < len(peer.received) <= HEADER_BYTES + MAX_REPLY_BYTES
        assert recording.picture().clusters == before.clusters
        peer.send(recording.rest)
        assert peer.ended
    assert recording.picture() == before
    assert recording.other.packets == [PACKET]


@TIERS
def test_row_9_a_recorded_answer_is_nothing_to_a_client(make_world: MakeWorld, tier: Tier) -> None:
    """Row 9. If this fails, who recorded a server's part plays the server, or ends a client."""
    recording = record(make_world, tier)
    world, man = recording.world, recording.man
    recorded, man.from_server = man.from_server, []
    recording.host.client.stop("off", lambda: None)
    man.to_server = lambda frame: []  # the server hears nothing: all that comes is the recording
    man.to_client = lambda frame: []
    before = recording.picture()
    host = world.host("m0", server=str(ADDRESS))
    for _ in range(5):
        world.reactor.run_until_true(lambda: host.client.state == "handshaking", 60.0)
        man.outlet("to_client")(*recorded)
        world.reactor.run_until_true(lambda: host.client.state == "waiting", 1.0)
        assert "this is no answer of a rustun server that has our key" in host.client.last_error
    assert host.failures == []
    assert recording.picture().sessions.keys() < before.sessions.keys()


@TIERS
def test_row_13_a_recorded_reply_of_the_seed_is_nothing_to_a_client(make_world: MakeWorld, tier: Tier) -> None:
    """Row 13. If this fails, a recording of the seed's wire draws a client down to it."""
    ours, theirs = office(2)
    world = make_world([ours, {**theirs, "tier": "legacy"}], tier=tier, security={"minimum_tier": "legacy"})
    seed = SeedClient(world, "m1", world.method, KEY)
    seed.send(HANDSHAKE, {"identity": "m1"})
    assert seed.frames
    recorded = seed.frame(4, seed.frames[0][1])  # the seed's frames are bound to nothing: this is as good as recorded
    man = Middleman(world)
    man.to_server = man.to_client = lambda frame: []
    host = world.host("m0", server=str(ADDRESS))
    world.reactor.run_until_true(lambda: host.client.state == "handshaking", 5.0)
    world.run(0.01)
    man.outlet("to_client")(recorded)
    world.run(0.01)
    assert "type 0x04 is not expected here" in host.client.last_error
    assert host.failures == []
    assert {frame[5] for frame in man.from_client} == {0x10 if tier is Tier.KEY else 0x12}


def test_row_9_a_replayed_handshake_of_the_seed_is_refused(make_world: MakeWorld) -> None:
    """Row 9. If this fails, who recorded a seed's handshake takes its place again and again."""
    world = make_world(office(2), security={"minimum_tier": "legacy"})
    seed = SeedClient(world, "m0", world.method, KEY)
    recorded = seed.frame(HANDSHAKE, b'{"identity":"m0"}')
    seed.stream.send(recorded)
    world.run()
    session = world.session("m0")
    peer = RawPeer(world)
    peer.send(recorded)
    assert peer.ended
    assert peer.received == b""
    assert world.session("m0") is session
    seed.send(DATA, PACKET)
    assert session.traffic.drops == {"offline": 1}
