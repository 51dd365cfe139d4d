"""Which routes, rules and addresses take a host from what it has to what a client wishes; a pure function of both.

Rules of this module
  1. Ours are: everything on the TUN device, and routes and rules with our protocol number. Nothing else is touched,
     ever.
  2. Every prefix in the tunnel is a route with our number, also the network of an own address. So one rule decides
     about all of them, and `ip route show proto 114` shows them.
  3. What is refused is decided by `host_judgement.py`; what the kernel refused a moment ago is refused as well.
  4. A server's address inside a prefix in the tunnel is pinned: a host route along the path that the host would use
     without us. It is made before the prefix is and removed after it. No such path: the prefix is refused.
  5. A pin that no journal knows is what a killed client left, unless another client runs here (its TUN has routes with
     our number): then it may be that one's. One that another journal has stays.
  6. An exit is a default route in a table of its own, where packets look after the main table, whose own default routes
     do not count: so all that the host routes more precisely stays as it is. With an exit every server is pinned. An
     exit is kept where a server cannot be reached now: what was to go through the tunnel does not go beside it.
  7. Order: what the server needs, what the tunnel needs, then what goes. The same wish again gives no steps.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from rustun.backends.base import HostState, Interface, Prefix
from rustun.backends.host_judgement import is_pin, is_tun, judge, judge_exits, outside_addresses, reached_elsewhere
from rustun.backends.host_snapshot import (
    EXIT_TABLE,
    ROUTE_PROTOCOL,
    RT_TABLE_MAIN,
    Link,
    Route,
    Rule,
    Snapshot,
    device_route,
)

MAIN_FIRST: Final = 11_400  # priorities of our rules: after those that an administrator numbers by hand, usually
THEN_EXITS: Final = 11_401  # below 10,000, and before the main table's own, 32766
NONE_FAILED: Final[Mapping[Route | Rule, str]] = {}


@dataclass(frozen=True, slots=True)
class RoutePlan:
    """Steps for routes and rules, in the order of the fields `pin` to `unpin`, and what they lead to.

    `pinned` are the host routes and `routes` the routes into the tunnel that stand then; `refused` says why others do
    not; `elsewhere` is what is within those routes and is reached beside the tunnel.
    """

    pin: tuple[Route, ...] = ()
    add: tuple[Route, ...] = ()
    add_rules: tuple[Rule, ...] = ()
    remove_rules: tuple[Rule, ...] = ()
    remove: tuple[Route, ...] = ()
    unpin: tuple[Route, ...] = ()
    pinned: frozenset[Prefix] = frozenset()
    routes: tuple[Route, ...] = ()
    refused: tuple[tuple[Prefix, str], ...] = ()
    elsewhere: tuple[Prefix, ...] = ()


@dataclass(frozen=True, slots=True)
class AddressPlan:
    """Addresses to put on the device and to take off it, in this order."""

    add: tuple[Interface, ...] = ()
    remove: tuple[Interface, ...] = ()


def plan_addresses(wished: HostState, snapshot: Snapshot, link: Link) -> AddressPlan:
    """Return the difference; new addresses first, since with its last address the kernel drops a device's routes."""
    present = [address for index, address in snapshot.addresses if index == link.index and not address.ip.is_link_local]
    return AddressPlan(
        add=tuple(address for address in wished.addresses if address not in present),
        remove=tuple(address for address in present if address not in wished.addresses),
    )


def plan_routes(
    wished: HostState,
    snapshot: Snapshot,
    link: Link | None,
    own_pins: frozenset[Prefix] = frozenset(),
    *,
    other_pins: frozenset[Prefix] = frozenset(),
    failed: Mapping[Route | Rule, str] = NONE_FAILED,
) -> RoutePlan:
    """Return the steps for routes and rules.

    Args:
        wished: what the client wants, with the own addresses that are accepted.
        snapshot: what the host has.
        link: the TUN device; None when it is gone, so that only pins and rules are left to remove.
        own_pins: host routes that this client's journal has.
        other_pins: host routes that other clients' journals have.
        failed: what the kernel refused, with its reason.
    """
    index = link.index if link is not None else -1
    own_networks = [address.network for address in wished.addresses]
    asked = [network for network in own_networks if network.prefixlen < network.max_prefixlen]
    judged = judge(dict.fromkeys((*asked, *wished.routes)), wished, snapshot, index)
    judged |= judge_exits(wished, snapshot, index)
    routes = {prefix: _into_tunnel(prefix, wished, index) for prefix in judged}
    _refuse_failed(judged, routes, failed)
    pins = _pins(wished, judged, snapshot, index, failed)

    ours = [route for route in snapshot.routes if route.protocol == ROUTE_PROTOCOL]
    accepted = [routes[prefix] for prefix, reason in judged.items() if not reason]
    present = {(route.table, route.prefix): route for route in (*ours, *snapshot.exits) if route.device == index}
    standing = {route.prefix: route for route in ours if route.device != index and is_pin(route, snapshot)}
    removable = standing.keys() if not _others_run(ours, index, snapshot) else own_pins & standing.keys()
    kept = {(route.table, route.prefix) for route in accepted}
    rules = [rule for route in accepted if route.table == EXIT_TABLE for rule in _rules(route.prefix.version)]
    unpin = tuple(standing[prefix] for prefix in removable if prefix not in pins and prefix not in other_pins)
    return RoutePlan(
        pin=tuple(pin for pin in pins.values() if not _same_path(standing.get(pin.prefix), pin)),
        add=tuple(route for route in accepted if (route.table, route.prefix) not in present),
        add_rules=tuple(rule for rule in rules if rule not in snapshot.rules),
        remove_rules=_unneeded(rules, snapshot, index),
        remove=tuple(route for key, route in present.items() if key not in kept),
        unpin=unpin,
        pinned=frozenset(pins),
        routes=tuple(accepted),
        refused=tuple((prefix, reason) for prefix, reason in judged.items() if reason),
        elsewhere=reached_elsewhere(accepted, wished, snapshot, index, unpin),
    )


def _into_tunnel(prefix: Prefix, wished: HostState, index: int) -> Route:
    return device_route(prefix, index, ROUTE_PROTOCOL, EXIT_TABLE if prefix in wished.exits else RT_TABLE_MAIN)


def _rules(version: int) -> tuple[Rule, Rule]:
    """Return what sends packets to the exits: the main table without its default routes, then our own."""
    return Rule(version, MAIN_FIRST, RT_TABLE_MAIN, 0), Rule(version, THEN_EXITS, EXIT_TABLE)


def _unneeded(rules: list[Rule], snapshot: Snapshot, index: int) -> tuple[Rule, ...]:
    """Return the rules that go: neither wished nor those of another client's exit."""
    others = {route.prefix.version for route in snapshot.exits if route.device != index}
    return tuple(rule for rule in reversed(snapshot.rules) if rule not in rules and rule.version not in others)


def _refuse_failed(
    judged: dict[Prefix, str], routes: Mapping[Prefix, Route], failed: Mapping[Route | Rule, str]
) -> None:
    for prefix, route in routes.items() if failed else ():
        needed = (route, *_rules(prefix.version)) if route.table == EXIT_TABLE else (route,)
        reasons = [failed[one] for one in needed if one in failed]
        if reasons and not judged[prefix]:
            judged[prefix] = f"the kernel says: {reasons[0]}"


def _pins(
    wished: HostState, judged: dict[Prefix, str], snapshot: Snapshot, index: int, failed: Mapping[Route | Rule, str]
) -> dict[Prefix, Route]:
    """Return the host routes that keep servers outside; refuse prefixes in `judged` where there is no path."""
    own = {address.ip for _, address in snapshot.addresses}
    foreign = [route for route in snapshot.routes if route.protocol != ROUTE_PROTOCOL and route.device != index]
    pins: dict[Prefix, Route] = {}
    for address in outside_addresses(wished):
        covering = [prefix for prefix, reason in judged.items() if not reason and address in prefix]
        if not covering or address in own:  # the kernel looks for own addresses before any route
            continue
        host = ipaddress.ip_network(address)
        path = _path_to(host, foreign)
        pin = path and Route(host, path.device, ROUTE_PROTOCOL, 0, path.scope, path.flags, path.path)
        if path is None or pin is None:
            reason = f"covers the server's address {address}, to which this host has no other path"
            judged.update((prefix, reason) for prefix in covering if prefix not in wished.exits)
        elif path.prefix.prefixlen == host.prefixlen or not _swallowed(path, covering, wished):
            continue
        elif pin in failed:
            reason = f"covers the server's address {address}, whose path cannot be kept: {failed[pin]}"
            judged.update((prefix, reason) for prefix in covering)
        else:
            pins[host] = pin
    return pins


def _swallowed(path: Route, covering: list[Prefix], wished: HostState) -> bool:
    """Return whether a path needs a pin; beside an exit always, since a network that changes may take it away."""
    return any(prefix in wished.exits or prefix.prefixlen >= path.prefix.prefixlen for prefix in covering)


def _path_to(host: Prefix, foreign: list[Route]) -> Route | None:
    """Return the route that the host would use without us: longest prefix, then lowest metric."""
    matching = [route for route in foreign if host.network_address in route.prefix]
    return min(matching, key=lambda route: (-route.prefix.prefixlen, route.metric), default=None)


def _others_run(ours: list[Route], index: int, snapshot: Snapshot) -> bool:
    return any(route.device != index and is_tun(route.device, snapshot) for route in ours)


def _same_path(present: Route | None, wished: Route) -> bool:
    return present is not None and present.path == wished.path
