"""Netlink's bytes: written, read back, and compared with the library that everybody uses."""

from __future__ import annotations

import random
import socket
import struct
from ipaddress import ip_address, ip_interface, ip_network
from typing import Any

import pytest
from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg
from pyroute2.netlink.rtnl.rtmsg import rtmsg

from rustun.backends import rtnetlink
from rustun.backends.netlink import HEADER, Message, Request, attribute, attributes
from rustun.backends.rtnetlink import RTA_GATEWAY, RTA_OIF, U32, Route


def decoded(kind: Any, request: Request) -> tuple[dict[str, object], dict[str, object]]:
    """Return fields and attributes as the library reads them."""
    data = HEADER.pack(HEADER.size + len(request.body), request.type, request.flags, 1, 0) + request.body
    message = kind(data)
    message.decode()
    return {name: message[name] for name, _ in kind.fields}, dict(message["attrs"])


def test_attributes_survive_any_bytes() -> None:
    """If this fails, a strange answer of some kernel ends the client with a struct.error."""
    rng = random.Random(11)
    for _ in range(3000):
        attributes(rng.randbytes(rng.randrange(40)))
    assert attributes(attribute(3, b"abc") + attribute(0x8004, b"")) == {3: b"abc", 4: b""}
    assert attributes(b"\x03\x00\x01\x00") == {}


@pytest.mark.parametrize("text", ["10.0.2.0/24", "203.0.113.7/32", "fd00:1::/48", "2001:db8::1/128"])
def test_route_as_the_library_reads_it(text: str) -> None:
    """If this fails, the kernel gets another route than the one meant."""
    prefix = ip_network(text)
    gateway = ip_address("192.168.1.1" if prefix.version == 4 else "2001:db8::9")
    route = Route(prefix, 7, 114, 50, 0, 4, ((RTA_OIF, U32.pack(7)), (RTA_GATEWAY, gateway.packed)))
    fields, found = decoded(rtmsg, rtnetlink.add_route(route))
    assert fields["family"] == (socket.AF_INET if prefix.version == 4 else socket.AF_INET6)
    assert (fields["dst_len"], fields["proto"], fields["table"], fields["type"]) == (prefix.prefixlen, 114, 254, 1)
    assert (fields["flags"], fields["scope"]) == (4, 0)
    assert found == {
        "RTA_DST": str(prefix.network_address),
        "RTA_OIF": 7,
        "RTA_GATEWAY": str(gateway),
        "RTA_PRIORITY": 50,
    }


def test_route_comes_back_as_it_was() -> None:
    """If this fails, a pin is a different path from the one that it copies."""
    for text in ("0.0.0.0/0", "10.0.2.0/24", "::/0", "fd00::/64"):
        prefix = ip_network(text)
        route = Route(prefix, 7, 114, 50, 0, 4, ((RTA_OIF, U32.pack(7)), (RTA_GATEWAY, b"\1\2\3\4")))
        request = rtnetlink.add_route(route)
        assert rtnetlink._route(Message(request.type, request.body)) == route


def test_dead_local_and_foreign_tables_are_passed_over() -> None:
    """If this fails, a path through an unplugged cable counts as one."""
    good = struct.pack("=8BI", 2, 0, 0, 0, 254, 4, 0, 1, 0)
    assert rtnetlink._route(Message(24, good)) is not None
    for changed in (
        struct.pack("=8BI", 2, 0, 0, 0, 254, 4, 0, 1, rtnetlink.RTNH_F_DEAD),
        struct.pack("=8BI", 2, 0, 0, 0, 255, 2, 254, 2, 0),
        struct.pack("=8BI", 2, 0, 0, 0, 254, 4, 0, 6, 0),  # blackhole
        good + attribute(rtnetlink.RTA_TABLE, U32.pack(1000)),
    ):
        assert rtnetlink._route(Message(24, changed)) is None


@pytest.mark.parametrize("text", ["10.0.1.2/24", "fd00:1::2/64"])
def test_address_as_the_library_reads_it(text: str) -> None:
    """If this fails, the host gets another address, or the kernel adds a route of its own."""
    address = ip_interface(text)
    fields, found = decoded(ifaddrmsg, rtnetlink.add_address(7, address))
    assert (fields["index"], fields["prefixlen"]) == (7, address.network.prefixlen)
    assert found == {"IFA_LOCAL": str(address.ip), "IFA_ADDRESS": str(address.ip), "IFA_FLAGS": 0x202}


def test_link_as_the_library_reads_it() -> None:
    """If this fails, the device gets a wrong MTU or queue, or changes flags that nobody asked for."""
    fields, found = decoded(ifinfmsg, rtnetlink.set_link(7, mtu=1430, txqueuelen=500, gso_max_size=65300))
    assert (fields["index"], fields["flags"], fields["change"]) == (7, 0, 0)
    assert found["IFLA_MTU"] == 1430
    assert found["IFLA_TXQLEN"] == 500
    assert found["IFLA_GSO_MAX_SIZE"] == 65300
    fields, found = decoded(ifinfmsg, rtnetlink.set_link(7, up=True))
    assert (fields["flags"], fields["change"], found) == (1, 1, {})
