"""One routing table, read from the kernel by hand: a client of a large cluster looks at 2,000 routes at each change.

    nlmsghdr (16)   length, type, flags, sequence, port
    rtmsg    (12)   family, dst_len, src_len, tos, table, protocol, scope, type, flags
    rtattr          length, type, payload, padded to 4 bytes; again and again

Rules of this module
  1. Only what a plan needs is read, and a path stays the kernel's bytes: 5 us for a route where a library that names
     every attribute takes 40 us, in which no packet moves.
  2. Only routes that lead somewhere now, to a unicast destination.
  3. What the kernel refuses leaves as OSError with its number; a table that holds nothing may not exist.

Source: linux/netlink.h, linux/rtnetlink.h.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Iterator
from ipaddress import IPv4Network, IPv6Network
from typing import Final

from rustun.backends.base import Prefix
from rustun.backends.host_snapshot import Route

HEADER: Final = struct.Struct("=IHHII")
ROUTE: Final = struct.Struct("=8BI")
ATTRIBUTE: Final = struct.Struct("=HH")
NUMBER: Final = struct.Struct("=I")

RTM_GETROUTE: Final = 26
NLMSG_ERROR, NLMSG_DONE = 2, 3
NLM_F_DUMP_REQUEST: Final = 0x301  # NLM_F_REQUEST | NLM_F_DUMP
NLM_F_DUMP_INTR: Final = 0x10  # the table changed meanwhile
SOL_NETLINK, NETLINK_GET_STRICT_CHK = 270, 12  # a dump heeds the table in its request (kernel 4.20)
RTN_UNICAST: Final = 1
RTNH_F_DEAD, RTNH_F_ONLINK = 1, 4
RTA_DST, RTA_OIF, RTA_PRIORITY, RTA_TABLE, RTA_NH_ID = 1, 4, 6, 15, 30
PATH: Final = {
    RTA_OIF: "RTA_OIF",
    5: "RTA_GATEWAY",
    7: "RTA_PREFSRC",
    9: "RTA_MULTIPATH",
    18: "RTA_VIA",
    21: "RTA_ENCAP_TYPE",
    22: "RTA_ENCAP",
    RTA_NH_ID: "RTA_NH_ID",
}
NETWORKS: Final[dict[int, type[IPv4Network] | type[IPv6Network]]] = {
    socket.AF_INET: IPv4Network,
    socket.AF_INET6: IPv6Network,
}
ANYWHERE: Final = {socket.AF_INET: bytes(4), socket.AF_INET6: bytes(16)}

RECEIVE_BYTES: Final = 1 << 17  # the kernel fills as much of it as it likes, 32 KiB on today's
DUMP_TRIES: Final = 5
TIMEOUT_S: Final = 5  # the kernel answers within the call; only a bug would wait longer


def read_routes(table: int) -> list[Route]:
    """Return the routes of one table, of both families; changes meanwhile may be missing.

    Raises: OSError as the kernel says.
    """
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as netlink:
        netlink.setsockopt(SOL_NETLINK, NETLINK_GET_STRICT_CHK, 1)
        netlink.settimeout(TIMEOUT_S)
        return [route for family in NETWORKS for route in _read_family(netlink, family, table)]


def _read_family(netlink: socket.socket, family: int, table: int) -> list[Route]:
    found: list[Route] = []
    for sequence in range(1, DUMP_TRIES + 1):
        body = ROUTE.pack(family, 0, 0, 0, 0, 0, 0, 0, 0) + ATTRIBUTE.pack(8, RTA_TABLE) + NUMBER.pack(table)
        length = HEADER.size + len(body)
        netlink.send(HEADER.pack(length, RTM_GETROUTE, NLM_F_DUMP_REQUEST, family << 8 | sequence, 0) + body)
        found.clear()
        consistent = True
        for flags, payload in _answers(netlink, family << 8 | sequence):
            consistent &= not flags & NLM_F_DUMP_INTR
            if (route := parse_route(payload, table)) is not None:
                found.append(route)
        if consistent:
            break
    return found


def _answers(netlink: socket.socket, sequence: int) -> Iterator[tuple[int, memoryview]]:
    """Yield flags and payload of each message that answers; what an earlier dump left is passed over."""
    while True:
        received = memoryview(netlink.recv(RECEIVE_BYTES))
        at = 0
        while at < len(received):
            length, kind, flags, answered, _ = HEADER.unpack_from(received, at)
            payload = received[at + HEADER.size : at + length]
            at += length + 3 & ~3
            if answered != sequence:
                continue
            if kind in (NLMSG_DONE, NLMSG_ERROR):
                number = -int.from_bytes(payload[:4], "little", signed=True) if len(payload) >= 4 else 0
                if number not in (0, errno.ENOENT):
                    raise OSError(number, os.strerror(number))
                return
            yield flags, payload


def parse_route(payload: memoryview, table: int) -> Route | None:
    """Return the route that a message tells of; None where it is of another table, dead, or no unicast route.

    Args:
        payload: rtmsg and attributes, as the kernel made them.
    """
    family, prefix_length, _, _, _, protocol, scope, kind, flags = ROUTE.unpack_from(payload)
    if kind != RTN_UNICAST or flags & RTNH_F_DEAD:
        return None
    found: dict[int, bytes] = {}
    at = ROUTE.size
    while at + ATTRIBUTE.size <= len(payload):
        length, name = ATTRIBUTE.unpack_from(payload, at)
        found[name] = bytes(payload[at + ATTRIBUTE.size : at + length])
        at += length + 3 & ~3
    if _number(found, RTA_TABLE) != table:
        return None
    named = [RTA_NH_ID] if RTA_NH_ID in found else found  # the rest only repeats what the next-hop object says
    destination = found.get(RTA_DST, ANYWHERE[family])
    prefix: Prefix = NETWORKS[family]((destination, prefix_length))
    return Route(
        prefix=prefix,
        device=_number(found, RTA_OIF),
        protocol=protocol,
        metric=_number(found, RTA_PRIORITY),
        scope=scope,
        flags=flags & RTNH_F_ONLINK,
        path=tuple((PATH[name], found[name]) for name in named if name in PATH),
        table=table,
    )


def _number(found: dict[int, bytes], name: int) -> int:
    return int(NUMBER.unpack(found[name])[0]) if name in found else 0
