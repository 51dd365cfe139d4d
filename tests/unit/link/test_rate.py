"""Rates from marks."""

from __future__ import annotations

from rustun.link.rate import Rate


def test_a_rate_is_that_of_the_last_two_marks() -> None:
    """If this fails, a rate is that of all time, so that nobody sees what happens now."""
    rate = Rate(100.0)
    assert rate.per_second(100.0, 0, 0) == (0.0, 0.0), "no time has passed"
    assert rate.per_second(102.0, 2000, 4000) == (1000.0, 2000.0)
    rate.mark(105.0, 5000, 0)
    assert rate.per_second(110.0, 10_000, 0) == (1000.0, 0.0), "from the beginning, until there are two marks"
    rate.mark(110.0, 10_000, 0)
    rate.mark(115.0, 10_000, 0)
    assert rate.per_second(120.0, 10_000, 50_000) == (0.0, 5000.0)
