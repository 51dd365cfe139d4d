"""The file of a run: damaged, of somebody else, or where it cannot be written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from netlab.bench import document
from netlab.bench.document import Asked, Document
from netlab.bench.sample import Sample
from netlab.errors import BadInput, EnvironmentLacks

RUN = Document({"cpu": "one"}, Asked(2, 1.0, 1), "2027-01-31", 3.0, {}, ["ping"])
RUN.samples.append(Sample("ping", "plain", 0, 0, {"ms": 0.5}))


def test_what_was_written_is_read_back(tmp_path: Path) -> None:
    """No run could be gone on with, or told again."""
    document.write(RUN, tmp_path / "bench.json")
    assert document.read(tmp_path / "bench.json") == RUN


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("samples", 0, "values", "ms"), float("nan")),
        (("samples", 0, "values", "ms"), float("inf")),
        (("samples", 0, "values", "ms"), 10**400),
        (("samples", 0, "repetition"), float("inf")),
        (("samples", 0, "row"), ["ping"]),
        (("samples", 0, "variant"), None),
        (("samples",), 7),
        (("rows",), [["ping"]]),
        (("skipped",), ["x"]),
        (("asked", "seconds"), "long"),
        (("asked", "repetitions"), None),
        (("asked",), []),
        (("schema",), 2),
    ],
)
def test_a_damaged_file_is_refused_by_name(tmp_path: Path, place: tuple[Any, ...], value: object) -> None:
    """--resume, bench-report and bench-compare end in a traceback, or compare with what is no number."""
    file = tmp_path / "bench.json"
    document.write(RUN, file)
    written: Any = json.loads(file.read_text())
    at = written
    for key in place[:-1]:
        at = at[key]
    at[place[-1]] = value
    file.write_text(json.dumps(written))
    with pytest.raises(BadInput, match=str(file)):
        document.read(file)


@pytest.mark.parametrize("words", ["", "[]", "[" * 100_000, '{"schema": 1', "\x00"])
def test_what_is_no_run_is_refused_by_name(tmp_path: Path, words: str) -> None:
    """The same, for what another program wrote, or half of it."""
    file = tmp_path / "bench.json"
    file.write_text(words)
    with pytest.raises(BadInput, match=str(file)):
        document.read(file)


def test_a_file_that_cannot_be_written_is_as_it_was(tmp_path: Path) -> None:
    """Hours of measuring end in a traceback on a full disk, with a part of a file beside the one that counts."""
    (tmp_path / "bench.json.part").mkdir()
    with pytest.raises(EnvironmentLacks, match=r"bench\.json: Is a directory"):
        document.write(RUN, tmp_path / "bench.json")
