"""Explanations of red cells, word for word: tests/golden/why/NAME.txt, from evidence that is put together here.

A file that is missing is written, and the test fails: look at it, then run the test again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from netlab import layout
from netlab.isolation.accounts import Counts
from netlab.isolation.evidence import Evidence, Glimpse
from netlab.isolation.expectation import Expectation
from netlab.isolation.prober import Trace
from netlab.isolation.route import stations
from netlab.isolation.why import MOST_LINES, explain
from tests.unit.netlab.fleets import two_tenants
from tests.unit.netlab.isolation.runs import probe_of

GOLDEN = Path(__file__).parents[3] / "golden" / "why"
WIDTH = 120
ROUTES = """[
  {
    "cluster": "a",
    "identity": "a1",
    "private_ip": "10.0.1.1",
    "private_ip6": "fd00:1::1/64",
    "ciders": ["192.168.1.0/24"]
  },
  {
    "cluster": "a",
    "identity": "a2",
    "private_ip": "10.0.1.2",
    "private_ip6": "fd00:1::2/64",
    "ciders": []
  },
  {
    "cluster": "b",
    "identity": "b1",
    "private_ip": "10.0.2.1",
    "ciders": ["192.168.10.0/24"]
  },
  {
    "cluster": "b",
    "identity": "b2",
    "private_ip": "10.0.2.2",
    "ciders": []
  }
]
"""


def sent(**refused: int) -> Counts:
    """Return the counters of a sender whose one packet was handed on, or refused."""
    reasons = {reason.replace("_", "-"): number for reason, number in refused.items()}
    return Counts(read=1, taken=0 if reasons else 1, refused=reasons, dropped={})


def got(**dropped: int) -> Counts:
    """Return the counters of a receiver who got one packet, and dropped it where a reason is given."""
    reasons = {reason.replace("_", "-"): number for reason, number in dropped.items()}
    return Counts(written=0 if reasons else 1, given=1, refused={}, dropped=reasons)


@dataclass(frozen=True)
class Case:
    """A probe, where it was seen, what was counted; `stops` is how many stations of its way, or back, saw it.

    `slip` is what stands in routes.json instead of b1's LAN.
    """

    cell: tuple[str, str]
    what: str
    counts: Mapping[str, Counts]
    stops: int
    goes_to: str = ""
    arrived: frozenset[str] = frozenset()
    answer_stops: int | None = None
    altered: bool = False
    wrong: bool = True
    slip: str = "192.168.10.0/24"
    sessions: Mapping[str, float] = field(default_factory=lambda: {"a1": 61.0, "a2": 3.2, "b1": 61.0, "b2": 61.0})


BOTH_WAYS = Counts(read=1, taken=1, given=1, written=1, refused={}, dropped={})
CASES = {
    "isolation-off": Case(("a1", "b2"), "icmp", {"a1": sent(), "b2": got(bad_source=1)}, 5, "b2"),
    "isolation-off-and-delivered": Case(("a1", "b2"), "udp", {"a1": sent(), "b2": got()}, 6, "b2", frozenset({"b2"})),
    "prefix-leak": Case(("a1", "printer"), "tcp-open", {"a1": sent(), "b1": got(bad_source=1)}, 5, "printer"),
    "source-check-off": Case(("a1", "a2"), "forged-cluster", {"a1": sent(), "a2": got(bad_source=1)}, 5, "a2"),
    "source-check-off-lan": Case(("a1", "a2"), "forged-lan", {"a1": sent(), "a2": got(bad_source=1)}, 5, "a2"),
    "broadcast-leak": Case(
        ("a1", "(broadcast)"), "broadcast-10.0.1.255", {"a1": sent(), "a2": got(bad_destination=1)}, 5, "a2"
    ),
    "stale-session": Case(("a1", "a2"), "icmp", {"a1": sent(offline=1)}, 3, "a2"),
    "stale-session-answer": Case(
        ("a2", "a1"),
        "icmp",
        {"a2": sent(), "a1": Counts(read=1, taken=1, given=1, written=1, refused={"offline": 1}, dropped={})},
        6,
        "a1",
        frozenset({"a1"}),
        3,
    ),
    "no-session": Case(("a1", "a2"), "icmp", {"a1": sent(offline=1)}, 3, "a2", sessions={"a1": 61.0}),
    "routes-differ": Case(("b2", "printer"), "udp", {"b2": sent(no_route=1)}, 3, "printer"),
    "slip-cuts-off": Case(("b2", "printer"), "udp", {"b2": sent(no_route=1)}, 3, "printer", slip="192.168.12.0/24"),
    "slip-lets-in": Case(("b1", "b2"), "forged-lan", {"b1": sent(), "b2": got()}, 6, "b2", slip="192.168.11.0/24"),
    "other-reason": Case(("a1", "b2"), "udp", {"a1": sent(too_big=1)}, 3),
    "lost-on-the-way": Case(("a1", "a2"), "udp", {"a1": Counts(read=1, refused={}, dropped={})}, 2, "a2"),
    "kept-by-the-host": Case(("printer", "b2"), "udp", {"b1": Counts(refused={}, dropped={})}, 2, "b2"),
    "not-let-in": Case(("a1", "a2"), "icmp6", {"a1": sent(), "a2": got(bad_source=1)}, 5, "a2"),
    "not-passed-on": Case(("b2", "printer"), "icmp", {"b2": sent(), "b1": got()}, 6, "printer", frozenset({"b1"})),
    "altered": Case(("a1", "a2"), "udp", {"a1": BOTH_WAYS, "a2": BOTH_WAYS}, 6, "a2", frozenset({"a2"}), altered=True),
    "passed-by-itself": Case(("a1", "b2"), "icmp", {"a1": sent(no_route=1)}, 3, wrong=False),
}


def evidence_of(case: Case) -> tuple[Expectation, Evidence]:
    """Return what a witness would have seen."""
    spec = two_tenants()
    expectation, topology = Expectation(spec), layout.plan(spec)
    probe = probe_of(spec, *case.cell, case.what)
    sender = expectation.site_of[probe.sender]
    receiver = expectation.site_of.get(case.goes_to)

    def way(stops: int, *, back: bool = False) -> tuple[Glimpse, ...]:
        ends = (receiver or sender, sender) if back else (sender, receiver)
        found = stations(spec, topology, *ends)
        return tuple(Glimpse(station, int(number < stops)) for number, station in enumerate(found))

    answered = frozenset({probe.sender}) if probe.answered and case.altered else frozenset()
    trace = Trace(probe, 1, 1, case.arrived, answered, case.altered)
    back = way(case.answer_stops, back=True) if case.answer_stops is not None else ()
    capture = Path(f"why/{probe.sender}--{probe.target}.pcapng")
    return expectation, Evidence(probe, trace, case.wrong, case.counts, way(case.stops), back, case.sessions, capture)


@pytest.mark.parametrize("name", CASES)
def test_an_explanation_says_it_in_plain_words(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """People would be told the wrong thing, or nothing, of a packet that got where it must not."""
    monkeypatch.chdir(tmp_path)
    case = CASES[name]
    Path("routes.json").write_text(ROUTES.replace("192.168.10.0/24", case.slip))
    explanation = explain(*evidence_of(case), Path("routes.json"))
    assert len(explanation.lines) <= MOST_LINES
    assert max(map(len, explanation.lines)) <= WIDTH
    golden = GOLDEN / f"{name}.txt"
    if not golden.exists():
        golden.write_text(f"{explanation}\n")
        raise AssertionError(f"{golden} was not there; it is now: look at it")
    assert f"{explanation}\n" == golden.read_text()


def test_no_golden_file_is_left_over() -> None:
    """A case that was renamed would leave a text behind that nobody checks."""
    assert {path.stem for path in GOLDEN.iterdir()} == set(CASES)


def test_without_routes_the_rest_is_said(tmp_path: Path) -> None:
    """An explanation would end in a traceback where the relay's files are elsewhere, or are not as generated."""
    case = evidence_of(CASES["isolation-off"])
    assert "because" not in str(explain(*case, tmp_path / "missing.json"))
    (tmp_path / "routes.json").write_text("[]\n")
    assert "because" not in str(explain(*case, tmp_path / "routes.json"))
