"""Medians and their intervals."""

from __future__ import annotations

from collections.abc import Callable
from math import comb
from random import Random

import pytest

from netlab.bench.estimates import LEAST_SAMPLES, apart, estimate, outside, percentile

ROUNDS = 4000


def test_too_few_samples_have_no_interval() -> None:
    """Five samples would look as if they proved something."""
    values = [float(value) for value in range(LEAST_SAMPLES)]
    assert estimate(values[:-1]).interval is None
    assert estimate(values).interval == (0.0, 5.0)
    assert estimate([7.0]).median == 7.0


def test_nothing_measured_is_no_estimate() -> None:
    """A median of nothing would stand in a report."""
    with pytest.raises(ValueError, match="no samples"):
        estimate([])


@pytest.mark.parametrize("count", [6, 7, 8, 9, 15, 20, 100])
def test_the_interval_is_the_shortest_that_holds_in_95_of_100_cases(count: int) -> None:
    """Too narrow an interval calls noise a difference, too wide a one hides a difference."""
    left_out = outside(count)
    assert left_out is not None
    misses = [2 * sum(comb(count, k) for k in range(end + 1)) / 2**count for end in (left_out, left_out + 1)]
    assert misses[0] <= 0.05 < misses[1]


SHAPES: dict[str, tuple[Callable[[Random], float], float]] = {  # a sample, and the true median
    "exponential": (lambda random: random.expovariate(1.0), 0.6931),
    "lognormal": (lambda random: random.lognormvariate(0.0, 1.5), 1.0),
    "uniform": (lambda random: random.uniform(0.0, 1.0), 0.5),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_the_interval_holds_whatever_the_shape(shape: str) -> None:
    """Latencies have long tails: an interval that believes in bell curves is wrong about them."""
    random = Random(7)
    draw, true = SHAPES[shape]
    inside = 0
    for _ in range(ROUNDS):
        interval = estimate([draw(random) for _ in range(9)]).interval
        assert interval is not None
        inside += interval[0] <= true <= interval[1]
    assert inside / ROUNDS > 0.95


def test_the_order_of_samples_says_nothing() -> None:
    """Whoever measured last would decide."""
    values = [3.0, 1.0, 2.0, 9.0, 5.0, 4.0, 8.0]
    assert estimate(values) == estimate(sorted(values))
    assert (estimate(values).median, estimate(values).least, estimate(values).most) == (4.0, 1.0, 9.0)


def test_a_difference_is_called_only_where_intervals_part() -> None:
    """Noise would be called a difference, or few samples a proof."""
    low, high, wide = ([float(value + start) for value in range(8)] for start in (0, 20, 5))
    assert apart(estimate(low), estimate(high))
    assert apart(estimate(high), estimate(low))
    assert not apart(estimate(low), estimate(wide))
    assert not apart(estimate(low[:3]), estimate(high[:3]))


def test_percentiles_are_samples() -> None:
    """A made-up value between two samples looks like a measurement that nobody took."""
    ordered = [float(value) for value in range(100)]
    assert (percentile(ordered, 0.5), percentile(ordered, 0.95), percentile(ordered, 0.99)) == (50.0, 95.0, 99.0)
    assert percentile([4.0], 0.99) == 4.0
