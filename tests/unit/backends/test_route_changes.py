"""Routes as messages, compared with what the library's own class reads."""

from __future__ import annotations

import sys
from ipaddress import ip_address, ip_network
from typing import Any

import pytest
from pyroute2.netlink.rtnl.rtmsg import rtmsg

from rustun.backends import route_changes
from rustun.backends.host_snapshot import Route
from rustun.backends.route_changes import RTM_NEWROUTE
from rustun.backends.route_dump import HEADER, NLMSG_ERROR

OIF = ("RTA_OIF", (7).to_bytes(4, sys.byteorder))


def encoded(route: Route) -> bytes:
    """Return the message that makes a route."""
    return route_changes._message(RTM_NEWROUTE, 0, 1, route, route.scope)


def decoded(kind: type[Any], data: bytes) -> Any:
    message = kind(data)
    message.decode()
    return message


def some_route(text: str) -> Route:
    prefix = ip_network(text)
    gateway = ip_address("192.168.1.1" if prefix.version == 4 else "2001:db8::9")
    return Route(prefix, 7, 114, 50, 0, 4, (OIF, ("RTA_GATEWAY", gateway.packed)))


@pytest.mark.parametrize("text", ["10.0.2.0/24", "203.0.113.7/32", "fd00:1::/48", "2001:db8::1/128"])
def test_route_as_the_library_reads_it(text: str) -> None:
    """If this fails, the kernel gets another route than the one meant."""
    message = decoded(rtmsg, encoded(some_route(text)))
    prefix = ip_network(text)
    assert (message["dst_len"], message["proto"], message["table"], message["type"]) == (prefix.prefixlen, 114, 254, 1)
    assert (message["flags"], message["scope"]) == (4, 0)
    assert dict(message["attrs"]) == {
        "RTA_DST": str(prefix.network_address),
        "RTA_OIF": 7,
        "RTA_GATEWAY": "192.168.1.1" if prefix.version == 4 else "2001:db8::9",
        "RTA_PRIORITY": 50,
    }


def test_an_answer_that_is_none_is_an_error() -> None:
    """If this fails, a strange answer of some kernel counts as success."""
    refused = HEADER.pack(36, NLMSG_ERROR, 0, 7, 0) + (-17).to_bytes(4, sys.byteorder, signed=True)
    assert route_changes._answer(refused) == (7, 17)
    with pytest.raises(OSError, match="type 3"):
        route_changes._answer(HEADER.pack(36, 3, 0, 7, 0) + bytes(4))
