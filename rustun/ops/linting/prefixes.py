"""Rules about prefixes: what covers what, and what belongs to the world."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from typing import Final

from rustun.backends.base import Address, Prefix
from rustun.ops.fleet import Cluster, Inventory, Member
from rustun.ops.linting.finding import Finding
from rustun.protocol.routing import like_default

Table = tuple[str, ...]
# Public by the registries, and used by labs and documents: no finding.
_FOR_TESTS: Final = tuple(
    ip_network(text) for text in ("198.18.0.0/15", "192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32")
)


@dataclass(frozen=True, slots=True)
class _Offer:
    """A prefix that somebody in a cluster has, and where it is written."""

    prefix: Prefix
    member: Member


def table_of(member: Member) -> Table:
    """Return the path of a member's table."""
    return ("cluster", member.cluster, "member", member.identity)


def nested_prefixes(inventory: Inventory) -> Iterator[Finding]:
    """Find prefixes inside another member's: legal, since the longest wins, and seldom meant."""
    for cluster in inventory.clusters:
        for inner, outer in _nested(cluster):
            yield Finding(
                "nested-prefix", "note", table_of(inner.member), "ciders",
                f"{inner.prefix} lies inside {outer.prefix} of {outer.member.identity}: the longer one wins",
                "accept it if that is meant, or make the wider one narrower", str(inner.prefix),
            )  # fmt: skip


def _nested(cluster: Cluster) -> Iterator[tuple[_Offer, _Offer]]:
    """Yield prefixes with the narrowest that holds them; one pass over the sorted ones."""
    offers = [_Offer(p, member) for member in cluster.members for p in member.ciders if not like_default(p)]
    offers.sort(key=lambda one: (one.prefix.version, int(one.prefix.network_address), one.prefix.prefixlen))
    open_: list[_Offer] = []
    for offer in offers:
        while open_ and not open_[-1].prefix.overlaps(offer.prefix):
            open_.pop()
        if open_ and open_[-1].member is not offer.member:
            yield offer, open_[-1]
        open_.append(offer)


def cluster_network_covered(inventory: Inventory) -> Iterator[Finding]:
    """Find LANs that hold the cluster's own network, or lie in it."""
    for cluster in inventory.clusters:
        networks = (cluster.network,) if cluster.network6 is None else (cluster.network, cluster.network6)
        for network in networks:
            for offer in _overlapping(cluster, network):
                yield Finding(
                    "lan-in-network", "warning", table_of(offer.member), "ciders",
                    f"{offer.prefix} overlaps {network}, the addresses of the cluster's own members",
                    "give one of the two another range", str(offer.prefix),
                )  # fmt: skip


def _overlapping(cluster: Cluster, network: Prefix) -> Iterator[_Offer]:
    for member in cluster.members:
        for prefix in member.ciders:
            if prefix.version == network.version and not like_default(prefix) and prefix.overlaps(network):
                yield _Offer(prefix, member)


def server_covered(inventory: Inventory) -> Iterator[Finding]:
    """Find prefixes that hold a server's address: clients refuse them, since the path to the server would go in."""
    servers: list[tuple[str, Address]] = []
    for server in inventory.servers:
        try:
            servers.append((server.name, ip_address(server.endpoint.host)))
        except ValueError:  # a name: nobody is asked here
            continue
    for member in inventory.members:
        for prefix in member.ciders:
            for name, address in servers:
                if not like_default(prefix) and address in prefix:
                    yield Finding(
                        "server-covered", "warning", table_of(member), "ciders",
                        f"{prefix} holds {address}, where {name} is: clients refuse it",
                        "leave the server's address out of it", str(prefix),
                    )  # fmt: skip


def connected_lans(inventory: Inventory) -> Iterator[Finding]:
    """Find prefixes of others that a gateway has as its own LAN behind a mapping: its host keeps to its own."""
    for cluster in inventory.clusters:
        mapped = [(member, seen, real) for member in cluster.members for seen, real in member.cider_mapping]
        for member, seen, real in mapped:
            for offer in _overlapping(cluster, real):
                if offer.member is not member:
                    yield Finding(
                        "connected-lan", "warning", table_of(member), "cider_mapping",
                        f"{real} (seen as {seen}) is this site's own LAN, and {offer.member.identity} offers"
                        f" {offer.prefix}: from here that is out of reach",
                        f"map it at {offer.member.identity} as well", str(real),
                    )  # fmt: skip


def refused_networks(inventory: Inventory) -> Iterator[Finding]:
    """Find members that do not accept the network of their own address, so that their hosts do not set it."""
    for cluster in inventory.clusters:
        for member in cluster.members:
            accepted = member.settings.accept_routes
            if accepted is None:
                continue
            for interface in (member.interface, member.interface6):
                if interface is not None and not _within(interface.network, accepted):
                    yield Finding(
                        "network-refused", "warning", table_of(member), "",
                        f"accept_routes leave out {interface.network}, the network of its own address, which its host"
                        " then does not set",
                        f"add {interface.network} to accept_routes",
                    )  # fmt: skip


def _within(prefix: Prefix, wider: Iterable[Prefix]) -> bool:
    return any(
        prefix.version == one.version and prefix.subnet_of(one)  # type: ignore[arg-type]  # one version, as checked
        for one in wider
    )


def public_prefixes(inventory: Inventory) -> Iterator[Finding]:
    """Find prefixes that belong to the world: whoever is there on the internet is out of reach."""
    for cluster in inventory.clusters:
        table: Table = ("cluster", cluster.name)
        for key, network in (("network", cluster.network), ("network6", cluster.network6)):
            if network is not None and _is_public(network):
                yield _public(table, key, network)
        for member in cluster.members:
            for prefix in _public_ones(member.ciders):
                yield _public(table_of(member), "ciders", prefix)


def _public_ones(prefixes: Iterable[Prefix]) -> Iterator[Prefix]:
    return (prefix for prefix in prefixes if not like_default(prefix) and _is_public(prefix))


def _is_public(prefix: Prefix) -> bool:
    if not prefix.is_global:
        return False
    return not any(prefix.version == one.version and prefix.overlaps(one) for one in _FOR_TESTS)


def _public(table: Table, key: str, prefix: Prefix) -> Finding:
    reason = f"{prefix} is public address space: its owners on the internet are out of reach from here"
    remedy = "right if it is yours; else take a range of RFC 1918, or fd00::/8"
    return Finding("public-prefix", "warning", table, key, reason, remedy, str(prefix))
