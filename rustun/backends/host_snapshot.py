"""What a host has at one moment: links, addresses, the main table, our own table and our rules, as records.

Rules of this module
  1. Records only; `rtnetlink.py` fills them from the kernel, `host_plan.py` decides by them.
  2. A route's path is kept as the kernel's own attributes, unread: a copy of it is exact, whatever kind of path it is.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Final

from rustun.backends.base import Interface, Prefix

RT_SCOPE_LINK: Final = 253  # linux/rtnetlink.h: the destination is on the link itself
RTPROT_KERNEL, RTPROT_RA = 2, 9
U32_BYTES: Final = 4
RT_TABLE_MAIN: Final = 254
ROUTE_PROTOCOL: Final = 114  # "r"; unused in iproute2's rt_protos and by the routing daemons we know
EXIT_TABLE: Final = 114  # default routes into the tunnel
GATEWAYS: Final = frozenset({"RTA_GATEWAY", "RTA_VIA", "RTA_MULTIPATH", "RTA_NH_ID"})


@dataclass(frozen=True, slots=True)
class Link:
    """A network interface; `kind` is the driver's word ("tun", "veth", ...), empty for hardware."""

    index: int
    name: str
    kind: str
    up: bool
    mtu: int


@dataclass(frozen=True, slots=True)
class Route:
    """A unicast route.

    Attributes:
        prefix: destination.
        device: index of the interface that it leaves by; 0 where the path has several.
        protocol: who made it (rtnetlink.h, RTPROT_*).
        metric: lower is preferred among equal prefixes.
        scope: RT_SCOPE_*, as the path needs it.
        flags: RTNH_F_ONLINK or 0.
        path: the attributes that say where packets go, (name, payload in the kernel's bytes) each.
        table: RT_TABLE_MAIN, or EXIT_TABLE.
    """

    prefix: Prefix
    device: int
    protocol: int
    metric: int = 0
    scope: int = RT_SCOPE_LINK
    flags: int = 0
    path: tuple[tuple[str, bytes], ...] = ()
    table: int = RT_TABLE_MAIN

    @property
    def has_gateway(self) -> bool:
        """Whether packets go to a router rather than to the destination itself."""
        return any(name in GATEWAYS for name, _ in self.path)


@dataclass(frozen=True, slots=True)
class Rule:
    """A policy rule of ours: all packets of one family look into a table.

    Attributes:
        version: 4 or 6.
        priority: lower is asked first.
        table: where packets look.
        suppress: routes whose prefix is this long, or shorter, do not count; -1 where all do.
    """

    version: int
    priority: int
    table: int
    suppress: int = -1


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What the host has at one moment.

    Attributes:
        addresses: (interface index, address) each.
        routes: of the main table, everybody's.
        exits: of EXIT_TABLE.
        rules: those with our protocol number.
    """

    links: tuple[Link, ...] = ()
    addresses: tuple[tuple[int, Interface], ...] = ()
    routes: tuple[Route, ...] = ()
    exits: tuple[Route, ...] = ()
    rules: tuple[Rule, ...] = ()

    def link(self, name: str) -> Link | None:
        """Return the interface of that name."""
        return next((link for link in self.links if link.name == name), None)


def device_route(prefix: Prefix, device: int, protocol: int, table: int = RT_TABLE_MAIN) -> Route:
    """Return a route that hands packets to an interface."""
    path = (("RTA_OIF", device.to_bytes(U32_BYTES, sys.byteorder)),)
    return Route(prefix, device, protocol, path=path, table=table)
