"""Prove with packets who reaches whom in a running laboratory: plan, send, judge.

All that one machine sends is a batch. Where the counters of a batch do not agree with its packets, its cells are sent
again, each by itself, so that what was counted belongs to one cell.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from time import monotonic
from typing import Final

from netlab.isolation import why
from netlab.isolation.evidence import Witness
from netlab.isolation.expectation import Cell, Expectation
from netlab.isolation.judgement import Tried, Verdict, by_cell, disagrees, judge
from netlab.isolation.plan import Probe, batch, cells
from netlab.isolation.prober import Observed, Prober
from netlab.isolation.why import Explanation
from netlab.lab import Laboratory

EXPLAIN_SECONDS: Final = 20.0
AGAIN_SECONDS: Final = 60.0  # for sending cells again; those that are left are unproven


def probe(lab: Laboratory) -> Verdict:
    """Send every probe that the inventory calls for and judge what was seen and counted."""
    expectation = Expectation(lab.spec)
    planned = cells(expectation)
    with Prober(lab, expectation) as prober:
        by_sender = send(prober, expectation, _refused_first(planned.values()))
        tried = {cell: Tried(cell, by_sender[cell[0]], by_itself=False) for cell in planned}
        tried |= _again(prober, expectation, planned, tried)
    return judge(expectation, list(tried.values()))


def explain(lab: Laboratory, verdict: Verdict, folder: Path) -> list[Explanation]:
    """Send the probes of red cells again, each by itself, and return why the cells are red.

    Args:
        folder: for a capture of each.
    Returns: an explanation for each red cell, as far as time allows; those that are left wait for `lab-probe`.
    """
    expectation = Expectation(lab.spec)
    planned = cells(expectation)
    shown = {cell: [one.probe for one in found if one.probe] for cell, found in by_cell(verdict.red).items()}
    explanations = []
    deadline = monotonic() + EXPLAIN_SECONDS
    with Witness(lab, expectation, folder) as witness:
        for cell in verdict.red_cells:
            if monotonic() > deadline:
                break
            for one in (*shown[cell], *planned[cell]):
                evidence = witness.send(one)
                if evidence.wrong:
                    break
            explanations.append(why.explain(expectation, witness.keep(evidence), lab.files.configuration / why.ROUTES))
    return explanations


def send(prober: Prober, expectation: Expectation, probes: Sequence[Probe]) -> dict[str, Observed]:
    """Send probes, those of one sender at a time, and return what came of each sender's."""
    senders: dict[str, list[Probe]] = {}
    for one in probes:
        senders.setdefault(one.sender, []).append(one)
    return {sender: prober.run(batch(expectation, own)) for sender, own in senders.items()}


def _refused_first(planned: Iterable[Sequence[Probe]]) -> list[Probe]:
    """Return all probes, those that nobody may get first: whatever is sent behind them gives them time."""
    return sorted((one for probes in planned for one in probes), key=lambda one: bool(one.receiver))


def _again(
    prober: Prober, expectation: Expectation, planned: Mapping[Cell, Sequence[Probe]], tried: Mapping[Cell, Tried]
) -> dict[Cell, Tried]:
    found = {}
    wrong = {sender for (sender, _), one in tried.items() if disagrees(expectation, one.observed)}
    deadline = monotonic() + AGAIN_SECONDS
    for cell, probes in planned.items():
        if cell[0] in wrong and monotonic() < deadline:
            found[cell] = Tried(cell, prober.run(batch(expectation, _refused_first([probes]))), by_itself=True)
    return found
