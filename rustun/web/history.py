"""The last hour of every member, cluster and of the whole relay, in memory that is bounded beforehand.

Rules of this module
  1. A ring of STEPS steps for each: what a step of STEP_SECONDS holds is the mean of what was seen in it. Every ring
     stands at the same step; one that was not seen in a step has a gap there, never a zero.
  2. SERIES_BYTES for each member and each cluster, beside what was seen in the step that is filled now: 5.8 MB for
     1,000 members, 29 MB for 5,000. Above MAX_KEPT no new one is kept, and `refused` says how many there are.
  3. Whoever has not been seen for the whole hour is forgotten.
  4. Times are the monotonic clock's: a clock that is set moves no picture.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable
from dataclasses import dataclass
from operator import itemgetter
from statistics import fmean, median
from typing import Final

from rustun.web.overview import ONLINE, Overview, Row

STEP_SECONDS: Final = 10.0
STEPS: Final = 360  # an hour
SERIES: Final = ("in_rate", "out_rate", "rtt_ms", "drop_rate")  # bytes/s, bytes/s, ms, packets/s
SERIES_BYTES: Final = STEPS * len(SERIES) * 4
MAX_KEPT: Final = 12_000  # 10,000 members of routes.json and their clusters: 69 MB
WIDTH: Final = len(SERIES)
EMPTY: Final = array("f", [math.nan]) * (STEPS * WIDTH)
Values = tuple[float | None, ...]  # as SERIES
Key = tuple[str, str]  # kind and name
RELAY: Final[Key] = ("relay", "")
_series: Final = itemgetter(*SERIES)


@dataclass(slots=True)
class _Ring:
    values: array[float]
    seen_at: int  # number of the step
    samples: list[Values]  # that were seen in that step


class History:
    """What was, by step; begins empty.

    Attributes:
        refused: members and clusters of the last moment that are not kept, since there are too many.
    """

    def __init__(self) -> None:
        self.refused = 0
        self._rings: dict[Key, _Ring] = {}
        self._step = -1  # number of the step that is filled now

    def add(self, moment: Overview, now: float) -> None:
        """Take a moment in.

        Args:
            now: of the monotonic clock, seconds; not less than before.
        """
        self._go_to(int(now // STEP_SECONDS))
        self.refused = 0
        groups: dict[str, list[Row]] = {}
        present: list[Row] = []
        for identity, row in moment.members.items():
            if row["state"] == ONLINE:
                self._put(("member", identity), _series(row))
                groups.setdefault(str(row["cluster"]), []).append(row)
                present.append(row)
        for cluster, rows in groups.items():
            self._put(("cluster", cluster), together(rows))
        self._put(RELAY, together(present))

    def series(self, key: Key, now: float) -> dict[str, list[float | None]]:
        """Return the hour before `now` by SERIES' names, the oldest step first; empty lists for who is not known."""
        ring = self._rings.get(key)
        if ring is None:
            return {name: [] for name in SERIES}
        self._settle(ring)
        last = max(int(now // STEP_SECONDS), self._step)
        steps = range(last - STEPS + 1, last + 1)
        return {
            name: [
                _told(ring.values[step % STEPS * WIDTH + place]) if self._step - STEPS < step <= self._step else None
                for step in steps
            ]
            for place, name in enumerate(SERIES)
        }

    @property
    def kept_bytes(self) -> int:
        """Return what all values take."""
        return len(self._rings) * SERIES_BYTES

    def _put(self, key: Key, values: Values) -> None:
        ring = self._rings.get(key)
        if ring is None:
            if len(self._rings) >= MAX_KEPT:
                self.refused += 1
                return
            ring = self._rings[key] = _Ring(EMPTY[:], -1, [])
        if ring.seen_at != self._step:
            ring.seen_at, ring.samples = self._step, []
        ring.samples.append(values)

    def _settle(self, ring: _Ring) -> None:
        """Enter the means of what was seen so far in the step that is filled now."""
        if ring.seen_at == self._step:
            place = self._step % STEPS * WIDTH
            ring.values[place : place + WIDTH] = array("f", map(_mean, zip(*ring.samples, strict=True)))

    def _go_to(self, step: int) -> None:
        """Begin a step: empty what stands in its place, an hour old, and in those that nobody saw."""
        if step <= self._step:
            return
        gap = EMPTY[:WIDTH]
        stale = range(max(self._step + 1, step - STEPS + 1), step + 1)
        for key, ring in list(self._rings.items()):
            if step - ring.seen_at >= STEPS:
                del self._rings[key]
                continue
            self._settle(ring)
            ring.samples = []
            for number in stale:
                place = number % STEPS * WIDTH
                ring.values[place : place + WIDTH] = gap
        self._step = step


def together(rows: Iterable[Row]) -> Values:
    """Return SERIES of several members: sums of what flows and drops, the median of the round trips."""
    rows = list(rows)
    trips = [row["rtt_ms"] for row in rows if row["rtt_ms"] is not None]
    return _sum(rows, "in_rate"), _sum(rows, "out_rate"), median(trips) if trips else None, _sum(rows, "drop_rate")


def _sum(rows: list[Row], name: str) -> float | None:
    values = [row[name] for row in rows if row[name] is not None]
    return sum(values) if values or not rows else None


def _mean(values: Values) -> float:
    seen = [value for value in values if value is not None]
    return fmean(seen) if seen else math.nan


def _told(value: float) -> float | None:
    return None if math.isnan(value) else round(value, 2)
