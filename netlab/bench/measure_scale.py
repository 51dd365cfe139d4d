"""Measurements of two real members beside a crowd that talks, or that comes and goes.

All of the crowd comes over the loopback of the server's namespace, from one process that gives way to all others. The
server has a core of its own, so what it does for whom is its own choice.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import monotonic
from typing import Final

from netlab.bench import measure
from netlab.bench.measure_keys import PATIENCE_SECONDS, a_core_for_the_server
from netlab.errors import ExpectationFailed
from netlab.lab import Laboratory
from netlab.processes import Document, Measurement, processor_seconds
from netlab.topology import SERVER

ECHO_INTERVAL_S: Final = 0.01
LEAST_S: Final = 5.0  # of each kind of talk: churn is told once a second
MARGIN_S: Final = 1.0  # that a crowd goes on beyond what is measured beside it
BITS: Final = 8
GIGA: Final = 1e9


@dataclass(frozen=True, slots=True)
class Beside:
    """What two real members have beside a crowd, and what the server does meanwhile.

    Attributes:
        trips: of echoes from one to the other.
        came_in_seconds: until all of the crowd were in.
        stream: Gbit/s of one TCP connection, 0 where none was asked for.
        crowd: what the crowd says in the end.
        crowd_seconds: that it went on.
        server_share: of a core, while the echoes were under way.
    """

    came_in_seconds: float
    trips: measure.Trips
    stream: float
    crowd: Document
    crowd_seconds: float
    server_share: float

    @property
    def crowd_gigabits(self) -> float:
        """What the crowd was sent, in Gbit/s on the wire."""
        return float(self.crowd["received_bytes"]) * BITS / GIGA / self.crowd_seconds


def alone(lab: Laboratory, path: measure.Path, seconds: float) -> tuple[measure.Trips, float]:
    """Return the echoes and the Gbit/s of one TCP connection with nobody else about."""
    with a_core_for_the_server(lab):
        trips = measure.trips(lab, path, echoes=int(seconds / ECHO_INTERVAL_S), interval=ECHO_INTERVAL_S)
        return trips, measure.throughput(lab, path, streams=1, seconds=seconds).gigabits


def beside(
    lab: Laboratory, path: measure.Path, clients: int, what: tuple[str, ...], seconds: float, *, stream: bool
) -> Beside:
    """Let a crowd do something and see what two real members have meanwhile: echoes first, then a stream.

    Args:
        what: as netlab.bench.talking takes it: ("pace", talkers, packets a second), ("flood", talkers) or
            ("flap", members a second).

    Raises:
        ExpectationFailed: not all of the crowd came in, or stayed.
    """
    measured = max(seconds, LEAST_S)
    lasts = 2 * measured + 2 * MARGIN_S + measure.GRACE_SECONDS / 3
    deadline = monotonic() + lasts + PATIENCE_SECONDS
    server = lab.processes[SERVER].pid
    with a_core_for_the_server(lab), _talking(lab, clients, lasts, what) as crowd:
        came_in = measure.come_in(crowd, clients, deadline)["seconds"]
        used, began = processor_seconds(server), monotonic()
        trips = measure.trips(lab, path, echoes=int(measured / ECHO_INTERVAL_S), interval=ECHO_INTERVAL_S)
        share = (processor_seconds(server) - used) / (monotonic() - began)
        gigabits = measure.throughput(lab, path, streams=1, seconds=measured).gigabits if stream else 0.0
        said = crowd.line(deadline)
        crowd.finish(deadline)
    if said["dropped"]:
        raise ExpectationFailed(f"the server closed {said['dropped']} of {clients} connections")
    return Beside(came_in, trips, gigabits, said, lasts, share)


@contextmanager
def _talking(lab: Laboratory, clients: int, seconds: float, what: tuple[str, ...]) -> Iterator[Measurement]:
    arguments = (measure.loopback_port(lab), measure.server_key(lab), str(clients), str(seconds), *what)
    crowd = Measurement(lab.namespaces[SERVER], arguments, "netlab.bench.talking")
    try:
        yield crowd
    finally:
        crowd.stop()
