"""Rows of time: round trips of an idle path, and what a user feels of short transfers over fresh connections."""

from __future__ import annotations

from typing import Final

from netlab.bench import measure
from netlab.bench.rows.row import Figure, Row, path_from
from netlab.bench.sample import Values
from netlab.bench.variants import AES, AES_SINGLE, CHACHA, OPENVPN_UDP, OTHERS, PLAIN, SENDER
from netlab.lab import Laboratory

ECHOES: Final = 300  # at 5 ms: gives a usable median and p99
PAGES: Final = {"10 KB": 10_000, "1 MB": 1_000_000}
VISITORS: Final = 8


def _idle_ping(lab: Laboratory, _seconds: float) -> Values:
    trips = measure.trips(lab, path_from(lab, SENDER), echoes=ECHOES)
    return {
        "mean ms": trips.mean,
        "median ms": trips.median,
        "p95 ms": trips.p95,
        "p99 ms": trips.p99,
        "jitter ms": trips.jitter,
        "lost %": trips.lost * 100,
    }


def _pages(lab: Laboratory, seconds: float) -> Values:
    values: Values = {}
    for page, size in PAGES.items():
        found = measure.visits(lab, path_from(lab, SENDER), size=size, at_a_time=1, seconds=seconds / len(PAGES))
        values |= {f"{page} median ms": found.median, f"{page} p95 ms": found.p95}
    return values


def _connections(lab: Laboratory, seconds: float) -> Values:
    found = measure.visits(lab, path_from(lab, SENDER), size=1, at_a_time=VISITORS, seconds=seconds)
    return {"per second": found.per_second, "p95 ms": found.p95}


LATENCY: Final = (
    Row("ping", "idle ping, one every 5 ms", (PLAIN, AES, CHACHA, *OTHERS), _idle_ping,
        (Figure("idle ping, median, beside OpenVPN over UDP", AES, "median ms", False, 2.0, OPENVPN_UDP),
         Figure("idle ping, median ms", AES, "median ms", False, 0.55))),
    Row("http", "short HTTP transfers, a fresh connection each", (PLAIN, AES, AES_SINGLE, CHACHA, *OTHERS), _pages),
    Row("connections", f"TCP connections opened, used once and closed, {VISITORS} at a time",
        (PLAIN, AES, CHACHA, *OTHERS), _connections),
)  # fmt: skip
