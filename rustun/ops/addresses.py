"""Give every member of a cluster its addresses, the same ones for the same inventory.

Rules of this module
  1. What is written is taken as written. What was recorded earlier is kept while it fits and is free.
  2. Everybody else gets the lowest free address, in the order of writing. The network's own address, its broadcast
     address and its gateway (the last usable one, as routes.json names it) are nobody's.
  3. The address of a member that is gone, or that has another one now, is released: until a day that is recorded with
     it nobody else gets it. Who comes back before gets it again. Time alone changes no record: one whose day has come
     goes when something else changes.
  4. The IPv6 address follows the IPv4 one: the same number within its network, or the lowest free where that is taken.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Final

from rustun.backends.base import Address, Prefix

Given = Mapping[str, Mapping[str, tuple[Address, ...]]]  # by cluster and identity
Allocation = dict[str, Address | None]

MAX_SEARCH: Final = 1 << 20  # addresses looked at before a network counts as full; a /12 of IPv4


@dataclass(frozen=True, slots=True)
class Released:
    """Who had an address; until that day nobody else gets it."""

    identity: str
    until: dt.date


@dataclass(frozen=True, slots=True)
class Recorded:
    """Addresses that were given out: those in use by cluster and identity, released ones by cluster and address."""

    given: Given = field(default_factory=dict)
    released: Mapping[str, Mapping[Address, Released]] = field(default_factory=dict)

    def liked(self, cluster: str, version: int) -> dict[str, Address]:
        """Return the address of that IP version that each identity has, or had before it was released."""
        held = self.released.get(cluster, {})
        had = {one.identity: address for address, one in held.items() if address.version == version}
        has = self.given.get(cluster, {}).items()
        return had | {who: address for who, known in has for address in known if address.version == version}

    def held(self, cluster: str, version: int, today: dt.date) -> list[Address]:
        """Return the addresses of that IP version that today only those get who had them."""
        held = self.released.get(cluster, {}).items()
        return [address for address, one in held if address.version == version and one.until > today]

    def gone(self, cluster: str, version: int, present: Container[str]) -> list[Address]:
        """Return the addresses of that IP version that are about to be released, as their owners are gone."""
        has = self.given.get(cluster, {}).items()
        return [at for who, known in has for at in known if who not in present and at.version == version]

    def after(self, given: Given, in_use: Iterable[tuple[str, Address]], today: dt.date, hold_days: int) -> Recorded:
        """Return the record once other addresses are given out.

        Args:
            given: addresses given out now.
            in_use: cluster and address of every member, also where they are written.
            hold_days: how long an address is held that is not in use any more.
        """
        if given == self.given:
            return self
        until = today + dt.timedelta(days=hold_days)
        gone = [(name, at, Released(who, until)) for name, had in self.given.items() for who in had for at in had[who]]
        held = [(name, at, one) for name, known in self.released.items() for at, one in known.items()]
        released: dict[str, dict[Address, Released]] = {}
        taken = set(in_use)
        for cluster, address, one in (*held, *gone):
            if (cluster, address) not in taken and one.until > today:
                released.setdefault(cluster, {})[address] = one
        return Recorded(given, released)


def gateway_of(network: IPv4Network) -> IPv4Address:
    """Return the address that routes.json names as gateway: the last usable one, such as .254 of a /24."""
    return network.broadcast_address - 1


def _last_number(network: Prefix) -> int:
    """Return the number within a network of the last address for members; the first has 1."""
    return network.num_addresses - (3 if isinstance(network, IPv4Network) else 1)


def usable(network: Prefix, address: Address) -> bool:
    """Return whether a member may have this address of this network."""
    if address.version != network.version:
        return False
    return 1 <= int(address) - int(network.network_address) <= _last_number(network)


def free_addresses(network: Prefix, taken: Iterable[Address]) -> Iterator[Address]:
    """Yield addresses that a member may have, lowest first, without those taken."""
    gone = set(map(int, taken))
    first = int(network.network_address) + 1
    kind = IPv4Address if isinstance(network, IPv4Network) else IPv6Address
    for number in range(first, first + min(_last_number(network), MAX_SEARCH)):
        if number not in gone:
            yield kind(number)


def allocate(
    network: Prefix, wished: Mapping[str, Address | None], *liked: Mapping[str, Address], held: Iterable[Address] = ()
) -> Allocation:
    """Return an address per identity; None where the network is full.

    Args:
        network: of the cluster.
        wished: per identity the address that is written, or None, in the order of writing.
        liked: per identity an address to take if it may be had; earlier mappings go first.
        held: addresses that nobody gets who neither wrote nor likes them.
    """
    given: dict[str, Address] = {identity: address for identity, address in wished.items() if address is not None}
    taken = set(given.values())
    for choices in liked:
        for identity in wished:
            address = choices.get(identity)
            if identity not in given and address is not None and address not in taken and usable(network, address):
                given[identity] = address
                taken.add(address)
    free = free_addresses(network, taken.union(held))
    return {identity: given.get(identity) or next(free, None) for identity in wished}


def same_number(network: IPv6Network, address: Address, of: IPv4Network) -> IPv6Address:
    """Return the IPv6 address that has the number in its network that `address` has in `of`."""
    return network.network_address + (int(address) - int(of.network_address)) % network.num_addresses
