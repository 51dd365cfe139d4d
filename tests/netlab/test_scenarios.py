"""The scenarios of the laboratory (netlab/scenarios), each in a world of its own; `lab-run` plays the same."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from netlab.scenarios.catalogue import SCENARIOS
from tests.netlab.child import run_inside

LIMIT_S = 180  # only reached where something hangs
SOAK = os.environ.get("HYPOTHESIS_PROFILE") == "soak"


@pytest.mark.parametrize("name", [name for name, one in SCENARIOS.items() if SOAK or not one.long])
def test_scenario(name: str, tmp_path: Path) -> None:
    """What a scenario shows does not hold; what it printed says at which step, and why."""
    run_inside("netlab.scenarios.play", name, str(tmp_path), limit_s=LIMIT_S)
