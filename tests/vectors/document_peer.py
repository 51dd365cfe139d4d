"""A peer written from docs/protocol.md alone: nothing of rustun, only hashes, X25519 and AEADs of the libraries.

Noise is here once more, as revision 34 of its text says it; the two message patterns and the names are read from the
document's own table. Section numbers are those of docs/protocol.md.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import struct
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

DOCUMENT = (Path(__file__).resolve().parents[2] / "docs" / "protocol.md").read_text()
MAGIC_VERSION = bytes.fromhex("9192939401")
DATA, CONTROL = 0x14, 0x15


def block(name: str) -> bytes:
    """Return an example of the document."""
    form, text = re.findall(rf"^```(hex|json) {name}\n(.*?)^```$", DOCUMENT, re.DOTALL | re.MULTILINE)[0]
    return bytes.fromhex("".join(text.split())) if form == "hex" else text.replace("\n", "").encode()


def tier(name: str) -> tuple[str, tuple[int, int], list[list[str]]]:
    """Return protocol, frame types and the tokens of both messages from the table of section 3."""
    row = re.findall(
        rf"^\| `{name}` \| `(Noise_\w+)` \| (0x\w\w), (0x\w\w) \| `([^`]+)` \| `([^`]+)` \|", DOCUMENT, re.M
    )
    protocol, init, reply, first, second = row[0]
    return protocol, (int(init, 16), int(reply, 16)), [first.split(", "), second.split(", ")]


def shared_psk(key: str) -> bytes:
    """Stretch the key string (section 3)."""
    return hashlib.scrypt(key.encode(), salt=b"rustun shared key v1", n=1 << 15, r=8, p=1, maxmem=1 << 26, dklen=32)


def hkdf(secret: bytes, info: bytes) -> bytes:
    """HKDF-SHA256 without a salt, 32 bytes (RFC 5869)."""
    return hmac.digest(hmac.digest(bytes(32), secret, "sha256"), info + b"\x01", "sha256")


def header(frame_type: int, length: int) -> bytes:
    """Return a frame's header (section 1)."""
    return MAGIC_VERSION + struct.pack("!BH", frame_type, length)


def prologue(name: str, init_header: bytes) -> bytes:
    """Return what a handshake is bound to (section 3)."""
    return b"rustun noise v1" + b"\x01" + name.encode() + b"\x00" + init_header


def public(private: bytes) -> bytes:
    """Return the public half of a key pair."""
    return X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()


class Noise:
    """One side of a handshake.

    Args:
        name: of the tier.
        prologue: see there.
        psk: 32 bytes.
        keys: those that this side knows: "e" and "s" private, "re" and "rs" public.
    """

    def __init__(self, name: str, prologue: bytes, psk: bytes, *, initiator: bool, **keys: bytes) -> None:
        protocol, _, self._messages = tier(name)
        self._keys = keys
        self._psk = psk
        self._initiator = initiator
        self.hash = self._chain = hashlib.sha256(protocol.encode()).digest()  # both names are over 32 characters
        self._key, self._count = b"", 0
        self._mix_hash(prologue)
        if "IK" in protocol:  # the responder's static key is known beforehand
            self._mix_hash(keys["rs"] if initiator else public(keys["s"]))

    def write(self, payload: bytes) -> bytes:
        """Return the next message."""
        message = b""
        for token in self._messages.pop(0):
            if token == "e":
                message += public(self._keys["e"])
                self._mix_public(public(self._keys["e"]))
            elif token == "s":
                message += self._seal(public(self._keys["s"]))
            else:
                self._mix(token)
        return message + self._seal(payload)

    def read(self, message: bytes) -> bytes:
        """Return the payload of the other side's message."""
        for token in self._messages.pop(0):
            if token == "e":
                self._keys["re"], message = message[:32], message[32:]
                self._mix_public(self._keys["re"])
            elif token == "s":
                self._keys["rs"], message = self._open(message[:48]), message[48:]
            else:
                self._mix(token)
        return self._open(message)

    @property
    def remote_static(self) -> bytes:
        """The other side's public key, once it is known."""
        return self._keys["rs"]

    def split(self) -> tuple[bytes, bytes]:
        """Return the keys of the client's and of the server's direction."""
        first, second, _ = self._derive(b"")
        return first, second

    def _derive(self, material: bytes) -> tuple[bytes, bytes, bytes]:
        temporary = hmac.digest(self._chain, material, "sha256")
        first = hmac.digest(temporary, b"\x01", "sha256")
        second = hmac.digest(temporary, first + b"\x02", "sha256")
        return first, second, hmac.digest(temporary, second + b"\x03", "sha256")

    def _mix_hash(self, data: bytes) -> None:
        self.hash = hashlib.sha256(self.hash + data).digest()

    def _mix_key(self, material: bytes) -> None:
        self._chain, self._key, _ = self._derive(material)
        self._count = 0

    def _mix_public(self, key: bytes) -> None:
        self._mix_hash(key)
        self._mix_key(key)  # a pattern with a psk

    def _mix(self, token: str) -> None:
        if token == "psk":
            self._chain, digest, key = self._derive(self._psk)
            self._mix_hash(digest)
            self._key, self._count = key, 0
            return
        own, other = (token[0], token[1]) if self._initiator else (token[1], token[0])
        private = X25519PrivateKey.from_private_bytes(self._keys[own])
        self._mix_key(private.exchange(X25519PublicKey.from_public_bytes(self._keys["r" + other])))

    def _nonce(self) -> bytes:
        self._count += 1
        return struct.pack("<4xQ", self._count - 1)

    def _seal(self, plaintext: bytes) -> bytes:
        sealed = ChaCha20Poly1305(self._key).encrypt(self._nonce(), plaintext, self.hash)
        self._mix_hash(sealed)
        return sealed

    def _open(self, sealed: bytes) -> bytes:
        plaintext = ChaCha20Poly1305(self._key).decrypt(self._nonce(), sealed, self.hash)
        self._mix_hash(sealed)
        return plaintext


class Direction:
    """The records of one direction under one key (section 4)."""

    def __init__(self, split_key: bytes, cipher: str) -> None:
        key = hkdf(split_key, b"rustun record v1 " + cipher.encode())
        self._aead = AESGCM(key) if cipher == "aes256" else ChaCha20Poly1305(key)
        self._counter = 0

    def seal(self, frame_type: int, plaintext: bytes) -> bytes:
        """Return the next record."""
        head = header(frame_type, len(plaintext) + 16)
        self._counter += 1
        return head + self._aead.encrypt(struct.pack("!IQ", 0, self._counter - 1), plaintext, head)

    def open(self, frame: bytes) -> bytes:
        """Return the plaintext of the next record."""
        self._counter += 1
        return self._aead.decrypt(struct.pack("!IQ", 0, self._counter - 1), frame[8:], frame[:8])


class Envelope:
    """The envelope around message 1 of the key tier (section 3)."""

    def __init__(self, server_public: bytes) -> None:
        self._aead = ChaCha20Poly1305(hkdf(server_public, b"rustun envelope v1"))

    def seal(self, head: bytes, message: bytes, nonce: bytes) -> bytes:
        """Return the frame."""
        return head + nonce + self._aead.encrypt(nonce, message, head)

    def open(self, frame: bytes) -> bytes:
        """Return the message in a frame."""
        return self._aead.decrypt(frame[8:20], frame[20:], frame[:8])


class Client:
    """A client of either Noise tier.

    Args:
        name: of the tier.
        hello: message 1's payload.
        psk: 32 bytes.
        ephemeral: private key of the handshake.
        nonce: of the envelope, key tier only.
        keys: own static private key "s" and the server's public key "rs", key tier only.
    """

    def __init__(
        self, name: str, hello: bytes, psk: bytes, ephemeral: bytes, nonce: bytes = b"", **keys: bytes
    ) -> None:
        self._name, self._psk, self._static = name, psk, keys
        init_type = tier(name)[1][0]
        head = header(init_type, len(hello) + (28 + 32 + 48 + 16 if keys else 32 + 16))
        self._noise = Noise(name, prologue(name, head), psk, initiator=True, e=ephemeral, **keys)
        message = self._noise.write(hello)
        self.first_frame = Envelope(keys["rs"]).seal(head, message, nonce) if keys else head + message

    def receive_answer(self, frame: bytes) -> dict[str, Any]:
        """Open message 2; after a welcome, records can be exchanged."""
        assert frame[:8] == header(tier(self._name)[1][1], len(frame) - 8)
        answer: dict[str, Any] = json.loads(self._noise.read(frame[8:]))
        self.hash = self._noise.hash
        if "cipher" in answer:
            self._cipher = answer["cipher"]
            self.sending, self.receiving = (Direction(key, self._cipher) for key in self._noise.split())
        return answer

    def say(self, **message: object) -> bytes:
        """Return a control record."""
        return self.sending.seal(CONTROL, json.dumps(message).encode())

    def begin_rekey(self, ephemeral: bytes) -> bytes:
        """Return the record that begins a rekey (section 6)."""
        self._rekey = Noise(
            self._name, b"rustun rekey v1" + self.hash, self._psk, initiator=True, e=ephemeral, **self._static
        )
        return self.say(type="rekey-init", noise=base64.b64encode(self._rekey.write(b"")).decode())

    def finish_rekey(self, noise: str) -> bytes:
        """Take the server's message, and return the switch mark: the last record under the old key."""
        assert self._rekey.read(base64.b64decode(noise)) == b""
        self.hash = self._rekey.hash
        mark = self.say(type="rekey-switch")
        self.sending, self.receiving = (Direction(key, self._cipher) for key in self._rekey.split())
        return mark
