"""What packets did, from sightings at taps: who was seen where, in which order, and how far each came.

Rules of this module
  1. A *trail* is one packet's way past the taps: sightings with the same mark, each tap and direction once, that agree
     in an address at least (NAT changes one at a time). A packet that is sent again begins a trail of its own.
  2. Columns stand in the order in which a packet passes them: as the caller has them, or as taps saw something, from
     the first packet on that went into a tunnel. Silent taps are left out then, but for the far end of a cable.
  3. Rows are trails in the order of time. Nothing is guessed: a trail ends where the packet was seen last. It
     *vanished* there only if it left a node and somebody watched where it had to come in: the far end of the cable, or
     another end of the tunnel.
  4. The same sightings give the same diagram.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from netlab.capture import pcapng
from netlab.lab import TUN
from netlab.picture.dissection import Dissected, dissect, dissect_frame

MOST_ROWS: Final = 200
SAME_NS: Final = 5_000_000_000  # later than that it is another packet with the same content


@dataclass(frozen=True, slots=True)
class Tap:
    """Where somebody watched.

    Attributes:
        name: "bj-dev:rustun0".
        inner: it is an end of the tunnel.
        peer: the name of what is at the far end of its cable.
    """

    name: str
    inner: bool = False
    peer: str = ""


@dataclass(frozen=True, slots=True)
class Sighting:
    """A packet at a tap; `length` is its bytes from the IP header on, `at_ns` is of a clock that all taps share."""

    at_ns: int
    tap: Tap
    goes_out: bool
    what: Dissected
    length: int


@dataclass(frozen=True, slots=True)
class Trail:
    """One packet's way.

    Attributes:
        sightings: in the order of time, at least one.
        vanished: it left a node, and did not come in where somebody watched for it.
    """

    sightings: tuple[Sighting, ...]
    vanished: bool = False

    @property
    def first(self) -> Sighting:
        """Where it was seen first."""
        return self.sightings[0]

    @property
    def last(self) -> Sighting:
        """Where it was seen last."""
        return self.sightings[-1]

    @property
    def appeared(self) -> bool:
        """It came into a node and had been seen nowhere before."""
        return not self.first.goes_out


@dataclass(frozen=True, slots=True)
class Diagram:
    """What is drawn.

    Attributes:
        columns: names of taps, from left to right.
        acknowledgements, later: how many trails are left out: bare acknowledgements, and what came after MOST_ROWS.
    """

    columns: tuple[str, ...]
    rows: tuple[Trail, ...]
    acknowledgements: int = 0
    later: int = 0

    @property
    def began_ns(self) -> int:
        """The time that rows are counted from."""
        return self.rows[0].first.at_ns if self.rows else 0


def read(file: Path) -> tuple[list[Tap], list[Sighting]]:
    """Return the taps of a capture, and what they saw. Raises BadInput as `pcapng.read` does."""
    taps: dict[pcapng.Interface, Tap] = {}
    found = []
    for one in pcapng.read(file):
        if isinstance(one, pcapng.Interface):
            taps[one] = Tap(one.name, one.name.endswith(f":{TUN}"), one.peer)
        elif isinstance(one, pcapng.Packet):
            frame = one.interface.linktype == pcapng.LINKTYPE_ETHERNET
            what, length = (dissect_frame(one.data), one.length - 14) if frame else (dissect(one.data), one.length)
            found.append(Sighting(one.at_ns, taps[one.interface], one.goes_out, what, length))
    return list(taps.values()), found


def arrange(
    taps: Sequence[Tap], seen: Iterable[Sighting], *, in_order: bool = False, acknowledgements: bool = False
) -> Diagram:
    """Return the diagram of what was seen.

    Args:
        taps: all at which somebody watched.
        in_order: they stand in the order of the path, and all are drawn; else see rule 2.
        acknowledgements: draw those that carry nothing as well.
    """
    ordered = sorted(seen, key=lambda one: (one.at_ns, not one.goes_out))
    trails = [Trail(tuple(trail), _vanished(trail[-1], taps)) for trail in _trails(ordered)]
    drawn = [trail for trail in trails if acknowledgements or not trail.first.what.bare]
    rows = tuple(drawn[:MOST_ROWS])
    columns = tuple(tap.name for tap in taps) if in_order else _columns(taps, ordered, rows)
    return Diagram(columns, rows, len(trails) - len(drawn), len(drawn) - len(rows))


def facts(diagram: Diagram) -> dict[str, Any]:
    """Return what a diagram shows as a document of JSON; `at_ms` counts from the first packet on."""

    def at_ms(one: Sighting) -> float:
        return round((one.at_ns - diagram.began_ns) / 1e6, 6)

    packets = [
        {
            "what": str(trail.first.what),
            "bytes": trail.first.length,
            "way": [
                {"tap": one.tap.name, "at_ms": at_ms(one), "direction": "out" if one.goes_out else "in"}
                for one in trail.sightings
            ],
            "vanished": trail.vanished,
        }
        for trail in diagram.rows
    ]
    left_out = {"acknowledgements": diagram.acknowledgements, "later": diagram.later}
    return {"taps": diagram.columns, "packets": packets, "left_out": left_out}


def _vanished(last: Sighting, taps: Sequence[Tap]) -> bool:
    if not last.goes_out:
        return False
    return any(tap.name == last.tap.peer or (last.tap.inner and tap.inner and tap != last.tap) for tap in taps)


def _columns(taps: Sequence[Tap], ordered: Sequence[Sighting], rows: Sequence[Trail]) -> tuple[str, ...]:
    drawn = {one.tap for trail in rows for one in trail.sightings}
    start = next((one.at_ns for one in ordered if one.tap.inner and one.goes_out), 0)
    by_time = sorted((one for one in ordered if one.tap in drawn), key=lambda one: (one.at_ns < start, one.at_ns))
    columns: list[str] = []
    for tap in dict.fromkeys(one.tap for one in by_time):
        silent = [tap.peer] * any(other.name == tap.peer and other not in drawn for other in taps)
        columns += [tap.name, *silent]
    return tuple(columns)


def _trails(ordered: Sequence[Sighting]) -> list[list[Sighting]]:
    trails: list[list[Sighting]] = []
    known: dict[bytes, list[list[Sighting]]] = {}
    for one in ordered:
        same = known.setdefault(one.what.mark, [])
        fitting = [trail for trail in same if _continues(trail, one)]
        if fitting:
            max(fitting, key=lambda trail: _shared(trail[-1], one)).append(one)  # the earliest of equals
        else:
            same.append([one])
            trails.append(same[-1])
    return trails


def _continues(trail: Sequence[Sighting], one: Sighting) -> bool:
    fresh = one.at_ns - trail[-1].at_ns <= SAME_NS
    passed = any(other.tap == one.tap and other.goes_out == one.goes_out for other in trail)
    return fresh and not passed and (_shared(trail[-1], one) > 0 or not one.what.source)


def _shared(before: Sighting, after: Sighting) -> int:
    old, new = before.what, after.what
    return (old.source == new.source) + (old.destination == new.destination)
