"""A web process beside a server, and a Prometheus that scrapes it: what a look at a server takes.

    python -m netlab.bench.scraping CONTROL SECONDS

Starts `rustun.web` before the control socket CONTROL, prints {"ready": URL}, scrapes /metrics once a second for
SECONDS, then prints {"scrapes": N, "median_ms": M, "longest_ms": L, "bytes": B, "cpu_s": S}: what one scrape takes, how
long the last one is, and the processor time of the web process.
"""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path
from statistics import median
from threading import Event
from time import perf_counter
from typing import Final

from netlab.processes import processor_seconds

EVERY_SECONDS: Final = 1.0
LIMIT_SECONDS: Final = 10.0
LISTENING: Final = re.compile(rb"listening on (http://\S+)")


def scrape(place: str) -> bytes:
    """Return the figures."""
    with urllib.request.urlopen(f"{place}/metrics", timeout=LIMIT_SECONDS) as answer:
        found: bytes = answer.read()
        return found


def watch(place: str, pid: int, seconds: float) -> dict[str, float]:
    """Scrape for so long and return what is printed."""
    took: list[float] = []
    size = 0
    began = perf_counter()
    before = processor_seconds(pid)
    while perf_counter() - began < seconds:
        start = perf_counter()
        size = len(scrape(place))
        took.append((perf_counter() - start) * 1e3)
        Event().wait(max(0.0, EVERY_SECONDS - (perf_counter() - start)))
    used = processor_seconds(pid) - before
    found = {"scrapes": len(took), "median_ms": median(took), "longest_ms": max(took)}
    return {**found, "bytes": size, "cpu_s": used}


def main(control: Path, seconds: float) -> None:
    """Start the web process, scrape it, end it."""
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit())  # ended early: the web process goes as well
    listen = ["--metrics-listen", "127.0.0.1:0", "--log-format", "text"]
    command = [sys.executable, "-m", "rustun.web", "--control", str(control), *listen]
    with subprocess.Popen(command, stderr=subprocess.PIPE) as process:
        try:
            assert process.stderr is not None
            place = next(found[1].decode() for line in process.stderr if (found := LISTENING.search(line)))
            scrape(place)  # the first one loads modules
            print(json.dumps({"ready": place}), flush=True)
            print(json.dumps(watch(place, process.pid, seconds)), flush=True)
        finally:
            process.kill()


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]))
