"""Give every member of a cluster its addresses, the same ones for the same inventory.

Rules of this module
  1. What is written is taken as written. What was recorded earlier is kept while it fits and is free.
  2. Everybody else gets the lowest free address, in the order of writing. The network's own address, its broadcast
     address and its gateway (the last usable one, as routes.json names it) are nobody's.
  3. The IPv6 address follows the IPv4 one: the same number within its network, or the lowest free where that is taken.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Final

from rustun.backends.base import Address, Prefix

Allocation = dict[str, Address | None]

MAX_SEARCH: Final = 1 << 20  # addresses looked at before a network counts as full; a /12 of IPv4


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
