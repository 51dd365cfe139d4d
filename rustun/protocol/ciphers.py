"""The four methods of the seed's wire: one key string for everybody (docs/protocol.md, section 2).

    chacha20poly1305, aes256 (GCM)   | nonce, 12 random bytes | ciphertext | tag, 16 bytes |   no associated data
    xor                              payload XOR the key string repeated, from its first byte in every payload
    plain                            payload as it is

Rules of this module
  1. An AEAD's key is the UTF-8 bytes of the string, cut at 32 or padded with zero bytes to 32. What is cut protects
     nothing, what is padded can be guessed: `weak_key_notes` says so.
  2. No randomness here: the caller brings each payload's nonce, 12 fresh random bytes.
  3. Input and output must not overlap. After a failed `open_into` the output holds forged plaintext:
     nobody looks at it.
  4. xor and plain protect nothing; they carry `insecure = True`, and whoever configures one is warned.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

from rustun.errors import ProtocolError
from rustun.protocol.frames import MAX_PAYLOAD_BYTES

AEAD_KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12
TAG_BYTES: Final = 16
DEFAULT_KEY: Final = "rustun"  # what the seed's client uses when nobody names a key
GUESSABLE_BELOW_CHARACTERS: Final = 16  # 16 random letters and digits are 95 bits

Buffer = bytes | bytearray | memoryview
WritableBuffer = bytearray | memoryview


class SeedMethod(StrEnum):
    """The methods by their name in server.toml."""

    CHACHA20POLY1305 = "chacha20poly1305"
    AES256 = "aes256"
    XOR = "xor"
    PLAIN = "plain"

    @property
    def insecure(self) -> bool:
        """True for the testing modes, which protect nothing."""
        return self in (SeedMethod.XOR, SeedMethod.PLAIN)


class SeedCipher(Protocol):
    """One method with its key; holds no state between payloads, so one object serves every connection."""

    @property
    def overhead_bytes(self) -> int:
        """How much longer a payload is than its plaintext."""

    @property
    def insecure(self) -> bool:
        """True where the payload is not protected at all."""

    def seal_into(self, plaintext: Buffer, nonce: bytes, out: WritableBuffer) -> int:
        """Write the payload of one frame to the start of `out` and return its length in bytes.

        Args:
            plaintext: at most 65535 - overhead_bytes bytes, not overlapping `out`.
            nonce: 12 random bytes never used before; xor and plain ignore it.
            out: at least len(plaintext) + overhead_bytes bytes long, else ValueError.
        """

    def open_into(self, payload: Buffer, out: WritableBuffer) -> int:
        """Write the plaintext to the start of `out` and return its length in bytes.

        Args:
            payload: of one frame, not overlapping `out`.
            out: at least len(payload) - overhead_bytes bytes long, else ValueError.
        Raises: ProtocolError when the payload was not made with this key; this object stays usable.
        """


def seed_cipher(method: SeedMethod, key: str) -> SeedCipher:
    """Return the cipher of a configured method.

    Args:
        method: which of the four.
        key: the configured string; plain ignores it.
    Raises: ValueError for xor without a key and for a key that is not valid text.
    """
    if method is SeedMethod.PLAIN:
        return _PlainCipher()
    key_bytes = _key_bytes(key)
    if method is SeedMethod.XOR:
        return _XorCipher(key_bytes)
    aead_key = key_bytes[:AEAD_KEY_BYTES].ljust(AEAD_KEY_BYTES, b"\0")
    return _AeadCipher(AESGCM(aead_key) if method is SeedMethod.AES256 else ChaCha20Poly1305(aead_key))


def weak_key_notes(method: SeedMethod, key: str) -> list[str]:
    """Return what an operator should know about a method and its key, one line each; empty when all is well.

    The key itself is never part of a note. Raises: ValueError for a key that is not valid text.
    """
    if method.insecure:
        return [f"{method.value} protects nothing: everybody on the path reads and forges all traffic; for tests only"]
    notes = []
    key_bytes = len(_key_bytes(key))
    if key == DEFAULT_KEY:
        notes.append("the key is the default one, which everybody knows")
    elif len(key) < GUESSABLE_BELOW_CHARACTERS:
        notes.append(
            f"a key of {len(key)} characters can be guessed offline; take {GUESSABLE_BELOW_CHARACTERS} or more"
        )
    if key_bytes > AEAD_KEY_BYTES:
        notes.append(
            f"the key has {key_bytes} bytes; on the seed's wire (legacy tier) only the first {AEAD_KEY_BYTES} count"
        )
    return notes


def _key_bytes(key: str) -> bytes:
    try:
        return key.encode()
    except UnicodeEncodeError:
        raise ValueError("the key is not valid UTF-8 text") from None  # the cause would carry the key along


class _AeadCipher:
    __slots__ = ("_aead",)
    overhead_bytes: Final = NONCE_BYTES + TAG_BYTES
    insecure: Final = False

    def __init__(self, aead: AESGCM | ChaCha20Poly1305) -> None:
        self._aead = aead

    def seal_into(self, plaintext: Buffer, nonce: bytes, out: WritableBuffer) -> int:
        end = NONCE_BYTES + len(plaintext) + TAG_BYTES
        view = memoryview(out)
        view[:NONCE_BYTES] = nonce
        self._aead.encrypt_into(nonce, plaintext, None, view[NONCE_BYTES:end])
        return end

    def open_into(self, payload: Buffer, out: WritableBuffer) -> int:
        length = len(payload) - (NONCE_BYTES + TAG_BYTES)
        if length < 0:
            raise ProtocolError(f"payload of {len(payload)} bytes is shorter than its nonce and tag")
        view = memoryview(payload)
        try:
            self._aead.decrypt_into(view[:NONCE_BYTES], view[NONCE_BYTES:], None, memoryview(out)[:length])
        except InvalidTag:
            raise ProtocolError("payload does not open: altered, or another key or method") from None
        return length


class _XorCipher:
    __slots__ = ("_key_stream",)
    overhead_bytes: Final = 0
    insecure: Final = True

    def __init__(self, key: bytes) -> None:
        if not key:
            raise ValueError("xor needs a key of at least one character")
        self._key_stream = (key * (MAX_PAYLOAD_BYTES // len(key) + 1))[:MAX_PAYLOAD_BYTES]

    def seal_into(self, plaintext: Buffer, nonce: bytes, out: WritableBuffer) -> int:
        return self.open_into(plaintext, out)

    def open_into(self, payload: Buffer, out: WritableBuffer) -> int:
        length = len(payload)
        if length > MAX_PAYLOAD_BYTES:
            raise ValueError(f"{length} bytes, at most {MAX_PAYLOAD_BYTES} in a payload")
        # As two big numbers: one operation for all bytes instead of one for each.
        mixed = int.from_bytes(payload) ^ int.from_bytes(self._key_stream[:length])
        memoryview(out)[:length] = mixed.to_bytes(length)
        return length


class _PlainCipher:
    __slots__ = ()
    overhead_bytes: Final = 0
    insecure: Final = True

    def seal_into(self, plaintext: Buffer, nonce: bytes, out: WritableBuffer) -> int:
        return self.open_into(plaintext, out)

    def open_into(self, payload: Buffer, out: WritableBuffer) -> int:
        length = len(payload)
        memoryview(out)[:length] = payload
        return length
