"""Broken `[lab]` parts, and fleets: every file of tests/golden/lab-files with what is said of it, word for word."""

from __future__ import annotations

from pathlib import Path

import pytest

from rustun.errors import ConfigError
from rustun.ops.inventory import load_inventory

GOLDEN = Path(__file__).parents[3] / "golden" / "lab-files"
CASES = sorted(path.name for path in GOLDEN.glob("*.toml"))


@pytest.mark.parametrize("name", CASES)
def test_every_problem_is_said_with_its_place_and_remedy(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An operator would be told that something is wrong with a laboratory, and not where or what to do."""
    monkeypatch.chdir(GOLDEN)
    with pytest.raises(ConfigError) as caught:
        load_inventory(Path(name))
    assert f"{caught.value}\n" == (GOLDEN / name).with_suffix(".txt").read_text()


def test_all_kinds_of_slips_are_among_them() -> None:
    """A folder that lost its files would be a test that passes."""
    assert len(CASES) >= 80
