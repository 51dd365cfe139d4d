"""Probe links and say whether each does what is wanted of it.

Rules
  1. All links are probed at once with thin trains. Trains that fill a link go in groups, whose rates together are what
     one sender can do.
  2. What is found wanting is probed again before that counts: chance deceives once, not three times. A busy machine may
     do so longer, but makes only some faults: those are probed again and again for a while.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from typing import Final

from netlab.links import probes, verdict
from netlab.links.impairment import Impairment
from netlab.links.probes import ETHERNET_BYTES, LEAST_FRAME_BYTES, Gauge, Train
from netlab.links.verdict import Finding
from netlab.namespaces import NetworkNamespace
from netlab.topology import Port

ROUNDS: Final = 3
BUSY_ROUNDS: Final = 12  # of half a second or so
MOST_THREADS: Final = 32
GROUP_BIT_S: Final = 100_000_000
PATIENCE_S: Final = 0.1  # beyond the delay, for a probe to be seen
REPEATED: Final = 8  # probes, where one alone could be lost

Asked = tuple[Port, Port, Impairment]


def measure(asked: Sequence[Asked], namespaces: Mapping[str, NetworkNamespace]) -> list[tuple[Finding, ...]]:
    """Return what probes found on each direction (sender, receiver, what it is to do), in the same order."""
    with ExitStack() as stack:
        gauges = [stack.enter_context(closing(Gauge(near, far, namespaces))) for near, far, _ in asked]
        pairs = [(gauge, impairment) for gauge, (_, _, impairment) in zip(gauges, asked, strict=True)]
        found: list[tuple[Finding, ...]] = [()] * len(pairs)
        wrong = list(range(len(pairs)))
        for number in range(BUSY_ROUNDS):
            for place, findings in zip(wrong, _round([pairs[place] for place in wrong]), strict=True):
                found[place] = findings
            wrong = [place for place in wrong if not all(finding.holds for finding in found[place])]
            if not wrong or number + 1 >= ROUNDS and not all(map(_may_be_the_machine, (found[one] for one in wrong))):
                break
        with ThreadPoolExecutor(max_workers=MOST_THREADS) as pool:  # the kernel takes its time over each, so together
            list(pool.map(Gauge.close, gauges))
    return found


def _may_be_the_machine(findings: Sequence[Finding]) -> bool:
    return all(finding.holds or finding.may_be_the_machine for finding in findings)


def _round(pairs: Sequence[tuple[Gauge, Impairment]]) -> list[tuple[Finding, ...]]:
    findings = _thin(pairs)
    for group in _groups(pairs):
        trains = [(pairs[place][0], train) for place, train in group]
        patience = max(_patience(pairs[place][1]) for place, _ in group)
        probes.run(trains, patience + verdict.RATE_TRAIN_S)
        for place, train in group:
            gauge, impairment = pairs[place]
            findings[place].append(verdict.judge_rate(impairment, train, gauge.arrivals))
    bursts = [(place, burst) for place, (_, one) in enumerate(pairs) if (burst := verdict.queue_train(one)) is not None]
    if bursts:
        patience = max(_patience(pairs[place][1]) for place, _ in bursts)
        emptying = max(burst.count * burst.size * 8 / pairs[place][1].rate_bit_s for place, burst in bursts)
        probes.run([(pairs[place][0], burst) for place, burst in bursts], patience + emptying / 2)
        for place, burst in bursts:
            gauge, impairment = pairs[place]
            findings[place].append(verdict.judge_queue(impairment, burst, gauge.arrivals))
    return [tuple(one) for one in findings]


def _thin(pairs: Sequence[tuple[Gauge, Impairment]]) -> list[list[Finding]]:
    """Judge all but the rate."""
    trains = [(gauge, verdict.shares_train(impairment)) for gauge, impairment in pairs]
    probes.run(trains, max((_patience(impairment) for _, impairment in pairs), default=0.0))
    findings = [
        verdict.judge_shares(impairment, train, gauge.arrivals)
        for (gauge, impairment), (_, train) in zip(pairs, trains, strict=True)
    ]
    for (gauge, impairment), found in zip(pairs, findings, strict=True):
        if impairment.mtu:
            found.append(_size(gauge, impairment))
        if impairment.black_hole_icmp and impairment.loss < 1:  # where nothing passes, no hole is seen
            found.append(_black_hole(gauge, impairment))
    return findings


def _size(gauge: Gauge, impairment: Impairment) -> Finding:
    count = REPEATED if impairment.loss else 1
    train = Train(count, impairment.mtu + ETHERNET_BYTES, 0.0)
    leaving = count * train.size * 8 / impairment.rate_bit_s if impairment.rate_bit_s else 0.0
    probes.run([(gauge, train)], _patience(impairment) + leaving)
    fits = bool(gauge.arrivals) or impairment.loss == 1
    return verdict.judge_size(impairment.mtu, fits, larger_refused=not gauge.send(count, train.size + 1))


def _black_hole(gauge: Gauge, impairment: Impairment) -> Finding:
    """Send errors before other probes: where those came and they did not, they fell into the hole."""
    probes.run([(gauge, Train(REPEATED, LEAST_FRAME_BYTES, 0.0))], _patience(impairment), icmp_errors=REPEATED)
    return verdict.judge_black_hole(REPEATED, gauge.icmp_errors, len(gauge.arrivals))


def _patience(impairment: Impairment) -> float:
    return impairment.delay_s + impairment.jitter_s + PATIENCE_S


def _groups(pairs: Sequence[tuple[Gauge, Impairment]]) -> list[list[tuple[int, Train]]]:
    """Return places with their rate trains, as many together as one sender can serve."""
    groups: list[list[tuple[int, Train]]] = []
    room = 0
    for place, (_, impairment) in enumerate(pairs):
        train = verdict.rate_train(impairment)
        if train is None:
            continue
        if not groups or impairment.rate_bit_s > room:
            groups.append([])
            room = GROUP_BIT_S
        groups[-1].append((place, train))
        room -= impairment.rate_bit_s
    return groups
