"""The order of the tiers."""

from __future__ import annotations

import itertools

from rustun.protocol.tiers import Tier


def test_tiers_are_ordered_by_strength() -> None:
    """A comparison by spelling lets a lower tier pass for a higher one ("key" < "legacy" as texts)."""
    assert sorted(Tier) == [Tier.LEGACY, Tier.SHARED, Tier.KEY]
    for (low, weak), (high, strong) in itertools.product(enumerate(sorted(Tier)), repeat=2):
        assert (weak < strong, weak <= strong, weak > strong, weak >= strong) == (
            low < high,
            low <= high,
            low > high,
            low >= high,
        )
