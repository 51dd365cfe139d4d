"""Our Noise messages against those of the `noiseprotocol` package: an implementation by others.

Rules of these tests
  1. Both patterns that the wire has, each side played by either implementation.
  2. The keys, the payloads and their lengths change from round to round, the same in every run.
"""

from __future__ import annotations

import random
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from noise.connection import Keypair, NoiseConnection

from rustun.errors import ProtocolError
from rustun.protocol.envelope import Envelope
from rustun.protocol.frames import HEADER_BYTES
from rustun.protocol.handshake import Hello, Initiator, Responder, Welcome
from rustun.protocol.noise import MAX_PAYLOAD_BYTES, NoiseHandshake
from rustun.protocol.records import Cipher
from rustun.protocol.suites import KEY, SHARED, Credentials, Suite

ROUNDS: Final = 12
LENGTHS: Final = (0, 1, 15, 16, 17, 200, 1000, MAX_PAYLOAD_BYTES)
HELLO: Final = Hello("bj-dev", "0.1.0", (Cipher.AES256, Cipher.CHACHA20), frozenset({"csum", "tso4"}), 10, 1500)
WELCOME: Final = Welcome(Cipher.AES256, "10.0.1.2/24", "fd00:1::2/64", "Development", "0.1.0")
SUITES: Final = (SHARED, KEY)


def public(private: bytes) -> bytes:
    return X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()


@dataclass(frozen=True)
class Round:
    """Everything that two sides of one handshake bring; the private keys are (initiator's, responder's)."""

    suite: Suite
    prologue: bytes
    psk: bytes
    static: tuple[bytes, bytes]
    ephemeral: tuple[bytes, bytes]
    payloads: tuple[bytes, bytes]

    def ours(self, *, initiator: bool, psk: bool = True) -> NoiseHandshake:
        """Return our side, with its psk or still without."""
        is_key = self.suite is KEY
        return NoiseHandshake(
            self.suite.protocol_name,
            initiator=initiator,
            prologue=self.prologue,
            psk=self.psk if psk else None,
            static_private=X25519PrivateKey.from_private_bytes(self.static[not initiator]) if is_key else None,
            remote_static=public(self.static[1]) if is_key and initiator else None,
            ephemeral_private=self.ephemeral[not initiator],
        )

    def theirs(self, *, initiator: bool) -> NoiseConnection:
        """Return the other implementation's side."""
        connection = NoiseConnection.from_name(self.suite.protocol_name.encode())
        (connection.set_as_initiator if initiator else connection.set_as_responder)()
        connection.set_prologue(self.prologue)
        connection.set_psks(self.psk)
        connection.set_keypair_from_private_bytes(Keypair.EPHEMERAL, self.ephemeral[not initiator])
        if self.suite is KEY:
            connection.set_keypair_from_private_bytes(Keypair.STATIC, self.static[not initiator])
            if initiator:
                connection.set_keypair_from_public_bytes(Keypair.REMOTE_STATIC, public(self.static[1]))
        with warnings.catch_warnings(action="ignore"):  # the library warns of ephemeral keys that are not random
            connection.start_handshake()
        return connection


def rounds(suite: Suite) -> Iterator[Round]:
    """Yield rounds with payloads of all lengths, in either message."""
    rng = random.Random(f"second opinion {suite.tier}")
    for number in range(ROUNDS):
        keys = [rng.randbytes(32) for _ in range(5)]
        lengths = LENGTHS[number % len(LENGTHS)], rng.choice(LENGTHS)
        payloads = rng.randbytes(lengths[0]), rng.randbytes(lengths[1])
        psk = bytes(32) if number % 3 == 0 else keys[4]  # the key tier's, where a member has none of its own
        yield Round(suite, rng.randbytes(number), psk, (keys[0], keys[1]), (keys[2], keys[3]), payloads)


def check_same_outcome(connection: NoiseConnection, our_handshake: NoiseHandshake, *, initiator: bool) -> None:
    """Compare the two transport keys and the handshake hash; `initiator` says which side is ours."""
    to_responder, to_initiator = our_handshake.split()
    sending, receiving = (to_responder, to_initiator) if initiator else (to_initiator, to_responder)
    cipher_state = connection.noise_protocol.cipher_state_decrypt  # what they open with is what we seal with
    assert cipher_state.k == sending
    assert connection.noise_protocol.cipher_state_encrypt.k == receiving
    assert connection.get_handshake_hash() == our_handshake.handshake_hash


@pytest.mark.parametrize("suite", SUITES, ids=lambda suite: suite.tier)
def test_our_initiator_and_their_responder(suite: Suite) -> None:
    """Fails if a peer built on another Noise library could not be our server."""
    for one in rounds(suite):
        initiator, responder = one.ours(initiator=True), one.theirs(initiator=False)
        assert responder.read_message(initiator.write_message(one.payloads[0])) == one.payloads[0]
        assert initiator.read_message(bytes(responder.write_message(one.payloads[1]))) == one.payloads[1]
        assert initiator.finished and responder.handshake_finished
        check_same_outcome(responder, initiator, initiator=True)


@pytest.mark.parametrize("suite", SUITES, ids=lambda suite: suite.tier)
def test_their_initiator_and_our_responder(suite: Suite) -> None:
    """Fails if a peer built on another Noise library could not be our client."""
    for one in rounds(suite):
        initiator, responder = one.theirs(initiator=True), one.ours(initiator=False)
        assert responder.read_message(bytes(initiator.write_message(one.payloads[0]))) == one.payloads[0]
        assert initiator.read_message(responder.write_message(one.payloads[1])) == one.payloads[1]
        assert initiator.handshake_finished and responder.finished
        if suite is KEY:
            assert responder.remote_static == public(one.static[0])
        check_same_outcome(initiator, responder, initiator=False)


@pytest.mark.parametrize("suite", SUITES, ids=lambda suite: suite.tier)
def test_both_write_the_same_bytes(suite: Suite) -> None:
    """Fails if our messages carry anything that theirs do not."""
    for one in rounds(suite):
        our_first, their_first = one.ours(initiator=True), one.theirs(initiator=True)
        message = our_first.write_message(one.payloads[0])
        assert bytes(their_first.write_message(one.payloads[0])) == message
        our_second, their_second = one.ours(initiator=False), one.theirs(initiator=False)
        our_second.read_message(message)
        their_second.read_message(message)
        assert bytes(their_second.write_message(one.payloads[1])) == our_second.write_message(one.payloads[1])


def test_a_psk_that_comes_late_is_the_same_psk() -> None:
    """Fails if a server that learns from message 1 whose psk to use could not answer a member that has one."""
    for one in rounds(KEY):
        initiator, responder = one.theirs(initiator=True), one.ours(initiator=False, psk=False)
        assert responder.read_message(bytes(initiator.write_message(one.payloads[0]))) == one.payloads[0]
        with pytest.raises(RuntimeError, match="psk"):
            responder.write_message(one.payloads[1])
        responder.set_psk(one.psk)
        assert initiator.read_message(responder.write_message(one.payloads[1])) == one.payloads[1]
        check_same_outcome(initiator, responder, initiator=False)


@pytest.mark.parametrize(
    ("suite", "what"),
    [(SHARED, "prologue"), (SHARED, "psk"), (KEY, "prologue"), (KEY, "psk"), (KEY, "static")],
    ids=lambda value: value.tier if isinstance(value, Suite) else value,
)
def test_both_refuse_what_is_not_theirs(suite: Suite, what: str) -> None:
    """Fails if one of the two takes a message that was made with another prologue, psk or server key."""
    one = next(rounds(suite))
    other = Round(
        suite,
        b"other" if what == "prologue" else one.prologue,
        b"\x77" * 32 if what == "psk" else one.psk,
        (one.static[0], b"\x77" * 32) if what == "static" else one.static,
        one.ephemeral,
        one.payloads,
    )
    late = suite is KEY and what == "psk"  # only message 2 depends on it
    our_initiator, their_initiator = one.ours(initiator=True), one.theirs(initiator=True)
    our_responder, their_responder = other.ours(initiator=False), other.theirs(initiator=False)
    if late:
        their_responder.read_message(our_initiator.write_message(b""))
        our_responder.read_message(bytes(their_initiator.write_message(b"")))
    with pytest.raises(InvalidTag):
        if late:
            their_initiator.read_message(our_responder.write_message(b""))
        else:
            their_responder.read_message(our_initiator.write_message(b""))
    with pytest.raises(ProtocolError):
        if late:
            our_initiator.read_message(bytes(their_responder.write_message(b"")))
        else:
            our_responder.read_message(bytes(their_initiator.write_message(b"")))


def credentials(one: Round, *, initiator: bool) -> Credentials:
    """Return what one of our sides brings."""
    if one.suite is SHARED:
        return Credentials(SHARED, one.psk)
    static = X25519PrivateKey.from_private_bytes(one.static[not initiator])
    return Credentials(KEY, one.psk, static, public(one.static[1]) if initiator else None)


@pytest.mark.parametrize("suite", SUITES, ids=lambda suite: suite.tier)
def test_the_frames_of_a_whole_handshake(suite: Suite) -> None:
    """Fails if what our client sends, or our server takes, is not Noise with the prologue and envelope written down."""
    one = next(rounds(suite))
    initiator = Initiator(credentials(one, initiator=True), HELLO, one.ephemeral[0], bytes(12))
    frame = initiator.first_frame
    opened = Envelope(public(one.static[1])).open(frame) if suite is KEY else frame
    assert opened is not None
    prologue = b"rustun noise v1\x01" + suite.tier.encode() + b"\0" + frame[:HEADER_BYTES]
    named = Round(suite, prologue, one.psk, one.static, one.ephemeral, one.payloads)
    their_server = named.theirs(initiator=False)
    our_server = Responder(credentials(one, initiator=False), one.ephemeral[1])
    assert bytes(their_server.read_message(opened[HEADER_BYTES:])) == HELLO.encode()
    assert our_server.receive(opened) == HELLO
    answer, keys = our_server.answer(WELCOME)
    assert bytes(their_server.write_message(WELCOME.encode())) == answer[HEADER_BYTES:]
    assert initiator.receive(answer[HEADER_BYTES:]) == WELCOME
    assert initiator.keys == keys
    assert their_server.noise_protocol.cipher_state_decrypt.k == keys.client_to_server
    assert their_server.noise_protocol.cipher_state_encrypt.k == keys.server_to_client
    assert their_server.get_handshake_hash() == keys.handshake_hash
