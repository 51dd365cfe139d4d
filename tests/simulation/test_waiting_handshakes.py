"""First messages that wait for their turn in the whole relay: what ends the wait, and who does not have to."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import suppress
from itertools import count

import pytest

from netlab.worlds.ip_packets import udp_packet
from rustun.backends.memory import MemoryNetwork
from rustun.protocol.frames import encode_frame
from rustun.protocol.handshake import Initiator, Responder
from rustun.protocol.tiers import Tier
from rustun.relay.handshake_queue import HandshakeQueue
from rustun.relay.pending import PendingConnection
from tests.simulation.conftest import MakeWorld
from tests.simulation.peers import NoisePeer, RawPeer, credentials, hello
from tests.simulation.world import SERVER, World, office

HANDSHAKE_S = 0.0003
PACKET_S = 0.0005


@pytest.fixture
def exchanges(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """First messages that Diffie-Hellman was spent on."""
    spent: list[bytes] = []
    receive = Responder.receive

    def counted(self: Responder, frame: bytes) -> object:
        spent.append(frame)
        return receive(self, frame)

    monkeypatch.setattr(Responder, "receive", counted)
    return spent


def first_frame(world: World, identity: str = "m0") -> bytes:
    """Return an honest first frame of the key tier."""
    return Initiator(
        credentials(world, identity), hello(identity), world.random_bytes(32), world.random_bytes(12)
    ).first_frame


def forged_frame(world: World) -> bytes:
    """Return a first frame that opens its envelope and nothing else, as an ex-member can make it."""
    length = 200
    init_header = encode_frame(0x10, bytes(length))[:8]
    (key,) = world.core.policy.server_keys
    return init_header + key.envelope.seal(init_header, world.random_bytes(length - 28), world.random_bytes(12))


def hold(world: World, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Let handshakes wait; return what lets them go on."""
    with_turns = HandshakeQueue._plan_slice
    monkeypatch.setattr(HandshakeQueue, "_plan_slice", lambda queue: None)

    def release() -> None:
        monkeypatch.setattr(HandshakeQueue, "_plan_slice", with_turns)
        world.server.acceptor.queue._plan_slice()
        world.run()

    return release


@pytest.mark.parametrize("how", ["close", "reset", "talk"])
def test_who_does_not_wait_for_the_answer_costs_no_diffie_hellman(
    make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch, exchanges: list[bytes], how: str
) -> None:
    """If this fails, who connects, speaks and leaves costs the server as much as an honest client."""
    world = make_world(office(1), tier=Tier.KEY)
    release = hold(world, monkeypatch)
    peer = RawPeer(world)
    peer.send(first_frame(world))
    assert len(world.server.acceptor.queue) == 1
    peer.send(b"more") if how == "talk" else getattr(peer, how)()
    assert len(world.server.acceptor.queue) == len(world.server.acceptor.pending) == 0
    release()
    assert not exchanges
    assert not peer.received


def test_the_wait_is_part_of_the_five_seconds(
    make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch, exchanges: list[bytes]
) -> None:
    """If this fails, a crowd in front makes a stranger's time endless, and the queue with it."""
    world = make_world(office(1), tier=Tier.KEY)
    release = hold(world, monkeypatch)
    peer = RawPeer(world)
    peer.send(first_frame(world))
    world.run(6.0)
    assert peer.ended
    assert not len(world.server.acceptor.queue)
    release()
    assert world.core.closes == {"handshake-timeout": 1}
    assert not exchanges


def test_the_queue_is_no_longer_than_the_pool(
    make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch, exchanges: list[bytes]
) -> None:
    """If this fails, whole first frames fill the memory while they wait."""
    world = make_world(office(1), tier=Tier.KEY, limits={"pending_connections": 20})
    release = hold(world, monkeypatch)
    for _ in range(50):
        RawPeer(world).send(forged_frame(world))
    assert len(world.server.acceptor.queue) == 20
    assert world.core.closes == {"crowded-out": 30}
    release()
    assert len(exchanges) == 20
    world.online("m0")


def test_a_server_key_that_is_dropped_meanwhile_answers_nobody(
    make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch, exchanges: list[bytes]
) -> None:
    """If this fails, a session begins with a key that is not in force any more."""
    world = make_world(office(1), tier=Tier.KEY)
    release = hold(world, monkeypatch)
    peer = RawPeer(world)
    peer.send(first_frame(world))
    world.write_config(server_ages=("new",))
    world.server.reload()
    world.run()
    release()
    assert peer.ended
    assert not peer.received
    assert not exchanges


def test_a_member_that_is_removed_meanwhile_is_refused(make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """If this fails, a removal has to wait for the handshakes that began before it."""
    world = make_world(office(2), tier=Tier.KEY)
    release = hold(world, monkeypatch)
    peer = RawPeer(world)
    peer.send(first_frame(world))
    world.write_routes([])
    world.server.reload()
    world.run(0.5)
    release()
    assert peer.ended
    assert not world.core.sessions
    assert world.core.closes == {"refused": 1}


def make_work_cost_time(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a handshake and a session's turn, which is one packet here, take time as on a real host."""
    shake_hands = PendingConnection.shake_hands

    def slow(pending: PendingConnection) -> None:
        world.reactor.suspend(HANDSHAKE_S)
        shake_hands(pending)

    monkeypatch.setattr(world.server.acceptor.queue, "_serve", slow)
    begin = world.core.switch.begin

    def slow_turn(*arguments: object) -> None:
        world.reactor.suspend(PACKET_S)
        begin(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(world.core.switch, "begin", slow_turn)


def flood(world: World) -> Callable[[], None]:
    """Let forged handshakes come from 500 sources, a thousand a second, until what is returned is called."""
    forged = forged_frame(world)
    networks = [world.network.host(f"203.0.{number >> 8}.{number & 255}") for number in range(500)]
    rng = random.Random(1)
    began, numbers = world.reactor.now(), count(1)
    going_on = [True]

    def one_more() -> None:
        if going_on:
            peer = Stranger(world, rng.choice(networks), forged)
            world.reactor.watch(peer.stream, None, peer.speak)
            world.reactor.call_at(began + next(numbers) / 1000, one_more)

    one_more()
    return going_on.clear


class Stranger:
    """A stranger that says one frame as soon as its connection stands."""

    def __init__(self, world: World, network: MemoryNetwork, frame: bytes) -> None:
        self.stream = network.connect(SERVER)
        self._reactor = world.reactor
        self._frame = frame

    def speak(self) -> None:
        """Say it, and do not care what comes back."""
        self._reactor.unwatch(self.stream)
        with suppress(ConnectionError):
            self.stream.send(self._frame)


def test_a_flood_of_handshakes_stops_neither_transfer_nor_newcomer(
    make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If this fails, ex-members at 500 addresses slow every member down and keep honest newcomers out."""
    world = make_world(office(3), tier=Tier.KEY, queues={"turn_packets": 1})
    sender, receiver = world.online("m0", "m1")
    make_work_cost_time(world, monkeypatch)
    packet = udp_packet("10.0.1.1", "10.0.1.2", (1, 2), bytes(100))
    sent = 0

    def packets_per_second(seconds: float) -> float:
        nonlocal sent
        began, before = world.reactor.now(), len(receiver.packets)
        while world.reactor.now() < began + seconds:
            while sent < len(receiver.packets) + 50:  # as TCP does: so much is always under way
                sender.send(packet)
                sent += 1
            world.run(0.001)
        return (len(receiver.packets) - before) / (world.reactor.now() - began)

    quiet = packets_per_second(2.0)
    assert quiet > 0.9 / PACKET_S, "the relay is not busy"
    stop = flood(world)
    packets_per_second(1.0)  # by then each of them is known
    assert packets_per_second(3.0) >= 0.9 * quiet
    assert world.core.closes["handshake-failed"] > 500, "the flood is not what it should be"
    began = world.reactor.now()
    newcomer = NoisePeer(world, "m2", connected=False)
    newcomer.confirm()
    assert "m2" in world.present
    assert world.reactor.now() - began < 1.0
    stop()
