"""Medians and how sure they are, with no word about how the samples are distributed.

The interval of a median is between two of the sorted samples: as many from each end as a fair coin, thrown once for
each sample, leaves within 95 % (the sign test turned round; Conover, Practical Nonparametric Statistics, 3.2). It holds
for samples of any shape, as long as they are independent: the order of measurements is shuffled for that. With fewer
than six samples even the least and the most of them enclose the median less often than in 95 of 100 cases. Then
there is no interval, and nothing may be concluded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import comb
from statistics import median
from typing import Final

CONFIDENCE: Final = 0.95
LEAST_SAMPLES: Final = 6  # 1 - 2 * 0.5 ** 6 = 0.969; five reach 0.938


@dataclass(frozen=True, slots=True)
class Estimate:
    """The median of `count` samples, the least and most of them, and the median's 95 % interval: None with too few."""

    median: float
    least: float
    most: float
    count: int
    interval: tuple[float, float] | None


def estimate(values: Sequence[float]) -> Estimate:
    """Return what some samples say. Raises ValueError where there are none."""
    if not values:
        raise ValueError("no samples")
    ordered = sorted(values)
    left_out = outside(len(ordered))
    interval = None if left_out is None else (ordered[left_out], ordered[-1 - left_out])
    return Estimate(median(ordered), ordered[0], ordered[-1], len(ordered), interval)


def outside(count: int) -> int | None:
    """Return how many of `count` sorted samples lie outside of the interval at each end; None with too few samples.

    The interval from the (k+1)-th to the (count-k)-th misses the median where at most k samples fall on one side of
    it: probability 2 * P(Binomial(count, 1/2) <= k).
    """
    allowed = (1 - CONFIDENCE) / 2 * 2**count
    below = 0
    for left_out in range(count):
        below += comb(count, left_out)
        if below > allowed:
            return left_out - 1 if left_out else None
    return None


def apart(one: Estimate, other: Estimate) -> bool:
    """Return whether two medians differ: their intervals share no value. Without intervals nothing is known: False."""
    if one.interval is None or other.interval is None:
        return False
    return one.interval[1] < other.interval[0] or other.interval[1] < one.interval[0]


def percentile(ordered: Sequence[float], share: float) -> float:
    """Return the sample below which `share` (0 to 1) of the sorted samples lie, the nearest rank (no interpolation)."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]
