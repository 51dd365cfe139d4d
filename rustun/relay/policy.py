"""Who may come in, and how: configuration turned into answers (docs/protocol.md, "Tiers").

Rules of this module
  1. `minimum_tier` holds for everybody; an entry may say a tier for itself, and an entry with a public key takes part
     in the key tier only.
  2. xor and plain are the seed's testing modes: the seed's wire and nothing else, and configuring one is the consent.
  3. The seed's wire has no protection against replays, so the nonces of its handshakes are remembered.
  4. What lets a session begin also keeps it alive: `why_it_ends` asks the same questions again after every change.
"""

from __future__ import annotations

from collections import OrderedDict
from datetime import UTC, datetime
from typing import Final

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from rustun.config.keys import PrivateKey, parse_psk
from rustun.config.member import Member
from rustun.config.server import ServerConfig
from rustun.protocol.ciphers import NONCE_BYTES, SeedCipher, seed_cipher
from rustun.protocol.envelope import Envelope
from rustun.protocol.frames import HEADER_BYTES, FrameType
from rustun.protocol.handshake import Refusal, RefusalCode
from rustun.protocol.record_choice import record_ciphers
from rustun.protocol.suites import KEY, NO_PSK, Credentials, canonical, public_key, shared_credentials
from rustun.protocol.tiers import Tier

REMEMBERED_NONCES: Final = 65_536  # 18 hours of a fleet of 1,000 that reconnects every second minute


class ServerKey:
    """One of the server's key pairs, and the envelope that first messages for it travel in."""

    def __init__(self, key: PrivateKey) -> None:
        static = X25519PrivateKey.from_private_bytes(key.raw())
        self.credentials = Credentials(KEY, static=static)
        self.public = public_key(static)
        self.envelope = Envelope(self.public)


class Policy:
    """What a server's configuration says about strangers and members.

    Args:
        config: of the server; its shared key takes 0.1 s to stretch.
        aes_is_fast: whether this host has AES instructions; decides what "auto" likes best.
    Attributes:
        server_keys: of the key tier; none where it is not served.
        shared: credentials of the shared tier, None where it is not served.
        ciphers: record ciphers in order of liking.
        seed_cipher: of the seed's wire, None where no method is configured.
        seed_secret: what a session of the seed's wire was opened with: method and key.
        first_types: frame types that may come first.
    """

    def __init__(self, config: ServerConfig, *, aes_is_fast: bool) -> None:
        self._minimum = config.security.minimum_tier
        self._insecure = config.method is not None and config.method.insecure
        key = config.key.reveal() if config.key is not None else ""
        has_secret = config.method is not None and not self._insecure
        self.server_keys = tuple(ServerKey(key) for key in config.security.private_keys)
        self.shared = shared_credentials(key) if has_secret else None
        self.seed_cipher: SeedCipher | None = seed_cipher(config.method, key) if config.method is not None else None
        self.seed_secret = (config.method, config.key)
        self.method_name = config.method.value if config.method is not None else ""
        self.ciphers = record_ciphers(config.security.cipher, config.method, aes_is_fast=aes_is_fast)
        self.first_types = frozenset(
            ([FrameType.KEY_INIT] if self.server_keys else [])
            + ([FrameType.SHARED_INIT] if has_secret else [])
            + ([FrameType.SEED_HANDSHAKE] if self.seed_cipher else [])
        )
        self._nonces: OrderedDict[bytes, None] = OrderedDict()

    # --- coming in ---------------------------------------------------------------------------------------------------

    def open_envelope(self, frame: bytes) -> tuple[Credentials, bytes] | None:
        """Return the key that a first frame of the key tier is for, and it out of its envelope; None for none."""
        for key in self.server_keys:
            opened = key.envelope.open(frame)
            if opened is not None:
                return key.credentials, opened
        return None

    def knows_key(self, member: Member | None, public: bytes | None) -> bool:
        """Tell whether a proven public key is one of the member's."""
        return member is not None and public is not None and canonical(public) in member.public_keys

    def psk_of(self, member: Member | None) -> bytes:
        """Return the pre-shared key of the key tier that goes with an entry, 32 bytes."""
        return parse_psk(member.psk.reveal()) if member is not None and member.psk is not None else NO_PSK

    def refusal(self, member: Member | None, tier: Tier, wall_clock: float) -> Refusal | None:
        """Return why this member may not come in on this tier now, or None when it may."""
        if member is None:
            return Refusal(RefusalCode.UNKNOWN_IDENTITY, "unknown identity")
        if not member.enabled:
            return Refusal(RefusalCode.DISABLED, "this member is disabled")
        if member.expires_at is not None and datetime.fromtimestamp(wall_clock, UTC) >= member.expires_at:
            return Refusal(RefusalCode.EXPIRED, f"this member's access ended at {member.expires_at.isoformat()}")
        wanted = self.wanted_tier(member)
        if tier < wanted:
            return Refusal(RefusalCode.TIER, f"this member has to use the {wanted} tier, not {tier}")
        if tier is Tier.KEY and not member.public_keys:
            return Refusal(RefusalCode.TIER, "the server has no public key of this member")
        return None

    def wanted_tier(self, member: Member) -> Tier:
        """Return the lowest tier that a member may use."""
        return Tier.KEY if member.public_keys else member.tier or self._minimum

    def nonce_is_new(self, frame: bytes) -> bool:
        """Remember the nonce of a seed handshake; False when it was seen before. xor and plain have none."""
        if self._insecure:
            return True
        nonce = frame[HEADER_BYTES : HEADER_BYTES + NONCE_BYTES]
        if nonce in self._nonces:
            return False
        self._nonces[nonce] = None
        if len(self._nonces) > REMEMBERED_NONCES:
            self._nonces.popitem(last=False)
        return True

    # --- staying in --------------------------------------------------------------------------------------------------

    def holds(self, member: Member, credentials: Credentials) -> bool:
        """Tell whether a session with these credentials could begin now as well: all its keys are still in force."""
        if credentials.suite is not KEY:
            return self.shared is not None and credentials.psk == self.shared.psk
        own = {key.public for key in self.server_keys}
        return (
            credentials.static is not None
            and public_key(credentials.static) in own
            and self.knows_key(member, credentials.remote_static)
            and credentials.psk == self.psk_of(member)
        )

    def take_over_from(self, before: Policy) -> None:
        """Remember what the policy before this one has seen."""
        self._nonces = before._nonces
