"""The books: what taps saw beside what clients and the relay counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from ipaddress import ip_address
from itertools import product
from typing import Any

import pytest

from netlab.isolation.accounts import Counts, counts_of, discrepancies, may_count, rise
from netlab.isolation.expectation import Expectation
from netlab.topology import Address
from tests.unit.netlab.fleets import two_tenants
from tests.unit.netlab.isolation.runs import dutiful

EXPECTATION = Expectation(two_tenants())
SENT = {
    "a1": {("10.0.1.1", "10.0.1.2"): 5, ("10.0.1.1", "10.0.2.2"): 3, ("10.0.1.2", "10.0.1.2"): 2},
    "a2": {("10.0.1.2", "10.0.1.1"): 4},
}


def outgoing() -> dict[str, Counter[tuple[Address, Address]]]:
    """Return what went into the tunnels."""
    return {
        member: Counter({(ip_address(source), ip_address(to)): number for (source, to), number in flows.items()})
        for member, flows in SENT.items()
    }


def found(member: str, **changed: Any) -> tuple[str, ...]:
    """Return what is found when one member's counters are not as they should be."""
    right = dutiful(EXPECTATION, outgoing())
    return discrepancies(EXPECTATION, outgoing(), {**right, member: replace(right[member], **changed)})


def test_right_books_agree() -> None:
    """Every run would be repeated cell by cell."""
    assert found("a1") == ()


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"refused": {"no-route": 2, "bad-source": 2}, "taken": 6}, "the relay handed on 6 and refused"),
        ({"refused": {"no-route": 5}}, "right were 5 and 2 bad-source, 3 no-route"),
        ({"refused": {"no-route": 3, "bad-source": 2, "offline": 1}}, "1 offline"),
        ({"read": 9}, "the client of a1 read 9 of 10 packets"),
        ({"unsent": 1}, "the client of a1 kept back 1 packet"),
        ({"given": 5}, "the relay gave a1 5 packets, 4 were meant for it"),
        ({"dropped": {"bad-source": 1}}, "the client of a1 dropped 1 bad-source"),
    ],
)
def test_one_packet_more_or_less_is_found(changed: Mapping[str, Any], said: str) -> None:
    """A relay that lets one packet through, or loses one, would pass."""
    assert said in "; ".join(found("a1", **changed))


def test_a_member_that_gets_what_is_not_its_own_is_found() -> None:
    """A packet for one cluster that goes to another, and is dropped there, would pass for isolation."""
    assert found("b1", given=1, dropped={"bad-source": 1}) == (
        "the relay gave b1 1 packet, 0 were meant for it",
        "the client of b1 dropped 1 bad-source",
    )


def test_counters_that_are_not_to_be_had_prove_nothing() -> None:
    """A client that died in the middle would be no reason to look again."""
    right = dutiful(EXPECTATION, outgoing())
    del right["a1"]
    assert "a1 sent 10 packets, and its counters are not to be had" in discrepancies(EXPECTATION, outgoing(), right)


def test_counters_belong_to_grounds_exactly_when_packets_can_be_given_to_them() -> None:
    """The rule is clever; the obvious way tries every choice."""
    a, b, c = "bad-source", "no-route", "to-sender"
    for sizes in product(range(3), repeat=3):
        refused = dict(zip((frozenset({a}), frozenset({a, b}), frozenset({b, c})), sizes, strict=True))
        packets = [sorted(grounds) for grounds, number in refused.items() for _ in range(number)]
        possible = {tuple(sorted(Counter(choice).items())) for choice in product(*packets)}
        for numbers in product(range(4), repeat=3):
            counted = {reason: number for reason, number in zip((a, b, c), numbers, strict=True) if number}
            assert may_count(refused, counted) == (tuple(sorted(counted.items())) in possible), (refused, counted)


def test_documents_are_read_and_subtracted() -> None:
    """A counter in the wrong column would make all labs red, or none."""
    client = {"sent_packets": 10, "received_packets": 4, "drops": {"queue-full": 1, "bad-source": 2}}
    session = {"received_packets": 6, "sent_packets": 6, "drops": {"no-route": 3}}
    now = counts_of(client, session)
    assert now == Counts(10, 4, 1, 6, 6, {"no-route": 3}, {"bad-source": 2})
    assert (now.settled, now.late) == (True, 0)
    assert not replace(now, read=11).settled
    assert not replace(now, written=3).settled
    assert replace(now, taken=6, refused={"no-route": 3, "offline": 2}).settled  # handed on, then found offline
    assert replace(now, refused={"offline": 1, "no-route": 2}).late == 1
    assert not replace(now, taken=7, refused={"no-route": 3, "offline": 2}).settled
    assert rise(now, now) == Counts(refused={}, dropped={})
    assert rise(now, Counts()) == now
