"""What is called a difference between two runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from netlab.bench import compare, document
from netlab.bench.compare import GAIN, LARGE_LOSS, SAME, SMALL_LOSS, UNKNOWN
from netlab.bench.document import Asked, Document
from netlab.bench.metrics import Better, better, is_speed
from netlab.bench.rows.catalogue import ROWS
from netlab.bench.sample import Sample
from netlab.errors import BadInput

HERE = {"cpu": "2 x A", "memory GB": "8", "kernel": "6", "python": "3.11"}
FEW = 5


def ran(speed: float, *, plain: float = 16.0, ping: float = 0.5, repetitions: int = 6, cpu: str = "2 x A") -> Document:
    """Return a run in which a tunnel has a speed and a round trip, each with a spread of a hundredth."""
    samples = []
    for number in range(repetitions):
        noise = 1 + number / 500
        samples.append(Sample("tcp-1", "plain", number, number, {"Gbit/s": plain * noise}))
        samples.append(Sample("tcp-1", "aes", number, number, {"Gbit/s": speed * noise * noise}))
        samples.append(Sample("ping", "aes", number, 100 + number, {"median ms": ping * noise, "lost %": 0.0}))
    return Document({**HERE, "cpu": cpu}, Asked(repetitions, 2.0, 1), "2026-01-01", rows=["tcp-1"], samples=samples)


def verdicts(before: Document, after: Document, **more: bool) -> dict[tuple[str, str], str]:
    """Return what is said of each variant and metric."""
    return {(one.variant, one.metric): one.verdict for one in compare.compare(ROWS, before, after, **more)}


@pytest.mark.parametrize(
    ("speed", "said"), [(8.0, SAME), (8.02, SAME), (7.6, SMALL_LOSS), (7.0, LARGE_LOSS), (9.0, GAIN)]
)
def test_a_difference_is_called_by_its_size(speed: float, said: str) -> None:
    """A loss would pass, or noise stop a change."""
    assert verdicts(ran(8.0), ran(speed))["aes", "Gbit/s"] == said


def test_less_time_is_a_gain() -> None:
    """What became faster would be called slower."""
    assert verdicts(ran(8.0), ran(8.0, ping=0.4))["aes", "median ms"] == GAIN
    assert verdicts(ran(8.0), ran(8.0, ping=0.6))["aes", "median ms"] == LARGE_LOSS


def test_few_samples_prove_nothing() -> None:
    """One quick run after another would stop a change, or wave it through."""
    found = verdicts(ran(8.0, repetitions=FEW), ran(2.0))
    assert set(found.values()) == {UNKNOWN}


def test_a_slower_minute_is_no_loss() -> None:
    """The machine's mood would be blamed on the tunnel."""
    found = verdicts(ran(8.0), ran(4.0, plain=8.0))
    assert found["aes", "Gbit/s"] == SAME
    assert found["plain", "Gbit/s"] == LARGE_LOSS


def test_two_machines_are_compared_by_ratios_alone() -> None:
    """A faster processor would look like a better tunnel."""
    assert verdicts(ran(8.0), ran(4.0, plain=8.0, ping=9.0), only_ratios=True) == {("aes", "Gbit/s"): SAME}


def test_something_out_of_nothing_is_a_loss() -> None:
    """The first lost packet has no percentage, and would be nothing."""
    after = ran(8.0)
    after.samples = [
        Sample(one.row, one.variant, one.repetition, one.group, {**one.values, "lost %": 0.1 + one.repetition / 100})
        for one in after.samples
    ]
    assert verdicts(ran(8.0), after)["aes", "lost %"] == LARGE_LOSS


@pytest.mark.parametrize(("speed", "code"), [(7.0, 5), (7.6, 0), (9.0, 0)])
def test_the_exit_code_says_whether_a_tenth_was_lost(
    speed: float, code: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """CI would not stop at a loss, or at a gain."""
    files = [tmp_path / "a.json", tmp_path / "b.json"]
    for found, file in zip((ran(8.0), ran(speed)), files, strict=True):
        document.write(found, file)
    assert compare.run(*files, everything=False, as_json=False) == code
    assert "4 compared" in capsys.readouterr().out
    assert compare.run(*files, everything=False, as_json=True) == code
    told = json.loads(capsys.readouterr().out)
    assert told["schema"] == 1
    assert len(told["differences"]) == 4


def test_what_only_one_run_has_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A row that is not measured any more would never lose."""
    files = [tmp_path / "a.json", tmp_path / "b.json"]
    without = ran(8.0, cpu="4 x B")
    without.samples = [one for one in without.samples if one.row != "ping"]
    for found, file in zip((ran(8.0), without), files, strict=True):
        document.write(found, file)
    assert compare.run(*files, everything=True, as_json=False) == 0
    said = capsys.readouterr().out
    assert "ping aes: only in the first" in said
    assert "two machines, so only ratios are compared: cpu: 2 x A and 4 x B" in said


def test_nothing_in_common_is_bad_input(tmp_path: Path) -> None:
    """Two runs that share no row would be found equal."""
    files = [tmp_path / "a.json", tmp_path / "b.json"]
    empty = ran(8.0)
    empty.samples = []
    for found, file in zip((ran(8.0), empty), files, strict=True):
        document.write(found, file)
    with pytest.raises(BadInput, match="nothing in common"):
        compare.run(*files, everything=False, as_json=False)


BROKEN = {
    "absent": None,
    "no-json": "figures",
    "a-list": "[]",
    "another-schema": '{"schema": 9}',
    "no-samples": '{"schema": 1, "machine": {}}',
    "a-sample-of-words": '{"schema": 1, "machine": {}, "asked": {"repetitions": 1, "seconds": 1, "seed": 1},'
    ' "date": "", "took_s": 0, "skipped": {}, "rows": [], "samples": [{"row": "a", "values": "b"}]}',
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_file_that_is_no_run_is_refused_by_name(name: str, tmp_path: Path) -> None:
    """Somebody who mistypes a name would read a traceback."""
    file = tmp_path / f"{name}.json"
    if (text := BROKEN[name]) is not None:
        file.write_text(text)
    with pytest.raises(BadInput, match=f"{name}.json: ") as caught:
        document.read(file)
    assert caught.value.remedy


def test_a_run_is_read_back_as_it_was(tmp_path: Path) -> None:
    """A sample would change by being kept."""
    found = ran(8.0)
    found.skipped = {"ssh-tun": "not installed"}
    document.write(found, tmp_path / "a.json")
    assert document.read(tmp_path / "a.json") == found


@pytest.mark.parametrize(
    ("metric", "way"),
    [
        ("Gbit/s", Better.MORE),
        ("IPv6 inside, Gbit/s", Better.MORE),
        ("20 ms, 0.1 %: Mbit/s", Better.MORE),
        ("per second", Better.MORE),
        ("in memory/s", Better.MORE),
        ("beside/alone", Better.MORE),
        ("ping p99 ms", Better.LESS),
        ("10 KB median ms", Better.LESS),
        ("relay CPU s/GB", Better.LESS),
        ("CPU s", Better.LESS),
        ("s", Better.LESS),
        ("server MB", Better.LESS),
        ("KiB each", Better.LESS),
        ("lost %", Better.LESS),
        ("lost % at 20 k/s", Better.LESS),
        ("lost", Better.LESS),
        ("dropped", Better.LESS),
        ("beside/before", Better.LESS),
        ("offered k/s", Better.NEITHER),
        ("offered k/s at 20 k/s", Better.NEITHER),
        ("iperf3/own", Better.NEITHER),
        ("refused/s", Better.NEITHER),
        ("rekeys", Better.NEITHER),
    ],
)
def test_a_metric_says_which_way_is_better(metric: str, way: Better) -> None:
    """A gain would be called a loss."""
    assert better(metric) is way
    assert is_speed(metric) == metric.endswith("bit/s")
