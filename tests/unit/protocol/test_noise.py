"""NoiseHandshake's own promises: who may call what when, what kills it, what it never shows."""

from __future__ import annotations

import itertools
import random

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from rustun.errors import ProtocolError
from rustun.protocol.noise import MAX_MESSAGE_BYTES, MAX_PAYLOAD_BYTES, NoiseHandshake

NN = "Noise_NNpsk0_25519_ChaChaPoly_SHA256"
IK = "Noise_IKpsk2_25519_ChaChaPoly_SHA256"
PSK = bytes(range(32))
CLIENT_STATIC, SERVER_STATIC = b"\x11" * 32, b"\x22" * 32
LOW_ORDER_POINTS = [
    bytes(32),
    (1).to_bytes(32, "little"),
    bytes.fromhex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
    bytes.fromhex("5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"),
    ((1 << 255) - 20).to_bytes(32, "little"),  # p - 1
    ((1 << 255) - 19).to_bytes(32, "little"),  # p, that is 0
    ((1 << 255) - 18).to_bytes(32, "little"),  # p + 1, that is 1
]


def public(private: bytes) -> bytes:
    return X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()


def nn_pair() -> tuple[NoiseHandshake, NoiseHandshake]:
    return (
        NoiseHandshake(NN, initiator=True, prologue=b"p", psk=PSK, ephemeral_private=b"\x33" * 32),
        NoiseHandshake(NN, initiator=False, prologue=b"p", psk=PSK, ephemeral_private=b"\x44" * 32),
    )


def ik_pair(responder_psk: bytes | None = PSK) -> tuple[NoiseHandshake, NoiseHandshake]:
    return (
        NoiseHandshake(
            IK,
            initiator=True,
            prologue=b"p",
            psk=PSK,
            static_private=CLIENT_STATIC,
            remote_static=public(SERVER_STATIC),
            ephemeral_private=b"\x33" * 32,
        ),
        NoiseHandshake(
            IK,
            initiator=False,
            prologue=b"p",
            psk=responder_psk,
            static_private=SERVER_STATIC,
            ephemeral_private=b"\x44" * 32,
        ),
    )


def test_both_sides_end_with_the_same_keys() -> None:
    """Fails if the two roles derive different keys: no session would ever carry a record."""
    for initiator, responder in (nn_pair(), ik_pair()):
        assert responder.read_message(initiator.write_message(b"hello")) == b"hello"
        assert initiator.read_message(memoryview(responder.write_message(b"welcome"))) == b"welcome"
        assert initiator.finished and responder.finished
        assert initiator.split() == responder.split()
        assert len(set(initiator.split())) == 2
        assert initiator.handshake_hash == responder.handshake_hash


def test_responder_learns_the_initiators_static_key_from_message_1() -> None:
    """Fails if the key tier could not tell who knocks before it answers."""
    initiator, responder = ik_pair()
    assert responder.remote_static is None
    responder.read_message(initiator.write_message())
    assert responder.remote_static == public(CLIENT_STATIC)


def test_psk_may_be_chosen_after_message_1() -> None:
    """Fails if a server could not look up one psk per identity once message 1 has named it."""
    initiator, responder = ik_pair(responder_psk=None)
    responder.read_message(initiator.write_message())
    with pytest.raises(RuntimeError, match="needs the psk"):
        responder.write_message()
    responder.set_psk(PSK)
    initiator.read_message(responder.write_message())
    assert initiator.split() == responder.split()


def test_wrong_psk_prologue_or_server_key_does_not_open() -> None:
    """Fails if somebody without the key, or speaking of other circumstances, is let in."""
    message = nn_pair()[0].write_message(b"identity")
    for prologue, psk in ((b"p", bytes(32)), (b"q", PSK)):
        responder = NoiseHandshake(NN, initiator=False, prologue=prologue, psk=psk, ephemeral_private=b"\x44" * 32)
        with pytest.raises(ProtocolError):
            responder.read_message(message)
    other_server = NoiseHandshake(
        IK, initiator=False, prologue=b"p", psk=PSK, static_private=b"\x55" * 32, ephemeral_private=b"\x44" * 32
    )
    with pytest.raises(ProtocolError):
        other_server.read_message(ik_pair()[0].write_message())


@pytest.mark.parametrize("pair", [nn_pair, ik_pair])
def test_every_flipped_bit_is_noticed(pair: object) -> None:
    """Fails if one bit of a handshake message can be changed on the way without the handshake failing."""
    make = nn_pair if pair is nn_pair else ik_pair
    initiator, responder = make()
    first = initiator.write_message(b"payload")
    responder.read_message(first)
    second = responder.write_message(b"answer")
    for bit in range(len(first) * 8):
        with pytest.raises(ProtocolError):
            make()[1].read_message(flipped(first, bit))
    for bit in range(len(second) * 8):
        fresh = make()[0]
        fresh.write_message(b"payload")
        with pytest.raises(ProtocolError):
            fresh.read_message(flipped(second, bit))


def flipped(message: bytes, bit: int) -> bytes:
    return message[: bit // 8] + bytes([message[bit // 8] ^ (1 << bit % 8)]) + message[bit // 8 + 1 :]


@pytest.mark.parametrize("point", LOW_ORDER_POINTS, ids=lambda point: point[:4].hex())
def test_low_order_points_end_the_handshake(point: bytes) -> None:
    """Fails if a peer can force an all-zero secret: keys that everybody can compute."""
    initiator = NoiseHandshake("Noise_NN_25519_AESGCM_SHA256", initiator=True, prologue=b"", ephemeral_private=PSK)
    initiator.write_message()
    with pytest.raises(ProtocolError, match="low order"):
        initiator.read_message(point + bytes(16))
    pinned = NoiseHandshake(
        IK,
        initiator=True,
        prologue=b"",
        static_private=CLIENT_STATIC,
        remote_static=point,
        ephemeral_private=PSK,
    )
    with pytest.raises(ProtocolError, match="low order"):
        pinned.write_message()


def test_broken_handshake_stays_broken() -> None:
    """Fails if a handshake can be continued after a forged message, with its state half mixed."""
    initiator, responder = nn_pair()
    message = initiator.write_message()
    with pytest.raises(ProtocolError):
        responder.read_message(message[:-1])
    with pytest.raises(ProtocolError, match="failed earlier"):
        responder.read_message(message)
    with pytest.raises(ProtocolError, match="failed earlier"):
        responder.write_message()
    assert not responder.finished


@pytest.mark.parametrize("pattern", ["XX", "IK"])
def test_keys_that_are_cut_short_are_refused(pattern: str) -> None:
    """Fails if half a public key is taken for a whole one: message 1 of XX has no tag that would tell."""
    for length in range(32 if pattern == "XX" else 32 + 32 + 16):
        responder = NoiseHandshake(
            f"Noise_{pattern}_25519_AESGCM_BLAKE2s",
            initiator=False,
            prologue=b"",
            static_private=SERVER_STATIC,
            ephemeral_private=PSK,
        )
        with pytest.raises(ProtocolError, match="cut short"):
            responder.read_message(b"\x09" * length)


def test_calls_out_of_turn_are_our_own_fault() -> None:
    """Fails if a bug in the caller looks like a peer's fault, or spoils the handshake."""
    initiator, responder = nn_pair()
    for call in (lambda: initiator.read_message(b""), responder.write_message, responder.split):
        with pytest.raises(RuntimeError):
            call()
    with pytest.raises(RuntimeError):
        _ = responder.handshake_hash
    responder.read_message(initiator.write_message())
    initiator.read_message(responder.write_message())
    with pytest.raises(RuntimeError):
        initiator.write_message()
    assert initiator.finished


def test_lengths_are_bounded() -> None:
    """Fails if a message could pass the 65,535 bytes of Noise and of our frames."""
    initiator, responder = nn_pair()
    with pytest.raises(ValueError, match="at most"):
        initiator.write_message(bytes(MAX_PAYLOAD_BYTES + 1))
    message = initiator.write_message(bytes(MAX_PAYLOAD_BYTES))
    assert len(message) <= MAX_MESSAGE_BYTES
    assert responder.read_message(message) == bytes(MAX_PAYLOAD_BYTES)
    with pytest.raises(ProtocolError, match="at most"):
        nn_pair()[1].read_message(bytes(MAX_MESSAGE_BYTES + 1))


@pytest.mark.parametrize(
    "name",
    [
        "Noise_ZZ_25519_ChaChaPoly_SHA256",
        "Noise_NN_448_ChaChaPoly_SHA256",
        "Noise_NN_25519_ChaChaPoly_SHA512",
        "Noise_NN_25519_Salsa_SHA256",
        "Noise_NNpsk3_25519_ChaChaPoly_SHA256",
        "Noise_NN_25519_ChaChaPoly_SHA256\n",
        "",
    ],
)
def test_unknown_names_are_refused(name: str) -> None:
    """Fails if a misspelt protocol name would run some other handshake."""
    with pytest.raises(ValueError):
        NoiseHandshake(name, initiator=True, prologue=b"", ephemeral_private=PSK)


@pytest.mark.parametrize(
    ("name", "keys"),
    [
        (NN, {"static_private": CLIENT_STATIC}),
        (NN, {"remote_static": CLIENT_STATIC}),
        (IK, {"static_private": CLIENT_STATIC}),
        (IK, {"remote_static": CLIENT_STATIC}),
        (NN, {"psk": b"short"}),
        (NN, {"ephemeral_private": b""}),
        ("Noise_NN_25519_ChaChaPoly_SHA256", {"psk": PSK}),
    ],
)
def test_keys_must_fit_the_pattern(name: str, keys: dict[str, bytes]) -> None:
    """Fails if a forgotten or superfluous key is silently left out of the handshake."""
    with pytest.raises(ValueError):
        NoiseHandshake(name, initiator=True, prologue=b"", **{"ephemeral_private": PSK, **keys})


def test_repr_shows_no_secret() -> None:
    """Fails if a log line or traceback could carry a key."""
    initiator, _ = ik_pair()
    initiator.write_message()
    assert repr(initiator) == f"NoiseHandshake({IK}, initiator, 1 of 2 messages done)"


@given(st.binary(max_size=300), st.integers(0, 2**32))
def test_any_bytes_are_read_or_refused(data: bytes, seed: int) -> None:
    """Fails if bytes of a stranger raise anything but ProtocolError."""
    choice = random.Random(seed)
    for make, second in itertools.product((nn_pair, ik_pair), (False, True)):
        initiator, responder = make()
        message = initiator.write_message(b"x")
        reader = responder
        if second:
            responder.read_message(message)
            message, reader = responder.write_message(b"y"), initiator
        cut = choice.randrange(len(message))
        for forged in (data, message[:cut] + data):
            if forged == message:
                continue
            with pytest.raises(ProtocolError):
                reader.read_message(forged)
