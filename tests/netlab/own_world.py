"""Run a test function in a process of its own, inside a laboratory's world of namespaces that ends with it.

Rules of this module
  1. The function's process is number 1 of a pid namespace: whatever it started ends with it, however it ends.
  2. No journal lands in the host's /var/lib.
  3. Laboratories of a test that fails, or takes too long, are described in its folder (black_box.py).
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from pathlib import Path

from netlab.worlds.own_world import run_in_own_world
from tests.netlab.child import load_case, run_in_child

LIMIT_S = 120  # only reached where something hangs


def in_own_world(function: Callable[[Path], None]) -> Callable[[Path], None]:
    """Make a test, which takes its folder, run in a child process; it fails with what the child wrote."""

    @functools.wraps(function)
    def run(tmp_path: Path) -> None:
        run_in_child("tests.netlab.own_world", function, str(tmp_path), limit_s=LIMIT_S)

    return run


def inside(file: str, name: str, folder: str) -> int:
    """Run one function of one test file in there."""
    return run_in_own_world(lambda: load_case(file, name)(Path(folder)), Path(folder))


if __name__ == "__main__":
    sys.exit(inside(*sys.argv[1:]))
