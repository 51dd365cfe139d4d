"""Noise handshakes: the state machine of the Noise Protocol Framework, revision 34, for X25519.

Theory: both sides keep a chaining key and a hash. Every token of a message pattern mixes something into them: a public
key that was sent, the result of a Diffie-Hellman, a pre-shared key. So a payload opens only for who saw the same bytes
and holds the same secrets, and each message proves more than the one before it.

Rules of this module
  1. No I/O, no clock, no randomness: the caller brings the ephemeral private key, fresh for every handshake.
  2. Whatever bytes arrive, the only exception that leaves `read_message` for them is ProtocolError; after it the
     object is dead and says ProtocolError to everything. A misuse by our own code is a ValueError or RuntimeError.
  3. A Diffie-Hellman result of zeros only (a point of low order) ends the handshake; other points that are not in
     canonical form are taken as RFC 7748, section 5 says.
  4. No secret in repr, messages of errors or tracebacks' text. Python cannot promise to wipe a key; what is not needed
     any more is let go.

Section numbers in comments are those of the framework's text, https://noiseprotocol.org/noise.html.
"""

from __future__ import annotations

import hashlib
import re
import struct
from collections.abc import Callable
from typing import Any, Final, TypeVar

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

from rustun.errors import ProtocolError

KEY_BYTES: Final = 32  # DHLEN, HASHLEN and the length of a cipher or pre-shared key are all the same here
TAG_BYTES: Final = 16
MAX_MESSAGE_BYTES: Final = 65_535  # section 3
MAX_PAYLOAD_BYTES: Final = MAX_MESSAGE_BYTES - (KEY_BYTES + KEY_BYTES + TAG_BYTES + TAG_BYTES)  # beside e, s, two tags

T = TypeVar("T")
Messages = tuple[tuple[str, ...], ...]

# Section 7.5: (initiator's pre-message, responder's pre-message), then the messages, the initiator's first.
_PATTERNS: Final[dict[str, tuple[tuple[str, str], Messages]]] = {
    "NN": (("", ""), (("e",), ("e", "ee"))),
    "KK": (("s", "s"), (("e", "es", "ss"), ("e", "ee", "se"))),
    "XK": (("", "s"), (("e", "es"), ("e", "ee"), ("s", "se"))),
    "IK": (("", "s"), (("e", "es", "s", "ss"), ("e", "ee", "se"))),
    "XX": (("", ""), (("e",), ("e", "ee", "s", "es"), ("s", "se"))),
}
# Section 12.3 and 12.4: cipher and the layout of its nonce, 4 zero bytes and the counter.
_CIPHERS: Final[dict[str, tuple[type[AESGCM] | type[ChaCha20Poly1305], struct.Struct]]] = {
    "ChaChaPoly": (ChaCha20Poly1305, struct.Struct("<4xQ")),
    "AESGCM": (AESGCM, struct.Struct(">4xQ")),
}
_HASHES: Final[dict[str, Callable[[bytes], Any]]] = {"SHA256": hashlib.sha256, "BLAKE2s": hashlib.blake2s}
_BLOCK_REST: Final = bytes(64 - KEY_BYTES)  # both hashes have blocks of 64 bytes
_INNER: Final = bytes(byte ^ 0x36 for byte in range(256))  # RFC 2104's ipad and opad, for bytes.translate
_OUTER: Final = bytes(byte ^ 0x5C for byte in range(256))
_NAME: Final = re.compile(r"Noise_([A-Z]{2})(?:psk(\d))?_25519_([A-Za-z]+)_([A-Za-z0-9]+)")


class _SymmetricState:
    """Chaining key, hash and cipher of one side (section 5.1 and 5.2)."""

    __slots__ = ("_aead", "_aead_type", "_chaining_key", "_counter", "_hash", "_nonce", "hash")

    def __init__(self, protocol_name: str, cipher: str, hash_name: str) -> None:
        self._aead_type, self._nonce = _CIPHERS[cipher]
        self._hash = _HASHES[hash_name]
        name = protocol_name.encode()
        self.hash = name.ljust(KEY_BYTES, b"\0") if len(name) <= KEY_BYTES else self._digest(name)
        self._chaining_key = self.hash
        self._aead: AESGCM | ChaCha20Poly1305 | None = None
        self._counter = 0

    def _digest(self, data: bytes) -> bytes:
        digest: bytes = self._hash(data).digest()
        return digest

    def _hkdf(self, key_material: bytes, outputs: int) -> list[bytes]:
        """Return 2 or 3 keys (section 4.3)."""
        temporary = self._hmac(self._chaining_key, key_material)
        keys = [b""]
        for number in range(1, outputs + 1):
            keys.append(self._hmac(temporary, keys[-1] + bytes([number])))
        return keys[1:]

    def _hmac(self, key: bytes, data: bytes) -> bytes:
        """Return HMAC (RFC 2104) of a 32-byte key; the standard library's costs twice as much, 25 times a handshake."""
        block = key + _BLOCK_REST
        return self._digest(block.translate(_OUTER) + self._digest(block.translate(_INNER) + data))

    def _set_key(self, key: bytes) -> None:
        self._aead = self._aead_type(key)
        self._counter = 0

    @property
    def has_key(self) -> bool:
        return self._aead is not None

    def mix_hash(self, data: bytes) -> None:
        self.hash = self._digest(self.hash + data)

    def mix_key(self, key_material: bytes) -> None:
        self._chaining_key, key = self._hkdf(key_material, 2)
        self._set_key(key)

    def mix_key_and_hash(self, key_material: bytes) -> None:
        self._chaining_key, hash_part, key = self._hkdf(key_material, 3)
        self.mix_hash(hash_part)
        self._set_key(key)

    def _next_nonce(self) -> bytes:
        nonce = self._nonce.pack(self._counter)
        self._counter += 1
        return nonce

    def encrypt_and_hash(self, plaintext: bytes) -> bytes:
        if self._aead is None:
            ciphertext = plaintext
        else:
            ciphertext = self._aead.encrypt(self._next_nonce(), plaintext, self.hash)
        self.mix_hash(ciphertext)
        return ciphertext

    def decrypt_and_hash(self, ciphertext: bytes) -> bytes:
        if self._aead is None:
            plaintext = ciphertext
        else:
            try:
                plaintext = self._aead.decrypt(self._next_nonce(), ciphertext, self.hash)
            except InvalidTag:
                raise ProtocolError("handshake message does not open: altered, or another key") from None
        self.mix_hash(ciphertext)
        return plaintext

    def split(self) -> tuple[bytes, bytes]:
        first, second = self._hkdf(b"", 2)
        return first, second


class NoiseHandshake:
    """One side of one handshake (section 5.3).

    Args:
        protocol_name: such as "Noise_IKpsk2_25519_ChaChaPoly_SHA256". Patterns NN, KK, XK, IK, XX, at most one pskN
            modifier; ciphers ChaChaPoly, AESGCM; hashes SHA256, BLAKE2s.
        initiator: True for who writes the first message.
        prologue: bytes that both sides must agree on, not sent.
        psk: 32 bytes; may come later by `set_psk`, before the message that uses it.
        static_private: own 32-byte X25519 key, where the pattern has one for this side; as an object it is made once
            for many handshakes, which saves a scalar multiplication each.
        remote_static: the other's 32-byte public key, where the pattern says that it is known before.
        ephemeral_private: 32 fresh random bytes, never used twice.
    Raises:
        ValueError: an unknown name, a key that is missing, of a wrong length or not asked for by the pattern.
    """

    __slots__ = (
        "_broken",
        "_ephemeral",
        "_ephemeral_private",
        "_initiator",
        "_message_number",
        "_messages",
        "_name",
        "_psk",
        "_remote_ephemeral",
        "_remote_static",
        "_static",
        "_symmetric",
        "_with_psk",
    )

    def __init__(
        self,
        protocol_name: str,
        *,
        initiator: bool,
        prologue: bytes,
        psk: bytes | None = None,
        static_private: X25519PrivateKey | bytes | None = None,
        remote_static: bytes | None = None,
        ephemeral_private: bytes,
    ) -> None:
        pre_messages, self._messages, cipher, hash_name = _parse_name(protocol_name)
        self._with_psk = any("psk" in tokens for tokens in self._messages)
        own_role = 0 if initiator else 1
        own_static = pre_messages[own_role] == "s" or any("s" in tokens for tokens in self._messages[own_role::2])
        if isinstance(static_private, bytes):
            _check_key("static_private", static_private, wanted=own_static)
            static_private = X25519PrivateKey.from_private_bytes(static_private)
        _check_wanted("static_private", static_private, wanted=own_static)
        _check_key("remote_static", remote_static, wanted=pre_messages[1 - own_role] == "s")
        _check_key("ephemeral_private", ephemeral_private, wanted=True)
        self._name = protocol_name
        self._initiator = initiator
        self._static = static_private
        self._ephemeral_private = ephemeral_private
        self._ephemeral: X25519PrivateKey | None = None  # made once it is needed: a scalar multiplication
        self._remote_static = remote_static
        self._remote_ephemeral: bytes | None = None
        self._psk: bytes | None = None
        if psk is not None:
            self.set_psk(psk)
        self._message_number = 0
        self._broken = False
        self._symmetric = _SymmetricState(protocol_name, cipher, hash_name)
        self._symmetric.mix_hash(prologue)
        for role, pre_message in enumerate(pre_messages):
            if pre_message:
                self._symmetric.mix_hash(self._static_public() if role == own_role else _known(remote_static))

    def __repr__(self) -> str:
        role = "initiator" if self._initiator else "responder"
        state = "failed" if self._broken else f"{self._message_number} of {len(self._messages)} messages done"
        return f"NoiseHandshake({self._name}, {role}, {state})"

    @property
    def finished(self) -> bool:
        """True once every message of the pattern was written or read."""
        return self._message_number == len(self._messages) and not self._broken

    @property
    def handshake_hash(self) -> bytes:
        """The 32 bytes that name this finished handshake on both sides (section 11.2); RuntimeError before."""
        self._require_finished()
        return self._symmetric.hash

    @property
    def remote_static(self) -> bytes | None:
        """The other side's public key as soon as it is known, else None."""
        return self._remote_static

    def set_psk(self, psk: bytes) -> None:
        """Give the pre-shared key, 32 bytes; a responder may know it only once message 1 has named its sender.

        Raises: ValueError for another length or a pattern without a psk; the object stays usable.
        """
        _check_key("psk", psk, wanted=self._with_psk)
        self._psk = psk

    def write_message(self, payload: bytes = b"") -> bytes:
        """Return the next message, with `payload` (at most 65,423 bytes) in it, encrypted as far as keys are there.

        Raises:
            ProtocolError: the other side's key gives zeros; the object is dead.
            RuntimeError: not our turn, or no psk yet. ValueError: payload too long. The object stays usable.
        """
        if len(payload) > MAX_PAYLOAD_BYTES:
            raise ValueError(f"payload of {len(payload)} bytes, at most {MAX_PAYLOAD_BYTES}")
        tokens = self._take_turn(writing=True)
        parts = [self._write_token(token) for token in tokens]
        parts.append(self._symmetric.encrypt_and_hash(payload))
        self._end_turn()
        return b"".join(parts)

    def read_message(self, message: bytes | memoryview) -> bytes:
        """Return the payload of the other side's next message.

        Raises:
            ProtocolError: not a message of this handshake; the object is dead.
            RuntimeError: not the other side's turn, or no psk yet; the object stays usable.
        """
        tokens = self._take_turn(writing=False)
        if len(message) > MAX_MESSAGE_BYTES:
            raise ProtocolError(f"handshake message of {len(message)} bytes, at most {MAX_MESSAGE_BYTES}")
        rest = bytes(message)
        for token in tokens:
            rest = self._read_token(token, rest)
        payload = self._symmetric.decrypt_and_hash(rest)
        self._end_turn()
        return payload

    def split(self) -> tuple[bytes, bytes]:
        """Return the two 32-byte keys: initiator to responder, responder to initiator (section 5.2).

        Raises: RuntimeError before the handshake is finished.
        """
        self._require_finished()
        return self._symmetric.split()

    def _require_finished(self) -> None:
        if not self.finished:
            raise RuntimeError(f"{self!r} is not finished")

    def _take_turn(self, *, writing: bool) -> tuple[str, ...]:
        """Return the tokens of the next message; until `_end_turn` the object counts as broken."""
        if self._broken:
            raise ProtocolError("this handshake failed earlier")
        if self.finished or ((self._message_number % 2 == 0) == self._initiator) != writing:
            raise RuntimeError(f"{self!r}: not the moment to {'write' if writing else 'read'}")
        tokens = self._messages[self._message_number]
        if "psk" in tokens and self._psk is None:
            raise RuntimeError(f"{self!r}: this message needs the psk")
        self._broken = True
        return tokens

    def _end_turn(self) -> None:
        self._broken = False
        self._message_number += 1
        if self.finished:
            self._ephemeral = self._psk = None
            self._ephemeral_private = b""

    def _write_token(self, token: str) -> bytes:
        if token == "e":
            public = self._own_ephemeral().public_key().public_bytes_raw()
            self._mix_ephemeral(public)
            return public
        if token == "s":
            return self._symmetric.encrypt_and_hash(self._static_public())
        self._mix_secret(token)
        return b""

    def _read_token(self, token: str, data: bytes) -> bytes:
        """Consume what `token` has at the start of `data` and return the rest."""
        if token not in ("e", "s"):
            self._mix_secret(token)
            return data
        key_bytes = KEY_BYTES + (TAG_BYTES if token == "s" and self._symmetric.has_key else 0)
        if len(data) < key_bytes:
            raise ProtocolError("handshake message is cut short")
        if token == "e":
            self._remote_ephemeral = data[:key_bytes]
            self._mix_ephemeral(self._remote_ephemeral)
        else:
            self._remote_static = self._symmetric.decrypt_and_hash(data[:key_bytes])
        return data[key_bytes:]

    def _mix_ephemeral(self, public: bytes) -> None:
        self._symmetric.mix_hash(public)
        if self._with_psk:
            self._symmetric.mix_key(public)  # section 9.2: so that the psk's key differs from handshake to handshake

    def _mix_secret(self, token: str) -> None:
        if token == "psk":
            self._symmetric.mix_key_and_hash(_known(self._psk))
            return
        own = token[0 if self._initiator else 1]  # "ee", "es", "se", "ss" name the initiator's key first
        remote = token[1 if self._initiator else 0]
        private = self._own_ephemeral() if own == "e" else _known(self._static)
        public = _known(self._remote_ephemeral if remote == "e" else self._remote_static)
        try:
            self._symmetric.mix_key(private.exchange(X25519PublicKey.from_public_bytes(public)))
        except ValueError:
            raise ProtocolError("the other side's public key is of low order") from None

    def _own_ephemeral(self) -> X25519PrivateKey:
        if self._ephemeral is None:
            self._ephemeral = X25519PrivateKey.from_private_bytes(self._ephemeral_private)
        return self._ephemeral

    def _static_public(self) -> bytes:
        return _known(self._static).public_key().public_bytes_raw()


def _known(value: T | None) -> T:
    """Return a key that the pattern table promises to be there by now."""
    assert value is not None
    return value


def _parse_name(protocol_name: str) -> tuple[tuple[str, str], Messages, str, str]:
    """Return pre-messages, messages (psk tokens placed as section 9.4 says), cipher and hash."""
    match = _NAME.fullmatch(protocol_name)
    if match is None or match[1] not in _PATTERNS or match[3] not in _CIPHERS or match[4] not in _HASHES:
        raise ValueError(f"unknown Noise protocol {protocol_name!r}")
    pre_messages, messages = _PATTERNS[match[1]]
    if match[2] is not None:
        place = int(match[2])
        if place > len(messages):
            raise ValueError(f"{protocol_name!r} has no message {place}")
        index = max(place, 1) - 1
        tokens = ("psk", *messages[index]) if place == 0 else (*messages[index], "psk")
        messages = (*messages[:index], tokens, *messages[index + 1 :])
    return pre_messages, messages, match[3], match[4]


def _check_wanted(name: str, key: object, *, wanted: bool) -> None:
    if (key is not None) != wanted:
        raise ValueError(f"{name} is {'missing' if wanted else 'not used by this pattern'}")


def _check_key(name: str, key: bytes | None, *, wanted: bool) -> None:
    _check_wanted(name, key, wanted=wanted)
    if key is not None and len(key) != KEY_BYTES:
        raise ValueError(f"{name} has {len(key)} bytes, not {KEY_BYTES}")
