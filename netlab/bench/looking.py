"""A relay with thousands of members that people look at, beside two members who send all they can.

    python -m netlab.bench.looking MEMBERS SECONDS

Starts a relay of its own (`timed_relay`), lets MEMBERS in over loopback, and prints
    {"json_s": J, "table_s": T, "alone_s": A, "beside_s": B, "packets": P, "lost": L}
and what the relay says of its steps meanwhile. J and T are whole commands, from the first to the last byte, the fastest
of some, while nobody sends. A and B are the relay's processor seconds for a gigabyte: by turns alone, and while a
terminal follows the whole status, a page of the dashboard is open, and its web process is scraped once a second.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import Final

from netlab.bench.rekeying import PACKET_BYTES, Load, Member
from netlab.bench.timed_relay import TimedRelay, timed_relay
from netlab.processes import CHECKOUT, environment, processor_seconds
from rustun.backends.process import allow_descriptors

COME_IN_SECONDS: Final = 60.0
COMMANDS: Final = 5
TURNS: Final = 3  # of each kind, one after the other: a machine is faster in one minute than in the next
PAGES: Final = 1  # of the dashboard
GIGA: Final = 1e9


def fastest(control: Path, *options: str) -> float:
    """Return how long `rustun status` takes at its best, seconds."""
    took = []
    for _ in range(COMMANDS):
        began = monotonic()
        subprocess.run(_command(control, *options), env=_environment(), stdout=subprocess.DEVNULL, check=True)
        took.append(monotonic() - began)
    return min(took)


def _command(control: Path, *options: str) -> list[str]:
    return [sys.executable, "-m", "rustun", "status", *options, "--control", str(control)]


def _environment() -> dict[str, str]:
    return environment() | {"PYTHONPATH": str(CHECKOUT)}


@contextmanager
def looked_at(control: Path) -> Iterator[None]:
    """Let a terminal, a page of the dashboard and a scraper follow a relay's status until the context ends."""
    follow = _command(control, "--watch", "--json")
    scrape = [sys.executable, "-m", "netlab.bench.scraping", str(control), str(COME_IN_SECONDS), str(PAGES)]
    with (
        subprocess.Popen(follow, env=_environment(), stdout=subprocess.DEVNULL) as reader,
        subprocess.Popen(scrape, env=_environment(), stdout=subprocess.PIPE) as scraper,
    ):
        try:
            assert scraper.stdout is not None
            if not scraper.stdout.readline():
                raise RuntimeError("there is no web process: see above")
            yield
        finally:
            for process in (reader, scraper):
                process.terminate()


def main() -> None:
    """Start a relay, let everybody in, look at it, load it, report."""
    members, seconds = int(sys.argv[1]), float(sys.argv[2])
    allow_descriptors()
    with timed_relay(members) as relay:
        inside = relay.let_in(members, COME_IN_SECONDS)
        load = Load(Member(inside[0]), Member(inside[1]))
        relay.forget_steps()
        found = {"json_s": fastest(relay.control, "--json"), "table_s": fastest(relay.control)}
        found |= costs(relay, load, seconds / TURNS / 2)
        steps = relay.end()
    lost = load.sent - load.received + load.wrong
    print(json.dumps({**found, "packets": load.sent, "lost": lost, **steps}), flush=True)


def costs(relay: TimedRelay, load: Load, seconds: float) -> dict[str, float]:
    """Return the relay's processor seconds for a gigabyte, alone and looked at, each several times for so long."""
    used, carried = {"alone_s": 0.0, "beside_s": 0.0}, {"alone_s": 0.0, "beside_s": 0.0}

    def carry(kind: str) -> None:
        before, received = processor_seconds(relay.process.pid), load.received
        load.run(seconds, rekeys=False)
        used[kind] += processor_seconds(relay.process.pid) - before
        carried[kind] += (load.received - received) * PACKET_BYTES / GIGA

    for _ in range(TURNS):
        carry("alone_s")
        with looked_at(relay.control):
            carry("beside_s")
    return {kind: used[kind] / carried[kind] for kind in used}


if __name__ == "__main__":
    main()
