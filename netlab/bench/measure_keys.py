"""Measurements of keys: members that prove theirs, strangers that have none, and new ones for a session that is busy.

All of it goes over the loopback of the server's namespace; who comes in has an address of its own.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import monotonic
from typing import Final

from netlab.bench import measure
from netlab.bench.strangers import first_frame
from netlab.errors import ExpectationFailed
from netlab.lab import Laboratory
from netlab.processes import Measurement, processor_seconds, resident_bytes
from netlab.topology import SERVER
from rustun.protocol.envelope import Envelope
from rustun.protocol.frames import FrameReader, FrameType

PATIENCE_SECONDS: Final = 90.0  # beyond what a load takes: interpreters start, first messages are made
SOURCES: Final = 500
FLOOD_PER_SECOND: Final = 1000
FLOOD_TURNS: Final = 3
FLOOD_MARGIN_SECONDS: Final = 1.0  # so that the transfer ends first
RETURN_SECONDS: Final = 60.0
RETURN_AT_A_TIME: Final = 1000  # a fleet does not come one by one
MEMORY_BATCH: Final = 5000
MEGA: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Rate:
    """First messages that the server has dealt with, in a second and in a second of its processor time."""

    per_second: float
    per_processor_second: float


@dataclass(frozen=True, slots=True)
class Flood:
    """A transfer beside forged handshakes, and a newcomer meanwhile.

    The first share is of what the transfer reaches beside the same strangers at a bare port: they are on this machine
    and take its time, whoever they talk to. The second is of what it reaches alone.
    """

    share: float
    share_of_alone: float
    refused_per_second: float
    newcomer_seconds: float


@dataclass(frozen=True, slots=True)
class Return:
    """A fleet after its server was killed and started again; the memory is the most that a server ever had."""

    seconds: float
    server_megabytes: float


@dataclass(frozen=True, slots=True)
class Rekeys:
    """Rekeys under full load; the longest step of the loop in the relay's own processor time, and by the clock."""

    rekeys: int
    lost: int
    gigabits: float
    longest_step_milliseconds: float
    longest_step_by_the_clock: float


@dataclass(frozen=True, slots=True)
class Looks:
    """What people who look at a relay wait for, and its processor time for a gigabyte meanwhile, times that alone.

    The longest step is one of those that answer them: how long one lasts that forwards packets, says `Rekeys`.
    """

    json_seconds: float
    table_seconds: float
    share: float
    longest_step_milliseconds: float
    longest_step_by_the_clock: float


def handshakes(lab: Laboratory, clients: int) -> Rate:
    """Let `clients` of the crowd come in as fast as the server lets them."""
    deadline = monotonic() + PATIENCE_SECONDS
    server = lab.processes[SERVER].pid
    with _crowd(lab, clients, "0") as crowd:
        crowd.line(deadline)  # ready: the first messages are made
        before = processor_seconds(server)
        found = crowd.line(deadline)
        used = processor_seconds(server) - before
        crowd.line(deadline)
        crowd.finish(deadline)
    if found["online"] != clients:
        raise ExpectationFailed(f"only {found['online']} of {clients} came in")
    return Rate(clients / found["seconds"], clients / used)


def refusals(lab: Laboratory, seconds: float) -> Rate:
    """Send as many first messages of strangers as the server refuses."""
    deadline = monotonic() + seconds + PATIENCE_SECONDS
    server = lab.processes[SERVER].pid
    with _strangers(lab, "foreign", 0, seconds) as strangers:
        strangers.line(deadline)  # begun
        before = processor_seconds(server)
        found = strangers.line(deadline)
        used = processor_seconds(server) - before
        strangers.finish(deadline)
    return Rate(found["refused"] / found["seconds"], found["refused"] / used)


def refusals_in_memory(seconds: float) -> float:
    """Return how many first messages of strangers one core finds and refuses in a second, without any socket."""
    reader = FrameReader(frozenset({FrameType.KEY_INIT}), 512)
    server_key = os.urandom(32)
    envelope = Envelope(server_key)
    frame = first_frame("foreign", server_key)
    refused = 0
    began = monotonic()
    while (elapsed := monotonic() - began) < seconds:
        for _ in range(MEMORY_BATCH):
            found = reader.next_frame(frame, 0, len(frame))
            assert found is not None
            assert envelope.open(frame[: found[1]]) is None
        refused += MEMORY_BATCH
    return refused / elapsed


def flood(lab: Laboratory, path: measure.Path, seconds: float) -> Flood:
    """Transfer by turns alone, beside strangers at a bare port, and beside their forged handshakes at the relay's."""
    deadline = monotonic() + 8 * FLOOD_TURNS * seconds + PATIENCE_SECONDS
    alone, bare, forged = [], [], []

    def transfer() -> float:
        return measure.throughput(lab, path, streams=1, seconds=seconds).gigabits

    with a_core_for_the_server(lab), _bare_port(lab, deadline) as bare_port:
        for _ in range(FLOOD_TURNS):
            alone.append(transfer())
            with _strangers(lab, "forged", FLOOD_PER_SECOND, seconds + FLOOD_MARGIN_SECONDS, bare_port) as strangers:
                strangers.line(deadline)  # begun
                bare.append(transfer())
                strangers.line(deadline)
                strangers.finish(deadline)
            with _strangers(lab, "forged", FLOOD_PER_SECOND, 2 * seconds) as strangers:
                strangers.line(deadline)  # begun
                forged.append(transfer())
                came_in = _newcomer(lab, deadline)
                found = strangers.line(deadline)
                strangers.finish(deadline)
    share, alone_share = sum(forged) / sum(bare), sum(forged) / sum(alone)
    return Flood(share, alone_share, found["refused"] / found["seconds"], came_in)


def _newcomer(lab: Laboratory, deadline: float) -> float:
    """Return how many seconds an honest member needs to come in."""
    with _crowd(lab, 1, "0") as newcomer:
        came_in: float = measure.come_in(newcomer, 1, deadline)["seconds"]
        newcomer.line(deadline)
        newcomer.finish(deadline)
    return came_in


def fleet_returns(lab: Laboratory, clients: int) -> Return:
    """Let the crowd come in, kill the server and start another one, and wait until all are back."""
    deadline = monotonic() + PATIENCE_SECONDS + 2 * RETURN_SECONDS
    with _crowd(lab, clients, str(RETURN_SECONDS), str(RETURN_AT_A_TIME)) as crowd:
        measure.come_in(crowd, clients, deadline)
        first = lab.processes.pop(SERVER)
        most = resident_bytes(first.pid, most=True)
        killed = monotonic()
        first.signal(signal.SIGKILL)
        first.reap(deadline)
        second = lab.start_server()
        back = crowd.line(deadline)["back"]
        took = monotonic() - killed
        most = max(most, resident_bytes(second.pid, most=True))
        crowd.finish(deadline)
    if back != clients:
        raise ExpectationFailed(f"only {back} of {clients} came back")
    return Return(took, most / MEGA)


def rekeys(lab: Laboratory, seconds: float) -> Rekeys:
    """Load a relay of its own in the server's namespace for so long, with new keys every second."""
    deadline = monotonic() + seconds + PATIENCE_SECONDS
    load = Measurement(lab.namespaces[SERVER], (str(seconds),), "netlab.bench.rekeying")
    try:
        found = load.line(deadline)
        load.finish(deadline)
    finally:
        load.stop()
    steps = found["longest_cpu_ms"], found["longest_ms"]
    return Rekeys(found["rekeys"], found["lost"], found["gigabits"], *steps)


def looks(lab: Laboratory, members: int, seconds: float) -> Looks:
    """Let people look at a relay of its own in the server's namespace, with so many members, idle and loaded."""
    deadline = monotonic() + 2 * seconds + RETURN_SECONDS + PATIENCE_SECONDS
    load = Measurement(lab.namespaces[SERVER], (str(members), str(seconds)), "netlab.bench.looking")
    try:
        found = load.line(deadline)
        load.finish(deadline)
    finally:
        load.stop()
    if found["lost"]:
        raise ExpectationFailed(f"{found['lost']} packets were lost")
    share = found["beside_s"] / found["alone_s"]
    return Looks(found["json_s"], found["table_s"], share, found["idle_cpu_ms"], found["idle_ms"])


@contextmanager
def a_core_for_the_server(lab: Laboratory) -> Iterator[None]:
    """Give the server the first core and everybody else, load programs to come among them, the others."""
    cores = os.sched_getaffinity(0)
    first, *others = sorted(cores)
    server = lab.processes[SERVER].pid
    everybody = (0, *(process.pid for process in lab.processes.values()))
    try:
        for pid in everybody:
            os.sched_setaffinity(pid, {first} if pid == server else others or cores)
        yield
    finally:
        for pid in everybody:
            os.sched_setaffinity(pid, cores)


@contextmanager
def _crowd(lab: Laboratory, clients: int, *more: str) -> Iterator[Measurement]:
    arguments = (measure.loopback_port(lab), measure.server_key(lab), str(clients), *more)
    crowd = Measurement(lab.namespaces[SERVER], arguments, "netlab.bench.crowd")
    try:
        yield crowd
    finally:
        crowd.stop()


@contextmanager
def _bare_port(lab: Laboratory, deadline: float) -> Iterator[str]:
    """Run a bare port on the server's core."""
    bare = Measurement(lab.namespaces[SERVER], (), "netlab.bench.bare_port")
    try:
        bare.pin(os.sched_getaffinity(lab.processes[SERVER].pid))
        yield str(bare.line(deadline)["port"])
    finally:
        bare.stop()


@contextmanager
def _strangers(lab: Laboratory, kind: str, rate: int, seconds: float, port: str = "") -> Iterator[Measurement]:
    port, key = port or measure.loopback_port(lab), measure.server_key(lab)
    arguments = (kind, port, key, str(rate), str(seconds), str(SOURCES))
    strangers = Measurement(lab.namespaces[SERVER], arguments, "netlab.bench.strangers")
    try:
        yield strangers
    finally:
        strangers.stop()
