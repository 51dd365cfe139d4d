"""The shared tier's handshake: only who holds the whole key gets through, with the bytes as they were sent."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest

from rustun.errors import ProtocolError
from rustun.protocol.frames import HEADER_BYTES, FrameType, header
from rustun.protocol.handshake import (
    MAX_INIT_BYTES,
    MAX_REPLY_BYTES,
    Hello,
    Initiator,
    Refusal,
    RefusalCode,
    Responder,
    SessionKeys,
    Welcome,
    decode_answer,
)
from rustun.protocol.records import Cipher
from rustun.protocol.suites import SHARED, Credentials, shared_psk

PSK = bytes(range(32))
CLIENT_EPHEMERAL, SERVER_EPHEMERAL = bytes([1]) * 32, bytes([2]) * 32
HELLO = Hello("bj-dev", "0.1.0", (Cipher.AES256, Cipher.CHACHA20), frozenset({"csum", "tso4"}), 10, 1500)
WELCOME = Welcome(Cipher.AES256, "10.0.1.2/24", "fd00::2/64", "Development", "0.1.0")


def initiator(psk: bytes = PSK) -> Initiator:
    return Initiator(Credentials(SHARED, psk), HELLO, CLIENT_EPHEMERAL)


def responder(psk: bytes = PSK, ephemeral: bytes = SERVER_EPHEMERAL) -> Responder:
    return Responder(Credentials(SHARED, psk), ephemeral)


def answered(answer: Welcome | Refusal = WELCOME) -> tuple[Initiator, bytes, SessionKeys]:
    """Return a client that waits, message 2 without its header, and the server's keys."""
    client, server = initiator(), responder()
    server.receive(client.first_frame)
    frame, keys = server.answer(answer)
    assert frame[:HEADER_BYTES] == header(FrameType.SHARED_REPLY, len(frame) - HEADER_BYTES)
    return client, frame[HEADER_BYTES:], keys


def test_both_sides_come_to_the_same_keys() -> None:
    """If this fails, no session of the shared tier works."""
    client, message, server_keys = answered()
    assert client.receive(message) == WELCOME
    assert client.keys == server_keys
    assert len({server_keys.client_to_server, server_keys.server_to_client, server_keys.handshake_hash}) == 3
    assert client.first_frame[:HEADER_BYTES] == header(FrameType.SHARED_INIT, len(client.first_frame) - HEADER_BYTES)


def test_the_hello_arrives_as_it_was_said() -> None:
    """If this fails, a server takes a client for somebody else, or sends it what it cannot take."""
    assert responder().receive(initiator().first_frame) == HELLO


def test_a_refusal_travels_sealed() -> None:
    """If this fails, a client cannot tell a server's refusal from anybody else's noise."""
    refusal = Refusal(RefusalCode.DISABLED, "this member is disabled")
    client, message, _ = answered(refusal)
    assert b"disabled" not in message
    assert client.receive(message) == refusal


def test_every_bit_of_the_first_message_counts() -> None:
    """If this fails, somebody on the path steers what a server believes, its header included."""
    frame = initiator().first_frame
    for bit in range(len(frame) * 8):
        altered = bytearray(frame)
        altered[bit // 8] ^= 1 << bit % 8
        server = responder()
        with pytest.raises(ProtocolError):
            server.receive(bytes(altered))
        with pytest.raises(ProtocolError):  # and nothing can be answered: a failure is silent
            server.answer(WELCOME)


def test_every_bit_of_the_second_message_counts() -> None:
    """If this fails, somebody on the path steers what a client believes, or answers in the server's name."""
    _, message, _ = answered()
    for bit in range(len(message) * 8):
        altered = bytearray(message)
        altered[bit // 8] ^= 1 << bit % 8
        client = initiator()
        with pytest.raises(ProtocolError):
            client.receive(bytes(altered))
        assert client.keys is None
        with pytest.raises(ProtocolError):  # not even the right answer opens any more
            client.receive(message)


@pytest.mark.parametrize("cut", [*range(100), -1])
def test_messages_that_are_cut_or_padded_fail(cut: int) -> None:
    """If this fails, a message that lost its end is taken for a whole one, or crashes the reader."""
    first = initiator().first_frame
    _, second, _ = answered()
    for altered in (first[:cut], first + bytes(cut + 2)):
        with pytest.raises(ProtocolError):
            responder().receive(altered)
    for altered in (second[:cut], second + bytes(cut + 2)):
        with pytest.raises(ProtocolError):
            initiator().receive(altered)


@pytest.mark.parametrize("frame_type", [each for each in FrameType if each is not FrameType.SHARED_INIT])
def test_a_first_message_belongs_to_its_type(frame_type: FrameType) -> None:
    """If this fails, a message of one tier can be presented as that of another."""
    message = initiator().first_frame[HEADER_BYTES:]
    with pytest.raises(ProtocolError):
        responder().receive(header(frame_type, len(message)) + message)


def test_tiers_do_not_understand_each_other() -> None:
    """If this fails, the prologue does not bind the tier, and a message moves between tiers that share a pattern."""
    other = replace(SHARED, tier=next(tier for tier in type(SHARED.tier) if tier is not SHARED.tier))
    with pytest.raises(ProtocolError):
        Responder(Credentials(other, PSK), SERVER_EPHEMERAL).receive(initiator().first_frame)


def test_the_whole_key_string_counts() -> None:
    """If this fails, keys are cut at 32 bytes or padded as the seed does it, and a guess of the beginning is enough."""
    begin = "0123456789abcdef" * 2
    strings = (begin, begin + "A", begin + "B", begin * 3 + "A", begin * 3 + "B", "short", "short ")
    secrets = {text: shared_psk(text) for text in strings}
    assert len(set(secrets.values())) == len(strings)
    with pytest.raises(ProtocolError):
        responder(secrets[begin + "A"]).receive(initiator(secrets[begin + "B"]).first_frame)
    assert responder(secrets[begin + "A"]).receive(initiator(secrets[begin + "A"]).first_frame) == HELLO


def test_the_key_is_stretched_as_the_specification_says() -> None:
    """If this fails, releases stretch one key to different bytes, or guesses become cheap."""
    text = "a key of people: schlüssel"
    by_hand = hashlib.scrypt(text.encode(), salt=b"rustun shared key v1", n=1 << 15, r=8, p=1, dklen=32, maxmem=1 << 26)
    assert shared_psk(text) == by_hand


def test_a_replayed_first_message_gives_no_keys_to_the_replayer() -> None:
    """If this fails, a recorded first message opens a session under keys that were used before."""
    client, recorded = initiator(), initiator().first_frame
    keys = []
    for ephemeral in (SERVER_EPHEMERAL, bytes([3]) * 32):
        server = responder(ephemeral=ephemeral)
        server.receive(recorded)
        keys.append(server.answer(WELCOME)[1])
    assert keys[0].client_to_server != keys[1].client_to_server
    assert keys[0].handshake_hash != keys[1].handshake_hash
    other_answer = responder(ephemeral=bytes([3]) * 32)
    other_answer.receive(initiator().first_frame)
    client.receive(other_answer.answer(WELCOME)[0][HEADER_BYTES:])
    assert client.keys == keys[1]


def test_a_low_order_point_ends_the_handshake() -> None:
    """If this fails, a peer's all-zero key makes the shared secret a constant that everybody knows."""
    for point in (bytes(32), (1).to_bytes(32, "little")):
        client, message, _ = answered()
        with pytest.raises(ProtocolError):
            client.receive(point + message[32:])


def test_nothing_is_answered_before_a_first_message() -> None:
    """If this fails, a server seals an answer for nobody."""
    with pytest.raises(ProtocolError, match="no first message"):
        responder().answer(WELCOME)


def test_messages_keep_their_limits() -> None:
    """If this fails, a long name makes frames that every peer refuses at the header, without a word of why."""
    longest = Initiator(Credentials(SHARED, PSK), replace(HELLO, identity="i" * 255), CLIENT_EPHEMERAL)
    assert len(longest.first_frame) <= HEADER_BYTES + MAX_INIT_BYTES
    with pytest.raises(ProtocolError, match="at most 512"):
        Initiator(Credentials(SHARED, PSK), replace(HELLO, identity='"' * 255), CLIENT_EPHEMERAL)
    server = responder()
    server.receive(initiator().first_frame)
    with pytest.raises(ProtocolError, match=f"at most {MAX_REPLY_BYTES}"):
        server.answer(replace(WELCOME, name="n" * MAX_REPLY_BYTES))


def test_keys_never_show() -> None:
    """If this fails, keys reach logs and tracebacks."""
    keys = answered()[2]
    assert repr(keys) == f"{keys}" == "SessionKeys(hidden)"


def test_unknown_offers_are_passed_over() -> None:
    """If this fails, the next release cannot offer anything new to this one."""
    data = HELLO.encode().replace(b'"aes256"', b'"rot13","aes256"').replace(b'"csum"', b'"csum","teleport"')
    assert Hello.decode(data) == HELLO


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"bj-dev"', b'""'), (b'"bj-dev"', b'"' + b"x" * 256 + b'"'), (b'"bj-dev"', b"7"), (b":10,", b":0,"),
        (b":10,", b":3601,"), (b":10,", b":1.5,"), (b":10,", b":true,"), (b":1500", b":575"), (b":1500", b":65001"),
        (b'["aes256","chacha20"]', b'"aes256"'), (b'["csum","tso4"]', b"[1]"), (b'"0.1.0"', b"[]"),
    ],
)  # fmt: skip
def test_hellos_out_of_range_are_refused(old: bytes, new: bytes) -> None:
    """If this fails, a client makes the server keep a session for hours, or cut packets into crumbs."""
    data = HELLO.encode()
    assert old in data
    with pytest.raises(ProtocolError):
        Hello.decode(data.replace(old, new))


@pytest.mark.parametrize(
    "data",
    [
        b"{}", b"[]", b"", b'{"cipher":"rot13","address":"10.0.0.1/24"}', b'{"cipher":"aes256"}',
        b'{"refused":""}', b'{"refused":7,"reason":"x"}', b'{"refused":"x","reason":[]}', b"x" * 2000,
    ],
)  # fmt: skip
def test_answers_that_make_no_sense_are_refused(data: bytes) -> None:
    """If this fails, a server of another release ends the client's process."""
    with pytest.raises(ProtocolError):
        decode_answer(data)
