"""What is counted per session, and for all of them."""

from __future__ import annotations

from ipaddress import ip_address

from rustun.relay.counters import Totals, Traffic

NUMBERS = ("received_bytes", "received_packets", "sent_bytes", "sent_packets", "lost_packets")


def key(source: str, destination: str) -> bytes:
    """Return the flow key of packets with these addresses."""
    return ip_address(source).packed + ip_address(destination).packed


def test_sessions_count_for_themselves() -> None:
    """If this fails, one member's drops appear at another, or counting a new reason ends a session."""
    one, other = Traffic(), Traffic()
    one.drops["no-route"] += 3
    one.received_packets += 1
    one.note_refused("no-route", key("10.0.1.1", "10.9.9.9"))
    assert (other.drops, other.refused, other.lost_to) == ({}, {}, "")
    assert [getattr(other, name) for name in NUMBERS] == [0] * len(NUMBERS)


def test_the_latest_addresses_are_kept_but_not_those_of_a_kernels_own() -> None:
    """If this fails, the router solicitation of a kernel hides which address a person tried to reach."""
    traffic = Traffic()
    wanted = key("fd00::1", "2001:db8::1")
    traffic.note_refused("no-route", key("10.0.1.1", "10.9.9.9"))
    traffic.note_refused("no-route", wanted)
    traffic.note_refused("no-route", key("fe80::1", "ff02::2"))
    traffic.note_refused("no-route", key("10.0.1.1", "224.0.0.251"))
    traffic.note_refused("no-route", key("10.0.1.1", "255.255.255.255"))
    assert traffic.refused == {"no-route": wanted}


def test_totals_are_sums_that_go_on_by_themselves() -> None:
    """If this fails, a status that was asked for changes what the relay has counted."""
    one = Traffic()
    for number, name in enumerate(NUMBERS, start=1):
        setattr(one, name, number)
    one.drops["no-route"] = 7
    totals = Totals()
    totals.add(one)
    copy = totals.copy()
    copy.add(one)
    assert [getattr(totals, name) for name in NUMBERS] == [1, 2, 3, 4, 5]
    assert [getattr(copy, name) for name in NUMBERS] == [2, 4, 6, 8, 10]
    assert (totals.drops, copy.drops) == ({"no-route": 7}, {"no-route": 14})
