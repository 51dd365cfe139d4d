"""One probe, sent again by itself, with every tap on its way watched: what a red cell is explained from.

Rules of this module
  1. Nothing else is on its way meanwhile but keepalives, so counters belong to this probe, and sealed packets that are
     large enough to hold it are taken for it.
  2. What taps saw of it goes into one pcapng file, an interface for each tap.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from urllib.parse import quote

from netlab.capture import pcapng
from netlab.isolation.accounts import Counts
from netlab.isolation.expectation import Expectation, Site
from netlab.isolation.judgement import Tried, judge
from netlab.isolation.packets import craft, recognise
from netlab.isolation.plan import Probe, batch
from netlab.isolation.prober import Observed, Prober, Trace
from netlab.isolation.route import Station, stations
from netlab.isolation.taps import Tap, outer_taps
from netlab.lab import Laboratory
from netlab.topology import SERVER


@dataclass(frozen=True, slots=True)
class Glimpse:
    """How many packets of a probe passed a station; sealed ones are those that are large enough to hold it."""

    station: Station
    packets: int


@dataclass(frozen=True, slots=True)
class Evidence:
    """What came of one probe that was sent by itself.

    Attributes:
        wrong: whether something was not as expected this time.
        counts: how far the counters of each member rose.
        way, back: what its taps saw of the probe, and of the answer where one was due and the probe arrived.
        sessions: members with a session at the relay, and for how many seconds they have had it.
        capture: what the taps saw, as a file.
    """

    probe: Probe
    trace: Trace
    wrong: bool
    counts: Mapping[str, Counts]
    way: tuple[Glimpse, ...]
    back: tuple[Glimpse, ...]
    sessions: Mapping[str, float]
    capture: Path | None = None


@dataclass(frozen=True, slots=True)
class _Event:
    tap: Tap
    at_ns: int
    goes_out: bool
    data: bytes


class Witness:
    """Sends single probes in a running laboratory; a context manager.

    Args:
        folder: for capture files; made when the first is written.
    """

    def __init__(self, lab: Laboratory, expectation: Expectation, folder: Path) -> None:
        self._lab = lab
        self._expectation = expectation
        self._folder = folder
        self._events: list[_Event] = []
        self._prober = Prober(lab, expectation, outer_taps(lab), self._note)

    def __enter__(self) -> Witness:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._prober.__exit__(kind, error, trace)

    def _note(self, tap: Tap, at_ns: int, goes_out: bool, data: bytes) -> None:
        self._events.append(_Event(tap, at_ns, goes_out, data))

    def send(self, probe: Probe) -> Evidence:
        """Send a probe by itself and return what came of it, without a capture."""
        self._events.clear()
        observed = self._prober.run(batch(self._expectation, [probe]))
        events = [event for event in self._events if event.at_ns <= observed.until_ns]
        wrong = bool(judge(self._expectation, [Tried(probe.cell, observed, by_itself=True)]).red)
        sender = self._expectation.site_of[probe.sender]
        receiver = self._receiver(probe, observed)
        way = self._glimpses(probe, events, sender, receiver)
        back: tuple[Glimpse, ...] = ()
        trace = observed.traces[0]
        if probe.answered and probe.receiver in trace.arrived and receiver is not None:
            back = self._glimpses(probe, events, receiver, sender, answer=True)
        self._events = events
        return Evidence(probe, trace, wrong, observed.counts or {}, way, back, self._sessions())

    def keep(self, evidence: Evidence) -> Evidence:
        """Write what the taps saw of the probe that was sent last, and return its evidence with that file."""
        probe = evidence.probe
        names = list(dict.fromkeys(str(glimpse.station) for glimpse in (*evidence.way, *evidence.back)))
        size = min(map(len, craft(probe, 1)))
        interfaces = [pcapng.Interface(name, pcapng.LINKTYPE_RAW) for name in names]
        content = [pcapng.header(interfaces, str(probe))]
        for event in sorted(self._events, key=lambda one: one.at_ns):
            if str(event.tap) in names and (_sealed(event.data, size) or _numbered(event)):
                direction = pcapng.OUTBOUND if event.goes_out else pcapng.INBOUND
                number = names.index(str(event.tap))
                content.append(pcapng.packet(number, event.at_ns, event.data, len(event.data), direction))
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / (quote(f"{probe.sender}--{probe.target}--{probe.what}", safe="()") + ".pcapng")
        path.write_bytes(b"".join(content))
        return replace(evidence, capture=path)

    def _receiver(self, probe: Probe, observed: Observed) -> Site | None:
        """Return where the probe went behind the relay, or should have gone."""
        sites = self._expectation.site_of
        if probe.receiver:
            return sites[probe.receiver]
        sender = sites[probe.sender].member
        got = [member for member, counts in (observed.counts or {}).items() if counts.given and member != sender]
        if not got:
            return sites.get(probe.owner)
        there = self._expectation.receiver(got[0], probe.destination)
        return sites[there or got[0]]

    def _glimpses(
        self, probe: Probe, events: Sequence[_Event], sender: Site, receiver: Site | None, *, answer: bool = False
    ) -> tuple[Glimpse, ...]:
        way = stations(self._lab.spec, self._lab.topology, sender, receiver)
        size = min(map(len, craft(probe, 1)))
        return tuple(
            Glimpse(one, sum(_passed(one, event, probe, size, answer=answer) for event in events)) for one in way
        )

    def _sessions(self) -> dict[str, float]:
        sessions = (self._lab.status(SERVER) or {}).get("sessions", ())
        return {session["identity"]: session["age_s"] for session in sessions}


def _passed(station: Station, event: _Event, probe: Probe, size: int, *, answer: bool) -> bool:
    """Tell whether an event is the probe (or the answer to it) that passes a station in its direction."""
    if str(event.tap) != str(station) or event.goes_out != station.goes_out:
        return False
    if station.sealed:
        return _sealed(event.data, size)
    ends = (probe.source.packed, probe.destination.packed)
    return any(
        seen.number and (seen.destination == ends[0] and seen.source != ends[0]) == answer
        for seen in recognise(event.data)
    )


def _numbered(event: _Event) -> bool:
    return any(seen.number for seen in recognise(event.data))


def _sealed(data: bytes, size: int) -> bool:
    """Tell whether a packet is a TCP segment with at least `size` bytes in it."""
    if len(data) < 40:
        return False
    start = (data[0] & 15) * 4 if data[0] >> 4 == 4 else 40
    protocol = data[9] if data[0] >> 4 == 4 else data[6]
    if protocol != 6 or len(data) < start + 20:
        return False
    return len(data) - start - (data[start + 12] >> 4) * 4 >= size
