"""A web process beside a server, and a Prometheus that scrapes it: what a look at a server takes.

    python -m netlab.bench.scraping CONTROL SECONDS [PAGES]

Starts `rustun.web` before the control socket CONTROL, prints {"ready": URL}, scrapes /metrics once a second for
SECONDS, then prints {"scrapes": N, "median_ms": M, "longest_ms": L, "bytes": B, "cpu_s": S}: what one scrape takes, how
long the last one is, and the processor time of the web process. Meanwhile PAGES pages of its dashboard are open; with
none there is no dashboard.
"""

from __future__ import annotations

import json
import re
import secrets
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from threading import Event, Thread
from time import perf_counter
from typing import Final

from netlab.processes import processor_seconds

EVERY_SECONDS: Final = 1.0
LIMIT_SECONDS: Final = 10.0
LISTENING: Final = re.compile(rb"listening on (http://\S+)")


TOKEN: Final = secrets.token_hex()  # of the dashboard; figures alone need none, and then it would be a wrong one
WITH_TOKEN: Final = {"Authorization": f"Bearer {TOKEN}"}
DASHBOARD: Final = '[dashboard_config]\ntoken_file = "bench.token"\n'


def scrape(place: str, headers: Mapping[str, str]) -> bytes:
    """Return the figures."""
    asked = urllib.request.Request(f"{place}/metrics", headers=dict(headers))
    with urllib.request.urlopen(asked, timeout=LIMIT_SECONDS) as answer:
        found: bytes = answer.read()
        return found


def look(place: str, opened: Event) -> None:
    """Read what an open page of the dashboard is told, until the web process ends."""
    asked = urllib.request.Request(f"{place}/dashboard/live", headers=WITH_TOKEN)
    with suppress(OSError), urllib.request.urlopen(asked, timeout=LIMIT_SECONDS) as answer:
        for line in answer:
            if line.startswith(b"data:"):
                opened.set()


def open_pages(place: str, pages: int) -> None:
    """Open pages, each of which has been told of everybody when this returns. Raises: RuntimeError: one was not."""
    for _ in range(pages):
        opened = Event()
        Thread(target=look, args=(place, opened), daemon=True).start()
        if not opened.wait(LIMIT_SECONDS):
            raise RuntimeError("a page of the dashboard was told nothing")


@contextmanager
def listening(pages: int) -> Iterator[list[str]]:
    """Give the words by which a web process listens: for figures alone, or with the dashboard."""
    if not pages:
        yield ["--metrics-listen", "127.0.0.1:0"]
        return
    with TemporaryDirectory() as name:
        token, config = Path(name, "bench.token"), Path(name, "web.toml")
        token.touch(0o600)
        token.write_text(f"{TOKEN}\n")
        config.write_text(DASHBOARD)
        yield ["--config", str(config), "--listen", "127.0.0.1:0"]


def watch(place: str, headers: Mapping[str, str], pid: int, seconds: float) -> dict[str, float]:
    """Scrape for so long and return what is printed."""
    took: list[float] = []
    size = 0
    began = perf_counter()
    before = processor_seconds(pid)
    while perf_counter() - began < seconds:
        start = perf_counter()
        size = len(scrape(place, headers))
        took.append((perf_counter() - start) * 1e3)
        Event().wait(max(0.0, EVERY_SECONDS - (perf_counter() - start)))
    used = processor_seconds(pid) - before
    found = {"scrapes": len(took), "median_ms": median(took), "longest_ms": max(took)}
    return {**found, "bytes": size, "cpu_s": used}


def main(control: Path, seconds: float, pages: int = 0) -> None:
    """Start the web process, open its pages, scrape it, end it."""
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit())  # ended early: the web process goes as well
    command = [sys.executable, "-m", "rustun.web", "--control", str(control), "--log-format", "text"]
    with listening(pages) as words, subprocess.Popen([*command, *words], stderr=subprocess.PIPE) as process:
        try:
            assert process.stderr is not None
            place = next(found[1].decode() for line in process.stderr if (found := LISTENING.search(line)))
            headers = WITH_TOKEN if pages else {}
            scrape(place, headers)  # the first one loads modules
            open_pages(place, pages)
            print(json.dumps({"ready": place}), flush=True)
            print(json.dumps(watch(place, headers, process.pid, seconds)), flush=True)
        finally:
            process.kill()


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]), *map(int, sys.argv[3:]))
