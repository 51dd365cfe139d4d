"""`./invoke bench`: rustun beside plain routing in the same run; medians, spreads, ratios, and the figures to reach.

Rules of this module
  1. All variants stand side by side in laboratories of their own, with equal addresses; only the one that is being
     measured has anything to do.
  2. Absolute speeds differ by two between machines and by a tenth between minutes. So the variants of a row alternate
     within each repetition, their order is shuffled (from a seed), and a ratio is taken within one repetition.
  3. Raw samples go to the JSON file, with what the machine is; the table shows the median and, in brackets, the least
     and the most.
"""

from __future__ import annotations

import json
import os
import platform
import random
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from time import monotonic
from typing import Any, Final

from netlab import crowd, measure
from netlab.bench_report import report_lines
from netlab.configuration import configure, load
from netlab.demo import plain_spec
from netlab.errors import EXIT_OK, BadInput, EnvironmentLacks
from netlab.lab import Files, Laboratory
from netlab.processes import CHECKOUT
from netlab.spec import lab_spec
from rustun.ops.render import SHARED_KEY

INVENTORY: Final = CHECKOUT / "inventory" / "demo.toml"
SEED: Final = 1
SENDER, RECEIVER, LAN_HOST = "sh-office-gw", "sh-db", "sh-printer"
PLAIN: Final = "plain"
CROWD: Final = "crowd"
CIPHERS: Final = {"aes": "aes256", "chacha": "chacha20", "no-offload": "aes256", CROWD: "aes256"}
OPTIONS: Final = {"no-offload": ("--no-offload",)}
ECHOES: Final = 300  # at 5 ms: gives a usable median and p99
SMALL_BYTES, SMALL_RATE = 100, 100_000.0
LARGE_BYTES, LARGE_BITS = 1300, 500e6
CROWD_CLIENTS, CROWD_PORT = 5000, 8080
Values = dict[str, float]


@dataclass(frozen=True, slots=True)
class Figure:
    """What a row has to reach: `metric` of `variant` at least or at most `limit`, absolute or as a share of plain."""

    variant: str
    metric: str
    least: bool
    limit: float
    of_plain: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """One thing that is measured, for several variants."""

    name: str
    title: str
    variants: tuple[str, ...]
    take: Callable[[Laboratory, float], Values]
    figures: tuple[Figure, ...] = ()
    once: bool = False  # what it finds depends on what was before, so a second time says nothing


@dataclass(frozen=True, slots=True)
class Sample:
    """What one measurement found."""

    row: str
    variant: str
    repetition: int
    values: Values


@dataclass(frozen=True, slots=True)
class Order:
    """What was asked for."""

    rows: tuple[Row, ...]
    repetitions: int
    seconds: float
    json_file: Path | None


def _path(lab: Laboratory, sender: str) -> measure.Path:
    return measure.Path(sender, RECEIVER, str(lab.spec.member(RECEIVER).addresses[0].ip))


def _single(lab: Laboratory, seconds: float) -> Values:
    found = measure.throughput(lab, _path(lab, SENDER), streams=1, seconds=seconds)
    return {"Gbit/s": found.gigabits, "CPU s/GB": found.processor_seconds_per_gigabyte}


def _from_lan(lab: Laboratory, seconds: float) -> Values:
    found = measure.throughput(lab, _path(lab, LAN_HOST), streams=1, seconds=seconds)
    return {"Gbit/s": found.gigabits, "CPU s/GB": found.processor_seconds_per_gigabyte}


def _four(lab: Laboratory, seconds: float) -> Values:
    found, trips = measure.loaded_trips(lab, _path(lab, SENDER), streams=4, seconds=seconds)
    return {"Gbit/s": found.gigabits, "ping mean ms": trips.mean, "ping p99 ms": trips.p99}


def _idle_ping(lab: Laboratory, _seconds: float) -> Values:
    trips = measure.trips(lab, _path(lab, SENDER), echoes=ECHOES)
    return {"median ms": trips.median, "p99 ms": trips.p99, "lost %": trips.lost * 100}


def _small(lab: Laboratory, seconds: float) -> Values:
    return _paced(lab, SMALL_BYTES, SMALL_RATE, seconds)


def _large(lab: Laboratory, seconds: float) -> Values:
    return _paced(lab, LARGE_BYTES, LARGE_BITS / 8 / LARGE_BYTES, seconds)


def _paced(lab: Laboratory, size: int, rate: float, seconds: float) -> Values:
    found = measure.datagrams(lab, _path(lab, SENDER), size=size, rate=rate, seconds=seconds)
    return {"lost %": found.lost * 100, "offered k/s": found.offered / 1000}


def _crowd(lab: Laboratory, _seconds: float) -> Values:
    key_file = str(lab.files.configuration / SHARED_KEY)
    found = measure.crowd(
        lab, _path(lab, SENDER), port=CROWD_PORT, key_file=key_file, clients=CROWD_CLIENTS, echoes=ECHOES
    )
    return {
        "KiB each": found.kibibytes_each,
        "dropped": found.dropped,
        "ping before ms": found.before.median,
        "ping beside ms": found.beside.median,
    }


def _memory(lab: Laboratory, _seconds: float) -> Values:
    sizes = measure.resident_megabytes(lab)
    return {"server MB": sizes["server"], "client MB": sizes["client"]}


ROWS: Final = (
    Row(
        "tcp-1", "1 TCP stream", (PLAIN, "aes", "chacha", "no-offload"), _single,
        (Figure("aes", "Gbit/s", True, 0.45, True), Figure("chacha", "Gbit/s", True, 0.28, True),
         Figure("no-offload", "Gbit/s", True, 0.04, True)),
    ),
    Row("lan", "1 TCP stream from a LAN host through its gateway", (PLAIN, "aes"), _from_lan,
        (Figure("aes", "Gbit/s", True, 0.40, True),)),
    Row("tcp-4", "4 TCP streams, ping meanwhile", (PLAIN, "aes", "chacha"), _four,
        (Figure("aes", "ping mean ms", False, 3.0), Figure("aes", "ping p99 ms", False, 8.0))),
    Row("ping", "idle ping, one every 5 ms", (PLAIN, "aes", "chacha"), _idle_ping,
        (Figure("aes", "median ms", False, 0.55),)),
    Row("udp-small", "100-byte datagrams, 100,000/s offered", (PLAIN, "aes", "chacha"), _small,
        (Figure("aes", "lost %", False, 1.0),)),
    Row("udp-large", "1300-byte datagrams, 500 Mbit/s offered", (PLAIN, "aes", "chacha"), _large,
        (Figure("aes", "lost %", False, 1.0),)),
    Row("memory", "resident memory after all that", ("aes", "chacha", "no-offload"), _memory,
        (Figure("aes", "server MB", False, 64.0), Figure("aes", "client MB", False, 64.0)), once=True),
    Row("crowd", "5,000 idle clients, 50 to a cluster", (CROWD,), _crowd,
        (Figure(CROWD, "KiB each", False, 32.0), Figure(CROWD, "dropped", False, 0.0)), once=True),
)  # fmt: skip


def order(quick: bool, only: str, seconds: float, json_file: Path | None) -> Order:
    """Understand what was asked for. Raises BadInput for a row that there is none of."""
    names = [name.strip() for name in only.split(",") if name.strip()]
    known = [row.name for row in ROWS]
    if wrong := [name for name in names if name not in known]:
        raise BadInput(f"no row {', '.join(wrong)}", f"rows: {', '.join(known)}")
    rows = tuple(row for row in ROWS if not names or row.name in names)
    return Order(rows, 1 if quick else 5, seconds or (1.5 if quick else 3.0), json_file)


def run(asked: Order, build: Path, logs: Path) -> int:
    """Bring all variants up, measure, print the table and write the samples; return the exit code."""
    began = monotonic()
    wanted = {variant for row in asked.rows for variant in row.variants}
    laboratories: dict[str, Laboratory] = {}
    try:
        for variant, lab in _laboratories(wanted, build, logs):
            laboratories[variant] = lab
            lab.start()
            _note(f"{variant}: up")
        samples = list(_measure(asked, laboratories))
    finally:
        for lab in laboratories.values():
            lab.close()
    for line in report_lines(asked.rows, samples):
        print(line)
    took = monotonic() - began
    print(f"{asked.repetitions} repetitions of {asked.seconds:g} s, {took:.0f} s in all; {_machine()['cpu']}")
    if asked.json_file is not None:
        document = {"schema": 1, "machine": _machine(), "seed": SEED, "repetitions": asked.repetitions}
        document |= {"seconds": asked.seconds, "samples": [asdict(sample) for sample in samples]}
        asked.json_file.write_text(json.dumps(document, indent=1) + "\n")
    return EXIT_OK


def _laboratories(wanted: set[str], build: Path, logs: Path) -> Iterator[tuple[str, Laboratory]]:
    inventory = load(INVENTORY)
    cluster = lab_spec(inventory).member(RECEIVER).cluster
    if PLAIN in wanted:
        spec = plain_spec(lab_spec(inventory), cluster)
        yield PLAIN, Laboratory(spec, Files(logs, logs, logs), plain=True)
    for variant, cipher in CIPHERS.items():
        if variant in wanted:
            fleet = replace(inventory, name=f"bench-{variant}", cipher=cipher)
            configured = configure(INVENTORY, fleet, build / fleet.name)
            if variant == CROWD:
                _add_crowd(configured.folder / "routes.json")
            files = Files(configured.folder, logs / variant, Path("/run") / fleet.name)
            yield variant, Laboratory(configured.spec, files, client_options=OPTIONS.get(variant, ()))


def _add_crowd(routes_file: Path) -> None:
    if crowd.allow_descriptors() < CROWD_CLIENTS * 2:
        raise EnvironmentLacks(f"{CROWD_CLIENTS} clients need more open files", f"ulimit -Hn {CROWD_CLIENTS * 2}")
    crowd.extend(routes_file, CROWD_CLIENTS)


def _measure(asked: Order, laboratories: dict[str, Laboratory]) -> Iterator[Sample]:
    shuffle = random.Random(SEED)
    for row in asked.rows:
        for repetition in range(1 if row.once else asked.repetitions):
            variants = list(row.variants)
            shuffle.shuffle(variants)
            for variant in variants:
                values = row.take(laboratories[variant], asked.seconds)
                _note(f"{row.name} {variant}: " + ", ".join(f"{name} {value:.3g}" for name, value in values.items()))
                yield Sample(row.name, variant, repetition, values)


def _note(text: str) -> None:
    print(f"  {text}", file=sys.stderr, flush=True)


def _machine() -> dict[str, Any]:
    models = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    model = models[0].partition(":")[2].strip() if models else platform.machine()
    return {
        "cpu": f"{os.cpu_count()} x {model}",
        "kernel": platform.release(),
        "python": platform.python_version(),
    }
