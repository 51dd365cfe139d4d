"""Our Noise messages against those of the `noiseprotocol` package: an implementation by others."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from noise.connection import Keypair, NoiseConnection

from rustun.protocol.noise import NoiseHandshake

NN = "Noise_NNpsk0_25519_ChaChaPoly_SHA256"
IK = "Noise_IKpsk2_25519_ChaChaPoly_SHA256"
PROLOGUE = b"rustun prologue"
PSK = bytes(range(32))
INITIATOR_STATIC, RESPONDER_STATIC = b"\x11" * 32, b"\x22" * 32
PAYLOADS = [b"identity and offers", b"address and limits"]


def public(private: bytes) -> bytes:
    return X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()


def ours(name: str, *, initiator: bool) -> NoiseHandshake:
    static = remote = None
    if name == IK:
        static = INITIATOR_STATIC if initiator else RESPONDER_STATIC
        remote = public(RESPONDER_STATIC) if initiator else None
    return NoiseHandshake(
        name,
        initiator=initiator,
        prologue=PROLOGUE,
        psk=PSK,
        static_private=static,
        remote_static=remote,
        ephemeral_private=b"\x33" * 32,
    )


def theirs(name: str, *, initiator: bool) -> NoiseConnection:
    connection = NoiseConnection.from_name(name.encode())
    if initiator:
        connection.set_as_initiator()
    else:
        connection.set_as_responder()
    connection.set_prologue(PROLOGUE)
    connection.set_psks(PSK)
    if name == IK:
        own = INITIATOR_STATIC if initiator else RESPONDER_STATIC
        connection.set_keypair_from_private_bytes(Keypair.STATIC, own)
        if initiator:
            connection.set_keypair_from_public_bytes(Keypair.REMOTE_STATIC, public(RESPONDER_STATIC))
    connection.start_handshake()
    return connection


def check_same_outcome(connection: NoiseConnection, our_handshake: NoiseHandshake, *, initiator: bool) -> None:
    """Compare the two transport keys and the handshake hash."""
    to_responder, to_initiator = our_handshake.split()
    sending, receiving = (to_responder, to_initiator) if initiator else (to_initiator, to_responder)
    cipher_state = connection.noise_protocol.cipher_state_decrypt  # what they open with is what we seal with
    assert cipher_state.k == sending
    assert connection.noise_protocol.cipher_state_encrypt.k == receiving
    assert connection.get_handshake_hash() == our_handshake.handshake_hash


@pytest.mark.parametrize("name", [NN, IK])
def test_our_initiator_and_their_responder(name: str) -> None:
    """Fails if a peer built on another Noise library could not be our server."""
    initiator, responder = ours(name, initiator=True), theirs(name, initiator=False)
    assert responder.read_message(initiator.write_message(PAYLOADS[0])) == PAYLOADS[0]
    assert initiator.read_message(bytes(responder.write_message(PAYLOADS[1]))) == PAYLOADS[1]
    assert initiator.finished and responder.handshake_finished
    check_same_outcome(responder, initiator, initiator=True)


@pytest.mark.parametrize("name", [NN, IK])
def test_their_initiator_and_our_responder(name: str) -> None:
    """Fails if a peer built on another Noise library could not be our client."""
    initiator, responder = theirs(name, initiator=True), ours(name, initiator=False)
    assert responder.read_message(bytes(initiator.write_message(PAYLOADS[0]))) == PAYLOADS[0]
    assert initiator.read_message(responder.write_message(PAYLOADS[1])) == PAYLOADS[1]
    assert initiator.handshake_finished and responder.finished
    if name == IK:
        assert responder.remote_static == public(INITIATOR_STATIC)
    check_same_outcome(initiator, responder, initiator=False)
