"""Rows of scale: two members beside a crowd that talks, that floods, that comes and goes; 100 real clients."""

from __future__ import annotations

from typing import Final

from netlab.bench import measure_scale as scale
from netlab.bench.measure_lab import HUNDRED, WholeLab
from netlab.bench.rows.row import Row, path_from
from netlab.bench.sample import Values
from netlab.bench.variants import CROWD, CROWD_CLIENTS, SENDER
from netlab.lab import Laboratory

PACKETS_PER_SECOND: Final = 5000  # one of each of the crowd
FLOODERS: Final = 50
FLAPS_PER_SECOND: Final = 100


def _talk(lab: Laboratory, seconds: float) -> Values:
    path = path_from(lab, SENDER)
    trips, stream = scale.alone(lab, path, seconds)
    what = ("pace", str(CROWD_CLIENTS), str(PACKETS_PER_SECOND))
    found = scale.beside(lab, path, CROWD_CLIENTS, what, seconds, stream=True)
    return {
        "all in after s": found.came_in_seconds,
        "ping alone ms": trips.median,
        "ping beside ms": found.trips.median,
        "p95 alone ms": trips.p95,
        "p95 beside ms": found.trips.p95,
        "stream alone Gbit/s": stream,
        "stream beside Gbit/s": found.stream,
        "server, % of a core": found.server_share * 100,
    }


def _fairness(lab: Laboratory, seconds: float) -> Values:
    found = scale.beside(lab, path_from(lab, SENDER), FLOODERS, ("flood", str(FLOODERS)), seconds, stream=True)
    fair = (found.crowd_gigabits + found.stream) / (FLOODERS + 1)
    return {
        "ping beside ms": found.trips.median,
        "p95 beside ms": found.trips.p95,
        "crowd Gbit/s": found.crowd_gigabits,
        "stream beside Gbit/s": found.stream,
        "stream/fair share": found.stream / fair,
    }


def _churn(lab: Laboratory, seconds: float) -> Values:
    what = ("flap", str(FLAPS_PER_SECOND))
    found = scale.beside(lab, path_from(lab, SENDER), CROWD_CLIENTS, what, seconds, stream=False)
    return {
        "back/s": found.crowd["returned"] / found.crowd_seconds,
        "told KB/s": found.crowd_gigabits / 8 * 1e6,
        "ping beside ms": found.trips.median,
        "p95 beside ms": found.trips.p95,
        "server, % of a core": found.server_share * 100,
    }


def _hundred(lab: WholeLab, _seconds: float) -> Values:
    return lab.take()


SCALE: Final = (
    Row("talk", f"2 members beside {CROWD_CLIENTS:,} who send {PACKETS_PER_SECOND:,} packets a second", (CROWD,), _talk,
        once=True),
    Row("fairness", f"2 members beside {FLOODERS} who send all they can", (CROWD,), _fairness),
    Row("churn", f"{FLAPS_PER_SECOND} of {CROWD_CLIENTS:,} members go and come back each second", (CROWD,), _churn,
        once=True),
    Row("hundred", "100 namespaces with real clients come up, idle and go down", (HUNDRED,), _hundred, once=True),
)  # fmt: skip
