"""Records: how both Noise tiers carry data and control once keys are agreed (docs/protocol.md, section 4).

Rules of this module
  1. On a stream the nonce is an implicit counter per direction, from 0 with the keys: 4 zero bytes, then 64 bits big
     endian. Nothing to send, nothing to forge: a record that is missing, doubled, moved or reflected does not open.
  2. The associated data are the 8 header bytes.
  3. The counter advances before the AEAD call. Whatever goes wrong after that, the object is dead: a counter is never
     used twice.
  4. A record that was sealed is sent, in that order. Who may still change his mind keeps plaintext.
  5. After a failed `open_into` the output holds forged plaintext: nobody may look at it.
"""

from __future__ import annotations

import struct
from enum import StrEnum
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from rustun.errors import ProtocolError
from rustun.protocol.frames import HEADER, HEADER_BYTES, MAGIC, MAX_PAYLOAD_BYTES, VERSION, FrameType

TAG_BYTES: Final = 16
DATA_TYPE: Final = int(FrameType.DATA)
MAX_PLAINTEXT_BYTES: Final = MAX_PAYLOAD_BYTES - TAG_BYTES
RECORD_OVERHEAD_BYTES: Final = HEADER_BYTES + TAG_BYTES
MAX_RECORDS_AES: Final = 1 << 23  # RFC 8446 5.5 allows 2^24.5 full-size AES-GCM records of 16 KiB; ours are 64 KiB
MAX_RECORDS_CHACHA: Final = 1 << 48  # far under the 2^64 of the counter; time ends these keys long before
KEY_LIFE_SECONDS: Final = 180.0  # WireGuard's REJECT_AFTER_TIME
REKEY_AFTER_SECONDS: Final = 120.0
REKEY_AFTER_SHARE: Final = 0.75  # of the record limit, so that a rekey under full load is done before it is reached

_NONCE: Final = struct.Struct("!IQ").pack
_WRITE_HEADER: Final = HEADER.pack_into


class Cipher(StrEnum):
    """Record ciphers by their name in the handshake."""

    AES256 = "aes256"
    CHACHA20 = "chacha20"

    @property
    def max_records(self) -> int:
        """How many records one key may seal."""
        return MAX_RECORDS_AES if self is Cipher.AES256 else MAX_RECORDS_CHACHA


def _aead(cipher: Cipher, split_key: bytes) -> AESGCM | ChaCha20Poly1305:
    """Return the AEAD of one direction; its key is HKDF(split key, cipher name), so no key ever serves two ciphers."""
    key = HKDF(SHA256(), 32, salt=None, info=b"rustun record v1 " + cipher.value.encode()).derive(split_key)
    return AESGCM(key) if cipher is Cipher.AES256 else ChaCha20Poly1305(key)


class _RecordKey:
    """One direction's key: how often and how long it may be used.

    Args:
        cipher: which AEAD.
        split_key: this direction's 32 bytes from the Noise split.
        now: seconds of the boot-time clock at which the keys were agreed.
    """

    __slots__ = ("_aead", "_counter", "_dead_at", "_max_records")

    def __init__(self, cipher: Cipher, split_key: bytes, now: float) -> None:
        self._aead = _aead(cipher, split_key)
        self._counter = 0
        self._max_records = cipher.max_records
        self._dead_at = now + KEY_LIFE_SECONDS

    @property
    def records(self) -> int:
        """How many records this key has sealed or opened."""
        return self._counter

    def alive(self, now: float) -> bool:
        """Tell whether the key may still be used; ask once a batch."""
        return now < self._dead_at and self._counter < self._max_records


class RecordSealer(_RecordKey):
    """Seals the records of one direction under one key."""

    __slots__ = ("_encrypt_into",)

    def __init__(self, cipher: Cipher, split_key: bytes, now: float) -> None:
        super().__init__(cipher, split_key, now)
        self._encrypt_into = self._aead.encrypt_into

    def seal_into(
        self, plaintext: memoryview | bytes | bytearray, out: memoryview, at: int, frame_type: int = DATA_TYPE
    ) -> int:
        """Write one whole record to `out[at:]` and return where it ends.

        Args:
            plaintext: at most 65,519 bytes; must not overlap `out`.
            frame_type: FrameType.DATA or CONTROL.
        Raises: ProtocolError when the key has sealed all it may; then nothing was written and the session must end.
        """
        counter = self._counter
        if counter >= self._max_records:
            raise ProtocolError("this key has sealed as many records as it may")
        self._counter = counter + 1
        payload_bytes = len(plaintext) + TAG_BYTES
        body = at + HEADER_BYTES
        end = body + payload_bytes
        _WRITE_HEADER(out, at, MAGIC, VERSION, frame_type, payload_bytes)
        self._encrypt_into(_NONCE(0, counter), plaintext, out[at:body], out[body:end])
        return end


class RecordOpener(_RecordKey):
    """Opens the records of one direction under one key."""

    __slots__ = ("_decrypt_into",)

    def __init__(self, cipher: Cipher, split_key: bytes, now: float) -> None:
        super().__init__(cipher, split_key, now)
        self._decrypt_into = self._aead.decrypt_into

    def open_into(self, frame: memoryview, out: memoryview, at: int = 0) -> int:
        """Open one whole record (header included) into `out[at:]` and return where its plaintext ends there.

        Raises: ProtocolError when it is not the record that comes next; this object and its session are dead then.
        """
        counter = self._counter
        self._counter = counter + 1
        end = at + len(frame) - RECORD_OVERHEAD_BYTES
        if end < at or counter >= self._max_records:
            self._max_records = 0  # dead, whatever comes next
            raise ProtocolError("record shorter than its tag" if end < at else "this key has opened all it may")
        try:
            self._decrypt_into(_NONCE(0, counter), frame[HEADER_BYTES:], frame[:HEADER_BYTES], out[at:end])
        except InvalidTag:
            self._max_records = 0
            raise ProtocolError("record does not open: altered, out of order, or sealed with another key") from None
        return end
