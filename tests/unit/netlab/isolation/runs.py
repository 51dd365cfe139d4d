"""Runs of probes without a laboratory: what taps and counters tell when everything is as the inventory says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace

from netlab.isolation.accounts import Counts
from netlab.isolation.expectation import Cell, Expectation
from netlab.isolation.judgement import Tried, Verdict, judge
from netlab.isolation.plan import Probe, cells
from netlab.isolation.prober import Observed, Trace
from netlab.topology import Address, LabSpec

Change = Callable[[Trace], Trace]


def faithful(expectation: Expectation, probe: Probe) -> Trace:
    """Return what taps see of a probe; hosts' packets come to their gateway, and go on where that routes them."""
    member = expectation.site_of[probe.sender].member
    at_home = {member} - {probe.sender}
    into_tunnel = probe.sender == member or bool(probe.owner)
    arrived = at_home | ({probe.owner, probe.receiver} - {""})
    answered = {probe.sender} if probe.answered else set()
    return Trace(probe, 1, int(into_tunnel), frozenset(arrived), frozenset(answered), altered=False)


def observe(expectation: Expectation, traces: Sequence[Trace]) -> Observed:
    """Return the batch of these traces, with markers everywhere and the counters of a relay that does its duty."""
    everybody = frozenset((site.node, 4) for site in expectation.sites if site.member not in expectation.alone)
    outgoing: dict[str, Counter[tuple[Address, Address]]] = {}
    for trace in traces:
        member = expectation.site_of[trace.probe.sender].member
        if trace.left:
            outgoing.setdefault(member, Counter())[trace.probe.source, trace.probe.destination] += trace.left
    return Observed(tuple(traces), everybody, everybody, outgoing, dutiful(expectation, outgoing))


def dutiful(expectation: Expectation, outgoing: dict[str, Counter[tuple[Address, Address]]]) -> dict[str, Counts]:
    """Return the counters that are right for what went into the tunnels."""
    given: Counter[str] = Counter()
    found: dict[str, Counts] = {}
    for member in expectation.spec.members:
        flows = outgoing.get(member.identity, Counter())
        refused: Counter[str] = Counter()
        for pair, number in flows.items():
            decision = expectation.decide(member.identity, *pair)
            given[decision.owner] += number
            if decision.grounds:
                refused[min(decision.grounds)] += number
        found[member.identity] = Counts(
            read=flows.total(), taken=flows.total() - refused.total(), refused=dict(refused), dropped={}
        )
    return {name: replace(one, given=given[name], written=given[name]) for name, one in found.items()}


def verdict(spec: LabSpec, change: Change = lambda trace: trace, *, by_itself: bool = False) -> Verdict:
    """Judge a run in which every trace was changed by `change`; a batch is all that one machine sends, or a cell."""
    expectation = Expectation(spec)
    planned = cells(expectation)
    batches: dict[object, list[Trace]] = {}
    for cell, probes in planned.items():
        key: Cell | str = cell if by_itself else cell[0]
        batches.setdefault(key, []).extend(change(faithful(expectation, probe)) for probe in probes)
    observed = {key: observe(expectation, traces) for key, traces in batches.items()}
    return judge(expectation, [Tried(cell, observed[cell if by_itself else cell[0]], by_itself) for cell in planned])


def probe_of(spec: LabSpec, sender: str, target: str, what: str = "icmp") -> Probe:
    """Return a probe of a cell by its name."""
    return next(probe for probe in cells(Expectation(spec))[sender, target] if probe.what == what)


def where(probe: Probe, **seen: object) -> Change:
    """Return a change of one probe's trace; everything else stays as it was."""
    return lambda trace: replace(trace, **seen) if trace.probe == probe else trace  # type: ignore[arg-type]
