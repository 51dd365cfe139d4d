"""Routes made and removed by messages that are put together here: a server may push 100,000 of them at once.

    nlmsghdr (16)   length, type, flags, sequence, port
    rtmsg    (12)   family, dst_len, src_len, tos, table, protocol, scope, type, flags
    rtattr          length, type, payload, padded to 4 bytes; again and again

Rules of this module
  1. A path goes back to the kernel in the bytes that it came in (route_dump.py). So a route takes 15 us, where a
     library that knows every attribute takes 300 us, in which no packet moves.
  2. Many messages are sent before their answers are read, as many as fit into the socket's receive buffer.
  3. What the kernel refuses is a number for each route; OSError is for what goes wrong with all of them.

Source: linux/netlink.h, linux/rtnetlink.h.
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Sequence
from typing import Final

from rustun.backends.host_snapshot import Route
from rustun.backends.route_dump import (
    ATTRIBUTE,
    HEADER,
    NLMSG_ERROR,
    NUMBER,
    PATH,
    ROUTE,
    RTA_DST,
    RTA_PRIORITY,
    RTN_UNICAST,
    SOL_NETLINK,
    TIMEOUT_S,
)

RTM_NEWROUTE, RTM_DELROUTE = 24, 25
NLM_F_ACK_REQUEST: Final = 0x5  # NLM_F_REQUEST | NLM_F_ACK
NLM_F_REPLACE, NLM_F_EXCL, NLM_F_CREATE = 0x100, 0x200, 0x400
NETLINK_CAP_ACK: Final = 10  # an answer without the question in it (kernel 4.3)
RT_SCOPE_NOWHERE: Final = 255  # in a deletion: whatever scope it has
ATTRIBUTES: Final = {name: number for number, name in PATH.items()}
BATCH: Final = 128  # messages whose answers fit the default receive buffer of 208 KiB
ANSWER_BYTES: Final = 1 << 12


def add_routes(routes: Sequence[Route], *, replace: bool = False) -> list[int]:
    """Make routes; without `replace` one fails where another of equal prefix and metric stands.

    Returns: one errno per route, 0 for those that were made.
    Raises: OSError as the kernel says.
    """
    flags = NLM_F_CREATE | (NLM_F_REPLACE if replace else NLM_F_EXCL)
    return _change([_message(RTM_NEWROUTE, flags, number, one, one.scope) for number, one in enumerate(routes)])


def delete_routes(routes: Sequence[Route]) -> list[int]:
    """Remove routes; another one of the same prefix does not match.

    Returns: one errno per route, 0 for those that were removed.
    Raises: OSError as the kernel says.
    """
    return _change([_message(RTM_DELROUTE, 0, number, one, RT_SCOPE_NOWHERE) for number, one in enumerate(routes)])


def _change(messages: Sequence[bytes]) -> list[int]:
    errors = [0] * len(messages)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as netlink:
        netlink.setsockopt(SOL_NETLINK, NETLINK_CAP_ACK, 1)
        netlink.settimeout(TIMEOUT_S)
        for start in range(0, len(messages), BATCH):
            batch = messages[start : start + BATCH]
            for message in batch:
                _send(netlink, message)
            for _ in batch:
                number, refused = _answer(netlink.recv(ANSWER_BYTES))
                errors[number] = refused
    return errors


def _send(netlink: socket.socket, message: bytes) -> None:
    netlink.send(message)


def _answer(answer: bytes) -> tuple[int, int]:
    """Return which message an answer is to, and the number of the error, 0 for none."""
    _, kind, _, sequence, _ = HEADER.unpack_from(answer)
    if kind != NLMSG_ERROR:
        raise OSError(0, f"the kernel answers with a message of type {kind}")
    return sequence, -int.from_bytes(answer[HEADER.size : HEADER.size + 4], sys.byteorder, signed=True)


def _message(kind: int, flags: int, number: int, route: Route, scope: int) -> bytes:
    destination = route.prefix.network_address
    attributes = _attribute(RTA_DST, destination.packed)
    for name, payload in route.path:
        attributes += _attribute(ATTRIBUTES[name], payload)
    if route.metric:
        attributes += _attribute(RTA_PRIORITY, NUMBER.pack(route.metric))
    family = socket.AF_INET if destination.version == 4 else socket.AF_INET6
    fields = family, route.prefix.prefixlen, 0, 0, route.table, route.protocol, scope, RTN_UNICAST, route.flags
    length = HEADER.size + ROUTE.size + len(attributes)
    return HEADER.pack(length, kind, NLM_F_ACK_REQUEST | flags, number, 0) + ROUTE.pack(*fields) + attributes


def _attribute(kind: int, payload: bytes) -> bytes:
    return ATTRIBUTE.pack(ATTRIBUTE.size + len(payload), kind) + payload + bytes(-len(payload) % 4)
