"""The envelope around message 1 of the key tier: who never held a member's configuration is turned away at once.

Theory: the server's public key stands in every member's configuration and nowhere else. A key derived from it seals
message 1 once more, so a server finds out for the price of one AEAD call, and without any Diffie-Hellman, that a
stranger does not even know whom he talks to. It proves nothing else: who once held a member's configuration can make
envelopes for ever, and a recorded one opens again. All that counts is proved by the handshake inside.

    0          12                                   -16
    | nonce    | ChaCha20-Poly1305 of message 1     | tag      associated data: the frame's 8 header bytes

The nonce is random: all members share the key, and a nonce used twice would let a listener forge envelopes.
"""

from __future__ import annotations

from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from rustun.protocol.frames import HEADER_BYTES

NONCE_BYTES: Final = 12
ENVELOPE_BYTES: Final = NONCE_BYTES + 16  # what it adds to a message
_SEALED: Final = HEADER_BYTES + NONCE_BYTES  # where the sealed part of a frame begins
_LABEL: Final = b"rustun envelope v1"


class Envelope:
    """Seals and opens first messages for one server key.

    Args:
        server_public: the server's X25519 public key, 32 bytes.
    """

    __slots__ = ("_aead",)

    def __init__(self, server_public: bytes) -> None:
        key = HKDF(SHA256(), length=32, salt=None, info=_LABEL).derive(server_public)
        self._aead = ChaCha20Poly1305(key)

    def seal(self, frame_header: bytes, message: bytes, nonce: bytes) -> bytes:
        """Return the frame's payload; `nonce` is 12 fresh random bytes, `frame_header` already tells its length."""
        return nonce + self._aead.encrypt(nonce, message, frame_header)

    def open(self, frame: bytes) -> bytes | None:
        """Return a frame out of its envelope, its header as it came, or None when it is not for this server."""
        frame_header, nonce = frame[:HEADER_BYTES], frame[HEADER_BYTES:_SEALED]
        try:
            return frame_header + self._aead.decrypt(nonce, frame[_SEALED:], frame_header)
        except (InvalidTag, ValueError):  # ValueError: the nonce is cut short
            return None
