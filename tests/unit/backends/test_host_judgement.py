"""What a host refuses to give to its tunnel, and the reason that stands in log and status."""

from __future__ import annotations

import random
from dataclasses import replace
from ipaddress import ip_address, ip_interface, ip_network

import pytest

from rustun.backends import host_judgement
from rustun.backends.base import NOT_AN_EXIT, Prefix
from rustun.backends.host_judgement import Networks, accept_addresses
from rustun.backends.host_plan import plan_routes
from rustun.backends.host_snapshot import ROUTE_PROTOCOL, Link, Route, device_route
from tests.unit.backends.test_host_plan import ETHERNET, HOST, LINK, LINKS, OTHER_TUN, TUN, text, via, wish


@pytest.mark.parametrize(
    ("prefix", "words"),
    [
        ("0.0.0.0/0", "exit node"),
        ("::/0", "exit node"),
        ("0.0.0.0/1", "so wide"),
        ("::/1", "so wide"),
        ("2000::/3", "so wide"),
        ("127.0.0.0/8", "loopback"),
        ("127.1.0.0/16", "loopback"),
        ("169.254.169.254/32", "link-local"),
        ("224.0.0.0/24", "multicast"),
        ("255.255.255.255/32", "reserved"),
        ("::1/128", "loopback"),
        ("fe80::/64", "link-local"),
        ("ff02::/16", "multicast"),
        ("192.168.1.0/24", "is directly connected at eth0"),
        ("192.168.1.128/25", "lies inside 192.168.1.0/24, directly connected at eth0"),
        ("192.168.1.9/32", "lies inside 192.168.1.0/24"),
        ("2001:db8:1::/64", "directly connected at eth0"),
        ("2001:db8:1:0:8000::/65", "lies inside 2001:db8:1::/64"),
        ("203.0.113.7/32", "the server's own address"),
        ("172.16.0.0/12", "already routes it by eth0"),
    ],
)
def test_refused(prefix: str, words: str) -> None:
    """If this fails, a server can take a host's own networks, its server path or its default route."""
    host = replace(HOST, routes=(*HOST.routes, via("172.16.0.0/12", "192.168.1.2", metric=100)))
    plan = plan_routes(wish(prefix, "10.0.2.0/24", outside=("203.0.113.7",)), host, LINK)
    [(refused, reason)] = plan.refused
    assert str(refused) == prefix
    assert words in reason
    assert text(route.prefix for route in plan.add) == ["10.0.2.0/24"]


@pytest.mark.parametrize("prefix", ["192.168.0.0/16", "10.0.0.0/8", "fc00::/7", "10.0.0.1/32", "192.168.2.0/24"])
def test_wider_or_other_prefixes_are_taken(prefix: str) -> None:
    """If this fails, members' networks that take nothing from this host are refused."""
    assert plan_routes(wish(prefix), HOST, LINK).refused == ()


def test_own_network_that_is_a_lan_here_is_refused_too() -> None:
    """If this fails, a tunnel address cuts the host off its LAN."""
    plan = plan_routes(wish(addresses=("192.168.1.77/24",)), HOST, LINK)
    assert plan.add == ()
    assert "directly connected" in dict(plan.refused)[ip_network("192.168.1.0/24")]


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("10.0.1.1/0", "default route"),
        ("fd00::1/0", "default route"),
        ("10.0.1.1/4", "so wide"),
        ("203.0.113.7/32", "the server's own address"),
        ("203.0.113.7/24", "the server's own address"),
        ("192.168.1.1/32", "lies inside 192.168.1.0/24, directly connected at eth0"),
        ("192.168.1.1/16", "lies inside 192.168.1.0/24"),
        ("2001:db8:1::9/128", "lies inside 2001:db8:1::/64"),
        ("192.168.1.5/32", "lies inside 192.168.1.0/24"),
        ("172.31.1.1/24", "a gateway of this host"),
        ("172.31.1.2/24", "a gateway of this host"),
        ("2001:db8:ffff::1/64", "a gateway of this host"),
        ("198.51.100.1/32", "this host's own address at lo"),
        ("172.20.0.9/16", "its network 172.20.0.0/16: this host already routes it by eth0"),
        ("127.0.0.9/32", "loopback"),
        ("169.254.1.1/8", "link-local"),
        ("224.0.0.5/32", "multicast"),
        ("fe80::1/64", "link-local"),
    ],
)
def test_own_addresses_are_judged_as_prefixes_are(address: str, words: str) -> None:
    """If this fails, a server makes a host take its server, its gateway or its neighbours for itself."""
    several = Route(
        ip_network("0.0.0.0/0"),
        0,
        4,
        path=(("RTA_MULTIPATH", bytes([16, 0, 0, 0, 2, 0, 0, 0, 8, 0, 5, 0]) + ip_address("172.31.1.2").packed),),
    )
    far = (via("0.0.0.0/0", "172.31.1.1"), several, via("::/0", "2001:db8:ffff::1"), via("172.20.0.0/16", "172.31.1.1"))
    host = replace(HOST, addresses=(*HOST.addresses, (1, ip_interface("198.51.100.1/32"))), routes=(*HOST.routes, *far))
    wished = wish("10.0.2.0/24", outside=("203.0.113.7",), addresses=(address, "10.0.1.2/24", "fd00:1::2/64"))
    accepted, refused = accept_addresses(wished, host, LINK)
    assert text(accepted.addresses) == ["10.0.1.2/24", "fd00:1::2/64"]
    assert accepted.routes == wished.routes
    [(prefix, reason)] = refused.items()
    assert prefix == ip_network(ip_interface(address).ip)
    assert words in reason
    there = replace(host, addresses=(*host.addresses, *((TUN, one) for one in accepted.addresses)))
    assert accept_addresses(wished, there, LINK) == (accepted, refused)


def test_what_is_reached_beside_the_tunnel_is_told() -> None:
    """If this fails, a server speaks to this host as its LAN, its gateway, or another client's server."""
    their_pin = Route(ip_network("10.9.9.9/32"), ETHERNET, ROUTE_PROTOCOL)
    their_network = device_route(ip_network("10.7.0.0/16"), OTHER_TUN, ROUTE_PROTOCOL)
    stale, moved = (Route(ip_network(text), ETHERNET, ROUTE_PROTOCOL) for text in ("10.9.9.8/32", "10.9.9.7/32"))
    ours = device_route(ip_network("10.3.0.0/16"), TUN, ROUTE_PROTOCOL)
    foreign = (via("10.8.0.0/16", "10.255.0.1"), via("172.16.0.0/12", "192.168.1.2"), via("10.0.0.0/7", "192.168.1.2"))
    host = replace(
        HOST,
        links=(*LINKS, Link(OTHER_TUN, "rustun1", "tun", True, 1500)),
        routes=(*HOST.routes, *foreign, their_pin, their_network, stale, moved, ours),
    )
    wished = wish("10.0.0.0/8", "192.168.0.0/16", outside=("10.9.9.7", "203.0.113.7"))
    pins = frozenset({stale.prefix, moved.prefix})
    told = text(plan_routes(wished, host, LINK, pins, other_pins=frozenset({their_pin.prefix})).elsewhere)
    inside = {"10.255.0.1/32", "10.7.0.0/16", "10.8.0.0/16", "10.9.9.7/32", "10.9.9.9/32", "192.168.1.0/24"}
    assert set(told) == {*inside, "192.168.1.1/32", "192.168.1.2/32"}
    everything = replace(wished, exits=(ip_network("0.0.0.0/0"),))
    beside = set(text(plan_routes(everything, host, LINK, pins).elsewhere))
    assert beside >= {*inside, "172.16.0.0/12", "10.0.0.0/7", "203.0.113.7/32"}
    assert not beside & {"0.0.0.0/0", "10.3.0.0/16", "10.9.9.8/32", "2001:db8:1::/64"}


def test_a_prefix_of_another_running_client_is_refused_by_name() -> None:
    """If this fails, two clients on one host fight for a prefix, or the kernel's "File exists" is all that is said."""
    their_route = device_route(ip_network("10.0.1.0/24"), OTHER_TUN, ROUTE_PROTOCOL)
    host = replace(
        HOST,
        links=(*LINKS, Link(OTHER_TUN, "rustun1", "tun", True, 1500)),
        routes=(*HOST.routes, their_route),
    )
    plan = plan_routes(wish("10.0.0.0/8", addresses=("10.0.1.2/24",)), host, LINK)
    assert dict(plan.refused) == {ip_network("10.0.1.0/24"): "this host already routes it by rustun1"}
    assert text(route.prefix for route in plan.add) == ["10.0.0.0/8"]


def test_cap(monkeypatch: pytest.MonkeyPatch) -> None:
    """If this fails, a hostile server fills the host's routing table."""
    assert host_judgement.MAX_ROUTES == 100_000
    monkeypatch.setattr(host_judgement, "MAX_ROUTES", 2)
    plan = plan_routes(wish("10.0.1.0/24", "127.0.0.0/8", "10.0.2.0/24", "10.0.3.0/24"), HOST, LINK)
    assert len(plan.add) == 2
    assert "over 2 routes" in dict(plan.refused)[ip_network("10.0.3.0/24")]


def test_containment_agrees_with_the_library() -> None:
    """If this fails, prefixes are refused or taken by a wrong comparison."""
    rng = random.Random(3)

    def prefix() -> Prefix:
        if rng.random() < 0.5:
            return ip_network((rng.choice([0x0A000000, 0x0A800000]), rng.randrange(1, 33)), strict=False)
        return ip_network((rng.choice([0xFD00 << 112, 0xFD80 << 112]), rng.randrange(1, 129)), strict=False)

    for _ in range(2000):
        inner, outer = prefix(), prefix()
        expected = inner.version == outer.version and inner.subnet_of(outer)  # type: ignore[arg-type]
        assert (Networks([outer]).holding(inner) == outer) == expected


@pytest.mark.parametrize(
    ("accept", "words"),
    [
        (None, NOT_AN_EXIT),
        ((), NOT_AN_EXIT),
        (("10.0.0.0/8", "::/0"), NOT_AN_EXIT),
        (("0.0.0.0/0",), f"accept_routes has it, but {NOT_AN_EXIT}"),
    ],
)
def test_an_exit_that_was_not_chosen_has_its_own_reason(accept: tuple[str, ...] | None, words: str) -> None:
    """If this fails, what every member beside an exit node has looks like a fault, or a key without effect does not."""
    prefixes = None if accept is None else tuple(map(ip_network, accept))
    plan = plan_routes(replace(wish("0.0.0.0/0"), accept=prefixes), HOST, LINK)
    assert dict(plan.refused) == {ip_network("0.0.0.0/0"): words}


@pytest.mark.parametrize(
    ("accept", "refused"),
    [
        (None, []),
        ((), ["10.0.1.2/32", "10.0.1.0/24", "10.0.2.0/24", "fd00:2::/64"]),
        (("10.0.0.0/8",), ["fd00:2::/64"]),
        (("10.0.1.0/24", "fd00::/8"), ["10.0.2.0/24"]),
        (("10.0.2.0/25",), ["10.0.1.2/32", "10.0.1.0/24", "10.0.2.0/24", "fd00:2::/64"]),
    ],
)
def test_nothing_outside_accept_routes(accept: tuple[str, ...] | None, refused: list[str]) -> None:
    """Row 40. If this fails, a server routes what this host's owner never agreed to."""
    prefixes = None if accept is None else tuple(map(ip_network, accept))
    wished = replace(wish("10.0.2.0/24", "fd00:2::/64", addresses=("10.0.1.2/24",)), accept=prefixes)
    accepted, unset = accept_addresses(wished, HOST, LINK)
    found = {**dict(plan_routes(accepted, HOST, LINK).refused), **unset}
    expected = [text for text in refused if text != "10.0.1.0/24" or accepted.addresses]
    assert text(found) == sorted(expected)
    assert all("outside accept_routes" in reason for reason in found.values())
