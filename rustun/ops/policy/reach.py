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
from collections.abc import Collection, Iterable, Iterator, Mapping
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
    """Where a packet ends up: the identity that gets it, empty where nobody does, and why, in words."""

    receiver: str
    why: str


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


class Reach:
    """Answers who gets what.

    Args:
        entries: of routes.json, those that are in force.
        consents: the hosts' [host_config], by identity.
    """

    def __init__(self, entries: Iterable[Mapping[str, Any]], consents: Mapping[str, HostConsent]) -> None:
        self.nodes = {entry["identity"]: _node(entry, consents) for entry in entries}
        self.clusters: dict[str, list[Node]] = {}
        for node in self.nodes.values():
            self.clusters.setdefault(node.cluster, []).append(node)
        self._tables: dict[str, _Tables] = {}

    def way(self, sender: Node, address: int, version: int, *, put_in: bool = False) -> Way:
        """Return where a packet of `sender`, from its own address, to `address` (32 or 128 bits) ends up.

        Args:
            put_in: somebody on the sender's host puts it straight into the tunnel, whatever the host is set to.
        """
        if all(own.version != version for own in sender.addresses):
            return Way("", f"{sender.identity} has no IPv{version} address")
        tables = self._tables_of(sender.cluster)
        identity = tables.routes.destination(address, version)
        shown = _address(address, version)
        if identity is None:
            return Way("", f"{shown} lies in no prefix of cluster {sender.cluster}")
        if identity == sender.identity:
            return Way("", f"{shown} is {sender.identity}'s own")
        receiver = self.nodes[identity]
        for node in (receiver,) if put_in else (sender, receiver):
            if refused := next((network for network in node.refused if network.version == version), None):
                return Way("", f"{node.identity} does not accept {refused}, the network of its own address")
        if not put_in and not self._goes_in(sender, tables, address, version):
            missing = "in no prefix of another member that it accepts, and it uses no exit node"
            return Way("", f"{sender.identity} does not send {shown} into the tunnel: {missing}")
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
            self._tables[cluster] = _Tables(self.clusters[cluster])
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
        accepted = (p for node in self.clusters[sender.cluster] if node is not sender for p in node.prefixes)
        return any(one in p and not like_default(p) and _accepts(sender.consent, p) for p in accepted)


def _arrived(receiver: Node, address: Address) -> Way:
    """Return what becomes of a packet that the relay delivers to a member's host."""
    if address in receiver.addresses:
        return Way(receiver.identity, f"{address} is an address of {receiver.identity}")
    prefix = _holding(receiver.prefixes, address)
    if not lets_in(receiver.consent, prefix):
        return Way("", f"{receiver.identity} does not agree to forward for {prefix}")
    if like_default(prefix) and not address.is_global:
        return Way("", f"{address} is not globally routable, and {receiver.identity} is only an exit for what is")
    return Way(receiver.identity, f"{prefix} lies behind {receiver.identity}")


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


def _borders(prefix: Prefix) -> set[int]:
    first = int(prefix.network_address)
    return {first, first + (1 << prefix.max_prefixlen - prefix.prefixlen)}


_SPECIAL_BORDERS: Final = {
    version: {border for prefix in _SPECIAL if prefix.version == version for border in _borders(prefix)}
    for version in (4, 6)
}


# From numbers, and each text once: of 10,000 members, parsing would take as long as all the rest.
def _node(entry: Mapping[str, Any], consents: Mapping[str, HostConsent]) -> Node:
    address = IPv4Address(entry["private_ip"])
    addresses: tuple[Address, ...] = (address,)
    networks: tuple[Prefix, ...] = (IPv4Network((int(address), entry["mask"]), strict=False),)
    if "private_ip6" in entry:
        text, _, bits = entry["private_ip6"].partition("/")
        address6 = IPv6Address(text)
        addresses += (address6,)
        networks += (IPv6Network((int(address6), int(bits)), strict=False),)
    prefixes = tuple(map(_prefix, entry["ciders"]))
    consent = consents.get(entry["identity"], HostConsent())
    strict = consent.accept_routes is not None
    refused = tuple(network for network in networks if strict and not _accepts(consent, network))
    return Node(entry["identity"], entry["cluster"], addresses, networks, refused, prefixes, consent)


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
