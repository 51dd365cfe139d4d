"""What the tests of the documentation need beyond Python, and the one build that they share."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

import pytest

import tasks
from netlab.packages import lacking
from rustun.ops.handbook import building

ROOT: Final = Path(__file__).resolve().parents[2]
PROGRAMS: Final = {"man": "man-db", "bash": "bash", "zsh": "zsh", "fish": "fish"}


def pytest_configure() -> None:
    """Install what is missing, once; say in one line what cannot be."""
    if packages := lacking(PROGRAMS):
        raise pytest.UsageError(f"tests of the documentation need: apt-get install {' '.join(packages)}")


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `./invoke docs` leaves in build/docs/, made of this checkout's documents without a warning."""
    checkout = tmp_path_factory.mktemp("checkout")
    shutil.copytree(ROOT / "docs", checkout / "docs")
    assert building.run(checkout, tasks.namespace) == 0
    return checkout / building.OUT
