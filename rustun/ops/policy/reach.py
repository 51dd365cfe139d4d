"""Who gets what a member sends, as the generated configuration decides it: sender's host, relay, receiver's host.

Rules of this module
  1. The sender's host puts a packet into the tunnel where it is in the network of its own address, in a prefix of
     another member that its `accept_routes` allow, or where it uses an exit node. A host whose `accept_routes` leave
     out the network of its own address does not set it: then nothing of that IP version goes either way.
  2. The relay delivers by its own table (protocol/routing.py), in the sender's cluster alone.
  3. The receiver's host takes what is for its own address, forwards what its [host_config] names, and as an exit node
     what is globally routable.
  4. Members that are switched off or whose time is over are not there at all.
Answers take the same way back: the receiver's source is checked by the table that led to it. What is not in the
configuration is not judged: firewalls, other routes of a host, LANs that it happens to be connected to.
"""

from __future__ import annotations

import functools
from bisect import bisect_right
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from typing import Any, Final

from rustun.backends.base import Address, Prefix
from rustun.config.consent import HostConsent, lets_in
from rustun.protocol.routing import ClusterRoutes, PrefixTable, like_default

# Where what an exit node forwards begins or ends.
_SPECIAL: Final = tuple(
    ip_network(text)
    for text in ("10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16")
    + ("224.0.0.0/3", "fc00::/7", "fe80::/10", "ff00::/8")
)


@dataclass(frozen=True, slots=True)
class Way:
    """Where a packet ends up.

    Attributes:
        receiver: the identity that gets it, empty where nobody does.
        words: why, with a place for each of `about`: they are put together for the few that somebody asks for.
    """

    receiver: str
    words: str
    about: tuple[object, ...]

    @property
    def why(self) -> str:
        """Why, in words."""
        return self.words.format(*self.about)


@dataclass(frozen=True, slots=True)
class Node:
    """One member: its entry of routes.json, and what its host agrees to; `refused` are own networks not agreed to."""

    identity: str
    cluster: str
    addresses: tuple[Address, ...]
    networks: tuple[Prefix, ...]
    refused: tuple[Prefix, ...]
    prefixes: tuple[Prefix, ...]
    consent: HostConsent


class Nodes(Mapping[str, Node]):
    """The members by identity, in the order of routes.json; each is made when somebody asks, as few are spoken of.

    Args:
        entries: of routes.json, those that are in force.
        consent_of: tells a host's [host_config] by its identity.
    """

    def __init__(self, entries: Iterable[Mapping[str, Any]], consent_of: Callable[[str], HostConsent]) -> None:
        self._entries = {entry["identity"]: entry for entry in entries}
        self._consent_of = consent_of
        self._made: dict[str, Node] = {}

    def __getitem__(self, identity: str) -> Node:
        if identity not in self._made:
            self._made[identity] = _node(self._entries[identity], self._consent_of(identity))
        return self._made[identity]

    def __contains__(self, identity: object) -> bool:
        return identity in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def clusters(self) -> dict[str, list[str]]:
        """Return the identities of each cluster."""
        found: dict[str, list[str]] = {}
        for identity, entry in self._entries.items():
            found.setdefault(entry["cluster"], []).append(identity)
        return found


class Reach:
    """Answers who gets what between some members."""

    def __init__(self, nodes: Nodes) -> None:
        self.nodes = nodes
        self._clusters = nodes.clusters()
        self._tables: dict[str, _Tables] = {}

    def cluster(self, name: str) -> list[Node]:
        """Return the members of a cluster; none where there is no such cluster."""
        return [self.nodes[identity] for identity in self._clusters.get(name, ())]

    def way(self, sender: Node, address: int, version: int, *, put_in: bool = False) -> Way:
        """Return where a packet of `sender`, from its own address, to `address` (32 or 128 bits) ends up.

        Args:
            put_in: somebody on the sender's host puts it straight into the tunnel, whatever the host is set to.
        """
        if all(own.version != version for own in sender.addresses):
            return Way("", "{} has no IPv{} address", (sender.identity, version))
        tables = self._tables_of(sender.cluster)
        identity = tables.routes.destination(address, version)
        shown = _address(address, version)
        if identity is None:
            return Way("", "{} lies in no prefix of cluster {}", (shown, sender.cluster))
        if identity == sender.identity:
            return Way("", "{} is {}'s own", (shown, sender.identity))
        receiver = self.nodes[identity]
        for node in (receiver,) if put_in else (sender, receiver):
            if refused := next((network for network in node.refused if network.version == version), None):
                return Way("", "{} does not accept {}, the network of its own address", (node.identity, refused))
        if not put_in and not self._goes_in(sender, tables, address, version):
            missing = "in no prefix of another member that it accepts, and it uses no exit node"
            return Way("", "{} does not send {} into the tunnel: {}", (sender.identity, shown, missing))
        return _arrived(receiver, shown)

    def is_own(self, sender: Node, address: int, version: int) -> bool:
        """Tell whether an address is the sender's, or lies behind it."""
        return self._tables_of(sender.cluster).routes.destination(address, version) == sender.identity

    def parts(self, sender: Node, prefix: Prefix) -> Iterator[tuple[int, int]]:
        """Yield an address (and its version) of each part of a prefix that may go another way than its neighbours.

        The second address of a part where it has one: a network's own address is no host's.
        """
        first, last = int(prefix.network_address), int(prefix.broadcast_address)
        cuts = self._tables_of(sender.cluster).cuts[prefix.version]
        inside = cuts[bisect_right(cuts, first) : bisect_right(cuts, last)]
        ends = (*inside, last + 1)
        return ((min(cut + 1, end - 1), prefix.version) for cut, end in zip((first, *inside), ends, strict=True))

    def _tables_of(self, cluster: str) -> _Tables:
        if cluster not in self._tables:
            self._tables[cluster] = _Tables(self.cluster(cluster))
        return self._tables[cluster]

    def _goes_in(self, sender: Node, tables: _Tables, address: int, version: int) -> bool:
        one = _address(address, version)
        if any(one in network for network in sender.networks):
            return True
        exit_node = self.nodes.get(sender.consent.exit_node)
        if exit_node is not None and any(p.prefixlen == 0 and p.version == version for p in exit_node.prefixes):
            return True
        if sender.consent.accept_routes is None:  # any that is no default route
            return tables.narrow.lookup(address, version) is not None
        accepted = (p for node in self.cluster(sender.cluster) if node is not sender for p in node.prefixes)
        return any(one in p and not like_default(p) and _accepts(sender.consent, p) for p in accepted)


def _arrived(receiver: Node, address: Address) -> Way:
    """Return what becomes of a packet that the relay delivers to a member's host."""
    if address in receiver.addresses:
        return Way(receiver.identity, "{} is an address of {}", (address, receiver.identity))
    prefix = _holding(receiver.prefixes, address)
    if not lets_in(receiver.consent, prefix):
        return Way("", "{} does not agree to forward for {}", (receiver.identity, prefix))
    if like_default(prefix) and not address.is_global:
        words = "{} is not globally routable, and {} is only an exit for what is"
        return Way("", words, (address, receiver.identity))
    return Way(receiver.identity, "{} lies behind {}", (prefix, receiver.identity))


class _Tables:
    """A cluster's routes as the relay has them, those that are no default routes, and where any begins or ends."""

    def __init__(self, nodes: Collection[Node]) -> None:
        self.routes: ClusterRoutes[str] = ClusterRoutes()
        self.narrow: PrefixTable[str] = PrefixTable()
        borders = {version: set(found) for version, found in _SPECIAL_BORDERS.items()}
        for network in {network for node in nodes for network in node.networks}:
            borders[network.version] |= _borders(network)
        for node in nodes:
            for prefix in (*map(_alone, node.addresses), *node.prefixes):
                self.routes.add(prefix, node.identity)
                borders[prefix.version] |= _borders(prefix)
                if not like_default(prefix):
                    self.narrow.insert(prefix, node.identity)
        self.cuts = {version: sorted(found) for version, found in borders.items()}


_prefix = functools.cache(ip_network)
_prefix4 = functools.cache(IPv4Network)
_prefix6 = functools.cache(IPv6Network)


def _borders(prefix: Prefix) -> set[int]:
    first = int(prefix.network_address)
    return {first, first + (1 << prefix.max_prefixlen - prefix.prefixlen)}


_SPECIAL_BORDERS: Final = {
    version: {border for prefix in _SPECIAL if prefix.version == version for border in _borders(prefix)}
    for version in (4, 6)
}


# From numbers, and each text and each network once: of 10,000 members, parsing would take as long as all the rest.
def _node(entry: Mapping[str, Any], consent: HostConsent) -> Node:
    address = IPv4Address(entry["private_ip"])
    addresses: tuple[Address, ...] = (address,)
    bits = _prefix(f"0.0.0.0/{entry['mask']}").prefixlen
    networks: tuple[Prefix, ...] = (_prefix4((_first(address, bits), bits)),)
    if "private_ip6" in entry:
        text, _, length = entry["private_ip6"].partition("/")
        address6 = IPv6Address(text)
        addresses += (address6,)
        networks += (_prefix6((_first(address6, int(length)), int(length))),)
    prefixes = tuple(map(_prefix, entry["ciders"]))
    strict = consent.accept_routes is not None
    refused = tuple(network for network in networks if strict and not _accepts(consent, network))
    return Node(entry["identity"], entry["cluster"], addresses, networks, refused, prefixes, consent)


def _first(address: Address, bits: int) -> int:
    """Return the first address of the network of an address, as a number."""
    host_bits = address.max_prefixlen - bits
    return int(address) >> host_bits << host_bits


def _alone(address: Address) -> Prefix:
    """Return the prefix of one address."""
    kind = IPv4Network if address.version == 4 else IPv6Network
    return kind((int(address), address.max_prefixlen))


def _accepts(consent: HostConsent, prefix: Prefix) -> bool:
    return any(
        prefix.version == one.version and prefix.subnet_of(one)  # type: ignore[arg-type]  # one version, as checked
        for one in consent.accept_routes or ()
    )


def _holding(prefixes: Iterable[Prefix], address: Address) -> Prefix:
    return max((prefix for prefix in prefixes if address in prefix), key=lambda prefix: prefix.prefixlen)


def _address(address: int, version: int) -> Address:
    return IPv4Address(address) if version == 4 else IPv6Address(address)
