"""How exact links are: `python -m netlab.links.figures` measures and prints the table that stands in docs/lab.md.

What is promised, for delays to 100 ms and rates to 100 Mbit/s: 95 % of packets leave within a millisecond of their
time, the rate is right within 3 %, the share of lost packets lies in the 99 % interval for the number sent. A figure
outside of that ends the run with 5, after the table.
"""

from __future__ import annotations

import sys
from contextlib import closing
from dataclasses import dataclass
from ipaddress import ip_interface
from typing import Final

from netlab import wiring
from netlab.errors import EXIT_OK, EXIT_UNEXPECTED, LabError
from netlab.links import probes, shaping, verdict
from netlab.links.impairment import Impairment, words
from netlab.links.links import Links
from netlab.links.probes import Arrival, Gauge, Train
from netlab.namespaces import NetworkNamespace, enter_own_world, new_namespaces
from netlab.topology import Node, Port, Topology

SEED: Final = 7  # of the wire's rows: a kernel with netem measures the wire, too
SPARSE: Final = Train(2000, 100, 0.001)
FULL: Final = Train(16_000, 1250, 0.0001)  # 100 Mbit/s, for 1.6 s
MANY: Final = Train(20_000, 100, 0.0002)
RATE_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class Row:
    """One impairment, the train that shows it, and what the figure is about."""

    impairment: Impairment
    train: Train
    about: str


def two_nodes() -> tuple[Topology, dict[str, NetworkNamespace]]:
    """Return the nodes "left" (10.9.0.1) and "right" (10.9.0.2) and the cable between them, wired, with no rustun."""
    left = Port("left", "eth0", 10, "02:00:00:00:00:01", (ip_interface("10.9.0.1/24"),))
    right = Port("right", "eth0", 11, "02:00:00:00:00:02", (ip_interface("10.9.0.2/24"),))
    topology = Topology((Node("left", "host"), Node("right", "host")), ((left, right),), ())
    namespaces = new_namespaces(("left", "right"))
    wiring.build(topology, namespaces)
    return topology, namespaces


def rows() -> list[Row]:
    """Return what is measured, in the table's order."""
    delays = [0.001, 0.005, 0.02, 0.05, 0.1]
    found = [Row(Impairment(delay_s=delay, seed=SEED), SPARSE, "delay") for delay in delays]
    found += [Row(Impairment(delay_s=delay, seed=SEED), FULL, "delay at 100 Mbit/s") for delay in delays]
    rates = [1_000_000, 10_000_000, 50_000_000, 100_000_000]
    for rate in rates:
        train = _filling(rate)
        found += [Row(Impairment(rate_bit_s=rate), train, "rate")] * (rate >= shaping.LEAST_TBF_BIT_S)
        found.append(Row(Impairment(rate_bit_s=rate, delay_s=0.02, seed=SEED), train, "rate"))
    shares = [0.001, 0.01, 0.05, 0.2]
    found += [Row(Impairment(loss=share, seed=SEED), MANY, "loss") for share in shares]
    return [*found, Row(Impairment(loss=0.05, burst=4, seed=SEED), MANY, "loss")]


def _filling(rate: int) -> Train:
    spacing = 1250 * 8 / rate / verdict.RATE_EXCESS
    return Train(round(RATE_S / spacing), 1250, spacing)


def figure(row: Row, arrivals: list[Arrival]) -> tuple[str, bool]:
    """Return the figure in words, and whether it keeps the promise."""
    if row.about == "rate":
        finding = verdict.judge_rate(row.impairment, row.train, arrivals)
        return finding.found, finding.holds
    if row.about == "loss":
        lost = row.train.count - len(arrivals)
        finding = verdict.judge_loss(row.impairment, lost, row.train.count)
        return f"{100 * lost / row.train.count:.2f} %, {finding.found}", finding.holds
    errors = sorted(abs(one.arrived - one.sent - row.impairment.delay_s) * 1e3 for one in arrivals)
    if not errors:
        return "nothing arrived", False
    middle, most, nearly_all = (errors[int(len(errors) * share)] for share in (0.5, 0.95, 0.99))
    text = f"off by {middle:.2f} ms, 95 % by less than {most:.2f}, 99 % than {nearly_all:.2f}"
    return text, most <= verdict.DELAY_ERROR_S * 1e3 and len(arrivals) == row.train.count


def measure() -> int:
    """Measure all rows and print the table; return the exit code."""
    topology, namespaces = two_nodes()
    (near, far) = topology.cables[0]
    kept = True
    print("| link | by | figure | found |\n|---|---|---|---|")
    with closing(Links(topology, namespaces)) as links, closing(Gauge(near, far, namespaces)) as gauge:
        (direction,) = links.find("left->right")
        for row in rows():
            try:
                links.set([(direction, row.impairment)])
            except LabError as error:
                print(f"| {words(row.impairment)} | - | {row.about} | {error.message.splitlines()[0]} |")
                kept = False
                continue
            patience = row.impairment.delay_s + verdict.RATE_EXCESS
            probes.run([(gauge, row.train)], patience)
            found, holds = figure(row, gauge.arrivals)
            kept = kept and holds
            missed = "" if holds else ", **more than promised**"
            print(f"| {words(row.impairment)} | {direction.way} | {row.about} | {found}{missed} |", flush=True)
    return EXIT_OK if kept else EXIT_UNEXPECTED


if __name__ == "__main__":
    sys.exit(enter_own_world(measure))
