"""Who may take up how much of the relay's time (docs/protocol.md, section 8).

Rules of this module
  1. A source is an IPv4 address or an IPv6 /64; IPv6 is also counted by /48, because a site has 65,536 of the former.
  2. Every table is bounded; what was used longest ago is forgotten first.
  3. A full pool closes the oldest connection that has not sent a whole frame; it never refuses the newest, so honest
     clients, which send their first frame at once, always get in.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Iterator
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Generic, TypeVar

Connection = TypeVar("Connection", bound=Hashable)


@lru_cache(maxsize=16384)
def source_keys(host: str) -> tuple[str, ...]:
    """Return what a peer's address counts as: itself for IPv4, its /64 and its /48 for IPv6."""
    address = ip_address(host.partition("%")[0])
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    if isinstance(address, IPv4Address):
        return (str(address),)
    number = int(address)
    return (f"{number >> 64:x}/64", f"{number >> 80:x}/48")


class SourceBudget:
    """A token bucket per source.

    Args:
        per_second: tokens that come back each second.
        burst: tokens that a source starts with and can save up.
        max_sources: entries kept at most.
    """

    def __init__(self, per_second: float, burst: float, max_sources: int) -> None:
        self._per_second = per_second
        self._burst = burst
        self._max_sources = max_sources
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # source -> (tokens, at)

    def take(self, source: str, now: float) -> bool:
        """Take one token of `source`; False when it has none."""
        tokens, at = self._buckets.pop(source, (self._burst, now))
        tokens = min(self._burst, tokens + (now - at) * self._per_second)
        granted = tokens >= 1.0
        self._buckets[source] = (tokens - 1.0 if granted else tokens, now)
        if len(self._buckets) > self._max_sources:
            self._buckets.popitem(last=False)
        return granted

    def give_back(self, source: str) -> None:
        """Return a token that was taken for what was asked of `source`."""
        if source in self._buckets:
            tokens, at = self._buckets[source]
            self._buckets[source] = (tokens + 1.0, at)


class PendingPool(Generic[Connection]):
    """The connections that have not authenticated yet, oldest first.

    Args:
        max_connections: of all sources together.
        max_per_source: of one source.
        max_per_site: of one IPv6 /48.
    """

    def __init__(self, max_connections: int, max_per_source: int, max_per_site: int) -> None:
        self._max_connections = max_connections
        self._max_each = (max_per_source, max_per_site)  # in the order of `source_keys`
        self._all: OrderedDict[Connection, tuple[str, ...]] = OrderedDict()
        self._silent: OrderedDict[Connection, None] = OrderedDict()
        self._by_source: dict[str, dict[Connection, None]] = {}

    def __len__(self) -> int:
        return len(self._all)

    def __iter__(self) -> Iterator[Connection]:
        return iter(self._all)

    def add(self, connection: Connection, sources: tuple[str, ...]) -> Connection | None:
        """Take a new connection in and return the one that has to be closed for it, if any."""
        victim = self._crowded_out(sources)
        if victim is not None:
            self.remove(victim)
        self._all[connection] = sources
        self._silent[connection] = None
        for source in sources:
            self._by_source.setdefault(source, {})[connection] = None
        return victim

    def has_spoken(self, connection: Connection) -> None:
        """Note that a whole first frame came."""
        self._silent.pop(connection, None)

    def remove(self, connection: Connection) -> None:
        """Forget a connection that was closed or has authenticated; harmless when it is not here."""
        self._silent.pop(connection, None)
        for source in self._all.pop(connection, ()):
            of_source = self._by_source[source]
            del of_source[connection]
            if not of_source:
                del self._by_source[source]

    def _crowded_out(self, sources: tuple[str, ...]) -> Connection | None:
        for most, source in zip(self._max_each, sources, strict=False):
            of_source = self._by_source.get(source, ())
            if len(of_source) >= most:
                return next((one for one in of_source if one in self._silent), next(iter(of_source)))
        if len(self._all) < self._max_connections:
            return None
        return next(iter(self._silent or self._all))
