"""Which interfaces lead to the networks behind this host, and which lead out; a pure function of wish and snapshot.

Rules of this module
  1. What leads into our own device does not count: these are the ways that the host has without us.
  2. A network that is split is reached by all interfaces that lead to a part of it. The default route leads to a
     network only where no other route leads to any part of it: an office's inner networks behind its one router.
  3. Every default route counts, whatever its metric: who changes from cable to Wi-Fi needs no new rules.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from rustun.backends.base import HostState, Prefix
from rustun.backends.host_judgement import is_tun
from rustun.backends.host_snapshot import ROUTE_PROTOCOL, Route, Snapshot

NEXT_HOP: Final = struct.Struct("=HBBi")  # struct rtnexthop (linux/rtnetlink.h): length, flags, weight, interface
BRIDGE: Final = "bridge"


@dataclass(frozen=True, slots=True)
class Surroundings:
    """The host's interfaces as a gateway sees them.

    Attributes:
        ways: for each prefix that the wish offers (`lans` and the real sides of `mapping`) the interfaces that lead
            there; none where nothing does.
        uplinks: IP version -> the interfaces of default routes.
        connected: networks that the host has at an interface, of both versions.
        bridges: interfaces that are bridges.
        clients: TUN devices of other clients on this host.
    """

    ways: dict[Prefix, tuple[str, ...]] = field(default_factory=dict)
    uplinks: dict[int, tuple[str, ...]] = field(default_factory=dict)
    connected: tuple[Prefix, ...] = ()
    bridges: frozenset[str] = frozenset()
    clients: frozenset[str] = frozenset()


def survey(wished: HostState, snapshot: Snapshot) -> Surroundings:
    """Return what surrounds the device of `wished`; the device itself need not be there."""
    names = {link.index: link.name for link in snapshot.links if link.name != wished.device}
    own = snapshot.link(wished.device)
    routes = [route for route in snapshot.routes if own is None or route.device != own.index]
    users = {route.device for route in routes if route.protocol == ROUTE_PROTOCOL}
    offered = (*wished.forwarding.lans, *(real for _, real in wished.forwarding.mapping))
    defaults = {version: [route for route in routes if _is_default(route, version)] for version in (4, 6)}
    return Surroundings(
        ways={prefix: _names(_leading_to(prefix, routes), names) for prefix in offered},
        uplinks={version: _names(found, names) for version, found in defaults.items()},
        connected=tuple(dict.fromkeys(route.prefix for route in routes if _is_connected(route))),
        bridges=frozenset(link.name for link in snapshot.links if link.kind == BRIDGE),
        clients=frozenset(names[one] for one in users & names.keys() if is_tun(one, snapshot)),
    )


def _is_default(route: Route, version: int) -> bool:
    return route.prefix.version == version and route.prefix.prefixlen == 0


def _is_connected(route: Route) -> bool:
    return not route.has_gateway and route.prefix.prefixlen > 0 and not route.prefix.is_link_local


def _leading_to(prefix: Prefix, routes: Iterable[Route]) -> list[Route]:
    """Return the routes to a part of `prefix`; the longest around it, too, unless that is a default route (rule 2)."""
    parts: list[Route] = []
    around: list[Route] = []
    for route in routes:
        if route.prefix.version != prefix.version or not route.prefix.overlaps(prefix):
            continue
        (parts if route.prefix.prefixlen >= prefix.prefixlen else around).append(route)
    if any(route.prefix == prefix for route in parts):
        return parts
    longest = max((route.prefix.prefixlen for route in around), default=0)
    nearest = [route for route in around if route.prefix.prefixlen == longest]
    return parts + nearest if longest > 0 or not parts else parts


def _names(routes: Iterable[Route], names: dict[int, str]) -> tuple[str, ...]:
    found = {names[index] for route in routes for index in _interfaces(route) if index in names}
    return tuple(sorted(found))


def _interfaces(route: Route) -> Iterator[int]:
    """Yield the indexes of the interfaces that a route leaves by."""
    if route.device:
        yield route.device
    for name, hops in route.path:
        while name == "RTA_MULTIPATH" and len(hops) >= NEXT_HOP.size:
            length, _flags, _weight, index = NEXT_HOP.unpack_from(hops)
            yield index
            hops = hops[max(NEXT_HOP.size, length + 3 & ~3) :]  # aligned to 4 bytes
