"""Who may come in, and how: configuration turned into answers (docs/protocol.md, "Tiers").

Rules of this module
  1. `minimum_tier` holds for everybody; an entry may say a tier for itself, and an entry with a public key takes part
     in the key tier only.
  2. xor and plain are the seed's testing modes: the seed's wire and nothing else, and configuring one is the consent.
  3. The seed's wire has no protection against replays, so the nonces of its handshakes are remembered.
"""

from __future__ import annotations

from collections import OrderedDict
from datetime import UTC, datetime
from typing import Final

from rustun.config.member import Member
from rustun.config.server import ServerConfig
from rustun.protocol.ciphers import NONCE_BYTES, SeedCipher, seed_cipher
from rustun.protocol.frames import HEADER_BYTES, FrameType
from rustun.protocol.handshake import Refusal, RefusalCode, shared_psk
from rustun.protocol.record_choice import record_ciphers
from rustun.protocol.tiers import Tier

REMEMBERED_NONCES: Final = 65_536  # 18 hours of a fleet of 1,000 that reconnects every second minute


class Policy:
    """What a server's configuration says about strangers and members.

    Args:
        config: of the server.
        aes_is_fast: whether this host has AES instructions; decides what "auto" likes best.
    Attributes:
        psk: of the shared tier.
        ciphers: record ciphers in order of liking.
        seed_cipher: of the seed's wire, None where no method is configured.
        first_types: frame types that may come first.
    """

    def __init__(self, config: ServerConfig, *, aes_is_fast: bool) -> None:
        self._minimum = config.security.minimum_tier
        self._insecure = config.method is not None and config.method.insecure
        key = config.key.reveal() if config.key is not None else ""
        has_secret = config.method is not None and not self._insecure
        self.psk = shared_psk(key) if has_secret else b""
        self.seed_cipher: SeedCipher | None = seed_cipher(config.method, key) if config.method is not None else None
        self.method_name = config.method.value if config.method is not None else ""
        self.ciphers = record_ciphers(config.security.cipher, config.method, aes_is_fast=aes_is_fast)
        self.first_types = frozenset(
            ([FrameType.SHARED_INIT] if has_secret else []) + ([FrameType.SEED_HANDSHAKE] if self.seed_cipher else [])
        )
        self._nonces: OrderedDict[bytes, None] = OrderedDict()

    def refusal(self, member: Member | None, tier: Tier, wall_clock: float) -> Refusal | None:
        """Return why this member may not come in on this tier now, or None when it may."""
        if member is None:
            return Refusal(RefusalCode.UNKNOWN_IDENTITY, "unknown identity")
        if not member.enabled:
            return Refusal(RefusalCode.DISABLED, "this member is disabled")
        if member.expires_at is not None and datetime.fromtimestamp(wall_clock, UTC) >= member.expires_at:
            return Refusal(RefusalCode.EXPIRED, f"this member's access ended at {member.expires_at.isoformat()}")
        wanted = Tier.KEY if member.public_keys else member.tier or self._minimum
        if self._insecure and not member.public_keys:
            wanted = Tier.LEGACY
        if tier < wanted:
            return Refusal(RefusalCode.TIER, f"this member has to use the {wanted} tier, not {tier}")
        return None

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
