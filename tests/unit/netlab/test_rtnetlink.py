"""rtnetlink messages, read back by pyroute2 as a second opinion."""

from __future__ import annotations

from ipaddress import ip_address, ip_interface, ip_network
from typing import Any

import pytest
from pyroute2.netlink import NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REQUEST
from pyroute2.netlink.rtnl import RTM_DELLINK, RTM_NEWADDR, RTM_NEWLINK, RTM_NEWROUTE
from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg
from pyroute2.netlink.rtnl.rtmsg import rtmsg

from netlab import rtnetlink
from netlab.errors import LabError

DO = NLM_F_REQUEST | NLM_F_ACK
MAKE = DO | NLM_F_CREATE | NLM_F_EXCL


def read(kind: Any, message: bytes) -> Any:
    """Decode one message, which has to be all there is."""
    decoded = kind(data=message)
    decoded.decode()
    assert decoded["header"]["length"] == len(message)
    assert len(message) % 4 == 0
    return decoded


def test_a_cable_has_both_ends_as_they_were_asked_for() -> None:
    """Interfaces get names, indexes or addresses that nobody planned, or end up in another machine."""
    message = read(ifinfmsg, rtnetlink.veth((11, "m1", "02:00:00:00:00:01", 5), (10, "eth0", "02:00:00:00:00:02", 6)))
    assert (message["header"]["type"], message["header"]["flags"]) == (RTM_NEWLINK, MAKE)
    peer = message.get_nested("IFLA_LINKINFO", "IFLA_INFO_DATA", "VETH_INFO_PEER")
    assert message.get_nested("IFLA_LINKINFO", "IFLA_INFO_KIND") == "veth"
    for end, index, name, mac, descriptor in ((message, 11, "m1", 1, 5), (peer, 10, "eth0", 2, 6)):
        assert end["index"] == index
        assert end.get_attr("IFLA_IFNAME") == name
        assert end.get_attr("IFLA_ADDRESS") == f"02:00:00:00:00:0{mac}"
        assert end.get_attr("IFLA_NET_NS_FD") == descriptor


def test_links_are_changed_as_asked() -> None:
    """A bridge has no ports, or an interface stays down."""
    bridge = read(ifinfmsg, rtnetlink.bridge(1000, "lan0", "02:00:00:00:00:09"))
    assert (bridge["index"], bridge["header"]["flags"]) == (1000, MAKE)
    assert bridge.get_nested("IFLA_LINKINFO", "IFLA_INFO_KIND") == "bridge"
    port = read(ifinfmsg, rtnetlink.plug(1001, 1000))
    assert (port["index"], port["header"]["flags"], port.get_attr("IFLA_MASTER")) == (1001, DO, 1000)
    for message, flags in ((rtnetlink.up(7), 1), (rtnetlink.down(7), 0)):
        found = read(ifinfmsg, message)
        assert (found["index"], found["flags"], found["change"]) == (7, flags, 1)
    assert read(ifinfmsg, rtnetlink.mtu(7, 1280)).get_attr("IFLA_MTU") == 1280
    gone = read(ifinfmsg, rtnetlink.delete(7))
    assert (gone["header"]["type"], gone["index"]) == (RTM_DELLINK, 7)


@pytest.mark.parametrize(("own", "flags"), [("10.0.1.1/24", 0), ("fd00:1::1/64", 2)])
def test_an_address_is_usable_at_once(own: str, flags: int) -> None:
    """A machine has another address than planned, or waits a second for duplicates of its own."""
    message = read(ifaddrmsg, rtnetlink.address(12, ip_interface(own)))
    assert (message["header"]["type"], message["header"]["flags"]) == (RTM_NEWADDR, MAKE)
    assert (message["index"], message["prefixlen"], message["flags"]) == (12, int(own.partition("/")[2]), flags)
    assert message.get_attr("IFA_LOCAL") == message.get_attr("IFA_ADDRESS") == own.partition("/")[0]


@pytest.mark.parametrize(
    ("prefix", "via", "dst", "scope"),
    [
        ("198.18.0.2/32", None, "198.18.0.2", 253),
        ("2001:2::2/128", None, "2001:2::2", 253),
        ("0.0.0.0/0", "198.18.0.1", None, 0),
        ("10.0.1.0/24", "198.18.0.1", "10.0.1.0", 0),
    ],
)
def test_a_route_leads_where_it_says(prefix: str, via: str | None, dst: str | None, scope: int) -> None:
    """Packets leave by another cable, or routers are out of reach."""
    message = read(rtmsg, rtnetlink.route(ip_network(prefix), 12, ip_address(via) if via else None))
    assert (message["header"]["type"], message["header"]["flags"]) == (RTM_NEWROUTE, MAKE)
    assert (message["dst_len"], message["scope"], message["table"]) == (int(prefix.partition("/")[2]), scope, 254)
    assert (message.get_attr("RTA_DST"), message.get_attr("RTA_OIF")) == (dst, 12)
    assert message.get_attr("RTA_GATEWAY") == via


def test_a_refused_step_is_named() -> None:
    """A half-built laboratory is taken for a whole one, or nobody learns which step failed."""
    nobody = 2_000_000_000
    with pytest.raises(LabError, match="wiring the void: the kernel refused step 1: E") as raised:
        rtnetlink.send([rtnetlink.up(nobody), rtnetlink.up(nobody)], "the void")
    assert "\n" not in str(raised.value)
