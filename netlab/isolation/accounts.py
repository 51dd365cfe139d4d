"""What clients and the relay counted while probes ran, and what does not agree with the packets that taps saw.

    TUN device --read--> client --taken, refused--> relay --given--> client --written, dropped--> TUN device

Rules of this module
  1. Every packet that a tap saw going into a tunnel, a probe or not, is on the books: read by its client, then handed
     on or refused by the relay on a ground that holds for it (expectation.py), and given to the member it is for.
  2. A packet may be refused on any of its grounds. So the counters agree when all are accounted for, and no set of
     reasons counts fewer than the packets that can be refused for nothing else (Hall's condition).
  3. A client drops nothing of what the relay gives it: what it has to drop should not have come so far.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain, combinations
from typing import Any, Final

from netlab.isolation.expectation import Expectation
from netlab.topology import Address

UPWARD: Final = frozenset({"queue-full", "no-session", "uncuttable"})  # what a client drops on the way into the tunnel
LATE: Final = frozenset({"offline", "queue-full", "closed"})  # the relay may have counted these as handed on before
Document = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Counts:
    """Packets of one member: by its client (read, written, unsent, dropped), by its session at the relay (the rest)."""

    read: int = 0
    written: int = 0
    unsent: int = 0
    taken: int = 0
    given: int = 0
    refused: Mapping[str, int] | None = None
    dropped: Mapping[str, int] | None = None

    @property
    def at_relay(self) -> int:
        """Packets from this member that the relay has dealt with."""
        return self.taken + sum((self.refused or {}).values())

    @property
    def settled(self) -> bool:
        """Whether nothing is on its way between client and relay, should both have begun to count together."""
        delivered = self.written + sum((self.dropped or {}).values())
        twice = self.unsent + self.at_relay - self.read
        return 0 <= twice <= self.late and self.given == delivered

    @property
    def late(self) -> int:
        """Packets that the relay may have counted twice; while there are any, one on its way may be overlooked."""
        return sum((self.refused or {}).get(reason, 0) for reason in LATE)


def counts_of(client: Document, session: Document) -> Counts:
    """Return what a client's status document and the relay's of its session say."""
    drops: Mapping[str, int] = client["drops"]
    return Counts(
        read=client["sent_packets"],
        written=client["received_packets"],
        unsent=sum(number for reason, number in drops.items() if reason in UPWARD),
        taken=session["received_packets"],
        given=session["sent_packets"],
        refused=dict(session["drops"]),
        dropped={reason: number for reason, number in drops.items() if reason not in UPWARD},
    )


def rise(now: Counts, before: Counts) -> Counts:
    """Return what was counted in between."""
    return Counts(
        now.read - before.read,
        now.written - before.written,
        now.unsent - before.unsent,
        now.taken - before.taken,
        now.given - before.given,
        _less(now.refused, before.refused),
        _less(now.dropped, before.dropped),
    )


def _less(now: Mapping[str, int] | None, before: Mapping[str, int] | None) -> dict[str, int]:
    names = dict.fromkeys((*(now or {}), *(before or {})))
    found = {name: (now or {}).get(name, 0) - (before or {}).get(name, 0) for name in names}
    return {name: number for name, number in found.items() if number}


Flows = Mapping[tuple[Address, Address], int]  # packets by (source, destination)


def discrepancies(
    expectation: Expectation, outgoing: Mapping[str, Flows], counts: Mapping[str, Counts]
) -> tuple[str, ...]:
    """Return, in words, what was counted otherwise than it has to be.

    Args:
        outgoing: what the tap on each member's TUN device saw going into the tunnel.
        counts: of each member whose client and session told theirs, risen meanwhile.
    """
    found: list[str] = []
    meant: Counter[str] = Counter()
    for member, flows in outgoing.items():
        decisions = {pair: expectation.decide(member, *pair) for pair in flows}
        for pair, decision in decisions.items():
            meant[decision.owner] += flows[pair]
        grounds = Counter({pair: flows[pair] for pair, one in decisions.items() if one.grounds})
        refused = Counter[frozenset[str]]()
        for pair, number in grounds.items():
            refused[decisions[pair].grounds] += number
        if member in counts:
            found += _upwards(member, sum(flows.values()), refused, counts[member])
        elif flows:
            found.append(f"{member} sent {packets(sum(flows.values()))}, and its counters are not to be had")
    for member, counted in counts.items():
        if counted.given != meant[member]:
            found.append(f"the relay gave {member} {packets(counted.given)}, {meant[member]} were meant for it")
        if counted.dropped:
            found.append(f"the client of {member} dropped {words(counted.dropped)}")
    return tuple(found)


def _upwards(member: str, sent: int, refused: Counter[frozenset[str]], counted: Counts) -> list[str]:
    found = []
    if counted.read != sent:
        found.append(f"the client of {member} read {counted.read} of {packets(sent)}")
    if counted.unsent:
        found.append(f"the client of {member} kept back {packets(counted.unsent)}")
    to_refuse = refused.total()
    if counted.taken != sent - to_refuse or not may_count(refused, counted.refused or {}):
        wanted = ", ".join(f"{number} {' or '.join(sorted(grounds))}" for grounds, number in sorted(
            refused.items(), key=lambda item: sorted(item[0])
        ))  # fmt: skip
        found.append(
            f"of {packets(sent)} from {member} the relay handed on {counted.taken} and refused "
            f"{words(counted.refused or {})}; right were {sent - to_refuse} and {wanted or 'none'}"
        )
    return found


def may_count(refused: Mapping[frozenset[str], int], counted: Mapping[str, int]) -> bool:
    """Tell whether counters can be of packets with these grounds (rule 2)."""
    if sum(refused.values()) != sum(counted.values()):
        return False
    reasons = sorted({*chain.from_iterable(refused), *counted})
    for size in range(1, len(reasons)):
        for some in map(frozenset, combinations(reasons, size)):
            if sum(counted.get(one, 0) for one in some) < sum(n for grounds, n in refused.items() if grounds <= some):
                return False
    return True


def words(counted: Mapping[str, int]) -> str:
    """Return counters as text, such as "3 bad-source, 1 no-route"; "none" where nothing was counted."""
    return ", ".join(f"{number} {reason}" for reason, number in sorted(counted.items())) or "none"


def packets(number: int) -> str:
    """Return "1 packet", "2 packets"."""
    return f"{number} packet" + ("" if number == 1 else "s")
