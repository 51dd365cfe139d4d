"""Reading generated files back: by one process or by two, the same problems in the same order."""

from __future__ import annotations

from pathlib import Path

import pytest

from rustun.errors import HostError
from rustun.ops import reading_back
from rustun.ops.reading_back import Kind, read_back

GOOD = 'identity = "m"\nservers = [{ address = "198.18.0.1:8080" }]\n[crypto_config]\naes256 = "0123456789abcdef"\n'


def files(folder: Path) -> list[tuple[str, Kind]]:
    """Write client files of which each third is wrong."""
    names = [f"client-{number:02}.toml" for number in range(12)]
    for number, name in enumerate(names):
        (folder / name).write_text(GOOD if number % 3 else GOOD.replace("198.18.0.1:8080", f"nowhere:{number}x"))
        (folder / name).chmod(0o600)
    return [(name, "client") for name in names]


def test_two_processes_find_what_one_finds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A broken file of a large fleet would be put in place, because the half that has it was not looked at."""
    wanted = files(tmp_path)
    alone = read_back(tmp_path, wanted)
    assert [problem.file for problem in alone] == [name for number, (name, _) in enumerate(wanted) if not number % 3]
    monkeypatch.setattr(reading_back, "MANY", 2)
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    assert read_back(tmp_path, wanted) == alone


def test_a_second_process_that_dies_is_no_success(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files that nobody read would count as good."""
    monkeypatch.setattr(reading_back, "MANY", 2)
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    monkeypatch.setattr("sys.executable", "/bin/false")
    with pytest.raises(HostError, match="could not be read back"):
        read_back(tmp_path, files(tmp_path))
