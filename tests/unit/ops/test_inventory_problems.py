"""Broken inventories: every file of tests/golden/inventory with all that is said about it, word for word."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from netlab.bench.fleets import write_fleet
from rustun.errors import ConfigError
from rustun.ops.inventory import load_inventory
from rustun.ops.sources import MAX_INVENTORY_BYTES

GOLDEN = Path(__file__).parents[2] / "golden" / "inventory"
SLOWEST_SECONDS = 15.0  # of this process; usually under one
CASES = sorted(path.name for path in GOLDEN.glob("*.toml"))


@pytest.mark.parametrize("name", CASES)
def test_every_problem_is_said_with_its_place_and_remedy(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An operator would be told that something is wrong, and not where or what to do."""
    monkeypatch.chdir(GOLDEN)
    with pytest.raises(ConfigError) as caught:
        load_inventory(Path(name))
    assert f"{caught.value}\n" == (GOLDEN / f"{name}.txt").read_text()


@pytest.mark.parametrize("data", [b"\xff\xfe\x00", b"\0", b"[fleet", b'[fleet]\nname = "\x1b[31m"', b"a = 1e400"])
def test_bytes_that_are_no_inventory_are_refused_in_words(data: bytes, tmp_path: Path) -> None:
    """A binary or cut-off file would end in a traceback."""
    file = tmp_path / "fleet.toml"
    file.write_bytes(data)
    with pytest.raises(ConfigError) as caught:
        load_inventory(file)
    assert str(file) in str(caught.value)
    assert "\x1b" not in str(caught.value)


@pytest.mark.parametrize("at", range(0, 9, 2))
def test_a_merge_conflict_is_said_with_its_line(at: int, tmp_path: Path) -> None:
    """After a merge that stopped half way an operator would read about brackets and quotes."""
    lines = (GOLDEN / "prefix-taken.toml").read_text().splitlines()[:10]
    conflict = ["<<<<<<< HEAD", "[tag.a]", "=======", "[tag.b]", ">>>>>>> branch"]
    (tmp_path / "f.toml").write_text("\n".join([*lines[:at], *conflict, *lines[at:], ""]))
    with pytest.raises(ConfigError) as caught:
        load_inventory(tmp_path / "f.toml")
    assert str(caught.value) == f"{tmp_path}/f.toml:{at + 1}: holds a merge conflict mark\n  settle the conflict"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b'[fleet]\nname = "caf\xe9"\n', "f.toml:2: byte 0xe9 at offset 19 is not UTF-8"),
        ("[fleet]\nname = 'f'".encode("utf-16"), "is UTF-16 text\n  save it as UTF-8"),
        (b"[fleet]\n" + b"a." * 40 + b"a = 1\n", "f.toml:2: a key has more than 32 parts"),
        (b"a = " + b"[" * 5000, "is nested too deeply"),
        (b"[fleet]\nmtu = " + b"9" * 5000, "f.toml"),
    ],
)
def test_files_that_are_no_inventory_are_told_apart(data: bytes, words: str, tmp_path: Path) -> None:
    """A file in another encoding, or of another kind, would end in a traceback, or hang."""
    (tmp_path / "f.toml").write_bytes(data)
    with pytest.raises(ConfigError) as caught:
        load_inventory(tmp_path)
    assert words in str(caught.value)


def test_a_huge_file_is_not_read(tmp_path: Path) -> None:
    """A disk image in the folder would take all memory."""
    with (tmp_path / "f.toml").open("wb") as file:
        file.truncate(MAX_INVENTORY_BYTES + 1)
    with pytest.raises(ConfigError, match="f.toml") as caught:
        load_inventory(tmp_path)
    assert "67,108,865 bytes long, at most 67,108,864 are read" in str(caught.value)


def test_thousands_of_problems_are_said_in_good_time(tmp_path: Path) -> None:
    """A slip in a script that writes inventories would keep the machine busy for minutes."""
    write_fleet(tmp_path, 2, 250)
    for file in tmp_path.glob("site-*.toml"):
        file.write_text("".join(f"{line}\nmtu = 1\nciphr = 2\n" for line in _headers(file.read_text())))
    started = time.process_time()
    with pytest.raises(ConfigError) as caught:
        load_inventory(tmp_path)
    assert time.process_time() - started < SLOWEST_SECONDS
    assert len(caught.value.problems) >= 1000


def _headers(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("[")]


def test_missing_and_empty_places_are_named(tmp_path: Path) -> None:
    """A wrong --inventory would end in a traceback or in an empty fleet."""
    for path, words in ((tmp_path / "none.toml", "there is no such file"), (tmp_path, "holds no *.toml")):
        with pytest.raises(ConfigError, match=str(path)) as caught:
            load_inventory(path)
        assert words in str(caught.value)


def test_a_folder_that_may_not_be_listed_is_not_called_empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who may not look into it would look for files that are all there."""

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied", str(tmp_path))

    monkeypatch.setattr("os.scandir", refuse)
    monkeypatch.setattr("os.listdir", refuse)
    with pytest.raises(PermissionError):
        load_inventory(tmp_path)
