"""The disk that machines start from: where it comes from, what it is called; one is made in tests/machines."""

from __future__ import annotations

from pathlib import Path

import pytest

from netlab.errors import EnvironmentLacks
from netlab.machines import image
from netlab.machines.image import Source, chosen_source

LISTED = """\
http://first.example/debian trixie main amd64
http://second.example/debian bookworm main amd64
http://second.example/debian bookworm contrib amd64
http://second.example/debian bookworm universe amd64
http://third.example/debian bookworm main amd64
http://fourth.example/debian bookworm/updates main amd64
a line of apt's that is something else
"""


def test_the_source_is_that_of_this_release() -> None:
    """The machines would be of another release than the wheels that a deployment brings along."""
    assert chosen_source(LISTED, "bookworm") == Source(
        "http://second.example/debian", "bookworm", "amd64", ("main", "universe")
    )


def test_no_source_is_said() -> None:
    """debootstrap would fail with words about a script that is missing."""
    with pytest.raises(EnvironmentLacks, match='apt has no source of "forky" main'):
        chosen_source(LISTED, "forky")


def test_other_packages_are_another_tree(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Tests would run on a disk that lacks what they were changed to need."""
    monkeypatch.setenv("RUSTUN_CACHE", str(tmp_path))
    before = image.tree()
    assert before.parent == tmp_path / "machines"
    assert image.tree() == before
    monkeypatch.setattr(image, "PACKAGES", (*image.PACKAGES, "sudo"))
    assert image.tree() != before
