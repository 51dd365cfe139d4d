"""Every row of what a user of the seed types and writes, with real processes on wired machines."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.netlab.child import run_inside
from tests.netlab.seed_cases import CASES

ROOT = Path(__file__).parents[2]
LIMIT_S = 120  # only reached where something hangs
STRICT = (sys.executable, "-X", "dev", "-W", "error")


@pytest.mark.parametrize("case", CASES)
def test_as_in_the_seed(case: str, tmp_path: Path) -> None:
    """Who comes from the seed with its files and commands gets something else than they know."""
    run_inside("tests.netlab.seed_cases", case, str(tmp_path), limit_s=LIMIT_S)


def test_keepalives_default_to_those_of_the_seed() -> None:
    """A client that is typed without flags notices a dead server later, or pings more often, than its user expects."""
    command = [*STRICT, "-m", "rustun", "connect", "--help"]
    helped = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=LIMIT_S, check=True).stdout
    assert re.search(r"--keepalive-interval SECONDS\s+\[default: 10\]", helped), helped
    assert re.search(r"--keepalive-threshold N\s[^-]*\[default:\s+5\]", helped), helped
    assert re.search(r"\[default:\s+chacha20:rustun\]", helped), helped
