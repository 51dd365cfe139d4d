"""What a host refuses to give to its tunnel, with the reason; a pure function of the wish and of what the host has.

Rules of this module
  1. A prefix is refused where it would take from the host what it has: the same prefix routed elsewhere, a network at
     another interface, the server's own address, addresses with a meaning of their own. A wider prefix takes nothing:
     the more specific route of the host wins.
  2. What lies outside of `accept` was never agreed to, and is refused before anything else is said about it.
  3. An own address is judged as a prefix is, with its network: the kernel takes each of its own addresses for itself,
     so another's would be out of reach. A refused one is not set.
  4. A default route is taken as an exit alone, which has a table of its own: nothing of the host's is taken by it. That
     others than the chosen exit offer one is nothing unusual, and has a reason of its own.
  5. What the host still reaches elsewhere, inside a prefix that it gave, is told as well: who is there does not speak
     through the tunnel.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from typing import Final

from rustun.backends.base import NOT_AN_EXIT, Address, HostState, Prefix
from rustun.backends.host_snapshot import (
    GATEWAYS,
    ROUTE_PROTOCOL,
    RTPROT_KERNEL,
    RTPROT_RA,
    Link,
    Route,
    Snapshot,
)
from rustun.protocol.routing import like_default

MAX_ROUTES: Final = 100_000  # what a hostile server can make this host carry
CONNECTED: Final = frozenset({RTPROT_KERNEL, RTPROT_RA})  # who makes routes to a network at an interface


class Networks:
    """A set of networks that says which of them holds a prefix, by one look-up per prefix length in the set."""

    def __init__(self, networks: Iterable[Prefix]) -> None:
        self._tables: dict[int, dict[int, dict[int, Prefix]]] = {4: {}, 6: {}}
        for network in networks:
            table = self._tables[network.version].setdefault(network.prefixlen, {})
            table[int(network.network_address) >> (network.max_prefixlen - network.prefixlen)] = network

    def holding(self, prefix: Prefix) -> Prefix | None:
        """Return a network that is equal to `prefix` or holds all of it, None where there is none."""
        number, bits, own_length = int(prefix.network_address), prefix.max_prefixlen, prefix.prefixlen
        for length, table in self._tables[prefix.version].items():
            if length <= own_length and (found := table.get(number >> (bits - length))) is not None:
                return found
        return None


# networks with a meaning of their own on every host: this network, loopback, link-local, multicast, reserved
RESERVED: Final = Networks(
    ipaddress.ip_network(text)
    for text in ("0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4", "240.0.0.0/4")
    + ("::/127", "::ffff:0:0/96", "fe80::/10", "ff00::/8")
)


def accept_addresses(wished: HostState, snapshot: Snapshot, link: Link) -> tuple[HostState, dict[Prefix, str]]:
    """Return the wish without the own addresses that this host refuses, and why it refuses them."""
    pairs = [(address, ipaddress.ip_network(address.ip)) for address in wished.addresses]
    asked = [prefix for address, alone in pairs for prefix in (alone, address.network)]
    judged = judge(asked, wished, snapshot, link.index)
    refused: dict[Prefix, str] = {}
    for address, alone in pairs:
        if judged[alone]:
            refused[alone] = f"not set as own address: {judged[alone]}"
        elif judged[address.network]:
            refused[alone] = f"not set as own address: its network {address.network}: {judged[address.network]}"
    accepted = tuple(address for address, alone in pairs if alone not in refused)
    return replace(wished, addresses=accepted), refused


def judge(asked: Iterable[Prefix], wished: HostState, snapshot: Snapshot, index: int) -> dict[Prefix, str]:
    """Return each prefix with the reason against it, empty where there is none.

    Args:
        asked: the prefixes; what is refused does not depend on their order, but for MAX_ROUTES.
        wished: with the servers outside, and what this host accepts.
        index: of the TUN device; what leads into it takes nothing from the host.
    """
    taken = _elsewhere(snapshot, index)
    names = {link.index: link.name for link in snapshot.links}
    elsewhere = {route.prefix: names.get(route.device, "several interfaces") for route in taken}
    at = {route.prefix: names.get(route.device, "?") for route in taken if is_connected(route)}
    connected = Networks(at)
    accept = Networks(wished.accept or ())
    needed = _needed(taken, snapshot, index, outside_addresses(wished))
    judged: dict[Prefix, str] = {}
    accepted = 0
    for prefix in asked:
        if prefix.prefixlen == 0:
            reason = NOT_AN_EXIT if accept.holding(prefix) is None else f"accept_routes has it, but {NOT_AN_EXIT}"
        elif wished.accept is not None and accept.holding(prefix) is None:
            reason = "outside accept_routes"
        elif (network := connected.holding(prefix)) is not None:
            inside = "" if network == prefix else f"lies inside {network}, "
            reason = f"{inside or 'is '}directly connected at {at[network]}"
        else:
            reason = _reason_against(prefix, elsewhere, needed)
        if not reason and accepted >= MAX_ROUTES:
            reason = f"over {MAX_ROUTES:,} routes"
        judged[prefix] = reason
        accepted += not reason
    return judged


def reached_elsewhere(
    routed: Iterable[Route], wished: HostState, snapshot: Snapshot, index: int, going: Collection[Route]
) -> tuple[Prefix, ...]:
    """Return what lies within `routed` and is not in the tunnel: routes elsewhere, gateways, servers (rule 5).

    Args:
        routed: what leads into the tunnel.
        going: pins that nobody needs any more; those that come lead to servers.
    """
    inside = Networks(route.prefix for route in routed)
    others = [route for route in snapshot.routes if route.device != index and route not in going]
    gateways = (payload for route in others for name, payload in route.path if name == "RTA_GATEWAY")
    found = [route.prefix for route in others if route.prefix.prefixlen > 0]
    found += [ipaddress.ip_network(address) for address in (*gateways, *outside_addresses(wished))]
    return tuple(prefix for prefix in dict.fromkeys(found) if inside.holding(prefix) is not None)


def local_addresses(snapshot: Snapshot, link: Link | None) -> tuple[Address, ...]:
    """Return this host's addresses at other interfaces than the TUN device."""
    return tuple(address.ip for device, address in snapshot.addresses if link is None or device != link.index)


def judge_exits(wished: HostState, snapshot: Snapshot, index: int) -> dict[Prefix, str]:
    """Return each wished exit with the reason against it: there is one way out of a host."""
    names = {link.index: link.name for link in snapshot.links}
    taken = {route.prefix: names.get(route.device, "?") for route in snapshot.exits if route.device != index}
    return {exit: f"{taken[exit]} is this host's way out already" if exit in taken else "" for exit in wished.exits}


def outside_addresses(wished: HostState) -> Sequence[Address]:
    """Return the servers' addresses, each once, without the zone of a link-local one."""
    return list(dict.fromkeys(ipaddress.ip_address(server.host.partition("%")[0]) for server in wished.outside))


def _elsewhere(snapshot: Snapshot, index: int) -> list[Route]:
    """Return the routes that do not lead into our device, those of another client on this host among them."""
    return [
        route
        for route in snapshot.routes
        if route.device != index and (route.protocol != ROUTE_PROTOCOL or not is_pin(route, snapshot))
    ]


def _needed(taken: list[Route], snapshot: Snapshot, index: int, outside: Iterable[Address]) -> dict[bytes, str]:
    """Return the single addresses that this host has to reach outside the tunnel, packed, with what they are to it."""
    names = {link.index: link.name for link in snapshot.links}
    needed = {}
    for route in taken:
        size = route.prefix.max_prefixlen // 8
        for name, payload in route.path:
            if name in GATEWAYS:  # the kernel aligns what is nested to 4 bytes, too
                routers = (payload[at : at + size] for at in range(0, len(payload) - size + 1, 4))
                needed.update(dict.fromkeys(routers, "a gateway of this host"))
    for device, address in snapshot.addresses:
        if device != index:
            needed[address.ip.packed] = f"this host's own address at {names.get(device, '?')}"
    return {**needed, **{address.packed: "the server's own address" for address in outside}}


def _reason_against(prefix: Prefix, elsewhere: dict[Prefix, str], needed: dict[bytes, str]) -> str:
    if like_default(prefix):
        return "so wide that a few of its kind are a default route"
    if RESERVED.holding(prefix) is not None:
        return "loopback, link-local, multicast or reserved"
    if prefix.prefixlen == prefix.max_prefixlen and prefix.network_address.packed in needed:
        return needed[prefix.network_address.packed]
    if prefix in elsewhere:
        return f"this host already routes it by {elsewhere[prefix]}"
    return ""


def is_connected(route: Route) -> bool:
    """Return whether a route leads to a network at an interface of this host."""
    return (
        route.protocol in CONNECTED
        and not route.has_gateway
        and route.prefix.prefixlen > 0
        and not route.prefix.is_link_local
    )


def is_pin(route: Route, snapshot: Snapshot) -> bool:
    """Return whether a route of ours keeps one address outside the tunnel."""
    return route.prefix.prefixlen == route.prefix.max_prefixlen and not is_tun(route.device, snapshot)


def is_tun(device: int, snapshot: Snapshot) -> bool:
    """Return whether an interface is a TUN device."""
    return any(link.index == device and link.kind == "tun" for link in snapshot.links)
