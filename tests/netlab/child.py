"""Run a test function in a Python process of its own; a test's module is loaded there by its file.

Rules of this module
  1. The child runs as the project's processes must: `-X dev -W error`; a word on standard error fails the test. But
     that of asyncio's debug mode on callbacks of pyroute2 that took long is none: on a busy machine that is no fault.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parents[2]


def run_in_child(module: str, function: Callable[..., None], *arguments: str, limit_s: float) -> None:
    """Start `module` with the function's file, name and the arguments; fail with what the child wrote."""
    command = [sys.executable, "-X", "dev", "-W", "error", "-m", module]
    code = function.__code__
    done = subprocess.run(
        [*command, code.co_filename, code.co_name, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=limit_s,
        check=False,
    )
    assert done.returncode == 0, f"exit code {done.returncode}\n{done.stdout}{done.stderr}"
    assert faults(done.stderr) == [], done.stderr


def faults(said: str) -> list[str]:
    """Return the lines of a child's standard error that are faults (rule 1)."""
    return [line for line in said.splitlines() if not line.startswith("Executing <")]


def load_case(file: str, name: str) -> Callable[..., None]:
    """Return the function that a decorator of this kind has wrapped."""
    spec = importlib.util.spec_from_file_location("case", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["case"] = module
    spec.loader.exec_module(module)
    wrapped: Callable[..., None] = getattr(module, name).__wrapped__
    return wrapped
