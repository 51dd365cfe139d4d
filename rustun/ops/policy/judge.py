"""Assertions against the generated configuration: what holds, and for what does not, the first case that shows it.

Rules of this module
  1. "can": each of WHO reaches all of WHAT: every address of a prefix, every tunnel address of a member that has the
     sender's IP version, all members and prefixes of a cluster. What a sender owns itself is left out; where nothing
     is left, the assertion does not hold, since nothing was shown.
  2. "cannot": none of WHO reaches any of it. Two clusters may have equal addresses: what carries a name is reached
     only where the packet ends up at that name; a bare address, wherever it ends up.
  3. Who is switched off, or whose time is over, reaches nobody and is not reached.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import ip_network
from typing import Final

from rustun.backends.base import Prefix
from rustun.ops.policy.assertions import Assertion
from rustun.ops.policy.reach import Node, Reach
from rustun.protocol.routing import like_default

EVERYWHERE: Final = tuple(ip_network(text) for text in ("8.0.0.0/8", "2600::/12"))  # stand for the whole internet


@dataclass(frozen=True, slots=True)
class Outcome:
    """Whether an assertion holds; `cases` were looked at, `against` is the first that speaks against it."""

    assertion: Assertion
    holds: bool
    cases: int
    against: str = ""


@dataclass(frozen=True, slots=True)
class Case:
    """One address to try (32 or 128 bits), and who counts as having got it; empty: whoever gets it."""

    address: int
    version: int
    meant: frozenset[str]


def judge(assertion: Assertion, reach: Reach) -> Outcome:
    """Look at every case that the assertion speaks of, up to the first against it."""
    cases = 0
    needed = (*assertion.who, *(assertion.target.names if assertion.target.kind == "members" else ()))
    if assertion.reaches and (absent := next((name for name in needed if name not in reach.nodes), "")):
        return Outcome(assertion, False, cases, f"{absent} is switched off, or its time is over")
    for sender in (reach.nodes[identity] for identity in assertion.who if identity in reach.nodes):
        looked_at = 0
        for case in cases_of(assertion, sender, reach):
            way = reach.way(sender, case.address, case.version)
            reached = bool(way.receiver) and (not case.meant or way.receiver in case.meant)
            looked_at += 1
            if reached != assertion.reaches:
                missed = f", not {_some(case.meant)}" if way.receiver and not reached else ""
                verb = "reaches" if reached else "does not reach"
                against = f"{sender.identity} ({sender.cluster}) {verb} it: {way.why}{missed}"
                return Outcome(assertion, False, cases + looked_at, against)
        if assertion.reaches and not looked_at:
            nothing = f"{sender.identity} has nothing of it to reach: it is its own, or nobody's"
            return Outcome(assertion, False, cases, nothing)
        cases += looked_at
    return Outcome(assertion, True, cases)


def cases_of(assertion: Assertion, sender: Node, reach: Reach, *, across: bool = False) -> Iterator[Case]:
    """Yield what has to be tried from one sender.

    Args:
        across: whether also what two clusters keep apart for sure, since the relay has a table for each.
    """
    target, wanted = assertion.target, assertion.reaches
    apart = not wanted and not across
    match target.kind:
        case "prefix":
            assert target.prefix is not None
            yield from _prefix_cases(target.prefix, sender, reach, frozenset(), wanted=wanted)
        case "internet":
            for prefix in EVERYWHERE:
                if not wanted or any(own.version == prefix.version for own in sender.addresses):
                    yield Case(int(prefix.network_address) + 1, prefix.version, frozenset())
        case "members":
            for name in target.names:
                node = reach.nodes.get(name)
                if node is not None and not (apart and node.cluster != sender.cluster):
                    yield from _member_cases(node, sender)
        case "cluster":
            name = target.names[0]
            if not (apart and name != sender.cluster):
                yield from _cluster_cases(reach.cluster(name), sender, reach, wanted=wanted)


def _prefix_cases(prefix: Prefix, sender: Node, reach: Reach, meant: frozenset[str], *, wanted: bool) -> Iterator[Case]:
    for address, version in reach.parts(sender, prefix):
        if not (wanted and reach.is_own(sender, address, version)):
            yield Case(address, version, meant)


def _member_cases(node: Node, sender: Node) -> Iterator[Case]:
    if node is sender:
        return
    versions = {own.version for own in sender.addresses}
    for own in node.addresses:
        if own.version in versions:
            yield Case(int(own), own.version, frozenset((node.identity,)))


def _cluster_cases(nodes: Sequence[Node], sender: Node, reach: Reach, *, wanted: bool) -> Iterator[Case]:
    everybody = frozenset(node.identity for node in nodes)
    for node in nodes:
        yield from _member_cases(node, sender)
        for prefix in node.prefixes if node is not sender else ():
            if not like_default(prefix):
                yield from _prefix_cases(prefix, sender, reach, everybody, wanted=wanted)


def _some(names: Iterable[str]) -> str:
    shown = sorted(names)
    return shown[0] if len(shown) == 1 else f"{shown[0]} and {len(shown) - 1} more" if shown else "anybody"
