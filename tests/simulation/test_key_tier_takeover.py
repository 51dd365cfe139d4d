"""One identity, several connections with its key: who has the place in the key tier (row 24)."""

from __future__ import annotations

import pytest

from netlab.worlds.ip_packets import udp_packet
from rustun.config.client import load_client_config
from rustun.protocol.control import Goodbye, Ping, Pong, encode
from rustun.protocol.tiers import Tier
from tests.simulation.conftest import MakeWorld
from tests.simulation.middleman import ADDRESS, Middleman
from tests.simulation.peers import NoisePeer, hello
from tests.simulation.picture import picture
from tests.simulation.world import World, office

THERE = udp_packet("10.0.1.2", "10.0.1.1", (1, 2), b"for whoever is m0")
SUPERSEDED = Goodbye("superseded", "another session took this member's place")


def greeted(world: World, identity: str = "m0") -> NoisePeer:
    """Return a peer that was welcomed and has not proved its keys yet."""
    peer = NoisePeer(world, hello(identity, keepalive_s=60), connected=False)
    peer.shake_hands()
    return peer


def test_row_24_the_newest_proof_wins(make_world: MakeWorld) -> None:
    """Row 24. If this fails, a host that lost its connection waits for its own old session to die."""
    world = make_world(office(2), tier=Tier.KEY)
    first, other = world.online("m0", "m1")
    second = world.host("m0")
    world.run(0.1)
    assert world.core.closes == {"superseded": 1}
    other.send(THERE)
    world.run()
    assert (first.packets, second.packets) == ([], [THERE])
    assert "took this member's place" in first.client.last_error
    assert first.client.next_try_at is not None
    assert 50.0 < first.client.next_try_at - world.reactor.now() <= 60.0, "told, so it waits a minute"
    assert len(world.core.sessions) == 2
    assert other.client.reconnects == 0


def test_row_24_what_waited_for_the_old_session_waits_for_the_new_one(make_world: MakeWorld) -> None:
    """Row 24. If this fails, a host that changes its network loses what was on its way."""
    world = make_world(office(2), tier=Tier.KEY)
    first, other = world.online("m0", "m1")
    world.faults.buffer_bytes = 2_000
    world.faults.cut.add(first.network.address)
    packets = [udp_packet("10.0.1.2", "10.0.1.1", (1, 2), bytes([number]) * 500) for number in range(20)]
    for packet in packets:
        other.send(packet)
        world.run(0.01)
    waiting = world.session("m0").queue.packets
    assert waiting > 10
    moved = world.host("m0")
    world.run(1.0)
    assert moved.packets == packets[-waiting:]


def test_row_24_who_has_not_proved_anything_takes_nothing(make_world: MakeWorld) -> None:
    """Row 24. If this fails, a recorded first message, which everybody on the path has, throws a member out."""
    world = make_world(office(2), tier=Tier.KEY)
    _, other = world.online("m0", "m1")
    before = picture(world)
    peers = [greeted(world) for _ in range(10)]
    other.send(THERE)
    world.run(1.0)
    assert world.hosts[0].packets == [THERE]
    assert not any(peer.ended for peer in peers)
    world.run(6.0)
    assert all(peer.ended for peer in peers)
    after = picture(world)
    assert after.clusters == before.clusters
    assert after.sessions.keys() == before.sessions.keys()
    assert after.alarms == []


def test_row_24_an_older_handshake_that_is_proved_late_is_closed(make_world: MakeWorld) -> None:
    """Row 24. If this fails, who holds a member's connection back puts the old one in the new one's place."""
    world = make_world(office(1), tier=Tier.KEY)
    late, quick = greeted(world), greeted(world)
    proof = late.codec.seal_control(b'{"type":"ping","id":0,"rtt_ms":null}')
    quick.say(Ping(0))
    session = world.session("m0")
    assert late.ended
    assert late.messages() == [SUPERSEDED]
    late.stream.send(proof)
    world.run(1.0)
    assert world.session("m0") is session
    assert not quick.ended
    assert world.core.closes == {"superseded": 1}


def test_row_24_a_newer_handshake_outlives_the_proof_of_an_older_one(make_world: MakeWorld) -> None:
    """Row 24. If this fails, a host that connects twice in a row may end up with neither connection."""
    world = make_world(office(1), tier=Tier.KEY)
    older, newer = greeted(world), greeted(world)
    older.say(Ping(0))
    assert Pong(0) in older.messages()
    assert not newer.ended
    newer.say(Ping(0))
    assert Pong(0) in newer.messages()
    assert older.ended
    assert SUPERSEDED in older.messages()
    assert len(world.core.sessions) == 1


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 0, 2), (1, 2, 0)])
def test_row_24_whatever_the_order_one_session_is_left(make_world: MakeWorld, order: tuple[int, ...]) -> None:
    """Row 24. If this fails, two sessions of one identity are up, or none; the latest to begin has to be there."""
    world = make_world(office(1), tier=Tier.KEY)
    peers = [greeted(world) for _ in range(3)]
    for number in order:
        if not peers[number].ended:
            peers[number].say(Ping(0))
    assert [bool(peer.ended) for peer in peers] == [True, True, False]
    assert len(world.core.sessions) == 1
    assert world.present == {"m0"}


def test_row_24_a_connection_held_back_on_the_path_takes_nothing_back(make_world: MakeWorld) -> None:
    """Row 24. If this fails, somebody on the path decides which of a member's two hosts has its place."""
    world = make_world(office(2), tier=Tier.KEY)
    man = Middleman(world)
    held: list[bytes] = []
    (other,) = world.online("m1")

    def hold_the_proof(frame: bytes) -> list[bytes]:
        if frame[5] != 0x15:
            return [frame]
        held.append(frame)
        return []

    man.to_server = hold_the_proof
    slow = world.host("m0", server=str(ADDRESS))
    world.run(0.5)
    put = man.outlet("to_server")
    quick = world.host("m0")
    world.run(0.5)
    assert len(held) == 1
    put(*held)
    world.run(0.5)
    other.send(THERE)
    world.run()
    assert (slow.packets, quick.packets) == ([], [THERE])
    assert quick.client.reconnects == 0


def test_row_24_two_hosts_that_swap_each_minute_raise_an_alarm(make_world: MakeWorld) -> None:
    """Row 24. If this fails, a stolen key is used beside its owner for ever, and nobody is told."""
    world = make_world(office(1), tier=Tier.KEY)
    hosts = [*world.online("m0"), world.host("m0")]
    world.run(50.0)
    assert world.status()["alarms"] == []
    world.run(130.0)
    alarms = world.status()["alarms"]
    assert isinstance(alarms, list)
    (alarm,) = alarms
    assert all(host.network.address in alarm for host in hosts)
    world.run(300.0)
    assert len(world.log.texts("two-hosts")) == 1
    hosts[1].client.stop("the thief goes", lambda: None)
    world.run(700.0)
    assert world.status()["alarms"] == []
    assert hosts[0].client.state == "online"


def test_row_24_one_host_that_connects_anew_raises_no_alarm(make_world: MakeWorld) -> None:
    """Row 24. If this fails, a host whose connection breaks often looks like two."""
    world = make_world(office(1), tier=Tier.KEY)
    (host,) = world.online("m0")
    path = world.folder / "client-m0.toml"
    host.client.settings.read = lambda: load_client_config(path)
    for number in range(10):
        host.client.reload()
        world.run(30.0)
        assert world.core.closes["superseded"] == number + 1
        assert world.status()["alarms"] == []


def test_row_24_takeovers_that_go_on_raise_an_alarm(make_world: MakeWorld) -> None:
    """Row 24. If this fails, nobody learns that two hosts use one key."""
    world = make_world(office(1), tier=Tier.KEY)
    for _ in range(5):
        NoisePeer(world, "m0")
    (alarm,) = world.core.takeover.alarms
    assert alarm.startswith("m0: 4 takeovers")
    assert len(world.core.sessions) == 1


@pytest.mark.parametrize("tier", [Tier.KEY, Tier.SHARED])
@pytest.mark.parametrize("living", [True, False])
def test_who_proves_its_keys_and_is_gone_takes_no_place(make_world: MakeWorld, tier: Tier, living: bool) -> None:
    """If this fails, a connection that is already dead throws out a living one, and its member is online for ever."""
    world = make_world(office(2), tier=tier)
    present = NoisePeer(world, "m0") if living else None
    gone = NoisePeer(world, "m0", connected=False)
    gone.shake_hands()
    world.reactor.unwatch(gone.stream)
    gone.stream.send(gone.codec.seal_control(encode(Ping(0))))
    gone.stream.reset()
    world.run(3.0)
    assert world.present == ({"m0"} if living else set())
    if present is not None:
        assert not present.ended
    assert world.core.clusters["beijing"].sessions.keys() == world.present
