"""Broken inventories: every file of tests/golden/inventory with all that is said about it, word for word."""

from __future__ import annotations

from pathlib import Path

import pytest

from rustun.errors import ConfigError
from rustun.ops.inventory import load_inventory

GOLDEN = Path(__file__).parents[2] / "golden" / "inventory"
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


def test_missing_and_empty_places_are_named(tmp_path: Path) -> None:
    """A wrong --inventory would end in a traceback or in an empty fleet."""
    for path, words in ((tmp_path / "none.toml", "there is no such file"), (tmp_path, "holds no *.toml")):
        with pytest.raises(ConfigError, match=str(path)) as caught:
            load_inventory(path)
        assert words in str(caught.value)
