"""Records and messages that come too early, too late or too often: rows 11 and 12 of the faults."""

from __future__ import annotations

import math

import pytest

import rustun.protocol.records
from netlab.worlds.ip_packets import udp_packet
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
from rustun.protocol.handshake import Welcome
from rustun.protocol.records import Cipher
from tests.simulation.conftest import MakeWorld
from tests.simulation.peers import NoisePeer, NoiseServer, hello, item
from tests.simulation.world import Host, World, office

PACKET = udp_packet("10.0.1.1", "10.0.1.2", (1, 2), b"one")


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
