"""What a metric's name says of it: whether more or less of it is better, and whether it goes with the machine's speed.

A metric's name ends in its unit, and the unit is all that is looked at. Speeds are compared by their ratio to the row's
reference, because a machine is a tenth faster or slower from minute to minute; times and sizes as they are, because the
reference's own are so small that a ratio would be mostly noise.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import Final


class Better(Enum):
    """Which way is up."""

    MORE = "more"
    LESS = "less"
    NEITHER = "neither"  # what was asked for, or how often something took place


SPEED: Final = re.compile(r"[GM]bit/s$")
MORE: Final = re.compile(r"[GM]bit/s$|per second$|per server CPU s$|in memory/s$|^(beside|captured)/(alone|bare port)$")
LESS: Final = re.compile(r"(?:^| )(?:ms|s|s/GB|MB|KiB each)$|(?:^| )lost(?: %)?(?: at .*)?$|^dropped$|^beside/before$")


def better(metric: str) -> Better:
    """Return whether more or less of a metric is better."""
    if MORE.search(metric):
        return Better.MORE
    return Better.LESS if LESS.search(metric) else Better.NEITHER


def is_speed(metric: str) -> bool:
    """Return whether a metric goes with the speed of the machine, so that its ratio to the reference says more."""
    return SPEED.search(metric) is not None
