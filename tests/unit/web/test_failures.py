"""How many wrong tokens an address may offer."""

from __future__ import annotations

import pytest

from rustun.web import failures
from rustun.web.failures import BURST, REFILL_SECONDS, Failures


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


def test_a_burst_then_one_by_one() -> None:
    """A person who mistypes is locked out at once, or a guesser is never slowed down."""
    clock = Clock()
    counted = Failures(clock)
    for _ in range(BURST):
        assert counted.wait_seconds("192.0.2.1") == 0
        counted.note("192.0.2.1")
    assert counted.wait_seconds("192.0.2.1") == pytest.approx(REFILL_SECONDS)
    clock.seconds += REFILL_SECONDS
    assert counted.wait_seconds("192.0.2.1") == 0
    counted.note("192.0.2.1")
    assert counted.wait_seconds("192.0.2.1") == pytest.approx(REFILL_SECONDS)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("192.0.2.1", "192.0.2.2", False),
        ("2001:db8::1", "2001:db8::ffff:1", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("fe80::1%eth0", "fe80::2%eth1", True),
        ("", "192.0.2.1", False),
    ],
)
def test_what_counts_as_one_address(one: str, other: str, same: bool) -> None:
    """A guesser with a /64 of IPv6 addresses has as many bursts as he likes, or one address shuts out all others."""
    counted = Failures(Clock())
    for _ in range(BURST):
        counted.note(one)
    assert (counted.wait_seconds(other) > 0) is same


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Failures from a million addresses fill the memory."""
    monkeypatch.setattr(failures, "MAX_ADDRESSES", 3)
    counted = Failures(Clock())
    for _ in range(BURST):
        counted.note("192.0.2.1")
    for number in range(2, 5):
        counted.note(f"192.0.2.{number}")
    assert counted.wait_seconds("192.0.2.1") == 0  # forgotten: it had been quiet longest
    for _ in range(BURST - 1):
        counted.note("192.0.2.4")
    assert counted.wait_seconds("192.0.2.4") > 0
