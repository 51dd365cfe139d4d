"""Strangers at the port: rows 1 to 7 of the faults, before anybody proved anything.

The rows are those of docs/security.md. What is expected of all: the connection is closed without a byte, it is counted,
and a member that comes at the same time gets in.
"""

from __future__ import annotations

import errno
import struct

import pytest

from netlab.worlds.ip_packets import udp_packet
from rustun.protocol.control import Ping, Pong, encode
from rustun.protocol.frames import HEADER_BYTES, MAGIC, FrameType, encode_frame
from rustun.protocol.handshake import Initiator
from rustun.protocol.suites import SHARED, Credentials
from tests.simulation.conftest import MakeWorld
from tests.simulation.peers import NoisePeer, RawPeer, hello, item
from tests.simulation.seed_peer import DATA, SeedClient
from tests.simulation.stretched import stretched
from tests.simulation.world import KEY, World, office

LEGACY = {"minimum_tier": "legacy"}
HANDSHAKE_LIMIT_S = 5.0
SWEEP_S = 0.5
FOREIGN = {
    "wrong magic": bytes.fromhex("9192939501120030"),
    "version 0": bytes.fromhex("9192939400120030"),
    "version 2": bytes.fromhex("9192939402120030"),
    "version 255": bytes.fromhex("91929394ff120030"),
    "HTTP": b"GET / HTTP/1.1\r\nHost: relay\r\n\r\n",
    "TLS": bytes.fromhex("16030100c8010000c40303"),
    "SSH": b"SSH-2.0-OpenSSH_9.9\r\n",
}


def first_message(world: World, identity: str = "m0", key: str = KEY) -> bytes:
    """Return an honest first frame of the shared tier."""
    return Initiator(Credentials(SHARED, stretched(key)), hello(identity), world.random_bytes(32)).first_frame


def assert_closed_without_a_byte(peer: RawPeer) -> None:
    assert peer.ended
    assert peer.received == b""


@pytest.mark.parametrize("data", FOREIGN.values(), ids=FOREIGN.keys())
def test_row_1_what_is_no_frame_is_closed_at_8_bytes(make_world: MakeWorld, data: bytes) -> None:
    """Row 1. If this fails, a scanner learns something, or holds a connection that nobody needs."""
    world = make_world(office(1), security=LEGACY)
    peer = RawPeer(world)
    peer.send(data[:7])
    assert not peer.ended
    peer.send(data[7:8])
    assert_closed_without_a_byte(peer)
    assert world.core.closes == {"handshake-failed": 1}
    world.online("m0")


def test_row_2_an_unknown_type_first_is_closed_at_its_header(make_world: MakeWorld) -> None:
    """Row 2. If this fails, frames of a session, of a tier not served here, or of nobody open a connection."""
    world = make_world(office(1), security=LEGACY)
    for frame_type in set(range(256)) - {FrameType.SEED_HANDSHAKE, FrameType.SHARED_INIT}:
        peer = RawPeer(world)
        peer.send(struct.pack("!IBBH", MAGIC, 1, frame_type, 64))
        assert_closed_without_a_byte(peer)


@pytest.mark.parametrize("frame_type", [0x00, 0x01, 0x02, 0x03, 0x12, 0x13, 0x16, 0x18, 0xFF])
def test_row_2_an_unknown_type_in_a_session_ends_it(make_world: MakeWorld, frame_type: int) -> None:
    """Row 2. If this fails, a session can be made to speak another tier's frames."""
    world = make_world(office(1))
    peer = NoisePeer(world, "m0")
    peer.send(encode_frame(frame_type, bytes(64)))
    assert peer.ended
    assert world.core.closes == {"protocol-error": 1}


@pytest.mark.parametrize("frame_type", [FrameType.SEED_HANDSHAKE, FrameType.SHARED_INIT])
def test_row_3_a_length_over_the_limit_is_refused_at_the_header(make_world: MakeWorld, frame_type: int) -> None:
    """Row 3. If this fails, a stranger makes the server wait for and hold 64 KiB."""
    world = make_world(office(1), security=LEGACY)
    for length in (513, 65535):
        peer = RawPeer(world)
        peer.send(struct.pack("!IBBH", MAGIC, 1, frame_type, length))
        assert_closed_without_a_byte(peer)


@pytest.mark.parametrize("frame_type", [FrameType.SEED_HANDSHAKE, FrameType.SHARED_INIT])
def test_row_3_payloads_too_short_to_be_anything(make_world: MakeWorld, frame_type: int) -> None:
    """Row 3. If this fails, a payload shorter than nonce, key or tag is read beyond its end."""
    world = make_world(office(1), security=LEGACY)
    for length in (0, 1, 12, 15, 16, 27, 28, 47, 48, 512):
        peer = RawPeer(world)
        peer.send(encode_frame(frame_type, bytes(length)))
        assert_closed_without_a_byte(peer)


@pytest.mark.parametrize("length", [0, 1, 15, 16])
@pytest.mark.parametrize("frame_type", [FrameType.DATA, FrameType.CONTROL])
def test_row_3_records_shorter_than_their_tag(make_world: MakeWorld, frame_type: int, length: int) -> None:
    """Row 3. If this fails, a member crashes the relay with an empty record."""
    world = make_world(office(1))
    peer = NoisePeer(world, "m0")
    peer.send(encode_frame(frame_type, bytes(length)))
    assert peer.ended
    assert world.core.closes == {"protocol-error": 1}


@pytest.mark.parametrize("how", ["end", "reset"])
def test_row_4_a_first_frame_cut_anywhere_is_nothing(make_world: MakeWorld, how: str) -> None:
    """Row 4. If this fails, part of a handshake is taken for a whole one, or leaves something behind."""
    world = make_world(office(1))
    frame = first_message(world)
    for length in range(0, len(frame), 7):
        peer = RawPeer(world)
        peer.send(frame[:length])
        peer.close() if how == "end" else peer.reset()
        assert peer.received == b""
    assert not len(world.server.acceptor.pending)
    assert set(world.core.closes) == {"end-of-stream" if how == "end" else "connection-lost"}


@pytest.mark.parametrize("how", ["end", "reset"])
def test_row_4_a_record_cut_anywhere_delivers_nothing_of_it(make_world: MakeWorld, how: str) -> None:
    """Row 4. If this fails, half a record is delivered."""
    world = make_world(office(2))
    (receiver,) = world.online("m1")
    packet = udp_packet("10.0.1.1", "10.0.1.2", (1, 2), b"half of it")
    for cut in (1, HEADER_BYTES, HEADER_BYTES + 1, 40, -1):
        peer = NoisePeer(world, "m0")
        peer.send_packets(packet)
        peer.send(peer.data(item(packet))[:cut])
        peer.close() if how == "end" else peer.reset()
        world.run(1.5)
        assert "m0" not in world.present
    assert receiver.packets == [packet] * 5


def test_row_5_five_seconds_in_all_whatever_is_sent(make_world: MakeWorld) -> None:
    """Row 5. If this fails, a byte a second keeps a connection for ever."""
    world = make_world(office(1))
    silent, slow = RawPeer(world), RawPeer(world)
    frame = first_message(world)
    for second in range(4):
        slow.send(frame[second : second + 1])
        world.run(1.0)
    assert not silent.ended and not slow.ended
    world.run(HANDSHAKE_LIMIT_S - 4.0 + 2 * SWEEP_S)
    assert_closed_without_a_byte(silent)
    assert_closed_without_a_byte(slow)
    assert world.core.closes == {"handshake-timeout": 2}


def test_row_5_the_five_seconds_include_the_proof_of_keys(make_world: MakeWorld) -> None:
    """Row 5. If this fails, a replayed first message buys twice the time of an honest one."""
    world = make_world(office(1))
    peer = NoisePeer(world, "m0", connected=False)
    world.run(4.0)
    peer.shake_hands()
    world.run(HANDSHAKE_LIMIT_S - 4.0 + 2 * SWEEP_S)
    assert peer.ended
    assert world.core.closes == {"handshake-timeout": 1}


def test_row_5_unproven_sessions_fill_the_same_pool(make_world: MakeWorld) -> None:
    """Row 5. If this fails, who replays one recorded message from many sources grows the server without bound."""
    world = make_world(office(1), limits={"pending_connections": 50})
    frame = first_message(world)
    peers = []
    for _ in range(80):
        peers.append(RawPeer(world))
        peers[-1].send(frame)
    assert len(world.server.acceptor.pending) == 50
    assert len(world.core.sessions) <= 50
    assert sum(bool(peer.ended) for peer in peers) == 30
    assert all(peer.ended for peer in peers[:30]), "the oldest goes first"
    world.online("m0")


@pytest.mark.parametrize("sources", [1, 500])
def test_row_5_two_thousand_silent_connections_keep_nobody_out(make_world: MakeWorld, sources: int) -> None:
    """Row 5. If this fails, silence from one host, or from 500, locks honest members out."""
    world = make_world(office(8))
    addresses = [f"203.0.{number >> 8}.{number & 255}" for number in range(sources)]
    attackers = [RawPeer(world, addresses[number % sources]) for number in range(2000)]
    started = world.reactor.now()
    member = 0
    while world.reactor.now() < started + 60:
        world.run(7.0)
        host = world.host(f"m{member % 8}")
        world.run_until_online(host.identity, limit_s=1.0)
        member += 1
        for number, attacker in enumerate(attackers):
            if attacker.ended:
                assert attacker.received == b""
                attackers[number] = RawPeer(world, attacker.stream.local.host)
        assert len(world.server.acceptor.pending) <= 1024
    assert len(world.present) == 8
    assert world.core.closes["crowded-out"] > 500


def test_row_6_ten_thousand_connections_that_reset_at_once(make_world: MakeWorld) -> None:
    """Row 6. If this fails, accepting ends with the first dead connection, or leaks."""
    world = make_world(office(1))
    for number in range(10_000):
        stream = world.network.host(f"203.0.113.{number % 50}").connect(world.server.acceptor.listeners[0].endpoint)
        world.run(0.002)
        stream.reset()
    world.run(1.0)
    assert not len(world.server.acceptor.pending)
    assert not world.core.sessions
    world.online("m0")


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM])
def test_row_6_accepting_recovers_from_a_host_without_room(make_world: MakeWorld, number: int) -> None:
    """Row 6. If this fails, a relay that once ran out of descriptors never accepts again, or spins."""
    world = make_world(office(2))
    (first,) = world.online("m0")
    idle = [RawPeer(world) for _ in range(20)]
    world.run()
    world.faults.accept_errno = number
    second = world.host("m1")
    world.run(1.0)
    assert second.client.state != "online"
    assert first.client.state == "online"
    assert sum(bool(peer.ended) for peer in idle) > 5, "no room was made"
    world.faults.accept_errno = 0
    world.run_until_online("m1", limit_s=3.0)


def test_row_7_byte_by_byte_is_the_same_as_whole(make_world: MakeWorld) -> None:
    """Row 7. If this fails, a slow path breaks handshake or records."""
    world = make_world(office(2))
    (receiver,) = world.online("m1")
    peer = NoisePeer(world, "m0", connected=False)
    world.faults.receive_bytes = 1
    peer.confirm()
    packet = udp_packet("10.0.1.1", "10.0.1.2", (1, 2), b"byte by byte")
    world.faults.receive_bytes = 0
    peer.send_slowly(peer.data(item(packet)))
    assert receiver.packets == [packet]


def test_row_7_a_hundred_frames_in_one_segment(make_world: MakeWorld) -> None:
    """Row 7. If this fails, frames behind the first of a segment are lost or come late."""
    world = make_world(office(2))
    (receiver,) = world.online("m1")
    peer = NoisePeer(world, "m0")
    packets = [udp_packet("10.0.1.1", "10.0.1.2", (1, 2), bytes([number])) for number in range(100)]
    peer.send(b"".join(peer.data(item(packet)) for packet in packets))
    assert receiver.packets == packets


@pytest.mark.parametrize("garbage", [b"GET / HTTP/1.1\r\n\r\n", encode_frame(0x16, b""), encode_frame(0x14, bytes(80))])
def test_row_7_what_came_before_garbage_is_handled(make_world: MakeWorld, garbage: bytes) -> None:
    """Row 7. If this fails, valid packets vanish because of what came behind them."""
    world = make_world(office(2))
    (receiver,) = world.online("m1")
    peer = NoisePeer(world, "m0")
    packet = udp_packet("10.0.1.1", "10.0.1.2", (1, 2), b"valid")
    pong = peer.codec.seal_control(encode(Ping(77)))
    peer.send(pong + peer.data(item(packet)) + garbage)
    assert receiver.packets == [packet]
    assert Pong(77) in peer.messages()
    assert peer.ended
    assert world.core.closes == {"protocol-error": 1}


def test_row_7_the_same_on_the_seeds_wire(make_world: MakeWorld) -> None:
    """Row 7. If this fails, a packet of a seed's client vanishes because of what came behind it."""
    world = make_world(office(2), security=LEGACY)
    (receiver,) = world.online("m1")
    seed = SeedClient(world, "m0", world.method, KEY)
    seed.shake_hands()
    packet = udp_packet("10.0.1.1", "10.0.1.2", (1, 2), b"valid")
    seed.stream.send(seed.frame(DATA, packet) + b"GET / HTTP/1.1\r\n\r\n")
    world.run()
    assert receiver.packets == [packet]
    assert seed.ended


def test_row_7_bytes_behind_the_first_message(make_world: MakeWorld) -> None:
    """Row 7. If this fails, a client of the shared tier speaks before it knows the keys; a seed's may not."""
    world = make_world(office(2), security=LEGACY)
    (receiver,) = world.online("m1")
    peer = RawPeer(world)
    peer.send(first_message(world) + encode_frame(FrameType.DATA, bytes(64)))
    assert_closed_without_a_byte(peer)
    seed = SeedClient(world, "m0", world.method, KEY)
    packets = [udp_packet("10.0.1.1", "10.0.1.2", (number, 2), bytes(600)) for number in range(20)]
    frames = [seed.frame(DATA, packet) for packet in packets]
    seed.stream.send(b"".join([seed.frame(1, b'{"identity":"m0"}'), *frames]))
    world.run()
    assert receiver.packets == packets
