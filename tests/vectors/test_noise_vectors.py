"""Noise against the Cacophony vectors: every pattern, both roles, transport messages too."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

from rustun.protocol.noise import NoiseHandshake

VECTORS: list[dict[str, Any]] = json.loads((Path(__file__).parent / "data/noise_cacophony.json").read_text())["vectors"]


def side(vector: dict[str, Any], prefix: str) -> NoiseHandshake:
    """Return the handshake that the vector describes for "init" or "resp"."""

    def key(name: str) -> bytes | None:
        value = vector.get(f"{prefix}_{name}")
        return bytes.fromhex(value) if value else None

    psks = vector.get(f"{prefix}_psks", [])
    return NoiseHandshake(
        vector["protocol_name"],
        initiator=prefix == "init",
        prologue=bytes.fromhex(vector[f"{prefix}_prologue"]),
        psk=bytes.fromhex(psks[0]) if psks else None,
        static_private=key("static"),
        remote_static=key("remote_static"),
        ephemeral_private=bytes.fromhex(vector[f"{prefix}_ephemeral"]),
    )


def test_all_vectors_are_there() -> None:
    """Fails if vectors vanish from the data, so that the tests below check less than they say."""
    assert len({vector["protocol_name"] for vector in VECTORS}) == len(VECTORS) == 44


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["protocol_name"])
def test_vector(vector: dict[str, Any]) -> None:
    """Fails if our handshake differs from Noise by one byte: no other implementation could be a peer."""
    initiator, responder = side(vector, "init"), side(vector, "resp")
    messages = [(bytes.fromhex(m["payload"]), bytes.fromhex(m["ciphertext"])) for m in vector["messages"]]
    number = 0
    while not initiator.finished:
        writer, reader = (initiator, responder) if number % 2 == 0 else (responder, initiator)
        payload, ciphertext = messages[number]
        assert writer.write_message(payload) == ciphertext
        assert reader.read_message(ciphertext) == payload
        number += 1
    assert responder.finished
    assert initiator.handshake_hash == responder.handshake_hash == bytes.fromhex(vector["handshake_hash"])
    assert initiator.split() == responder.split()
    assert number < len(messages)
    check_transport(vector["protocol_name"], initiator.split(), number, messages[number:])


def check_transport(name: str, keys: tuple[bytes, bytes], number: int, messages: list[tuple[bytes, bytes]]) -> None:
    """Seal the rest of the vector's messages with the split keys; the roles go on taking turns."""
    chacha = "ChaChaPoly" in name
    nonce = struct.Struct("<4xQ" if chacha else ">4xQ")
    aeads = [ChaCha20Poly1305(key) if chacha else AESGCM(key) for key in keys]
    counters = [0, 0]
    for index, (payload, ciphertext) in enumerate(messages, start=number):
        direction = index % 2
        assert aeads[direction].encrypt(nonce.pack(counters[direction]), payload, b"") == ciphertext
        counters[direction] += 1
