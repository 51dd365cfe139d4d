"""The bench's page: the same bytes for the same samples, nothing from elsewhere, nothing lost."""

from __future__ import annotations

import re
import shutil
import sys
from html.parser import HTMLParser
from pathlib import Path
from random import Random

import pytest

from netlab.bench import plots, profiling
from netlab.bench.document import Asked, Document
from netlab.bench.flame import flame
from netlab.bench.page import page
from netlab.bench.plots import Line, scale
from netlab.bench.profiling import Profile
from netlab.bench.rows.catalogue import ROWS
from netlab.bench.rows.row import Curve, Figure, Row
from netlab.bench.sample import Sample, Values
from netlab.lab import Laboratory
from netlab.processes import NodeProcess

GOLDEN = Path(__file__).parents[3] / "golden" / "bench" / "page.html"
VOID = {"meta"}
DRAWN = {"rect", "circle", "line", "polyline"}


def nothing(_place: object, _seconds: float) -> Values:
    """Measure nothing: samples come from `run_of`."""
    return {}


STREAM = Row(
    "stream",
    "1 stream <of TCP>",
    ("plain", "aes", "chacha", "openvpn-udp"),
    nothing,
    (Figure("1 stream", "aes", "Gbit/s", True, 0.5, "plain"), Figure("the same", "aes", "Gbit/s", True, 0.01)),
)
LADDER = Row(
    "ladder",
    "loss against rate",
    ("plain", "aes", "wireguard-go", "openvpn-udp"),
    nothing,
    curve=Curve("offered", "lost, %", tuple((f"offered at {n}", f"lost % at {n}") for n in (10, 20, 40))),
)


def run_of(*rows: Row, repetitions: int = 6) -> Document:
    """Return a run of rows whose samples follow from a seed; the fourth variant was skipped."""
    random = Random(3)
    samples = []
    for one in rows:
        metrics = ["Gbit/s", "relay CPU s/GB"]
        if one.curve is not None:
            metrics = [metric for point in one.curve.points for metric in point]
        for number in range(repetitions):
            for place, variant in enumerate(one.variants[:3]):
                values = {metric: round(random.uniform(1, 2) * 40**-place, 4) for metric in metrics}
                values |= {name: float(name.split()[-1]) for name in metrics if name.startswith("offered at")}
                samples.append(Sample(one.name, variant, number, number, values))
    machine = {"cpu": "2 x <A & B>", "kernel": "6", "python": "3.11", "congestion": "bbr"}
    skipped = {"openvpn-udp": "not installed; apt-get install openvpn"}
    names = [one.name for one in rows]
    return Document(machine, Asked(repetitions, 2.0, 1), "2026-01-01", 12.0, skipped, names, samples)


class Elements(HTMLParser):
    """Reads a page: which elements it has, and whether each is closed where it was opened."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take the beginning of an element."""
        self.seen.append(tag)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take an element that is closed at once."""
        self.seen.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """Take the end of an element."""
        assert self.open.pop() == tag


def elements(text: str) -> list[str]:
    """Return the names of all elements of a page that is well formed."""
    parser = Elements()
    parser.feed(text)
    assert not parser.open
    return parser.seen


def test_the_page_is_the_same_for_the_same_samples() -> None:
    """A report could not be compared with the one before, or be kept in version control."""
    rows = (STREAM, LADDER)
    profiles = [Profile("stream", "aes", "server", "py-spy", {("run", "turn"): 3, ("run", "seal <b>"): 1})]
    assert page(rows, run_of(*rows), profiles) == GOLDEN.read_text()


def test_the_page_needs_nothing_else() -> None:
    """A report that is read on a train, or in ten years, would be without its plots."""
    text = page(ROWS, run_of(*ROWS))
    assert not re.search(r"https?:|src=|@import|url\(|<script|<link", text)
    assert "2 x &lt;A &amp; B&gt;" in text
    assert "Skipped: openvpn-udp" in text


def test_every_sample_is_drawn_and_every_element_closed() -> None:
    """A browser would show half of a page, or a plot hide the sample that does not fit."""
    rows = tuple(one for one in ROWS if one.curve is None)
    found = run_of(*rows)
    seen = elements(page(rows, found))
    drawn = sum(len(sample.values) for sample in found.samples)
    shares = sum(sample.variant != one.reference for one in rows for sample in found.samples if sample.row == one.name)
    assert drawn < seen.count("circle") <= drawn + shares
    assert seen.count("h2") == len(rows) + 3


def test_no_interval_is_drawn_of_too_few_samples() -> None:
    """Five dots would have the bar that says how sure they are."""
    for repetitions, bars in ((5, 0), (6, 1)):
        assert plots.dots("x", [Line("a", tuple(map(float, range(1, repetitions + 1))))]).count("interval") == bars


@pytest.mark.parametrize(
    ("values", "ticks", "logarithmic"),
    [
        ([0.0], (0.0, 1.0), False),
        ([0.0, 100.0], (0.0, 20.0, 40.0, 60.0, 80.0, 100.0), False),
        ([3.0, 17.0], (0.0, 5.0, 10.0, 15.0, 20.0), False),
        ([0.2, 18.0], (0.1, 1.0, 10.0, 100.0), True),
        ([0.0, 18.0], (0.0, 5.0, 10.0, 15.0, 20.0), False),
    ],
)
def test_an_axis_begins_at_zero_or_says_that_it_does_not(
    values: list[float], ticks: tuple[float, ...], logarithmic: bool
) -> None:
    """A cut axis makes a mountain of a tenth."""
    axis = scale(values)
    assert axis.ticks == pytest.approx(ticks)
    assert axis.is_logarithmic is logarithmic
    assert all(0 <= axis.place(value) <= 1 for value in values)
    assert ("powers of ten" in plots.dots("x", [Line("a", tuple(values))])) is logarithmic


def test_names_at_the_ends_of_curves_do_not_overlap() -> None:
    """Three tunnels that lose nothing would have one unreadable name."""
    lines = [(name, [(1.0, (0.0,)), (2.0, (0.0,))]) for name in ("plain", "aes", "ssh-tun")]
    heights = [float(y) for y in re.findall(r'class="value [^"]*" x="\d+" y="([\d.]+)"', plots.curves("x", "y", lines))]
    assert len(heights) == 3
    assert all(upper - lower >= plots.NAME_DISTANCE for upper, lower in zip(heights, heights[1:], strict=False))


def test_widths_of_a_flame_graph_are_shares() -> None:
    """The function that takes the time would not be the widest."""
    drawn = flame("x", {("main", "run", "seal"): 6, ("main", "run", "send"): 3, ("main", "run"): 1})
    boxes = re.findall(r"<title>(\w+) [\d.]+ %</title><rect [^>]*width=\"([\d.]+)\"", drawn)
    assert boxes == [("run", "999.5"), ("seal", "599.5"), ("send", "299.5")]
    assert elements(drawn).count("rect") == 3


def test_a_process_that_did_nothing_has_no_flames() -> None:
    """A profile of an idle process would be a division by zero."""
    assert "samples: none" in flame("x", {})


def test_profiles_are_read_as_the_tools_write_them() -> None:
    """A flame graph would show the callers on top of what they call, or count nothing."""
    raw = "main (a.py:1);run (a.py:2);epoll 3\nmain (a.py:1) 2\nno samples here\n"
    assert profiling.spied(raw) == {("main (a.py:1)", "run (a.py:2)", "epoll"): 3, ("main (a.py:1)",): 2}
    script = (
        "openvpn \n\tffffffff81e6581a __dev_queue_xmit\n\t          10acb3 __libc_sendto\n\n"
        "openvpn \n\tffffffff81e6581a __dev_queue_xmit\n\t          10acb3 __libc_sendto\n\n"
        "openvpn \n\t          20b0d0 EVP_CipherInit_ex\n\n"
    )
    assert profiling.perf_samples(script) == {
        ("openvpn", "__libc_sendto", "__dev_queue_xmit"): 2,
        ("openvpn", "EVP_CipherInit_ex"): 1,
    }


@pytest.mark.parametrize(
    ("there", "said"),
    [
        ([], {"profile of aes": profiling.NO_PROFILER, "profile of ssh-tun": profiling.NO_PERF}),
        (["py-spy"], {"profile of ssh-tun": profiling.NO_PERF}),
        (["perf", "py-spy"], {}),
    ],
)
def test_a_profiler_that_is_missing_is_named(
    there: list[str], said: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page without flame graphs would not say what to install."""
    taken: list[tuple[str, str]] = []

    def noted(_row: Row, variant: str, _lab: Laboratory, tool: str, *_more: object) -> list[Profile]:
        taken.append((variant, tool))
        return []

    lab = Laboratory.__new__(Laboratory)
    lab.processes = {"server": NodeProcess.__new__(NodeProcess)}
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}" if name in there else None)
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    monkeypatch.setattr(profiling, "_profiles", noted)
    skipped: dict[str, str] = {}
    assert profiling.take(STREAM, {"aes": lab, "ssh-tun": lab}, 1.0, skipped) == []
    assert skipped == said
    assert ("ssh-tun", "/usr/bin/py-spy") not in taken
    assert len(taken) + len(said) == 2
