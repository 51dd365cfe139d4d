"""rustun.ops.addresses: who gets which address, who keeps one, and what is held for whom."""

from __future__ import annotations

import datetime as dt
from ipaddress import IPv4Address, IPv4Network, IPv6Network, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rustun.backends.base import Prefix
from rustun.ops.addresses import Recorded, Released, allocate, free_addresses, gateway_of, usable

TODAY = dt.date(2026, 11, 23)
LATER = dt.date(2026, 12, 23)


def four(last: int) -> IPv4Address:
    """Return an address of 10.0.0.0/24."""
    return IPv4Address(f"10.0.0.{last}")


@pytest.mark.parametrize("network", ["10.0.0.0/30", "10.0.0.0/28", "10.0.0.0/24", "fd00::/126", "fd00::/120"])
def test_free_addresses_are_those_that_may_be_had(network: str) -> None:
    """A member would get the address of its network, its broadcasts or its gateway, or a usable one would be lost."""
    net: Prefix = ip_network(network)
    slow = [address for address in net if address != net.network_address]
    if isinstance(net, IPv4Network):
        slow = [address for address in slow if address not in (net.broadcast_address, gateway_of(net))]
    assert list(free_addresses(net, ())) == slow
    assert [address for address in net if usable(net, address)] == slow
    assert list(free_addresses(net, slow[1:])) == slow[:1]


def test_nobody_has_an_address_of_another_kind_or_network() -> None:
    """A record of a network that was changed would be kept, and its owner cut off."""
    assert not usable(IPv4Network("10.0.0.0/24"), IPv4Address("10.0.1.1"))
    assert not usable(IPv4Network("10.0.0.0/24"), ip_address("::a00:1"))
    assert not usable(IPv6Network("fd00::/64"), ip_address("fd00:0:0:1::1"))


WHO = st.sampled_from("abcdef")


@given(
    st.dictionaries(WHO, st.none() | st.integers(1, 5).map(four)), st.dictionaries(WHO, st.integers(0, 16).map(four))
)
def test_what_is_written_stays_and_nobody_shares(
    wished: dict[str, IPv4Address | None], liked: dict[str, IPv4Address]
) -> None:
    """Two members would have one address, or one that was pinned would move."""
    network, held = IPv4Network("10.0.0.0/28"), [four(1), four(2)]
    allocation = allocate(network, wished, liked, held=held)
    assert list(allocation) == list(wished)
    ours = [address for who, address in allocation.items() if wished[who] is None]
    written = {address for address in wished.values() if address}
    assert len(set(ours)) == len(ours)
    assert not written.intersection(ours)
    for who, address in allocation.items():
        assert wished[who] in (None, address)
        assert address not in held or wished[who] or liked[who] == address


def test_a_member_that_goes_leaves_its_address_held() -> None:
    """The address of a removed member would pass to the next one at once: logs and rules would mean the wrong host."""
    before = Recorded({"c": {"a": (four(1),), "b": (four(2),)}})
    after = before.after({"c": {"b": (four(2),)}}, {("c", four(2))}, TODAY, 30)
    assert after == Recorded({"c": {"b": (four(2),)}}, {"c": {four(1): Released("a", LATER)}})
    assert after.held("c", 4, TODAY) == [four(1)]
    assert (after.held("c", 4, LATER), after.held("d", 4, TODAY), after.held("c", 6, TODAY)) == ([], [], [])
    assert after.liked("c", 4) == {"a": four(1), "b": four(2)}
    given = allocate(IPv4Network("10.0.0.0/24"), {"n": None, "b": None}, after.liked("c", 4), held=[four(1)])
    assert given == {"n": four(3), "b": four(2)}


def test_who_comes_back_gets_the_address_again() -> None:
    """A member that was taken out by mistake would come back as somebody else."""
    held = Recorded({}, {"c": {four(1): Released("a", LATER)}})
    given = allocate(
        IPv4Network("10.0.0.0/24"), {"n": None, "a": None}, held.liked("c", 4), held=held.held("c", 4, TODAY)
    )
    assert given == {"n": four(2), "a": four(1)}
    everybody = {("c", four(1)), ("c", four(2))}
    assert held.after({"c": {"n": (four(2),), "a": (four(1),)}}, everybody, TODAY, 30).released == {}


def test_time_alone_changes_no_record() -> None:
    """A check in CI would fail one day because of the date."""
    held = Recorded({"c": {"b": (four(2),)}}, {"c": {four(1): Released("a", LATER)}})
    assert held.after(held.given, {("c", four(2))}, dt.date(2030, 1, 1), 30) is held
    assert held.after({}, set(), dt.date(2030, 1, 1), 0) == Recorded()


def test_an_address_that_gets_written_is_not_released() -> None:
    """Pinning what a member has would hold its own address against it."""
    before = Recorded({"c": {"a": (four(1),)}})
    assert before.after({}, {("c", four(1))}, TODAY, 30) == Recorded()
    assert before.after({}, {("d", four(1))}, TODAY, 30).released == {"c": {four(1): Released("a", LATER)}}
