"""The three tiers of trust and their order (docs/protocol.md, "Tiers")."""

from __future__ import annotations

from enum import StrEnum


class Tier(StrEnum):
    """How a member proves itself; ordered, so that `tier >= minimum` reads as it should.

    KEY: a key pair of its own. SHARED: a key that everybody holds, with session keys. LEGACY: the seed's wire.
    """

    LEGACY = "legacy"
    SHARED = "shared"
    KEY = "key"

    @property
    def rank(self) -> int:
        """Return 0 for the weakest tier, 2 for the strongest."""
        return _RANKS[self]

    def __lt__(self, other: str) -> bool:
        return self.rank < Tier(other).rank

    def __le__(self, other: str) -> bool:
        return self.rank <= Tier(other).rank

    def __gt__(self, other: str) -> bool:
        return self.rank > Tier(other).rank

    def __ge__(self, other: str) -> bool:
        return self.rank >= Tier(other).rank


_RANKS = {tier: rank for rank, tier in enumerate(Tier)}
