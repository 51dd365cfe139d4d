"""Why a cell is red, in at most 12 lines: what was expected, what happened, where the packet was seen last.

Rules of this module
  1. Everything is said from evidence: what taps saw, and by how much which counter rose, when the probe was sent again
     by itself.
  2. The lines come in one order, a fact each: sent, expected, got, last seen, not seen, counters, meaning, because,
     again, capture.
  3. Plain words. "The server" is the relay; who is named is a member or a machine of the inventory.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from netlab.isolation.accounts import Counts, packets, words
from netlab.isolation.entries import Entry, difference, entry, holder
from netlab.isolation.evidence import Evidence, Glimpse
from netlab.isolation.expectation import BAD_SOURCE, BROADCAST, MULTICAST, NO_ROUTE, TO_SENDER, Cell, Expectation
from netlab.isolation.plan import Probe
from netlab.topology import Address, MemberSpec

ROUTES: Final = "routes.json"
MOST_LINES: Final = 12
LABEL_COLUMNS: Final = 12
NOTHING: Final = Counts()


@dataclass(frozen=True, slots=True)
class Explanation:
    """A red cell and its lines, the first of which names it."""

    cell: Cell
    lines: tuple[str, ...]

    def __str__(self) -> str:
        return "\n".join(self.lines)


def explain(expectation: Expectation, evidence: Evidence, routes: Path, *, was_red: bool = True) -> Explanation:
    """Return why a probe did not do what the inventory says.

    Args:
        routes: the relay's routes.json.
        was_red: whether its cell was, when all probes were sent.
    """
    case = _Case(expectation, evidence)
    probe = evidence.probe
    member, address = case.basis()
    found = entry(routes, member, address)
    differs = difference(found, member) if found else ""
    meaning = f"{routes.name} says that {differs}" if differs and evidence.wrong else case.meaning()
    lines = [
        ("sent", f"{probe.what}, {probe.source} to {probe.destination}, {packets(evidence.trace.sent)}"),
        ("expected", case.expected()),
        ("got", case.got()),
        *_seen(case.failed_way()),
        ("counters", case.counters()),
        ("meaning", meaning if evidence.wrong or was_red else ""),
        ("because", _because(found, routes) if found else ""),
        ("again", again(probe)),
        ("capture", shown_path(evidence.capture) if evidence.capture else ""),
    ]
    state = "red" if evidence.wrong else "red before, as expected when sent by itself" if was_red else "as expected"
    said = tuple(f"  {label:<{LABEL_COLUMNS}}{text}" for label, text in lines if text)
    return Explanation(probe.cell, (f"{probe.sender} -> {probe.target}: {state}", *said))


def again(probe: Probe) -> str:
    """Return the command that sends just this probe in a running laboratory."""
    target = {BROADCAST: "broadcast", MULTICAST: "multicast"}.get(probe.target, probe.target)
    return f"./invoke lab-probe {shlex.quote(probe.sender)} {shlex.quote(target)} --kind {probe.what}"


def _seen(way: Sequence[Glimpse]) -> list[tuple[str, str]]:
    seen = [number for number, glimpse in enumerate(way) if glimpse.packets]
    if not seen:
        return [("not seen", str(way[0].station))] if way else []
    last = way[seen[-1]]
    kind = "sealed packet" if last.station.sealed else "packet"
    plural = "" if last.packets == 1 else "s"
    lines = [("last seen", f"{last.station}, {last.packets} {kind}{plural}")]
    if seen[-1] + 1 < len(way):
        lines.append(("not seen", str(way[seen[-1] + 1].station)))
    return lines


class _Case:
    """A probe with its evidence, asked for one fact after another."""

    def __init__(self, expectation: Expectation, evidence: Evidence) -> None:
        self.expectation = expectation
        self.evidence = evidence
        self.probe = evidence.probe
        self.sender = expectation.site_of[self.probe.sender]
        source = self.sender.seen(self.probe.source)
        self.decision = expectation.decide(self.sender.member, source, self.probe.destination)
        self.up = evidence.counts.get(self.sender.member, NOTHING)
        others = {name: one for name, one in evidence.counts.items() if name != self.sender.member}
        self.given_to = tuple(name for name, one in others.items() if one.given)

    @property
    def answer_missing(self) -> bool:
        """Whether the probe arrived, and its answer did not come back."""
        trace = self.evidence.trace
        return self.probe.answered and self.probe.receiver in trace.arrived and self.probe.sender not in trace.answered

    def failed_way(self) -> tuple[Glimpse, ...]:
        """Return the way on which the packet went astray."""
        return self.evidence.back if self.answer_missing else self.evidence.way

    def expected(self) -> str:
        """Return what the inventory says of it."""
        probe = self.probe
        if self.decision.owner:
            answer = ", and an answer comes back" if probe.answered else ""
            return f"it arrives at {probe.receiver or self.decision.owner}{answer}"
        grounds = {
            BAD_SOURCE: f"{probe.source} is not {self.sender.member}'s",
            NO_ROUTE: f"{probe.destination} is nobody's in {self.sender.cluster}",
            TO_SENDER: f"{probe.destination} is {self.sender.member}'s own",
        }
        said = (f"{grounds[one]} ({one})" for one in (BAD_SOURCE, NO_ROUTE, TO_SENDER) if one in self.decision.grounds)
        return "the server refuses it: " + ", and ".join(said)

    def got(self) -> str:
        """Return what happened to it, or to its answer."""
        if self.answer_missing:
            owner = self.expectation.site_of[self.probe.receiver].member
            back = self.evidence.counts.get(owner, NOTHING)
            here = self.sender.member
            return "it arrived; its answer: " + self._fate(back, owner, (here,) if self.up.given else ())
        return self._fate(self.up, self.sender.member, self.given_to)

    def _fate(self, up: Counts, member: str, given_to: Sequence[str]) -> str:
        trace = self.evidence.trace
        if not up.read:
            return f"it did not go into the tunnel of {member}"
        if not up.at_relay:
            return "the server counted nothing" + (f"; the client of {member} kept it back" if up.unsent else "")
        if not given_to:
            return f"the server refused it ({words(up.refused or {})})"
        got = given_to[0]
        of = f"{got} of {self.expectation.site_of[got].cluster}"
        dropped = self.evidence.counts[got].dropped
        if dropped:
            return f"the server gave it to {of}, whose client dropped it ({words(dropped)})"
        altered = ", with other bytes than were sent" if trace.altered else ""
        arrived = sorted(trace.arrived - {self.sender.member})
        return f"the server gave it to {of}; it arrived at {', '.join(arrived) or 'nobody'}{altered}"

    def counters(self) -> str:
        """Return which counters moved, and which should have."""
        moved = []
        for name, counts in self.evidence.counts.items():
            if counts.at_relay:
                said = [f"handed on {counts.taken}"] * bool(counts.taken)
                said += [f"{reason} +{number}" for reason, number in sorted((counts.refused or {}).items())]
                moved.append(f"server, from {name}: {', '.join(said)}")
            moved += [f"client of {name}: {reason} +{n}" for reason, n in sorted((counts.dropped or {}).items())]
        wanted = self.decision.grounds
        if wanted and not wanted.intersection(self.up.refused or {}):
            moved.append(f"not moved: {' or '.join(sorted(wanted))} of {self.sender.member}")
        return "; ".join(moved) or "none moved"

    def meaning(self) -> str:
        """Return what is broken, as far as the evidence says it."""
        if not self.evidence.wrong:
            return "it depends on what is sent beside it, or has passed: look at the whole run's counters"
        if not self.up.read:
            return f"the host of {self.sender.member} keeps it from the tunnel"
        if self.answer_missing:
            receiver = self.expectation.site_of[self.probe.receiver].member
            return self._lost(self.evidence.counts.get(receiver, NOTHING), receiver, self.sender.member)
        if self.decision.owner:
            return self._lost(self.up, self.sender.member, self.decision.owner)
        return self._leaked()

    def _leaked(self) -> str:
        probe, cluster = self.probe, self.sender.cluster
        if not self.given_to:
            owners = self.expectation.owners(cluster, probe.source)
            if probe.destination in self.sender.own and owners:  # its gateway sent it back, and it answered
                return self._lost(self.up, self.sender.member, owners[0].identity)
            return "the server refuses it, but not for what speaks against it"
        if BAD_SOURCE in self.decision.grounds:
            return f"the server does not check sources: {probe.source} is {self.whose(probe.source)}"
        if probe.target in (BROADCAST, MULTICAST):
            return f"the server passes on what is sent to a group ({probe.destination})"
        if TO_SENDER in self.decision.grounds:
            return f"the server gives away what is {self.sender.member}'s own"
        got = self.expectation.spec.member(self.given_to[0])
        prefix = next((one for one in got.ciders if probe.destination in one), None)
        if prefix is not None:
            return f"{cluster} is let into the LAN {prefix}, which is behind {got.identity} of {got.cluster}"
        return f"the server does not keep clusters apart: {cluster} reaches {got.cluster}"

    def _lost(self, up: Counts, member: str, owner: str) -> str:
        age = self.evidence.sessions.get(owner)
        if up.refused and "offline" in up.refused and age is not None:
            return f"the server has a session of {owner}, {age:.0f} s old; packets of {member} go to one that has ended"
        if up.refused and "offline" in up.refused:
            return f"{owner} has no session at the server"
        if up.refused:
            return f"the server's routes are not those of the inventory ({words(up.refused)})"
        if not up.at_relay:
            return f"it was lost between {member} and the server"
        dropped = self.evidence.counts.get(owner, NOTHING).dropped
        if dropped:
            return f"the host of {owner} does not let it in ({words(dropped)}): its routes, accept_routes or gateway"
        if self.evidence.trace.altered and not self.probe.translated:
            return "somebody on the way changes packets"
        if owner != member and owner not in self.given_to and owner != self.sender.member:
            return f"the server gave it to somebody else than {owner}"
        return f"behind the tunnel of {owner} it was not passed on"

    def whose(self, address: Address) -> str:
        """Return to whom an address belongs, in words."""
        owners = self.expectation.owners(self.sender.cluster, address)
        if owners:
            return f"{owners[0].identity}'s"
        other = holder(self.expectation.spec, self.sender.cluster, address)
        return f"{other.identity}'s, of {other.cluster}" if other else "nobody's"

    def basis(self) -> tuple[MemberSpec, Address | None]:
        """Return whose entry of routes.json is behind the verdict, and the address that it is about."""
        spec, probe = self.expectation.spec, self.probe
        sender = spec.member(self.sender.member)
        if self.decision.owner:
            return spec.member(self.decision.owner), probe.destination
        if BAD_SOURCE in self.decision.grounds:
            owners = self.expectation.owners(self.sender.cluster, probe.source)
            other = holder(spec, self.sender.cluster, probe.source)
            return (owners[0] if owners else other or sender), probe.source
        got = spec.member(self.given_to[0]) if self.given_to else holder(spec, self.sender.cluster, probe.destination)
        if got is None or not self.expectation.receiver(got.identity, probe.destination):
            return sender, None
        return got, probe.destination


def _because(found: Entry, routes: Path) -> str:
    return f"{shown_path(routes)}:{found.line}: {found.text} of {found.identity} ({found.cluster})"


def shown_path(path: Path) -> str:
    """Return a path as people type it: from where they are, if it lies there."""
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)
