"""What tells one Noise tier from the other, and what its two sides bring along (docs/protocol.md, section 3).

Rules of this module
  1. A Suite is public; Credentials are secret, hide themselves in repr, and serve a handshake and all its rekeys.
  2. A public key is compared in canonical form: X25519 ignores its highest bit and takes values over the prime, so one
     key has several spellings (RFC 7748, section 5).
"""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass, field, replace
from typing import Final

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from rustun.protocol.envelope import ENVELOPE_BYTES
from rustun.protocol.frames import FrameType
from rustun.protocol.noise import NoiseHandshake
from rustun.protocol.tiers import Tier

NO_PSK: Final = bytes(32)  # the key tier's, where a member has none of its own
_FIELD_PRIME: Final = 2**255 - 19
_LOW_BITS: Final = (1 << 255) - 1


@dataclass(frozen=True, slots=True)
class Suite:
    """One Noise tier on the wire.

    Attributes:
        init_overhead_bytes: what message 1 has beside its payload.
    """

    tier: Tier
    protocol_name: str
    init_type: FrameType
    reply_type: FrameType
    init_overhead_bytes: int


SHARED: Final = Suite(
    Tier.SHARED, "Noise_NNpsk0_25519_ChaChaPoly_SHA256", FrameType.SHARED_INIT, FrameType.SHARED_REPLY, 32 + 16
)
KEY: Final = Suite(
    Tier.KEY,
    "Noise_IKpsk2_25519_ChaChaPoly_SHA256",
    FrameType.KEY_INIT,
    FrameType.KEY_REPLY,
    ENVELOPE_BYTES + 32 + (32 + 16) + 16,
)


@dataclass(frozen=True, slots=True)
class Credentials:
    """What one side brings to a handshake and to every rekey of the session that follows.

    Attributes:
        suite: the tier.
        psk: 32 bytes; the shared tier's stretched key, or the member's own in the key tier.
        static: own key pair; key tier only.
        remote_static: the other side's public key, 32 bytes, as soon as it is known; key tier only.
    """

    suite: Suite
    psk: bytes = field(default=NO_PSK, repr=False)
    static: X25519PrivateKey | None = field(default=None, repr=False)
    remote_static: bytes | None = None

    def with_remote(self, remote_static: bytes | None, psk: bytes) -> Credentials:
        """Return what a responder has once message 1 has named its sender."""
        return replace(self, remote_static=remote_static, psk=psk)

    def public_texts(self) -> tuple[str, str]:
        """Return the public keys in Base64, own and the other side's, as files have them; empty where there is none."""
        own = b64encode(public_key(self.static)) if self.static is not None else b""
        other = b64encode(canonical(self.remote_static)) if self.remote_static is not None else b""
        return own.decode(), other.decode()

    def begin(self, prologue: bytes, ephemeral: bytes, *, initiator: bool) -> NoiseHandshake:
        """Return one side of a handshake; `ephemeral` is 32 fresh random bytes."""
        return NoiseHandshake(
            self.suite.protocol_name,
            initiator=initiator,
            prologue=prologue,
            psk=self.psk,
            static_private=self.static,
            remote_static=self.remote_static if initiator else None,
            ephemeral_private=ephemeral,
        )


def shared_credentials(key: str) -> Credentials:
    """Return the shared tier's credentials; takes about 0.1 s and 32 MiB, so once at start."""
    return Credentials(SHARED, shared_psk(key))


def shared_psk(key: str) -> bytes:
    """Stretch a configured key string to the shared tier's 32 bytes; takes about 0.1 s and 32 MiB, so once at start.

    scrypt (RFC 7914) with N = 2^15, r = 8, p = 1 and a fixed salt: both ends must come to the same bytes.
    """
    return Scrypt(salt=b"rustun shared key v1", length=32, n=1 << 15, r=8, p=1).derive(key.encode())


def public_key(static: X25519PrivateKey) -> bytes:
    """Return the 32 bytes of a key pair's public half."""
    return static.public_key().public_bytes_raw()


def canonical(public: bytes) -> bytes:
    """Return the one spelling that all twins of a public key share (RFC 7748, section 5)."""
    return ((int.from_bytes(public, "little") & _LOW_BITS) % _FIELD_PRIME).to_bytes(32, "little")
