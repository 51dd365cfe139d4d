"""The seed's wire against recorded frames: header, the four methods, the messages."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rustun.errors import ProtocolError
from rustun.protocol.ciphers import SeedMethod, seed_cipher
from rustun.protocol.frames import HEADER_BYTES, FrameReader, FrameType, encode_frame
from rustun.protocol.seed_messages import SeedHandshake, SeedHandshakeReply, SeedKeepAlive

DATA: dict[str, Any] = json.loads((Path(__file__).parent / "data/seed_wire.json").read_text())
VECTORS: list[dict[str, Any]] = DATA["vectors"]
SEED_TYPES = frozenset(kind for kind in FrameType if kind.name.startswith("SEED_"))
MESSAGES: dict[int, type[SeedHandshake] | type[SeedKeepAlive] | type[SeedHandshakeReply]] = {
    FrameType.SEED_HANDSHAKE: SeedHandshake,
    FrameType.SEED_KEEPALIVE: SeedKeepAlive,
    FrameType.SEED_HANDSHAKE_REPLY: SeedHandshakeReply,
    FrameType.SEED_PROBE_IPV6: SeedHandshake,
    FrameType.SEED_PROBE_HOLE_PUNCH: SeedHandshake,
}


def name_of(vector: dict[str, Any]) -> str:
    return f"{vector['name']}-{vector['method']}-{len(vector['key'])}-{vector['key'][:4]}"


def test_all_vectors_are_there() -> None:
    """Fails if frames vanish from the data, so that the tests below check less than they say."""
    assert len(VECTORS) == 171 and len(DATA["bad"]) == 8
    assert {vector["method"] for vector in VECTORS} == set(SeedMethod)
    assert {vector["type"] for vector in VECTORS} == SEED_TYPES


@pytest.mark.parametrize("vector", VECTORS, ids=name_of)
def test_sealing_gives_the_seeds_frame(vector: dict[str, Any]) -> None:
    """Fails if a seed's server or client would not read what we send."""
    cipher = seed_cipher(SeedMethod(vector["method"]), vector["key"])
    plaintext = bytes.fromhex(vector["plaintext"])
    out = bytearray(len(plaintext) + cipher.overhead_bytes)
    length = cipher.seal_into(plaintext, bytes.fromhex(vector["nonce"] or "00" * 12), out)
    assert length == len(out)
    assert encode_frame(vector["type"], bytes(out)).hex() == vector["frame"]


@pytest.mark.parametrize("vector", VECTORS, ids=name_of)
def test_the_seeds_frame_opens(vector: dict[str, Any]) -> None:
    """Fails if we would not read what a seed's server or client sends."""
    frame = bytes.fromhex(vector["frame"])
    assert FrameReader(SEED_TYPES).next_frame(frame, 0, len(frame)) == (vector["type"], len(frame))
    cipher = seed_cipher(SeedMethod(vector["method"]), vector["key"])
    out = bytearray(len(frame))
    length = cipher.open_into(memoryview(frame)[HEADER_BYTES:], out)
    assert out[:length].hex() == vector["plaintext"]


@pytest.mark.parametrize("vector", [v for v in VECTORS if v["type"] in MESSAGES and v["key"] == "rustun"], ids=name_of)
def test_messages_encode_to_the_seeds_own_bytes(vector: dict[str, Any]) -> None:
    """Fails if our JSON lacks a key that the seed insists on, or misreads one of its fields."""
    plaintext = bytes.fromhex(vector["plaintext"])
    encoded = MESSAGES[vector["type"]].decode(plaintext).encode(65_535)
    if vector["name"] == "keepalive_client_without_name":
        plaintext = b'{"name":"",' + plaintext[1:]  # we send every key, always
    assert encoded == plaintext


@pytest.mark.parametrize("bad", DATA["bad"], ids=lambda bad: bad["name"])
def test_bad_bytes_are_refused(bad: dict[str, str]) -> None:
    """Fails if something that is not a frame of the seed gets past header and cipher."""
    data = bytes.fromhex(bad["bytes"])
    cipher = seed_cipher(SeedMethod.CHACHA20POLY1305, "rustun")
    with pytest.raises(ProtocolError):
        found = FrameReader(SEED_TYPES).next_frame(data, 0, len(data))
        assert found is not None, "a header that will be refused must not be waited for"
        cipher.open_into(data[HEADER_BYTES : found[1]], bytearray(65_535))
