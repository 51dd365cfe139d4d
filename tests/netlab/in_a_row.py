"""Tests again and again, to see whether they are steady: `python -m tests.netlab.in_a_row TIMES TESTS...`.

Rules of this module
  1. All rounds are run, also after one was red: what counts is how many were.
  2. A round that is red keeps what it left in build/test-report/failures, as always.
"""

from __future__ import annotations

import subprocess
import sys
from time import monotonic
from typing import Final

from tests.netlab.child import ROOT

WORKERS: Final = "3"  # as `invoke test` has on two cores
RED: Final = 5


def main(times: str, *tests: str) -> int:
    """Run the tests so many times; return 0 where every round was green, else 5."""
    red = 0
    for number in range(1, int(times) + 1):
        began = monotonic()
        code = subprocess.call([sys.executable, "-m", "pytest", "-q", "-n", WORKERS, *tests], cwd=ROOT)
        red += code != 0
        word = "green" if code == 0 else f"red (pytest's exit code {code})"
        print(f"round {number} of {times}: {word}, {monotonic() - began:.0f} s", flush=True)
    print(f"{red} of {times} rounds were red")
    return RED if red else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
