"""How many wrong tokens an address may offer: a few at once, then one every REFILL_SECONDS.

Of IPv6 a /64 counts as one address, since it is one customer's. Bounded in memory: of more addresses than
MAX_ADDRESSES the one that has been quiet longest is forgotten.
"""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv6Address, ip_address
from typing import Final

BURST: Final = 10  # a person who mistypes needs fewer
REFILL_SECONDS: Final = 6.0
MAX_ADDRESSES: Final = 4096


class Failures:
    """Counts wrong tokens by address.

    Args:
        now: seconds of a clock that never steps back.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._free_at: dict[str, float] = {}  # when all is forgiven; the address that failed last is at the end

    def wait_seconds(self, address: str) -> float:
        """Return how long an address has to wait until a token of its is looked at, 0 for not at all."""
        free_at = self._free_at.get(_source(address), 0.0)
        return max(0.0, free_at - self._now() - (BURST - 1) * REFILL_SECONDS)

    def note(self, address: str) -> None:
        """Count a wrong token."""
        source, now = _source(address), self._now()
        free_at = max(self._free_at.pop(source, now), now) + REFILL_SECONDS
        if len(self._free_at) >= MAX_ADDRESSES:
            del self._free_at[next(iter(self._free_at))]
        self._free_at[source] = free_at


def _source(address: str) -> str:
    try:
        numeric = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(numeric, IPv6Address):
        if numeric.ipv4_mapped is not None:
            return str(numeric.ipv4_mapped)
        return str(IPv6Address(int(numeric) >> 64 << 64))
    return str(numeric)
