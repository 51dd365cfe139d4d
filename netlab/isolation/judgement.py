"""What was found beside what the inventory says, cell by cell. No packet is made here.

Rules of this module
  1. A cell is red where a packet arrived that may not, did not arrive where it has to, came altered, or where counters
     say that the relay did something else with it than it has to.
  2. "Nothing arrived" proves nothing by itself. A denial counts when in the same run a probe of the same kind passed
     between members that may talk; when the probe went into the sender's tunnel, or came to its gateway; when later
     markers arrived from the same sender and at the same target; and when the counters agree with every packet that
     was sent. A denial without that is *unproven*, and unproven is not as expected.
  3. A member alone in its cluster may talk to nobody, so no marker can pass. For it the counters are enough: all that
     went into its tunnel was refused by the relay, and nothing was given to it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass

from netlab.isolation.accounts import discrepancies
from netlab.isolation.expectation import Cell, Expectation
from netlab.isolation.plan import Probe
from netlab.isolation.prober import Observed, Trace

YES, NO, RED, UNPROVEN = "yes", "no", "!", "?"


@dataclass(frozen=True, slots=True)
class Finding:
    """Something about a cell that is not as expected, or not proven; `probe` is the one that shows it, if one does."""

    cell: Cell
    text: str
    probe: Probe | None = None

    def __str__(self) -> str:
        return f"{self.probe or f'{self.cell[0]} to {self.cell[1]}'}: {self.text}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of all probes.

    Attributes:
        probes: how many were sent.
        cells: yes, no, "?" (unproven) or "!" (not as expected).
        expected: whether something has to get through.
        red, doubtful: why a cell is "!" or "?"; of each doubt the first probe that it concerns.
        counted: members alone in their clusters, whose denials are proven by counters.
    """

    probes: int
    cells: Mapping[Cell, str]
    expected: Mapping[Cell, bool]
    red: tuple[Finding, ...] = ()
    doubtful: tuple[Finding, ...] = ()
    counted: tuple[str, ...] = ()

    @property
    def as_expected(self) -> bool:
        """True when probes were sent, and every one came out, and was proven, as the inventory says."""
        return self.probes > 0 and bool(self.cells) and not self.red and not self.doubtful

    @property
    def red_cells(self) -> tuple[Cell, ...]:
        """The cells that are not as expected, in the order of the plan."""
        return tuple(cell for cell, found in self.cells.items() if found == RED)


@dataclass(frozen=True, slots=True)
class Tried:
    """A cell and the batch that its probes were in; `by_itself` when no other cell's were."""

    cell: Cell
    observed: Observed
    by_itself: bool


def judge(expectation: Expectation, tried: Sequence[Tried]) -> Verdict:
    """Compare what was seen and counted with what the inventory says."""
    controls: Set[tuple[str, int]] = {
        (trace.probe.kind, trace.probe.destination.version)
        for one in tried
        for trace in one.observed.traces
        if trace.probe.receiver and trace.probe.receiver in trace.arrived
    }
    books = {id(one.observed): _books(expectation, one.observed) for one in tried}
    cells: dict[Cell, str] = {}
    expected: dict[Cell, bool] = {}
    red: list[Finding] = []
    doubtful: list[Finding] = []
    for one in tried:
        traces = [trace for trace in one.observed.traces if trace.probe.cell == one.cell]
        found = [Finding(one.cell, text, trace.probe) for trace in traces if (text := surprise(expectation, trace))]
        disagreement = books[id(one.observed)]
        if disagreement and one.by_itself:
            found.append(Finding(one.cell, disagreement))
        open_: list[Finding] = []
        if not found:
            proof = _Proof(expectation, one.observed, controls, disagreement)
            lacks = {text: t.probe for t in reversed(traces) if not t.probe.receiver and (text := proof.lacks(t))}
            open_ = [Finding(one.cell, text, probe) for text, probe in lacks.items()]
        red += found
        doubtful += open_
        expected[one.cell] = any(trace.probe.receiver == one.cell[1] for trace in traces)
        cells[one.cell] = RED if found else UNPROVEN if open_ else YES if expected[one.cell] else NO
    probes = sum(len(observed.traces) for observed in {id(one.observed): one.observed for one in tried}.values())
    counted = tuple(name for name in sorted(expectation.alone) if not any(f.cell[0] == name for f in (*red, *doubtful)))
    return Verdict(probes, cells, expected, tuple(red), tuple(doubtful), counted)


def disagrees(expectation: Expectation, observed: Observed) -> bool:
    """Tell whether the counters of a batch are not those of its packets."""
    return bool(_books(expectation, observed))


def _books(expectation: Expectation, observed: Observed) -> str:
    return "; ".join(discrepancies(expectation, observed.outgoing or {}, observed.counts or {}))


def surprise(expectation: Expectation, trace: Trace) -> str:
    """Return in words where a probe went that it should not have, or did not go; empty when all is well."""
    probe, arrived, answered = trace.probe, trace.arrived, trace.answered
    sender = expectation.site_of[probe.sender]
    if probe.receiver and probe.receiver not in arrived:
        return f"expected at {probe.receiver}, did not arrive"
    own_gateway = {sender.member} - {probe.sender}
    if own_gateway and probe.destination in sender.own:  # another cluster's too: it is sent back
        arrived = arrived - {probe.sender}
    way = {probe.owner, probe.receiver} - {""}
    if stray := sorted(arrived - way - own_gateway):
        return f"expected at {probe.receiver or 'nobody'}, found at {', '.join(stray)}"
    if probe.answered and probe.sender not in answered:
        return "arrived, but no answer came back"
    at_home = own_gateway and (probe.destination in _home(expectation, sender.member) or not _aimed(expectation, probe))
    if not probe.answered and answered and not at_home:
        return f"an answer was found at {', '.join(sorted(answered))}"
    return "arrived with other bytes than were sent" if trace.altered and not probe.translated else ""


def _home(expectation: Expectation, member: str) -> set[object]:
    return {address for site in expectation.sites if site.member == member for address in site.own}


def _aimed(expectation: Expectation, probe: Probe) -> bool:
    return probe.target in expectation.site_of


class _Proof:
    """Knows what one batch shows of packets that did not arrive."""

    def __init__(
        self, expectation: Expectation, observed: Observed, controls: Set[tuple[str, int]], disagreement: str
    ) -> None:
        self._expectation = expectation
        self._controls = controls
        self._disagreement = disagreement
        self._lost = observed.lost
        self._from = {node for node, _ in observed.from_senders}
        self._to = {node for node, _ in observed.to_targets}

    def lacks(self, trace: Trace) -> str:
        """Return in words what is missing to call a denial proven; empty when nothing is."""
        probe = trace.probe
        sender = self._expectation.site_of[probe.sender]
        by_counters = sender.member in self._expectation.alone
        if not by_counters and (probe.kind, probe.destination.version) not in self._controls:
            return "nothing of this kind passed between members that may talk"
        if sender.node == sender.member and trace.left < trace.sent:
            return "it did not go into the sender's tunnel"
        if sender.node != sender.member and sender.member not in trace.arrived and trace.left < trace.sent:
            return "it did not come to the sender's gateway"
        if not by_counters and probe.sender not in self._from:
            return "no later marker of its sender arrived"
        targets = (probe.target,) if _aimed(self._expectation, probe) else self._expectation.site_of
        if dead := [node for node in targets if not self._reached(node)]:
            return f"no later marker arrived at {', '.join(dead)}"
        if self._lost:
            return f"the taps lost {self._lost} packets"
        return f"the counters do not agree: {self._disagreement}" if self._disagreement else ""

    def _reached(self, node: str) -> bool:
        return node in self._to or self._expectation.site_of[node].member in self._expectation.alone


def by_cell(findings: Iterable[Finding]) -> dict[Cell, list[Finding]]:
    """Return findings by cell."""
    found: dict[Cell, list[Finding]] = {}
    for finding in findings:
        found.setdefault(finding.cell, []).append(finding)
    return found
