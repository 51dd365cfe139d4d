"""The other members of a cluster as one server tells of them, and what follows: who has an address, what is routed.

Rules of this module
  1. News cost what they change, not what is known: in a cluster of 10,000 members somebody changes all the time.
  2. What follows is made when it is first asked for, and kept up from then on.
  3. No honest server gives one prefix to two members. The first of them has it until the next change.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from ipaddress import ip_interface, ip_network
from typing import Final

from rustun.backends.base import Address, Prefix
from rustun.protocol.control import DirectoryEntry
from rustun.protocol.routing import ClusterRoutes

ENTRY_BYTES: Final = 500  # an entry with its texts, beside their characters
TEXT_BYTES: Final = 60  # one more text
News = Mapping[str, DirectoryEntry | None]  # by identity; None for one that left


class KnownMembers:
    """Members by identity.

    Attributes:
        entries: what is told of each; only `change` may change it.
    """

    def __init__(self) -> None:
        self.entries: dict[str, DirectoryEntry] = {}
        self._bytes = 0
        self._owners: ClusterRoutes[str] | None = None
        self._contested = False  # somebody in `_owners` is told to have what another one has
        self._outside: _Outside | None = None

    def bytes_with(self, news: News) -> int:
        """Return about how many bytes of memory the entries would take after these news."""
        told = entries_bytes(entry for entry in news.values() if entry is not None)
        return self._bytes + told - entries_bytes(self.entries[one] for one in news if one in self.entries)

    def change(self, news: News) -> bool:
        """Take news; return whether anything in them is new."""
        news = {identity: entry for identity, entry in news.items() if self.entries.get(identity) != entry}
        before = [self.entries[identity] for identity in news if identity in self.entries]
        after = [entry for entry in news.values() if entry is not None]
        self._bytes = self.bytes_with(news)
        for identity, entry in news.items():
            if entry is None:
                del self.entries[identity]
            else:
                self.entries[identity] = entry
        if self._contested:
            self._owners, self._contested = None, False
        elif self._owners is not None:
            self._contested = not _move(self._owners, before, after)
        if self._outside is not None:
            self._outside.move(before, after)
        return bool(news)

    def owner(self, address: int, version: int) -> str | None:
        """Return the identity of the member who has an address; None for nobody's."""
        if self._owners is None:
            self._owners = ClusterRoutes()
            self._contested = not _move(self._owners, (), self.entries.values())
        return self._owners.destination(address, version)

    def prefixes_outside(self, networks: tuple[Prefix, ...]) -> frozenset[Prefix]:
        """Return all prefixes of members, and those of their addresses that lie in none of these networks."""
        if self._outside is None or self._outside.networks != networks:
            self._outside = _Outside(networks)
            self._outside.move((), self.entries.values())
        return self._outside.prefixes()


class _Outside:
    """Counts in how many entries each prefix stands that the networks of a device do not reach."""

    def __init__(self, networks: tuple[Prefix, ...]) -> None:
        self.networks = networks
        self._counts: dict[Prefix, int] = {}
        self._prefixes: frozenset[Prefix] | None = None  # the last answer

    def move(self, before: Iterable[DirectoryEntry], after: Iterable[DirectoryEntry]) -> None:
        """Count other entries than before."""
        for entry in after:
            for prefix in self._of(entry):
                self._counts[prefix] = self._counts.get(prefix, 0) + 1
                self._prefixes = None
        for entry in before:
            for prefix in self._of(entry):
                self._counts[prefix] -= 1
                if not self._counts[prefix]:
                    del self._counts[prefix]
                self._prefixes = None

    def prefixes(self) -> frozenset[Prefix]:
        """Return those that any entry has."""
        if self._prefixes is None:
            self._prefixes = frozenset(self._counts)
        return self._prefixes

    def _of(self, entry: DirectoryEntry) -> Iterator[Prefix]:
        yield from map(ip_network, entry.prefixes)
        for address in _addresses(entry):
            if not any(address.version == network.version and address in network for network in self.networks):
                yield ip_network(address)


def _move(owners: ClusterRoutes[str], before: Iterable[DirectoryEntry], after: Iterable[DirectoryEntry]) -> bool:
    """Let members have what they are told to have now; return whether nobody else has any of it."""
    for entry in before:
        for prefix in _claims(entry):
            owners.remove(prefix, entry.identity)
    clean = True
    for entry in after:
        for prefix in _claims(entry):
            try:
                owners.add(prefix, entry.identity)
            except ValueError:
                clean = False
    return clean


def _claims(entry: DirectoryEntry) -> Iterator[Prefix]:
    yield from map(ip_network, entry.prefixes)
    yield from map(ip_network, _addresses(entry))


def _addresses(entry: DirectoryEntry) -> list[Address]:
    return [ip_interface(text).ip for text in (entry.address, entry.address6) if text]


def entries_bytes(entries: Iterable[DirectoryEntry]) -> int:
    """Return about how many bytes of memory entries take."""
    return sum(
        ENTRY_BYTES
        + len(entry.identity)
        + len(entry.name)
        + len(entry.address)
        + len(entry.address6)
        + sum(TEXT_BYTES + len(prefix) for prefix in entry.prefixes)
        for entry in entries
    )
