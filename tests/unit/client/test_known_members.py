"""What follows from a cluster's members, kept up with each piece of news."""

from __future__ import annotations

import random
from collections.abc import Iterable
from ipaddress import ip_interface, ip_network
from unittest.mock import Mock

import pytest

from rustun.backends.base import Prefix
from rustun.client import known_members
from rustun.client.known_members import KnownMembers, entries_bytes
from rustun.protocol.control import DirectoryEntry

NETWORKS: tuple[Prefix, ...] = (ip_network("10.0.0.0/24"), ip_network("fd00::/64"))


def entry(identity: str, address: str, *prefixes: str, six: str = "") -> DirectoryEntry:
    return DirectoryEntry(identity, "", address, six, prefixes, None)


def some_entry(rng: random.Random, number: int, *, contested: bool) -> DirectoryEntry:
    lan = rng.randrange(3) if contested else number
    prefixes = rng.sample((f"192.168.{lan}.0/24", f"172.{16 + lan}.0.0/16", f"fd07:{lan}::/64"), 2)
    six = rng.choice(("", f"fd00::{number + 1}", f"fd77::{number + 1}"))
    return entry(f"m{number}", f"10.0.{rng.randrange(2)}.{number + 1}", *prefixes, six=six)


def outside(entries: Iterable[DirectoryEntry]) -> set[Prefix]:
    """Return what `prefixes_outside` has to, by a look at everything."""
    found: set[Prefix] = set()
    for one in entries:
        addresses = [ip_interface(text).ip for text in (one.address, one.address6) if text]
        found.update(ip_network(address) for address in addresses if not any(address in net for net in NETWORKS))
        found.update(map(ip_network, one.prefixes))
    return found


@pytest.mark.parametrize("contested", [False, True])
def test_piece_by_piece_leads_where_everything_at_once_does(contested: bool) -> None:
    """If this fails, packets for what a member has now go to the member that had it, or into no tunnel."""
    rng = random.Random(7)
    members = KnownMembers()
    wanted: dict[str, DirectoryEntry] = {}
    for _ in range(300):
        before = dict(wanted)
        news: dict[str, DirectoryEntry | None] = {}
        for number in rng.sample(range(12), rng.randrange(1, 4)):
            told = some_entry(rng, number, contested=contested) if rng.random() < 0.7 else None
            news[f"m{number}"] = told
            wanted.pop(f"m{number}", None)
            if told is not None:
                wanted[told.identity] = told
        assert members.change(news) == (before != wanted)
        assert members.entries == wanted
        assert members.bytes_with({}) == entries_bytes(wanted.values())
        assert members.prefixes_outside(NETWORKS) == outside(wanted.values())
        for lan in range(12):
            prefix = ip_network(f"192.168.{lan}.0/24")
            owner = members.owner(int(prefix[1]), 4)
            if owner is None:
                assert not any(str(prefix) in one.prefixes for one in wanted.values())
            else:
                assert str(prefix) in wanted[owner].prefixes


def test_news_of_one_member_cost_one_member(monkeypatch: pytest.MonkeyPatch) -> None:
    """If this fails, a client of a cluster of 10,000 has a quarter of a second to work for whoever joins it."""
    members = KnownMembers()
    members.change(
        {f"m{number}": entry(f"m{number}", f"10.1.0.{number}", f"10.2.{number}.0/24") for number in range(250)}
    )
    assert members.owner(1, 4) is None
    assert len(members.prefixes_outside(NETWORKS)) == 500
    reader = Mock(side_effect=ip_network)
    monkeypatch.setattr(known_members, "ip_network", reader)
    members.change({"m7": entry("m7", "10.1.0.7", "10.3.0.0/24")})
    assert members.owner(int(ip_network("10.3.0.0/24")[1]), 4) == "m7"
    assert ip_network("10.3.0.0/24") in members.prefixes_outside(NETWORKS)
    assert reader.call_count <= 8, "before and after, its address and its network, for owners and for routes"


def test_other_networks_of_the_own_addresses_are_asked_anew() -> None:
    """If this fails, a member that is given another network has no route to half of its cluster."""
    members = KnownMembers()
    members.change({"a": entry("a", "10.0.0.7"), "b": entry("b", "10.0.1.7")})
    assert members.prefixes_outside(NETWORKS) == {ip_network("10.0.1.7")}
    assert members.prefixes_outside((ip_network("10.0.1.0/24"),)) == {ip_network("10.0.0.7")}
