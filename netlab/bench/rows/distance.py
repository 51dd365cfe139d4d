"""The row of distance: one TCP stream over a cable of 100 Mbit/s that delays and loses.

The sender's cable is impaired in both directions, with the delay half in each, so that a figure's delay is the round
trip that an application sees; the loss is that of each direction. A rate stands in all cells: without one the wire
itself, a program on the same two cores, would be what is measured. What the cable does is measured before each cell;
where the machine is too busy for it, the sample is left out, and that is told.

A member that is far away was far away when it connected, and rustun chooses by that how its own connection behaves. So
the sender's client is started anew for each cell; the peers of this row are carried by UDP and choose nothing.
"""

from __future__ import annotations

import signal
from time import monotonic
from typing import Final

from netlab.bench import measure
from netlab.bench.peers.hub import PeerLaboratory
from netlab.bench.rows.row import Figure, Row, path_from
from netlab.bench.sample import Values
from netlab.bench.variants import AES, OPENVPN_UDP, PLAIN, SENDER
from netlab.errors import EnvironmentLacks, ExpectationFailed
from netlab.lab import STOP_SECONDS, Laboratory
from netlab.links.impairment import PLAIN as UNIMPAIRED
from netlab.links.impairment import Impairment

ROUND_TRIPS_MS: Final = (0, 20, 80)
LOSSES_PERCENT: Final = (0.0, 0.1, 1.0)
RATE_BIT_S: Final = 100_000_000
LENGTH: Final = 1.5  # of the usual one: what is far away begins slowly
ATTEMPTS: Final = 3  # a moment in which the machine is busy passes
MEGABITS: Final = 1000  # in a gigabit


def _cells(lab: Laboratory, seconds: float) -> Values:
    values: Values = {}
    try:
        for milliseconds in ROUND_TRIPS_MS:
            for percent in LOSSES_PERCENT:
                _impair(lab, Impairment(milliseconds / 2000, loss=percent / 100, rate_bit_s=RATE_BIT_S))
                _connect_anew(lab)
                found = measure.throughput(lab, path_from(lab, SENDER), streams=1, seconds=seconds * LENGTH)
                values[_cell(milliseconds, percent)] = found.gigabits * MEGABITS
    finally:
        _impair(lab, UNIMPAIRED)
    return values


def _impair(lab: Laboratory, impairment: Impairment) -> None:
    for attempt in range(ATTEMPTS):
        try:
            lab.links.set([(direction, impairment) for direction in lab.links.find(SENDER)])
        except ExpectationFailed as error:
            if attempt + 1 == ATTEMPTS:
                raise EnvironmentLacks(
                    f"the cable does not do what it has to: {error.message}", error.remedy
                ) from error
        else:
            return


def _connect_anew(lab: Laboratory) -> None:
    if isinstance(lab, PeerLaboratory) or lab.plain:
        return
    client = lab.processes.pop(SENDER)
    client.signal(signal.SIGTERM)
    client.reap(monotonic() + STOP_SECONDS)
    lab.start_client(SENDER)
    lab.wait_online()
    lab.prove_tunnels()


def _cell(milliseconds: int, percent: float) -> str:
    return f"{milliseconds} ms, {percent:g} %: Mbit/s"


DISTANCE: Final = (
    Row("distance", "1 TCP stream over 100 Mbit/s: round trip and loss in each direction",
        (PLAIN, AES, OPENVPN_UDP), _cells,
        (Figure("1 TCP stream, AES, 20 ms and 0.1 % loss, Mbit/s", AES, _cell(20, 0.1), True, 60.0),)),
)  # fmt: skip
