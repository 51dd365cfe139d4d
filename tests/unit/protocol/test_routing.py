"""Longest prefix against a linear scan of ipaddress objects, and who may say to be whom."""

from __future__ import annotations

import random
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

import pytest

from rustun.protocol.routing import ClusterRoutes, Prefix, PrefixTable, never_inside


def number(text: str) -> tuple[int, int]:
    address = ip_address(text)
    return int(address), address.version


def cluster(**members: str) -> ClusterRoutes[str]:
    routes: ClusterRoutes[str] = ClusterRoutes()
    for member, prefixes in members.items():
        for prefix in prefixes.split():
            routes.add(ip_network(prefix), member)
    return routes


def random_prefix(rng: random.Random) -> Prefix:
    """Prefixes crowded into a corner, so that many nest and repeat."""
    if rng.random() < 0.5:
        length = rng.choice((0, 8, 15, 16, 23, 24, 31, 32))
        return IPv4Network((rng.getrandbits(6) << 20 | 10 << 24 | rng.getrandbits(4), length), strict=False)
    length = rng.choice((0, 7, 16, 48, 64, 127, 128))
    return IPv6Network((0xFD << 120 | rng.getrandbits(4) << 76 | rng.getrandbits(3), length), strict=False)


def test_lookup_agrees_with_a_linear_scan() -> None:
    """If this fails, packets go to the wrong member after some sequence of changes."""
    rng = random.Random(10)
    table: PrefixTable[int] = PrefixTable()
    reference: dict[Prefix, int] = {}
    for value in range(3000):
        prefix = random_prefix(rng)
        if rng.random() < 0.4 and prefix in reference:
            table.remove(prefix)
            del reference[prefix]
        elif len(reference) < 60:
            table.insert(prefix, value)
            reference[prefix] = value
        assert table.get(prefix) == reference.get(prefix)
        wanted = ip_address(int(random_prefix(rng).network_address) + rng.getrandbits(5))
        containing = [each for each in reference if each.version == wanted.version and wanted in each]
        longest = max(containing, key=lambda each: each.prefixlen, default=None)
        expected = None if longest is None else reference[longest]
        assert table.lookup(int(wanted), wanted.version) == expected


def test_removing_what_is_not_there_changes_nothing() -> None:
    """If this fails, a reload that names a prefix twice takes another member's routes along."""
    table: PrefixTable[str] = PrefixTable()
    table.insert(ip_network("10.0.0.0/8"), "a")
    for absent in ("10.0.0.0/9", "11.0.0.0/8", "::/8"):
        with pytest.raises(KeyError):
            table.remove(ip_network(absent))
    assert table.lookup(*number("10.1.1.1")) == "a"


def test_longest_prefix_owns_destination_and_source() -> None:
    """If this fails, the owner of a covering prefix speaks for, or listens to, a member inside it."""
    routes = cluster(wide="10.0.0.0/8 10.0.0.1/32 fd00::/16", inner="10.1.0.0/16 10.0.0.2/32 fd00:1::/32 fd00::2/128")
    for address, owner, other in (
        ("10.0.0.1", "wide", "inner"),
        ("10.0.0.2", "inner", "wide"),
        ("10.1.2.3", "inner", "wide"),
        ("10.2.2.3", "wide", "inner"),
        ("fd00:1::9", "inner", "wide"),
        ("fd00::2", "inner", "wide"),
        ("fd00:2::9", "wide", "inner"),
    ):
        assert routes.destination(*number(address)) == owner
        assert routes.source_ok(owner, *number(address))
        assert not routes.source_ok(other, *number(address))


def test_addresses_of_nobody_are_refused() -> None:
    """If this fails, the real side of a mapping, another cluster or a stranger passes as a source."""
    routes = cluster(gateway="100.64.5.0/24 10.0.0.1/32", other="10.0.0.2/32")
    for address in ("192.168.5.7", "10.0.0.3", "fd00::1"):
        assert routes.destination(*number(address)) is None
        for member in ("gateway", "other", "stranger"):
            assert not routes.source_ok(member, *number(address))


@pytest.mark.parametrize(
    "address",
    (
        "0.0.0.0",
        "0.1.2.3",
        "127.0.0.1",
        "127.255.0.1",
        "169.254.169.254",
        "224.0.0.1",
        "239.255.255.250",
        "255.255.255.255",
        "::",
        "::1",
        "::ffff:10.0.0.1",
        "fe80::1",
        "febf::1",
        "ff02::1",
        "ff0e::5",
    ),
)
def test_some_addresses_never_come_through(address: str) -> None:
    """If this fails, a member reaches loopback, link-local or multicast of another one, or sends from there."""
    routes = cluster(everything="0.0.0.0/0 ::/0 0.0.0.0/1 128.0.0.0/1 ::/1 8000::/1")
    assert never_inside(*number(address))
    assert routes.destination(*number(address)) is None
    assert not routes.source_ok("everything", *number(address))


@pytest.mark.parametrize(
    "address",
    (
        "1.0.0.0",
        "10.0.0.1",
        "126.255.255.255",
        "128.0.0.1",
        "169.253.0.1",
        "223.255.255.255",
        "::2",
        "fd00::1",
        "2001:db8::1",
    ),
)
def test_ordinary_addresses_come_through(address: str) -> None:
    """If this fails, honest addresses are taken for special ones."""
    routes = cluster(everything="0.0.0.0/0 ::/0")
    assert not never_inside(*number(address))
    assert routes.destination(*number(address)) == "everything"
    assert routes.source_ok("everything", *number(address))


def test_default_route_leads_somewhere_while_one_member_offers_it() -> None:
    """If this fails, traffic for the world is split between two exits, or an exit's answers are dropped."""
    routes = cluster(first="0.0.0.0/0 10.0.0.1/32", second="0.0.0.0/0 10.0.0.2/32", third="10.0.0.3/32")
    world = number("8.8.8.8")
    assert routes.destination(*world) is None
    assert routes.source_ok("first", *world) and routes.source_ok("second", *world)
    assert not routes.source_ok("third", *world)
    assert not routes.source_ok("first", *number("10.0.0.2"))
    routes.remove(ip_network("0.0.0.0/0"), "second")
    assert routes.destination(*world) == "first"
    assert not routes.source_ok("second", *world)
    assert routes.destination(*number("2001:db8::1")) is None


def test_a_prefix_has_one_owner() -> None:
    """If this fails, a second owner silently takes over a member's traffic, or removes its routes."""
    routes = cluster(first="10.0.0.0/24 0.0.0.0/0")
    for prefix, owner in (("10.0.0.0/24", "second"), ("10.0.0.0/24", "first"), ("0.0.0.0/0", "first")):
        with pytest.raises(ValueError, match=prefix):
            routes.add(ip_network(prefix), owner)
    for prefix in ("10.0.0.0/24", "0.0.0.0/0", "10.0.0.0/25"):
        with pytest.raises(KeyError, match=prefix):
            routes.remove(ip_network(prefix), "second")
    assert routes.destination(*number("10.0.0.1")) == "first"
    routes.remove(ip_network("10.0.0.0/24"), "first")
    routes.add(ip_network("10.0.0.0/24"), "second")
    assert routes.destination(*number("10.0.0.1")) == "second"
