"""What a server's packets pay for being looked at: /metrics scraped once a second, with lines for all members."""

from __future__ import annotations

from dataclasses import dataclass
from time import monotonic
from typing import Final

from netlab.bench import measure
from netlab.lab import Laboratory
from netlab.processes import Measurement
from netlab.topology import SERVER

PATIENCE_SECONDS: Final = 30.0  # interpreters start
TURNS: Final = 3  # alternating, so that what else the machine does weighs on both


@dataclass(frozen=True, slots=True)
class Looks:
    """Scrapes beside a transfer.

    Attributes:
        milliseconds, longest: of one scrape, the median and the longest.
        kibibytes: of its answer.
        core: what the web process takes of a core.
        beside: the relay's processor time per gigabyte, times that without.
    """

    milliseconds: float
    longest: float
    kibibytes: float
    core: float
    beside: float


def looks(lab: Laboratory, path: measure.Path, *, clients: int, seconds: float) -> Looks:
    """Let `clients` idle members come in, and send TCP with and without somebody who scrapes.

    Raises: ExpectationFailed: not all of them came in, or nothing could be scraped.
    """
    stay = 2 * TURNS * (seconds + measure.GRACE_SECONDS) + PATIENCE_SECONDS
    deadline = monotonic() + measure.CROWD_JOIN_SECONDS + stay
    arguments = (measure.loopback_port(lab), measure.server_key(lab), str(clients), str(stay))
    crowd = Measurement(lab.namespaces[SERVER], arguments, "netlab.bench.crowd")
    try:
        measure.come_in(crowd, clients, deadline)
        alone, beside, scrapes = [], [], []
        for _ in range(TURNS):
            alone.append(measure.throughput(lab, path, streams=1, seconds=seconds).relay_seconds_per_gigabyte)
            scraping = Measurement(
                lab.namespaces[SERVER], (str(lab.control(SERVER)), str(seconds)), "netlab.bench.scraping"
            )
            try:
                scraping.line(deadline)
                beside.append(measure.throughput(lab, path, streams=1, seconds=seconds).relay_seconds_per_gigabyte)
                scrapes.append(scraping.line(deadline))
            finally:
                scraping.stop()
    finally:
        crowd.stop()
    return Looks(
        sorted(one["median_ms"] for one in scrapes)[TURNS // 2],
        max(one["longest_ms"] for one in scrapes),
        scrapes[-1]["bytes"] / 1024,
        sum(one["cpu_s"] for one in scrapes) / (TURNS * seconds),
        sum(beside) / sum(alone),
    )
