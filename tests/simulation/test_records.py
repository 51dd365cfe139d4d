"""Recorded, replayed, reflected, reordered, early and late: rows 8 to 12 of the faults."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

import rustun.protocol.records
from rustun.protocol.control import (
    Config,
    Directory,
    Goodbye,
    Message,
    Ping,
    Pong,
    RekeyAsk,
    RekeyInit,
    RekeyReply,
    RekeySwitch,
)
from rustun.protocol.frames import HEADER_BYTES, encode_frame
from rustun.protocol.handshake import Initiator, Welcome
from rustun.protocol.records import Cipher
from tests.ip_packets import udp_packet
from tests.simulation.conftest import MakeWorld
from tests.simulation.middleman import ADDRESS, Change, Middleman
from tests.simulation.peers import NoisePeer, NoiseServer, RawPeer, hello, item, proof
from tests.simulation.seed_peer import DATA, HANDSHAKE, SeedClient
from tests.simulation.world import KEY, SERVER, Host, World, office

PACKET = udp_packet("10.0.1.1", "10.0.1.2", (1, 2), b"one")


def overheard(make_world: MakeWorld) -> tuple[World, Middleman, Host, Host]:
    """Return a world in which m0 talks to the server through a middleman, and m1 does not; both are online."""
    world = make_world(office(2))
    man = Middleman(world)
    (other,) = world.online("m1")
    (host,) = world.online("m0", server=str(ADDRESS))
    return world, man, host, other


def test_row_8_every_bit_of_the_first_message_counts(make_world: MakeWorld) -> None:
    """Row 8. If this fails, a message that was altered on the way is answered, or opens."""
    world = make_world(office(1))
    frame = Initiator(proof(KEY), hello("m0"), world.random_bytes(32)).first_frame
    peers = []
    for bit in range(len(frame) * 8):
        altered = bytearray(frame)
        altered[bit // 8] ^= 1 << bit % 8
        peers.append(RawPeer(world))
        peers[-1].send(bytes(altered))
    world.run(6.0)  # a longer length is waited for
    assert all(peer.ended and peer.received == b"" for peer in peers)
    assert not world.core.sessions


@pytest.mark.parametrize("point", [bytes(32), b"\1" + bytes(31), b"\xec" + b"\xff" * 30 + b"\x7f"])
def test_row_8_points_of_small_order(make_world: MakeWorld, point: bytes) -> None:
    """Row 8. If this fails, an attacker chooses the shared secret."""
    world = make_world(office(1))
    frame = Initiator(proof(KEY), hello("m0"), world.random_bytes(32)).first_frame
    peer = RawPeer(world)
    peer.send(frame[:HEADER_BYTES] + point + frame[HEADER_BYTES + 32 :])
    assert peer.ended
    assert peer.received == b""


@pytest.mark.parametrize("byte", [0, 4, 5, 6, 7, 8, 39, 40, 60, -16, -1])
def test_row_8_every_byte_of_the_answer_counts(make_world: MakeWorld, byte: int) -> None:
    """Row 8. If this fails, a client takes an answer that was altered on the way, or ends because of one."""
    world = make_world(office(1))
    man = Middleman(world)

    def alter(frame: bytes) -> list[bytes]:
        altered = bytearray(frame)
        altered[byte] ^= 1
        return [bytes(altered)]

    man.to_client = alter
    host = world.host("m0", server=str(ADDRESS))
    world.run(30.0)
    assert host.client.reconnects == 0
    assert host.client.state != "online"
    assert host.failures == []
    man.to_client = lambda frame: [frame]
    world.run_until_online("m0")


@pytest.mark.parametrize("times", [1, 10_000])
def test_row_9_a_replayed_first_message_changes_nothing(make_world: MakeWorld, times: int) -> None:
    """Row 9. If this fails, who recorded a handshake throws the member out or takes its packets."""
    world, man, host, other = overheard(make_world)
    session, epoch = world.session("m0"), world.session("m0").cluster.epoch
    generation = session.cluster.directory.generation
    attacker = world.new_host()
    for _ in range(times):
        stream = attacker.connect(SERVER)
        world.run(0.002)
        if not stream.readable():
            stream.send(man.from_client[0])
    world.run(10.0)
    assert world.session("m0") is session
    assert (session.cluster.epoch, session.cluster.directory.generation) == (epoch, generation)
    other.send(udp_packet("10.0.1.2", "10.0.1.1", (2, 1), b"still here"))
    world.run()
    assert len(host.packets) == 1
    assert not world.core.takeover.alarms
    assert not len(world.server.acceptor.pending)
    assert len(world.core.sessions) == 2


def test_row_9_replayed_after_a_restart(make_world: MakeWorld) -> None:
    """Row 9. If this fails, a server that forgot its sessions believes a recording."""
    world, man, host, _ = overheard(make_world)
    recorded = b"".join(man.from_client)
    host.client.stop("off", lambda: None)
    world.run(1.0)
    world.stop_server()
    world.start_server()
    world.run_until_online("m1")
    peer = RawPeer(world)
    peer.send(man.from_client[0])
    assert 0 < len(peer.received) <= 1024 + HEADER_BYTES
    peer.send(recorded[len(man.from_client[0]) :])
    assert peer.ended
    assert world.present == {"m1"}


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


def test_row_10_a_recorded_session_does_not_play_again(make_world: MakeWorld) -> None:
    """Row 10. If this fails, packets of an old session are delivered once more."""
    world, man, host, other = overheard(make_world)
    host.send(PACKET)
    world.run()
    recorded = b"".join(man.from_client)
    assert other.packets == [PACKET]
    peer = RawPeer(world)
    peer.send(recorded)  # all at once: bytes behind a first message are refused
    assert (peer.ended, bytes(peer.received)) == ("reset", b"")
    patient = RawPeer(world)
    patient.send(man.from_client[0])
    patient.send(b"".join(man.from_client[1:]))
    assert patient.ended
    assert other.packets == [PACKET]
    assert host.client.reconnects == 0


def nth(number: int, then: Change) -> Change:
    """Return a change of one frame: the `number`th that passes."""
    passed = [0]

    def change(frame: bytes) -> list[bytes]:
        passed[0] += 1
        return then(frame) if passed[0] == number else [frame]

    return change


def hold_back() -> Change:
    held: list[bytes] = []

    def swap(frame: bytes) -> list[bytes]:
        held.append(frame)
        return [] if len(held) == 1 else [frame, *held[:1]] if len(held) == 2 else [frame]

    return swap


def flip(frame: bytes) -> list[bytes]:
    return [frame[:-1] + bytes([frame[-1] ^ 1])]


RETYPED = {0x14: 0x15, 0x15: 0x14}
CHANGES: dict[str, Callable[[], Change]] = {
    "doubled": lambda: nth(2, lambda frame: [frame, frame]),
    "dropped": lambda: nth(2, lambda frame: []),
    "swapped": hold_back,
    "altered": lambda: nth(2, flip),
    "retyped": lambda: nth(2, lambda frame: [frame[:5] + bytes([RETYPED[frame[5]]]) + frame[6:]]),
    "shortened": lambda: nth(2, lambda frame: [encode_frame(frame[5], frame[HEADER_BYTES:-1])]),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
@pytest.mark.parametrize("direction", ["to_server", "to_client"])
def test_row_10_records_that_were_touched_end_the_session(
    make_world: MakeWorld, direction: str, change: Callable[[], Change]
) -> None:
    """Row 10. If this fails, somebody on the path edits what members say to each other."""
    world, man, host, other = overheard(make_world)
    setattr(man, direction, change())
    sent = [udp_packet("10.0.1.1", "10.0.1.2", (1, 2), bytes([number])) for number in range(6)]
    replies = [udp_packet("10.0.1.2", "10.0.1.1", (2, 1), bytes([number])) for number in range(6)]
    for packet, reply in zip(sent, replies, strict=True):
        host.send(packet)
        other.send(reply)
        world.run(0.01)
    setattr(man, direction, lambda frame: [frame])
    arrived, expected = (other.packets, sent) if direction == "to_server" else (host.packets, replies)
    assert arrived == expected[: len(arrived)], "something else than a beginning of what was sent"
    assert 1 <= len(arrived) < 6 or change is CHANGES["swapped"]
    assert host.client.reconnects == 1
    world.run_until_online("m0")


def test_row_10_a_reflected_record_ends_the_session(make_world: MakeWorld) -> None:
    """Row 10. If this fails, what a peer said can be played back to it as an answer."""
    world, man, host, other = overheard(make_world)
    session = world.session("m0")
    _, to_server = man.links[-1]
    to_server.send(man.from_server[-1])
    world.run()
    assert session.closed
    assert world.core.closes["protocol-error"] == 1
    world.run_until_online("m0")
    to_client, _ = man.links[-1]
    to_client.send(man.from_client[-1])
    world.run()
    assert host.client.reconnects == 2
    assert "broke the protocol" in host.client.last_error
    assert other.client.reconnects == 0


@pytest.mark.parametrize("first", [Pong(1), Goodbye("x", ""), RekeyInit(bytes(48)), RekeySwitch()])
def test_row_11_the_first_record_has_to_be_a_ping(make_world: MakeWorld, first: Message) -> None:
    """Row 11. If this fails, a session begins without the proof that its member is there now."""
    world = make_world(office(1))
    peer = NoisePeer(world, "m0", connected=False)
    assert isinstance(peer.shake_hands(), Welcome)
    peer.say(first)
    assert peer.ended
    assert world.present == set()


def test_row_11_data_before_the_keys_are_confirmed(make_world: MakeWorld) -> None:
    """Row 11. If this fails, packets of somebody unproven are forwarded."""
    world = make_world(office(2))
    (receiver,) = world.online("m1")
    peer = NoisePeer(world, "m0", connected=False)
    peer.shake_hands()
    peer.send_packets(PACKET)
    assert peer.ended
    assert receiver.packets == []
    assert world.present == {"m1"}


OUT_OF_ORDER: dict[str, list[Message]] = {
    "a switch that nobody waits for": [RekeySwitch()],
    "a reply from a client": [RekeyReply(bytes(48))],
    "an ask from a client": [RekeyAsk()],
    "a directory from a client": [Directory(1, 0, 0, 1, (), ())],
    "a config from a client": [Config("", "10.0.1.1/24", "", (), {})],
    "an init that does not open": [RekeyInit(bytes(48))],
    "an empty init": [RekeyInit(b"")],
}


@pytest.mark.parametrize("messages", OUT_OF_ORDER.values(), ids=OUT_OF_ORDER.keys())
def test_row_11_messages_out_of_their_order_end_the_session(make_world: MakeWorld, messages: list[Message]) -> None:
    """Row 11. If this fails, a client drives the relay's keys or the other members' directory."""
    world = make_world(office(1))
    peer = NoisePeer(world, "m0")
    for message in messages:
        peer.say(message)
    assert peer.ended
    assert world.core.closes == {"protocol-error": 1}


def test_row_11_two_rekeys_at_once(make_world: MakeWorld) -> None:
    """Row 11. If this fails, a second rekey replaces the first one's keys half way."""
    world = make_world(office(1))
    peer = NoisePeer(world, hello("m0", keepalive_s=60))
    peer.say(peer.rekey.begin(world.random_bytes(32)))
    assert any(isinstance(message, RekeyReply) for message in peer.messages())
    world.run(31.0)
    peer.say(peer.rekey.begin(world.random_bytes(32)))
    assert peer.ended
    assert "before the first was switched to" in world.log.texts("protocol-error")[0]


def test_row_11_a_second_rekey_within_thirty_seconds(make_world: MakeWorld) -> None:
    """Row 11. If this fails, a client makes the relay compute as many handshakes as it likes."""
    world = make_world(office(1))
    peer = NoisePeer(world, "m0")
    peer.say(peer.rekey.begin(world.random_bytes(32)))
    (reply,) = (message for message in peer.messages() if isinstance(message, RekeyReply))
    keys = peer.rekey.receive(reply)
    peer.codec.replace_opener(keys, world.reactor.now())
    peer.say(RekeySwitch())
    peer.codec.replace_sealer(keys, world.reactor.now())
    world.run(20.0)
    peer.say(Ping(1))
    assert Pong(1) in peer.messages()
    peer.say(peer.rekey.begin(world.random_bytes(32)))
    assert peer.ended
    assert "too soon" in world.log.texts("protocol-error")[0]


def by_hand(make_world: MakeWorld) -> tuple[World, NoiseServer, Host]:
    """Return a world whose server is driven by hand, and our client in a session with it."""
    world = make_world(office(1))
    world.stop_server()
    server = NoiseServer(world)
    host = world.host("m0")
    world.run()
    server.welcome()
    world.run()
    assert host.client.state == "online"
    return world, server, host


FROM_A_SERVER: dict[str, Message] = {
    "a rekey from the server": RekeyInit(bytes(48)),
    "a switch from the server": RekeySwitch(),
    "a reply that nobody asked for": RekeyReply(bytes(48)),
    "a directory page out of order": Directory(1, 0, 1, 2, (), ()),
    "news of a generation that is not known": Directory(9, 8, 0, 1, (), ()),
}


@pytest.mark.parametrize("message", FROM_A_SERVER.values(), ids=FROM_A_SERVER.keys())
def test_row_11_a_server_that_breaks_the_order_is_left(make_world: MakeWorld, message: Message) -> None:
    """Row 11. If this fails, a server decides about keys that only the client may begin."""
    _, server, host = by_hand(make_world)
    server.say(message)
    assert server.ended
    assert host.client.state == "waiting"
    assert "broke the protocol" in host.client.last_error
    assert host.failures == []
    server.close()


def test_row_11_an_ask_while_a_rekey_is_under_way_is_passed_over(make_world: MakeWorld) -> None:
    """Row 11. If this fails, a server that asks just when the client begins ends the session."""
    world, server, host = by_hand(make_world)
    server.messages()
    server.say(RekeyAsk(), RekeyAsk(), RekeyAsk())
    inits = [message for message in server.messages() if isinstance(message, RekeyInit)]
    assert len(inits) == 1
    reply, keys = server.rekey.receive(inits[0], world.random_bytes(32))
    server.say(RekeyAsk(), reply)
    server.codec.replace_sealer(keys, world.reactor.now())
    (switch,) = (message for message in server.messages() if isinstance(message, RekeySwitch))
    server.codec.replace_opener(server.rekey.switch(switch), world.reactor.now())
    server.say(Ping(5))
    assert Pong(5) in server.messages()
    assert not server.ended
    assert host.client.reconnects == 0
    server.close()


def test_row_12_a_client_that_never_rekeys_is_closed_at_the_limit(
    make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Row 12. If this fails, a counter is used beyond what its cipher bears."""
    monkeypatch.setattr(rustun.protocol.records, "MAX_RECORDS_AES", 40)
    world = make_world(office(2), method="aes256")
    peer = NoisePeer(world, hello("m0", ciphers=(Cipher.AES256,)))
    for _ in range(39):
        peer.send_packets(PACKET)
    world.run(1.0)
    assert peer.ended
    assert world.core.closes == {"key-expired": 1}


def test_row_12_a_receiver_whose_key_is_used_up_harms_nobody_else(
    make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Row 12. If this fails, the member that sends pays for the member that does not rekey."""
    monkeypatch.setattr(rustun.protocol.records, "MAX_RECORDS_AES", 40)
    world = make_world(office(3), method="aes256")
    sender = NoisePeer(world, hello("m0", ciphers=(Cipher.AES256,)))
    receiver = NoisePeer(world, hello("m1", ciphers=(Cipher.AES256,)))
    third = NoisePeer(world, hello("m2", ciphers=(Cipher.AES256,)))
    towards = [(sender, item(PACKET)), (third, item(udp_packet("10.0.1.3", "10.0.1.2", (1, 2), b"three")))]
    world.reactor.run_until(math.ceil(world.reactor.now()))  # the sweep, which would see it, has just been
    for _ in range(20):
        for peer, one in towards:
            peer.send(peer.data(one))
    assert receiver.ended
    assert not sender.ended and not third.ended
