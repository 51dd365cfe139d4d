"""A server written from docs/protocol.md alone, with other libraries, against the bytes that the document shows."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import struct
import warnings
from pathlib import Path

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from noise.connection import Keypair, NoiseConnection

DOCUMENT = (Path(__file__).resolve().parents[2] / "docs" / "protocol.md").read_text()
PATTERN = b"Noise_NNpsk0_25519_ChaChaPoly_SHA256"


def block(name: str) -> bytes:
    """Return an example of the document."""
    form, text = re.findall(rf"^```(hex|json) {name}\n(.*?)^```$", DOCUMENT, re.DOTALL | re.MULTILINE)[0]
    return bytes.fromhex("".join(text.split())) if form == "hex" else text.replace("\n", "").encode()


def responder(prologue: bytes, ephemeral: bytes) -> NoiseConnection:
    """Return a server's side of a handshake as sections 3 and 6 describe it."""
    psk = hashlib.scrypt(
        b"correct horse battery staple", salt=b"rustun shared key v1", n=1 << 15, r=8, p=1, maxmem=1 << 26, dklen=32
    )
    connection = NoiseConnection.from_name(PATTERN)
    connection.set_as_responder()
    connection.set_prologue(prologue)
    connection.set_psks(psk)
    connection.set_keypair_from_private_bytes(Keypair.EPHEMERAL, ephemeral)
    with warnings.catch_warnings(action="ignore"):  # the library warns of ephemeral keys that are not random
        connection.start_handshake()
    return connection


def open_record(split_key: bytes, counter: int, frame: bytes) -> bytes:
    """Open a record as section 4 describes it; HKDF (RFC 5869) in two lines."""
    extracted = hmac.digest(bytes(32), split_key, "sha256")
    key = hmac.digest(extracted, b"rustun record v1 aes256" + b"\x01", "sha256")
    return AESGCM(key).decrypt(struct.pack("!IQ", 0, counter), frame[8:], frame[:8])


def test_a_server_written_from_the_document_understands_our_client() -> None:
    """Fails if docs/protocol.md leaves out, or misstates, anything between the key string and the first records."""
    init = block("shared-init")
    prologue = b"rustun noise v1" + b"\x01" + b"shared" + b"\x00" + init[:8]
    server = responder(prologue, b"\x22" * 32)
    assert bytes(server.read_message(init[8:])) == block("shared-hello-json")
    assert bytes(server.write_message(block("shared-welcome-json"))) == block("shared-reply")[8:]
    from_client = server.noise_protocol.cipher_state_decrypt.k
    assert from_client == block("split-client-to-server")
    assert server.noise_protocol.cipher_state_encrypt.k == block("split-server-to-client")
    assert server.get_handshake_hash() == block("handshake-hash")
    assert open_record(from_client, 0, block("record-ping")) == block("record-ping-json")
    assert open_record(from_client, 1, block("record-data")) == block("record-item")


def test_a_server_written_from_the_document_follows_a_rekey() -> None:
    """Fails if docs/protocol.md misstates what a rekey builds on, or where a direction changes its key."""
    init, reply = (json.loads(block(f"rekey-{name}-json")) for name in ("init", "reply"))
    server = responder(b"rustun rekey v1" + block("handshake-hash"), b"\x44" * 32)
    assert bytes(server.read_message(base64.b64decode(init["noise"]))) == b""
    assert bytes(server.write_message(b"")) == base64.b64decode(reply["noise"])
    renewed = server.noise_protocol.cipher_state_decrypt.k
    assert renewed == block("rekey-client-to-server")
    switch = open_record(block("split-client-to-server"), 2, block("rekey-switch"))
    assert json.loads(switch) == {"type": "rekey-switch"}
    assert json.loads(open_record(renewed, 0, block("rekey-first-record")))["id"] == 1
