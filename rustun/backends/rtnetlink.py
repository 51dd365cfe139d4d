"""Links, addresses and routes of this host as records (linux/if_link.h, if_addr.h, rtnetlink.h).

Rules of this module
  1. Bytes to records and records to requests; it decides nothing (host_plan.py does).
  2. A route's path is kept as the kernel's own attributes, unread: a copy of it is exact, whatever kind of path it is.
  3. Only the main table counts. What stands in others is somebody's policy and none of our business.
"""

from __future__ import annotations

import ipaddress
import socket
import struct
from dataclasses import dataclass
from typing import Final

from rustun.backends import netlink
from rustun.backends.base import Address, Interface, Prefix
from rustun.backends.netlink import Message, NetlinkSocket, Request, attribute, attributes

IFINFOMSG: Final = struct.Struct("=BxHiII")  # family, device type, index, flags, change mask
IFADDRMSG: Final = struct.Struct("=BBBBI")  # family, prefix length, flags, scope, index
RTMSG: Final = struct.Struct("=8BI")  # family, dst_len, src_len, tos, table, protocol, scope, type, flags
U32: Final = struct.Struct("=I")

RTM_NEWLINK, RTM_GETLINK, RTM_SETLINK = 16, 18, 19
RTM_NEWADDR, RTM_DELADDR, RTM_GETADDR = 20, 21, 22
RTM_NEWROUTE, RTM_DELROUTE, RTM_GETROUTE = 24, 25, 26

IFLA_IFNAME, IFLA_MTU, IFLA_TXQLEN, IFLA_LINKINFO, IFLA_AF_SPEC = 3, 4, 13, 18, 26
IFLA_GSO_MAX_SIZE, IFLA_GSO_IPV4_MAX_SIZE = 41, 63
IFLA_INFO_KIND = 1
IFLA_INET6_ADDR_GEN_MODE = 8
IN6_ADDR_GEN_MODE_NONE: Final = 1  # no link-local address, and without one no router solicitations
IFF_UP, IFF_MULTICAST = 0x1, 0x1000

IFA_ADDRESS, IFA_LOCAL, IFA_FLAGS = 1, 2, 8
IFA_F_NODAD: Final = 0x02  # nobody else is on the link; without this an IPv6 address is unusable for a second
IFA_F_NOPREFIXROUTE: Final = 0x200  # the route to the address's network is ours to make, and to refuse

RTA_DST, RTA_OIF, RTA_GATEWAY, RTA_PRIORITY, RTA_PREFSRC = 1, 4, 5, 6, 7
RTA_MULTIPATH, RTA_TABLE, RTA_VIA, RTA_ENCAP_TYPE, RTA_ENCAP, RTA_NH_ID = 9, 15, 18, 21, 22, 30
PATH_ATTRIBUTES: Final = (RTA_OIF, RTA_GATEWAY, RTA_PREFSRC, RTA_MULTIPATH, RTA_VIA, RTA_ENCAP_TYPE, RTA_ENCAP)
RT_TABLE_MAIN: Final = 254
RT_SCOPE_UNIVERSE, RT_SCOPE_LINK, RT_SCOPE_NOWHERE = 0, 253, 255
RTN_UNICAST: Final = 1
RTPROT_KERNEL, RTPROT_RA = 2, 9
RTNH_F_DEAD, RTNH_F_ONLINK = 1, 4


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
    """A unicast route of the main table.

    Attributes:
        prefix: destination.
        device: index of the interface that it leaves by; 0 where the path has several.
        protocol: who made it (rtnetlink.h, RTPROT_*).
        metric: lower is preferred among equal prefixes.
        scope: RT_SCOPE_*, as the path needs it.
        flags: RTNH_F_ONLINK or 0.
        path: the attributes that say where packets go, (kind, payload) each.
    """

    prefix: Prefix
    device: int
    protocol: int
    metric: int = 0
    scope: int = RT_SCOPE_LINK
    flags: int = 0
    path: tuple[tuple[int, bytes], ...] = ()

    @property
    def has_gateway(self) -> bool:
        """Whether packets go to a router rather than to the destination itself."""
        return any(kind in (RTA_GATEWAY, RTA_VIA, RTA_MULTIPATH, RTA_NH_ID) for kind, _ in self.path)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What the host has at one moment; addresses by interface index."""

    links: tuple[Link, ...] = ()
    addresses: tuple[tuple[int, Interface], ...] = ()
    routes: tuple[Route, ...] = ()

    def link(self, name: str) -> Link | None:
        """Return the interface of that name."""
        return next((link for link in self.links if link.name == name), None)


def device_route(prefix: Prefix, device: int, protocol: int) -> Route:
    """Return a route that hands packets to an interface."""
    return Route(prefix, device, protocol, path=((RTA_OIF, U32.pack(device)),))


def take_snapshot(sock: NetlinkSocket) -> Snapshot:
    """Read links, addresses and the main table. Raises: OSError."""
    links = [_link(message) for message in sock.dump(Request(RTM_GETLINK, 0, IFINFOMSG.pack(0, 0, 0, 0, 0)))]
    addresses = [_address(message) for message in sock.dump(Request(RTM_GETADDR, 0, IFADDRMSG.pack(0, 0, 0, 0, 0)))]
    routes = []
    for family in (socket.AF_INET, socket.AF_INET6):
        body = RTMSG.pack(family, 0, 0, 0, RT_TABLE_MAIN, 0, 0, 0, 0) + attribute(RTA_TABLE, U32.pack(RT_TABLE_MAIN))
        try:
            routes += [_route(message) for message in sock.dump(Request(RTM_GETROUTE, 0, body))]
        except FileNotFoundError:  # a table that holds nothing yet may not exist
            continue
    return Snapshot(
        tuple(links),
        tuple(entry for entry in addresses if entry is not None),
        tuple(route for route in routes if route is not None),
    )


def set_link(
    index: int,
    *,
    up: bool = False,
    mtu: int | None = None,
    txqueuelen: int | None = None,
    gso_max_size: int | None = None,
) -> Request:
    """Return the request that changes an interface; what is not given stays."""
    values = {
        IFLA_MTU: mtu,
        IFLA_TXQLEN: txqueuelen,
        IFLA_GSO_MAX_SIZE: gso_max_size,
        IFLA_GSO_IPV4_MAX_SIZE: gso_max_size,  # kernels under 6.3 skip it and use the one above
    }
    flags = IFF_UP if up else 0
    body = IFINFOMSG.pack(socket.AF_UNSPEC, 0, index, flags, flags)
    body += b"".join(attribute(kind, U32.pack(value)) for kind, value in values.items() if value is not None)
    return Request(RTM_NEWLINK, 0, body)


def silence_ipv6(index: int) -> Request:
    """Return the request that keeps the kernel from talking IPv6 on an interface by itself."""
    mode = attribute(IFLA_INET6_ADDR_GEN_MODE, bytes([IN6_ADDR_GEN_MODE_NONE]))
    body = IFINFOMSG.pack(socket.AF_UNSPEC, 0, index, 0, 0)
    return Request(RTM_SETLINK, 0, body + attribute(IFLA_AF_SPEC, attribute(socket.AF_INET6, mode)))


def add_address(index: int, address: Interface) -> Request:
    """Return the request that puts an address on an interface, without a route to its network."""
    flags = attribute(IFA_FLAGS, U32.pack(IFA_F_NODAD | IFA_F_NOPREFIXROUTE))
    return Request(RTM_NEWADDR, netlink.NLM_F_CREATE | netlink.NLM_F_REPLACE, _address_body(index, address) + flags)


def delete_address(index: int, address: Interface) -> Request:
    """Return the request that takes an address off an interface."""
    return Request(RTM_DELADDR, 0, _address_body(index, address))


def add_route(route: Route, *, replace: bool = False) -> Request:
    """Return the request that makes a route; without `replace` it fails where one of equal prefix and metric stands."""
    flags = netlink.NLM_F_CREATE | (netlink.NLM_F_REPLACE if replace else netlink.NLM_F_EXCL)
    return Request(RTM_NEWROUTE, flags, _route_body(route, route.scope))


def delete_route(route: Route) -> Request:
    """Return the request that removes a route; another one of the same prefix does not match."""
    return Request(RTM_DELROUTE, 0, _route_body(route, RT_SCOPE_NOWHERE))


def _link(message: Message) -> Link:
    _, _, index, flags, _ = IFINFOMSG.unpack_from(message.body)
    found = attributes(message.body, IFINFOMSG.size)
    kind = attributes(found.get(IFLA_LINKINFO, b"")).get(IFLA_INFO_KIND, b"")
    mtu = U32.unpack(found[IFLA_MTU])[0]
    return Link(index, _text(found[IFLA_IFNAME]), _text(kind), bool(flags & IFF_UP), mtu)


def _address(message: Message) -> tuple[int, Interface] | None:
    family, length, _, _, index = IFADDRMSG.unpack_from(message.body)
    found = attributes(message.body, IFADDRMSG.size)
    packed = found.get(IFA_LOCAL, found.get(IFA_ADDRESS))
    if packed is None or family not in (socket.AF_INET, socket.AF_INET6):
        return None
    return index, ipaddress.ip_interface((packed, length))


def _route(message: Message) -> Route | None:
    family, length, _, _, table, protocol, scope, kind, flags = RTMSG.unpack_from(message.body)
    found = attributes(message.body, RTMSG.size)
    if RTA_TABLE in found:
        table = U32.unpack(found[RTA_TABLE])[0]
    if table != RT_TABLE_MAIN or kind != RTN_UNICAST or flags & RTNH_F_DEAD:
        return None
    packed = found.get(RTA_DST, bytes(4 if family == socket.AF_INET else 16))
    shared = RTA_NH_ID in found  # then the rest only repeats what the next-hop object says
    path = tuple((kind, found[kind]) for kind in ((RTA_NH_ID,) if shared else PATH_ATTRIBUTES) if kind in found)
    return Route(
        prefix=ipaddress.ip_network((packed, length)),
        device=U32.unpack(found[RTA_OIF])[0] if RTA_OIF in found else 0,
        protocol=protocol,
        metric=U32.unpack(found[RTA_PRIORITY])[0] if RTA_PRIORITY in found else 0,
        scope=scope,
        flags=flags & RTNH_F_ONLINK,
        path=path,
    )


def _address_body(index: int, address: Interface) -> bytes:
    body = IFADDRMSG.pack(_family(address), address.network.prefixlen, 0, RT_SCOPE_UNIVERSE, index)
    return body + attribute(IFA_LOCAL, address.ip.packed) + attribute(IFA_ADDRESS, address.ip.packed)


def _route_body(route: Route, scope: int) -> bytes:
    family, length = _family(route.prefix.network_address), route.prefix.prefixlen
    header = RTMSG.pack(family, length, 0, 0, RT_TABLE_MAIN, route.protocol, scope, RTN_UNICAST, route.flags)
    parts = [header, attribute(RTA_DST, route.prefix.network_address.packed)]
    parts += [attribute(kind, payload) for kind, payload in route.path]
    if route.metric:
        parts.append(attribute(RTA_PRIORITY, U32.pack(route.metric)))
    return b"".join(parts)


def _family(address: Address | Interface) -> int:
    return socket.AF_INET if address.version == 4 else socket.AF_INET6


def _text(payload: bytes) -> str:
    return payload.rstrip(b"\0").decode(errors="replace")
