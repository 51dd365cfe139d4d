"""`./invoke bench`: rustun beside plain routing in the same run; medians, spreads, ratios, and the figures to reach.

Rules of this module
  1. All variants stand side by side in laboratories of their own, with equal addresses; only the one that is being
     measured has anything to do.
  2. Absolute speeds differ by two between machines and by a tenth between minutes. So each tunnel is measured next to
     plain routing: tunnel, plain, tunnel; or plain, tunnel, plain, tunnel where there is one. These neighbours are a
     group, and a ratio is taken within one group. Which tunnels are neighbours is shuffled from a seed.
  3. Raw samples go to the JSON file, with what the machine is; the tables show median, least and most.
"""

from __future__ import annotations

import json
import os
import platform
import random
import socket
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from ipaddress import ip_network
from itertools import count
from pathlib import Path
from time import monotonic
from typing import Any, Final

from netlab.bench import crowd
from netlab.bench.load import congestion_control
from netlab.bench.measure_toolkit import Toolkit
from netlab.bench.report import Sample, markdown_lines, tables, text_lines
from netlab.bench.rows import (
    AES,
    AES_SINGLE,
    CHACHA,
    CHACHA_SINGLE,
    CROWD,
    CROWD_CLIENTS,
    MAPPED,
    MASQUERADED,
    PLAIN,
    RECEIVER,
    ROWS,
    SENDER,
    SHARED,
    TOOLKIT,
    Row,
)
from netlab.configuration import configure, load
from netlab.demo import plain_spec
from netlab.errors import EXIT_OK, BadInput, EnvironmentLacks
from netlab.lab import Files, Laboratory
from netlab.processes import CHECKOUT
from netlab.spec import lab_spec
from rustun.backends.process import allow_descriptors
from rustun.ops.fleet import Cluster, Member
from rustun.protocol.tiers import Tier

INVENTORY: Final = CHECKOUT / "inventory" / "demo.toml"
SEED: Final = 1
SEEN: Final = ip_network("192.168.110.0/24")  # what a mapping shows in the LAN's place
REPETITIONS, QUICK_REPETITIONS = 5, 1
SECONDS, QUICK_SECONDS = 2.0, 1.0


def _as_in_the_demo(member: Member) -> Member:
    return member


def _masqueraded(member: Member) -> Member:
    return replace(member, settings=replace(member.settings, masquerade=True))


def _mapped(member: Member) -> Member:
    return replace(member, ciders=(SEEN,), cider_mapping=tuple((SEEN, real) for real in member.ciders))


@dataclass(frozen=True, slots=True)
class Fleet:
    """What a variant's fleet is, beside the demo's: record cipher, tier, options of each client, the gateway."""

    cipher: str
    tier: Tier = Tier.KEY
    client_options: tuple[str, ...] = ()
    gateway: Callable[[Member], Member] = _as_in_the_demo


FLEETS: Final = {
    AES: Fleet("aes256"),
    CHACHA: Fleet("chacha20"),
    AES_SINGLE: Fleet("aes256", client_options=("--no-offload",)),
    CHACHA_SINGLE: Fleet("chacha20", client_options=("--no-offload",)),
    SHARED: Fleet("aes256", tier=Tier.SHARED),
    MASQUERADED: Fleet("aes256", gateway=_masqueraded),
    MAPPED: Fleet("aes256", gateway=_mapped),
    CROWD: Fleet("aes256"),
}


@dataclass(frozen=True, slots=True)
class Order:
    """What was asked for."""

    rows: tuple[Row, ...]
    repetitions: int
    seconds: float
    json_file: Path | None
    markdown_file: Path | None


def order(quick: bool, only: str, seconds: float, json_file: Path | None, markdown_file: Path | None) -> Order:
    """Understand what was asked for. Raises BadInput for a row that there is none of."""
    names = [name.strip() for name in only.split(",") if name.strip()]
    known = [row.name for row in ROWS]
    if wrong := [name for name in names if name not in known]:
        raise BadInput(f"no row {', '.join(wrong)}", f"rows: {', '.join(known)}")
    rows = tuple(row for row in ROWS if not names or row.name in names)
    repetitions, usual = (QUICK_REPETITIONS, QUICK_SECONDS) if quick else (REPETITIONS, SECONDS)
    return Order(rows, repetitions, seconds or usual, json_file, markdown_file)


def run(asked: Order, build: Path, logs: Path) -> int:
    """Bring all variants up, measure, print the tables and write the files asked for; return the exit code."""
    began = monotonic()
    wanted = {variant for row in asked.rows for variant in row.variants}
    places: dict[str, Laboratory | Toolkit] = {}
    try:
        for variant, place in _places(wanted, build, logs):
            places[variant] = place
            place.start()
            _note(f"{variant}: up")
        samples = list(_measure(asked, places))
    finally:
        for place in places.values():
            place.close()
    facts = _facts(asked, monotonic() - began)
    _tell(asked, facts, samples)
    return EXIT_OK


def _tell(asked: Order, facts: dict[str, Any], samples: list[Sample]) -> None:
    """Print the tables, and write the samples and the Markdown to their files."""
    report = tables(asked.rows, samples)
    how = (
        f"{facts['repetitions']} x {facts['seconds']:g} s, {facts['took_s']:.0f} s in all, {facts['date']}; "
        f"{facts['cpu']}, Linux {facts['kernel']}, Python {facts['python']}; TCP of the load: {facts['congestion']}"
    )
    for table in report:
        print("\n".join(text_lines(table)))
    print(how)
    if asked.json_file is not None:
        document = {"schema": 1, **facts, "samples": [asdict(sample) for sample in samples]}
        asked.json_file.write_text(json.dumps(document, indent=1) + "\n")
    if asked.markdown_file is not None:
        lines = [how + ".", "", *(line for table in report for line in markdown_lines(table))]
        asked.markdown_file.write_text("\n".join(lines))


def _places(wanted: set[str], build: Path, logs: Path) -> Iterator[tuple[str, Laboratory | Toolkit]]:
    yield from _laboratories(wanted, build, logs)
    yield from ((variant, Toolkit(variant)) for variant in TOOLKIT if variant in wanted)


def _laboratories(wanted: set[str], build: Path, logs: Path) -> Iterator[tuple[str, Laboratory]]:
    inventory = load(INVENTORY)
    cluster = lab_spec(inventory).member(RECEIVER).cluster
    if PLAIN in wanted:
        spec = plain_spec(lab_spec(inventory), cluster)
        yield PLAIN, Laboratory(spec, Files(logs, logs, logs), plain=True)
    for variant, fleet in FLEETS.items():
        if variant in wanted:
            name = f"bench-{variant}"
            clusters = tuple(_with_gateway(one, fleet.gateway) for one in inventory.clusters)
            theirs = replace(inventory, name=name, cipher=fleet.cipher, minimum_tier=fleet.tier, clusters=clusters)
            configured = configure(INVENTORY, theirs, build / name)
            if variant == CROWD:
                _add_crowd(configured.folder / "routes.json")
            files = Files(configured.folder, logs / variant, Path("/run") / name)
            yield variant, Laboratory(configured.spec, files, client_options=fleet.client_options)


def _with_gateway(cluster: Cluster, gateway: Callable[[Member], Member]) -> Cluster:
    members = (gateway(member) if member.identity == SENDER else member for member in cluster.members)
    return replace(cluster, members=tuple(members))


def _add_crowd(routes_file: Path) -> None:
    if allow_descriptors() < CROWD_CLIENTS * 2:
        raise EnvironmentLacks(f"{CROWD_CLIENTS} clients need more open files", f"ulimit -Hn {CROWD_CLIENTS * 2}")
    crowd.extend(routes_file, CROWD_CLIENTS)


def _measure(asked: Order, places: Mapping[str, Laboratory | Toolkit]) -> Iterator[Sample]:
    shuffle = random.Random(SEED)
    groups = count()
    began = monotonic()
    for row in asked.rows:
        for repetition in range(1 if row.once else asked.repetitions):
            for neighbours in neighbourhoods(row.variants, row.reference, shuffle):
                group = next(groups)
                for variant in neighbours:
                    values = row.take(places[variant], asked.seconds)
                    words = ", ".join(f"{name} {value:.3g}" for name, value in values.items())
                    _note(f"{monotonic() - began:4.0f} s  {row.name} {repetition + 1}  {variant}: {words}")
                    yield Sample(row.name, variant, repetition, group, values)


def neighbourhoods(variants: tuple[str, ...], reference: str, shuffle: random.Random) -> list[tuple[str, ...]]:
    """Return what to measure in one repetition, in order: each variant next to the row's reference."""
    others = [variant for variant in variants if variant != reference]
    shuffle.shuffle(others)
    if reference not in variants:
        return [(other,) for other in others]
    pairs = [others[start : start + 2] for start in range(0, len(others), 2)]
    return [(pair[0], reference, pair[1]) if len(pair) > 1 else (reference, pair[0]) for pair in pairs]


def _note(text: str) -> None:
    print(f"  {text}", file=sys.stderr, flush=True)


def _facts(asked: Order, took: float) -> dict[str, Any]:
    models = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    model = models[0].partition(":")[2].strip() if models else platform.machine()
    with socket.socket() as stream:
        congestion = congestion_control(stream)
    return {
        "cpu": f"{os.cpu_count()} x {model}",
        "kernel": platform.release(),
        "python": platform.python_version(),
        "congestion": congestion,
        "date": datetime.now(UTC).date().isoformat(),
        "seed": SEED,
        "repetitions": asked.repetitions,
        "seconds": asked.seconds,
        "took_s": round(took, 1),
    }
