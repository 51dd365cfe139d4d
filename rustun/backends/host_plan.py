"""Which steps take a host from what it has to what a client wishes; a pure function of both.

Rules of this module
  1. Ours are: everything on the TUN device, and routes with our protocol number. Nothing else is touched, ever.
  2. Every prefix in the tunnel is a route with our number, also the network of an own address. So one rule decides
     about all of them, and `ip route show proto 114` shows them.
  3. A prefix is refused, with its reason, where it would take from the host what it has: the same prefix routed
     elsewhere, a network at another interface, the server's own address, addresses with a meaning of their own.
     A wider prefix takes nothing: the more specific route of the host wins.
  4. A server's address inside a prefix in the tunnel is pinned: a host route along the path that the host would use
     without us. It is made before the prefix is and removed after it. No such path: the prefix is refused.
  5. A pin that nobody wishes is what a killed client left, unless another client runs here (its TUN has routes with
     our number): then it may be that one's.
  6. An own address is judged as a prefix is, with its network: the kernel takes each of its own addresses for itself,
     so another's would be out of reach. A refused one is not set.
  7. Order: what the server needs, what the tunnel needs, then what goes. The same wish again gives no steps.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from rustun.backends.base import Address, HostState, Interface, Prefix
from rustun.backends.host_snapshot import GATEWAYS, RTPROT_KERNEL, RTPROT_RA, Link, Route, Snapshot, device_route
from rustun.protocol.routing import like_default

ROUTE_PROTOCOL: Final = 114  # "r"; unused in iproute2's rt_protos and by the routing daemons we know
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


@dataclass(frozen=True, slots=True)
class RoutePlan:
    """Steps for the routes, in the order of the fields `pin` to `unpin`, and what they lead to.

    `pinned` are the host routes and `routes` the routes into the tunnel that stand then; `refused` says why others do
    not.
    """

    pin: tuple[Route, ...] = ()
    add: tuple[Route, ...] = ()
    remove: tuple[Route, ...] = ()
    unpin: tuple[Route, ...] = ()
    pinned: frozenset[Prefix] = frozenset()
    routes: tuple[Route, ...] = ()
    refused: tuple[tuple[Prefix, str], ...] = ()


@dataclass(frozen=True, slots=True)
class AddressPlan:
    """Addresses to put on the device and to take off it, in this order."""

    add: tuple[Interface, ...] = ()
    remove: tuple[Interface, ...] = ()


def accept_addresses(wished: HostState, snapshot: Snapshot, link: Link) -> tuple[HostState, dict[Prefix, str]]:
    """Return the wish without the own addresses that this host refuses, and why it refuses them."""
    pairs = [(address, ipaddress.ip_network(address.ip)) for address in wished.addresses]
    asked = [prefix for address, alone in pairs for prefix in (alone, address.network)]
    judged = _judge(asked, _elsewhere(snapshot, link.index), snapshot, link.index, outside_addresses(wished))
    refused: dict[Prefix, str] = {}
    for address, alone in pairs:
        if judged[alone]:
            refused[alone] = f"not set as own address: {judged[alone]}"
        elif judged[address.network]:
            refused[alone] = f"not set as own address: its network {address.network}: {judged[address.network]}"
    accepted = tuple(address for address, alone in pairs if alone not in refused)
    return replace(wished, addresses=accepted), refused


def plan_addresses(wished: HostState, snapshot: Snapshot, link: Link) -> AddressPlan:
    """Return the difference; new addresses first, since with its last address the kernel drops a device's routes."""
    present = [address for index, address in snapshot.addresses if index == link.index and not address.ip.is_link_local]
    return AddressPlan(
        add=tuple(address for address in wished.addresses if address not in present),
        remove=tuple(address for address in present if address not in wished.addresses),
    )


def plan_routes(
    wished: HostState, snapshot: Snapshot, link: Link | None, own_pins: frozenset[Prefix] = frozenset()
) -> RoutePlan:
    """Return the steps for the routes.

    Args:
        wished: what the client wants, with the own addresses that are accepted.
        snapshot: what the host has.
        link: the TUN device; None when it is gone, so that only pins are left to remove.
        own_pins: host routes that this process made earlier.
    """
    index = link.index if link is not None else -1
    foreign = [route for route in snapshot.routes if route.protocol != ROUTE_PROTOCOL and route.device != index]
    ours = [route for route in snapshot.routes if route.protocol == ROUTE_PROTOCOL]
    present = {route.prefix: route for route in ours if route.device == index}

    own_networks = [address.network for address in wished.addresses]
    asked = [network for network in own_networks if network.prefixlen < network.max_prefixlen]
    taken = _elsewhere(snapshot, index)
    outside = outside_addresses(wished)
    judged = _judge(dict.fromkeys((*asked, *wished.routes)), taken, snapshot, index, outside)
    pins = _pins(outside, judged, foreign, snapshot)

    accepted = [prefix for prefix, reason in judged.items() if not reason]
    routes = {prefix: device_route(prefix, index, ROUTE_PROTOCOL) for prefix in accepted}
    other_pins = {route.prefix: route for route in ours if route.device != index and _is_pin(route, snapshot)}
    removable = other_pins.keys() if not _others_run(ours, index, snapshot) else own_pins & other_pins.keys()
    return RoutePlan(
        pin=tuple(pin for pin in pins.values() if not _same_path(other_pins.get(pin.prefix), pin)),
        add=tuple(route for prefix, route in routes.items() if prefix not in present),
        remove=tuple(route for prefix, route in present.items() if prefix not in routes),
        unpin=tuple(other_pins[prefix] for prefix in removable if prefix not in pins),
        pinned=frozenset(pins),
        routes=tuple(routes.values()),
        refused=tuple((prefix, reason) for prefix, reason in judged.items() if reason),
    )


def outside_addresses(wished: HostState) -> Sequence[Address]:
    """Return the servers' addresses, each once, without the zone of a link-local one."""
    return list(dict.fromkeys(ipaddress.ip_address(server.host.partition("%")[0]) for server in wished.outside))


def _elsewhere(snapshot: Snapshot, index: int) -> list[Route]:
    """Return the routes that do not lead into our device, those of another client on this host among them."""
    return [
        route
        for route in snapshot.routes
        if route.device != index and (route.protocol != ROUTE_PROTOCOL or not _is_pin(route, snapshot))
    ]


def _judge(
    asked: Iterable[Prefix], taken: list[Route], snapshot: Snapshot, index: int, outside: Iterable[Address]
) -> dict[Prefix, str]:
    """Return each prefix with the reason against it, empty where there is none; `taken` leads elsewhere."""
    names = {link.index: link.name for link in snapshot.links}
    elsewhere = {route.prefix: names.get(route.device, "several interfaces") for route in taken}
    at = {route.prefix: names.get(route.device, "?") for route in taken if _is_connected(route)}
    connected = Networks(at)
    needed = _needed(taken, snapshot, index, outside)
    judged: dict[Prefix, str] = {}
    accepted = 0
    for prefix in asked:
        if (network := connected.holding(prefix)) is not None:
            inside = "" if network == prefix else f"lies inside {network}, "
            reason = f"{inside or 'is '}directly connected at {at[network]}"
        else:
            reason = _reason_against(prefix, elsewhere, needed)
        if not reason and accepted >= MAX_ROUTES:
            reason = f"over {MAX_ROUTES:,} routes"
        judged[prefix] = reason
        accepted += not reason
    return judged


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
    if prefix.prefixlen == 0:
        return "a default route is only taken from a member chosen as exit node"
    if like_default(prefix):
        return "so wide that a few of its kind are a default route"
    if RESERVED.holding(prefix) is not None:
        return "loopback, link-local, multicast or reserved"
    if prefix.prefixlen == prefix.max_prefixlen and prefix.network_address.packed in needed:
        return needed[prefix.network_address.packed]
    if prefix in elsewhere:
        return f"this host already routes it by {elsewhere[prefix]}"
    return ""


def _pins(
    outside: Iterable[Address], judged: dict[Prefix, str], foreign: list[Route], snapshot: Snapshot
) -> dict[Prefix, Route]:
    """Return the host routes that keep `outside` outside; refuse prefixes in `judged` where there is no path."""
    own = {address.ip for _, address in snapshot.addresses}
    pins: dict[Prefix, Route] = {}
    for address in outside:
        covering = [prefix for prefix, reason in judged.items() if not reason and address in prefix]
        if not covering or address in own:  # the kernel looks for own addresses before any route
            continue
        path = _path_to(address, foreign)
        if path is None:
            for prefix in covering:
                judged[prefix] = f"covers the server's address {address}, to which this host has no other path"
        elif path.prefix.prefixlen <= max(prefix.prefixlen for prefix in covering):
            host = ipaddress.ip_network(address)
            pins[host] = Route(host, path.device, ROUTE_PROTOCOL, 0, path.scope, path.flags, path.path)
    return pins


def _path_to(address: Address, foreign: list[Route]) -> Route | None:
    """Return the route that the host would use without us: longest prefix, then lowest metric."""
    matching = [route for route in foreign if address in route.prefix]
    return min(matching, key=lambda route: (-route.prefix.prefixlen, route.metric), default=None)


def _is_connected(route: Route) -> bool:
    return (
        route.protocol in CONNECTED
        and not route.has_gateway
        and route.prefix.prefixlen > 0
        and not route.prefix.is_link_local
    )


def _is_pin(route: Route, snapshot: Snapshot) -> bool:
    return route.prefix.prefixlen == route.prefix.max_prefixlen and not _is_tun(route.device, snapshot)


def _others_run(ours: list[Route], index: int, snapshot: Snapshot) -> bool:
    return any(route.device != index and _is_tun(route.device, snapshot) for route in ours)


def _is_tun(device: int, snapshot: Snapshot) -> bool:
    return any(link.index == device and link.kind == "tun" for link in snapshot.links)


def _same_path(present: Route | None, wished: Route) -> bool:
    return present is not None and present.path == wished.path
