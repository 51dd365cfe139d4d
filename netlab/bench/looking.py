"""A relay with thousands of members that people look at, beside two members who send all they can.

    python -m netlab.bench.looking MEMBERS SECONDS

Starts a relay of its own (`timed_server`), lets MEMBERS in over loopback, and prints
    {"json_s": J, "table_s": T, "alone_s": A, "beside_s": B, "packets": P, "lost": L}
and what the relay says of its steps meanwhile. J and T are whole commands, from the first to the last byte, the fastest
of some, while nobody sends. A and B are the relay's processor seconds for a gigabyte: by turns alone, and while a
terminal follows the whole status, a page of the dashboard is open, and its web process is scraped once a second.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic
from typing import Final

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from netlab.bench import crowd
from netlab.bench.newcomers import Arrivals
from netlab.bench.rekeying import PACKET_BYTES, START_SECONDS, Load, Member, start_relay
from netlab.processes import CHECKOUT, environment, processor_seconds
from rustun.backends.process import allow_descriptors
from rustun.protocol.suites import public_key

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
    key = X25519PrivateKey.generate()
    with TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o700)
        relay, port = start_relay(folder, key, members)
        try:
            inside = Arrivals(port, crowd.newcomers(public_key(key), members)).run(monotonic() + COME_IN_SECONDS)
            if len(inside) != members:
                raise RuntimeError(f"only {len(inside)} of {members} came in")
            by_name = {one.identity: one for one in inside}
            load = Load(*(Member(by_name[crowd.identity(number)]) for number in (0, 1)))
            control = folder / "control"
            relay.send_signal(signal.SIGUSR1)
            found = {"json_s": fastest(control, "--json"), "table_s": fastest(control)}
            found |= costs(relay.pid, control, load, seconds / TURNS / 2)
            relay.send_signal(signal.SIGTERM)
            steps = json.loads(relay.communicate(timeout=START_SECONDS)[0])
        finally:
            relay.kill()
            relay.wait()
    lost = load.sent - load.received + load.wrong
    print(json.dumps({**found, "packets": load.sent, "lost": lost, **steps}), flush=True)


def costs(relay: int, control: Path, load: Load, seconds: float) -> dict[str, float]:
    """Return the relay's processor seconds for a gigabyte, alone and looked at, each several times for so long."""
    used, carried = {"alone_s": 0.0, "beside_s": 0.0}, {"alone_s": 0.0, "beside_s": 0.0}

    def carry(kind: str) -> None:
        before, received = processor_seconds(relay), load.received
        load.run(seconds, rekeys=False)
        used[kind] += processor_seconds(relay) - before
        carried[kind] += (load.received - received) * PACKET_BYTES / GIGA

    for _ in range(TURNS):
        carry("alone_s")
        with looked_at(control):
            carry("beside_s")
    return {kind: used[kind] / carried[kind] for kind in used}


if __name__ == "__main__":
    main()
