"""Rows of paced datagrams, one system call each: what is lost at one rate, and over many."""

from __future__ import annotations

from functools import partial
from typing import Final

from netlab.bench import measure
from netlab.bench.rows.row import Curve, Figure, Row, path_from
from netlab.bench.sample import Values
from netlab.bench.variants import AES, CHACHA, OPENVPN_UDP, PLAIN, SENDER, WIREGUARD_GO
from netlab.lab import Laboratory

SMALL_BYTES, SMALL_RATE = 100, 120_000.0
LARGE_BYTES, LARGE_BITS = 1300, 500e6
KEPT_UP: Final = 0.99  # of the wanted rate: the machine is too slow to ask the question where less was offered
LADDERS: Final = {100: (20, 40, 70, 100, 140), 500: (20, 40, 70, 100, 140), 1300: (10, 20, 40, 70, 100)}
STEP_FRACTION: Final = 0.5  # of the usual length: a ladder has many steps


def _small(lab: Laboratory, seconds: float) -> Values:
    return _paced(lab, SMALL_BYTES, SMALL_RATE, seconds)


def _large(lab: Laboratory, seconds: float) -> Values:
    return _paced(lab, LARGE_BYTES, LARGE_BITS / 8 / LARGE_BYTES, seconds)


def _paced(lab: Laboratory, size: int, rate: float, seconds: float) -> Values:
    found = measure.datagrams(lab, path_from(lab, SENDER), size=size, rate=rate, seconds=seconds)
    return {"lost %": found.lost * 100, "offered k/s": found.offered / 1000}


def _ladder(size: int, lab: Laboratory, seconds: float) -> Values:
    values = {}
    for thousands in LADDERS[size]:
        found = _paced(lab, size, thousands * 1000.0, seconds * STEP_FRACTION)
        values[_lost_at(thousands)] = found["lost %"]
        values[_offered_at(thousands)] = found["offered k/s"]
    return values


def _offered_at(thousands: int) -> str:
    return f"offered k/s at {thousands} k/s"


def _lost_at(thousands: int) -> str:
    return f"lost % at {thousands} k/s"


def _ladder_row(size: int) -> Row:
    points = tuple((_offered_at(thousands), _lost_at(thousands)) for thousands in LADDERS[size])
    curve = Curve("offered, 1000 datagrams/s", "lost, %", points)
    variants = (PLAIN, AES, OPENVPN_UDP, WIREGUARD_GO)
    title = f"{size}-byte datagrams: loss against the offered rate"
    return Row(f"udp-{size}", title, variants, partial(_ladder, size), curve=curve)


DATAGRAMS: Final = (
    Row("udp-small", f"{SMALL_BYTES}-byte datagrams, one system call each, {SMALL_RATE:,.0f}/s offered",
        (PLAIN, AES, CHACHA), _small,
        (Figure(f"100-byte datagrams at {SMALL_RATE:,.0f}/s, lost %", AES, "lost %", False, 1.0),
         Figure("the same: offered k/s", AES, "offered k/s", True, SMALL_RATE * KEPT_UP / 1000))),
    Row("udp-large", "1300-byte datagrams, 500 Mbit/s offered", (PLAIN, AES, CHACHA), _large,
        (Figure("1300-byte datagrams at 500 Mbit/s, lost %", AES, "lost %", False, 1.0),)),
    *(_ladder_row(size) for size in LADDERS),
)  # fmt: skip
