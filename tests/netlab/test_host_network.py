"""LinuxHostNetwork against the real kernel, each test in a network namespace of its own (bare_host.py)."""

from __future__ import annotations

import gc
import os
import time
from contextlib import suppress
from dataclasses import replace
from ipaddress import ip_interface, ip_network
from typing import Any

from pyroute2 import IPRoute, IPRSocket
from pyroute2.netlink import nlmsg
from pyroute2.netlink.rtnl import RTM_GETLINK, RTM_NEWLINK
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg

from netlab.worlds.host_picture import assert_same, host_picture
from rustun.backends.base import Endpoint, HostState
from rustun.backends.host_network import LinuxHostNetwork
from rustun.backends.host_snapshot import ROUTE_PROTOCOL
from rustun.backends.process import harden
from rustun.backends.rtnetlink import RouteSocket
from rustun.errors import HostError, RightsError
from tests.netlab.bare_host import Host
from tests.netlab.private_namespace import STATE, drop_capabilities, in_private_namespace

FIGURE_S = 1.0  # 2,000 routes; about 0.2 s on an idle machine


def ends(event: Any) -> tuple[object, object]:
    """Return the interface that an event is about: of a link or address, of a route."""
    return event.get("index"), event.get("oif")


def paths() -> dict[str, tuple[tuple[str, bytes], ...]]:
    """Return the kernel's bytes of each route's path."""
    with RouteSocket() as netlink:
        return {str(route.prefix): route.path for route in netlink.snapshot().routes}


class LinkSizes(nlmsg):
    """The part of a link that pyroute2 does not read."""

    fields = ifinfmsg.fields
    nla_map = ((63, "IFLA_GSO_IPV4_MAX_SIZE", "uint32"),)


def gso_ipv4_max_size(index: int) -> int | None:
    """Return the attribute; None where the kernel, older than 6.3, has only the one for both families."""
    request = ifinfmsg()
    request["index"] = index
    with IPRSocket() as netlink:
        netlink.register_policy({RTM_NEWLINK: LinkSizes})
        netlink.put(request, RTM_GETLINK)
        [answer] = netlink.get()
    found: int | None = answer.get_attr("IFLA_GSO_IPV4_MAX_SIZE")
    return found


def wished(**changes: Any) -> HostState:
    state = HostState(
        "rustun0",
        1500,
        (ip_interface("10.0.1.2/24"), ip_interface("fd00:1::2/64")),
        tuple(ip_network(text) for text in ("10.0.2.0/24", "203.0.113.0/24", "fd00:2::/64", "2001:db8:2::/48")),
        (Endpoint("203.0.113.7", 8080), Endpoint("2001:db8:2::7", 8080)),
    )
    return replace(state, **changes)


TUNNEL = {
    f"{prefix} dev rustun0 proto {ROUTE_PROTOCOL}"
    for prefix in ("10.0.1.0/24", "10.0.2.0/24", "203.0.113.0/24", "fd00:1::/64", "fd00:2::/64", "2001:db8:2::/48")
}
PINS = {
    f"203.0.113.7/32 dev eth0 via 192.168.1.1 proto {ROUTE_PROTOCOL}",
    f"2001:db8:2::7/128 dev eth0 via 2001:db8:1::1 proto {ROUTE_PROTOCOL}",
}


@in_private_namespace
def test_apply_and_clear() -> None:
    """If this fails, a host does not get what it needs, or keeps what it should not."""
    with Host() as host:
        before = host.routes()
        network, device = host.client("rustun%d", mtu=1430)
        report = network.apply(wished(mtu=1430))
        assert report.refused == {}
        assert host.routes() - before == TUNNEL | PINS
        assert before <= host.routes()
        assert host.addresses("rustun0") == {"10.0.1.2/24", "fd00:1::2/64"}
        link = host.link("rustun0")
        assert (link.get("mtu"), link["state"], link.get("gso_max_size")) == (1430, "up", 65300)
        assert gso_ipv4_max_size(host.index("rustun0")) in (
            65300,
            None,
        )  # None: a kernel under 6.3 has the one above only
        assert (host.path("10.0.2.9"), host.path("203.0.113.9")) == ("rustun0", "rustun0")
        assert (host.path("203.0.113.7"), host.path("2001:db8:2::7")) == ("eth0", "eth0")
        network.clear()
        assert host.routes() == before
        assert host.addresses("rustun0") == set()
        network.clear()
        device.close()
        assert host.ip.link_lookup(ifname="rustun0") == []
        assert host.routes() == before


@in_private_namespace
def test_second_apply_changes_nothing() -> None:
    """If this fails, each keepalive makes the host's routes flap."""
    with Host() as host, IPRoute() as monitor:
        network, _ = host.client()
        first = network.apply(wished())
        assert network.plan(wished()).commands == ()
        monitor.bind()
        assert network.apply(wished()) == replace(first, changes=0)
        host.ip.route("add", dst="192.0.2.1/32", gateway="192.168.1.1")  # a mark: what came before it was read
        events: list[Any] = []
        while not any(event.get("dst") == "192.0.2.1" for event in events):
            events += list(monitor.get())
        index = host.index("rustun0")  # news of links are late: they tell that it was set up before
        news = [event for event in events if event["event"] != "RTM_NEWLINK"]
        about_us = [event for event in news if event.get("proto") == ROUTE_PROTOCOL or index in ends(event)]
        assert about_us == []
        host.ip.route("del", dst="192.0.2.1/32")


@in_private_namespace
def test_only_the_difference() -> None:
    """If this fails, a peer that joins or a new address interrupts everybody, or leaves the old one behind."""
    with Host() as host:
        network, _ = host.client()
        network.apply(wished())
        network.apply(
            wished(addresses=(ip_interface("10.0.1.9/24"),), routes=(ip_network("10.0.3.0/24"),), outside=(), mtu=1400)
        )
        assert host.addresses("rustun0") == {"10.0.1.9/24"}
        assert host.routes("rustun0") == {
            f"{prefix} dev rustun0 proto {ROUTE_PROTOCOL}" for prefix in ("10.0.1.0/24", "10.0.3.0/24")
        }
        assert not PINS & host.routes()
        assert host.link("rustun0").get("mtu") == 1400


@in_private_namespace
def test_pin_follows_a_new_default_route() -> None:
    """If this fails, a laptop that changes networks never reaches its server again."""
    with Host() as host:
        network, _ = host.client()
        network.apply(wished())
        host.ip.route("replace", dst="0.0.0.0/0", gateway="192.168.1.9")
        network.apply(wished())
        assert f"203.0.113.7/32 dev eth0 via 192.168.1.9 proto {ROUTE_PROTOCOL}" in host.routes()
        host.ip.route("del", dst="0.0.0.0/0", gateway="192.168.1.9")
        report = network.apply(wished())
        assert "203.0.113.7" in report.refused[ip_network("203.0.113.0/24")]
        assert host.path("2001:db8:2::7") == "eth0"
        host.ip.route("add", dst="0.0.0.0/0", gateway="192.168.1.1")


@in_private_namespace
def test_repairs_what_others_broke() -> None:
    """If this fails, a device set down, or a route deleted underneath, stays broken until a restart."""
    with Host() as host:
        network, _ = host.client()
        network.apply(wished())
        host.ip.link("set", index=host.index("rustun0"), state="down")
        assert host.routes("rustun0") == set()
        network.apply(wished())
        assert host.routes("rustun0") == TUNNEL
        host.ip.flush_addr(index=host.index("rustun0"))
        host.ip.link("set", index=host.index("rustun0"), mtu=1300)
        host.ip.route("del", dst="203.0.113.7/32")
        network.apply(wished())
        assert host.addresses("rustun0") == {"10.0.1.2/24", "fd00:1::2/64"}
        assert host.routes("rustun0") == TUNNEL
        assert host.link("rustun0").get("mtu") == 1500
        assert host.routes() >= PINS


@in_private_namespace
def test_host_keeps_what_is_its_own() -> None:
    """If this fails, a server takes a host's LAN, its static routes or its default route."""
    with Host() as host:
        before = host.routes()
        network, _ = host.client()
        texts = ("192.168.1.0/24", "192.168.1.128/25", "172.16.0.0/12", "0.0.0.0/0", "::/0", "2001:db8:1::/64")
        report = network.apply(wished(addresses=(), outside=(), routes=tuple(ip_network(text) for text in texts)))
        assert {str(prefix) for prefix in report.refused} == set(texts)
        assert report.routed == ()
        assert host.routes() == before


@in_private_namespace
def test_an_own_address_that_the_host_needs_is_not_set() -> None:
    """If this fails, a server's word makes the host reach itself where its gateway or its server was."""
    with Host() as host:
        before = host.routes()
        network, _ = host.client()
        texts = "10.0.1.1/0 203.0.113.7/32 192.168.1.1/32 192.168.1.2/24 2001:db8:1::1/128 10.0.9.2/24"
        *taken, own = map(ip_interface, texts.split())
        wish = wished(addresses=(*taken, own), routes=())
        report = network.apply(wish)
        assert (report.addresses, host.addresses("rustun0")) == ((own,), {str(own)})
        assert set(report.refused) == {ip_network(address.ip) for address in taken}
        assert host.routes() - before == {f"10.0.9.0/24 dev rustun0 proto {ROUTE_PROTOCOL}"}
        assert {host.path(text) for text in ("203.0.113.7", "192.168.1.1", "192.168.1.2")} == {"eth0"}
        assert network.apply(wish) == replace(report, changes=0)


@in_private_namespace
def test_kernel_refusal_is_reported_per_route() -> None:
    """If this fails, one IPv6 prefix on a host without IPv6 ends the client."""
    with Host() as host:
        network, _ = host.client(mtu=1200)  # too small for IPv6
        wish = wished(mtu=1200, addresses=(ip_interface("10.0.1.2/24"),), outside=())
        report = network.apply(wish)
        assert ip_network("10.0.2.0/24") in report.routed
        assert all(prefix.version == 4 for prefix in report.routed)
        assert "the kernel says" in report.refused[ip_network("fd00:2::/64")]


@in_private_namespace
def test_two_clients_on_one_host() -> None:
    """If this fails, the second client's start or end takes the first one's routes off."""
    with Host() as host:
        (first, _), (second, other) = host.client(), host.client("other")
        first.apply(wished())
        report = second.apply(HostState("other", 1500, (ip_interface("10.7.0.2/24"),), (ip_network("10.8.0.0/16"),)))
        assert report.refused == {}
        second.clear()
        other.close()
        assert host.routes("rustun0") == TUNNEL
        assert host.routes() >= PINS


@in_private_namespace
def test_gone_device_and_missing_rights_are_errors_with_words() -> None:
    """If this fails, a vanished device or missing rights end in a traceback."""
    network = LinuxHostNetwork(STATE)
    try:
        network.apply(wished())
    except HostError as error:
        assert "rustun0 is gone" in error.message
    else:
        raise AssertionError("a device that is not there was configured")
    network.clear()
    device = network.open_tun("rustun0", 1500, True)
    before = host_picture()
    child = os.fork()
    if child == 0:
        harden()  # or root gets its rights back with every program that it starts
        drop_capabilities()
        try:
            network.apply(wished())
        except RightsError as error:
            os._exit(0 if "no permission" in error.message and error.remedy else 1)
        os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert_same(before, host_picture(), "a host that nothing may be changed of")
    device.close()


@in_private_namespace
def test_many_routes_fast() -> None:
    """If this fails, a client of a large cluster stalls its packets while it joins."""
    with Host() as host:
        network, _ = host.client()
        many = tuple(ip_network((0x0B000000 + (number << 8), 24)) for number in range(1000))
        many += tuple(ip_network(((0xFD77 << 112) + (number << 64), 64)) for number in range(1000))
        start = time.process_time()  # not the wall: other tests run meanwhile
        report = network.apply(wished(routes=many))
        took = time.process_time() - start
        assert len(report.routed) == 2002
        assert took < FIGURE_S, f"{took:.2f} s"
        assert len(host.routes("rustun0")) == 2002
        network.clear()
        assert host.routes("rustun0") == set()


@in_private_namespace
def test_pin_copies_any_path() -> None:
    """If this fails, a host with several uplinks, or with next-hop objects, cannot reach its server."""
    with Host() as host:
        network, _ = host.client()
        two = [{"gateway": "192.168.1.7"}, {"gateway": "192.168.1.8", "hops": 2}]
        host.ip.route("replace", dst="0.0.0.0/0", multipath=two)
        network.apply(wished())
        before = paths()
        assert before["203.0.113.7/32"] == before["0.0.0.0/0"]
        assert [name for name, _ in before["203.0.113.7/32"]] == ["RTA_MULTIPATH"]
        assert network.apply(wished()).refused == {}
        assert paths() == before
        host.ip.route("replace", dst="0.0.0.0/0", gateway="192.168.1.1")


@in_private_namespace
def test_nothing_stays_open() -> None:
    """If this fails, each change of a peer costs a client a descriptor or a thread, until it has none left."""
    with Host() as host:
        network, _ = host.client()
        network.apply(wished())
        before = sorted(os.listdir("/proc/self/fd"))
        for mtu in (1400, 1500):
            network.apply(wished(mtu=mtu))
        with suppress(HostError):
            network.apply(wished(device="no-such"))
        gc.collect()
        assert sorted(os.listdir("/proc/self/fd")) == before
        assert os.listdir("/proc/self/task") == [str(os.getpid())]
