"""Run a test function in a process of its own, inside a laboratory's world of namespaces that ends with it.

Rules of this module
  1. The function's process is number 1 of a pid namespace: whatever it started ends with it, however it ends.
  2. It runs as the project's processes must: `-X dev -W error`; a word on standard error fails the test.
"""

from __future__ import annotations

import functools
import importlib.util
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from netlab.namespaces import enter_own_world

ROOT = Path(__file__).parents[2]
LIMIT_S = 120  # only reached where something hangs


def in_own_world(function: Callable[[Path], None]) -> Callable[[Path], None]:
    """Make a test, which takes its folder, run in a child process; it fails with what the child wrote."""

    @functools.wraps(function)
    def run(tmp_path: Path) -> None:
        command = [sys.executable, "-X", "dev", "-W", "error", "-m", "tests.netlab.own_world"]
        code = function.__code__
        done = subprocess.run(
            [*command, code.co_filename, code.co_name, str(tmp_path)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
        assert done.returncode == 0, f"exit code {done.returncode}\n{done.stdout}{done.stderr}"
        assert done.stderr == ""

    return run


def main(file: str, name: str, folder: str) -> int:
    """Run one function of one test file here and now."""
    spec = importlib.util.spec_from_file_location("case", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["case"] = module
    spec.loader.exec_module(module)
    getattr(module, name).__wrapped__(Path(folder))
    return 0


if __name__ == "__main__":
    sys.exit(enter_own_world(functools.partial(main, *sys.argv[1:])))
