"""netlab.keeping: what a failed test leaves for people, no key among it, and no more than fits."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from netlab import keeping

TEST = "tests/netlab/test_x.py::test_y[10.0.1.1/24-a b]"


def write(folder: Path, files: dict[str, int]) -> Path:
    """Write files of so many bytes; the last is a Z."""
    for name, size in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"A" * (size - 1) + b"Z")
    return folder


def names(folder: Path) -> set[str]:
    """Return all files below a folder."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_keys_stay_where_they_were(tmp_path: Path) -> None:
    """A report that CI shows to everybody would hold the keys of a fleet."""
    files = {"lab/build/demo/routes.json": 9, "lab/secrets/demo/server": 9, "a.key": 9, "deep/b.psk": 9, "x.log": 9}
    source = write(tmp_path / "test", files)
    os.symlink(source / "lab" / "secrets" / "demo" / "server", source / "shown")
    kept = keeping.keep(source, tmp_path / "failures", TEST, "why")
    assert names(kept) == {"lab/build/demo/routes.json", "x.log", "failure.txt"}
    assert (kept / "failure.txt").read_text() == "why"
    assert kept == tmp_path / "failures" / "tests-netlab-test_x.py-test_y[10.0.1.1-24-a-b]"


def test_a_failure_takes_so_much_and_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One capture would fill the disk of CI, or take the room of the logs that explain it."""
    for name, most in (("FAILURE_BYTES", 100), ("FILE_BYTES", 30), ("CAPTURE_BYTES", 50)):
        monkeypatch.setattr(keeping, name, most)
    source = write(tmp_path / "test", {"long.log": 1000, "a.log": 10, "big.pcapng": 60, "other.pcapng": 70})
    kept = keeping.keep(source, tmp_path / "failures", TEST, "why")
    assert names(kept) == {"a.log", "long.log", "big.pcapng", "failure.txt"}
    assert (kept / "long.log").read_bytes() == b"A" * 29 + b"Z"
    assert (kept / "big.pcapng").read_bytes() == b"A" * 50


def test_the_oldest_failures_make_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that tests every night would run out of disk, or show last month's failure and not today's."""
    monkeypatch.setattr(keeping, "ALL_BYTES", 100)
    failures = tmp_path / "failures"
    source = write(tmp_path / "test", {"a.log": 40})
    for number in range(4):
        kept = keeping.keep(source, failures, f"test_{number}", "")
        os.utime(kept, (1000 + number, 1000 + number))
    assert {path.name for path in failures.iterdir()} == {"test_2", "test_3"}
    keeping.keep(write(tmp_path / "large", {"b.log": 200}), failures, "test_4", "")
    assert {path.name for path in failures.iterdir()} == {"test_4"}
    keeping.keep(source, failures, "test_4", "")
    assert names(failures) == {"test_4/a.log", "test_4/failure.txt"}
    assert names(keeping.keep(None, failures, "test_5", "why")) == {"failure.txt"}
