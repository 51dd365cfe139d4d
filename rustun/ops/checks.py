"""`invoke test` and `invoke style`: the parts, in the order of what fails fastest, each one command.

Rules of this module
  1. A part's words stream to the terminal; the verdict of all parts stands at the end, failed ones by name.
  2. Every part runs, also after one failed: one run shows all that is wrong.
  3. Nothing is skipped: a skipped test fails the run (tests/conftest.py), a part without tests fails it too.
  4. Tests run in Python's development mode and with warnings as errors, and so do the processes that they start.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rustun.config.findings import suggestion
from rustun.ops.exit_codes import BAD_INPUT, FAILED


@dataclass(frozen=True, slots=True)
class Part:
    """One command of the run; `workers` says whether pytest may spread it over processes."""

    name: str
    what: str
    command: tuple[str, ...]
    workers: bool = False


def _pytest(name: str, what: str, *folders: str, workers: bool = True) -> Part:
    return Part(name, what, ("-m", "pytest", "-q", *(f"tests/{folder}" for folder in folders)), workers)


PARTS: Final = (
    Part("lint", "style (ruff)", ("-m", "ruff", "check", ".", "invoke")),
    Part("types", "types (mypy --strict)", ("-m", "mypy")),
    _pytest("architecture", "imports go one way, house rules", "architecture"),
    _pytest("unit", "each module by itself", "unit", "golden"),
    _pytest("vectors", "recorded and published test vectors", "vectors"),
    _pytest("fuzz", "what reads foreign bytes and files (Hypothesis)", "fuzz"),
    _pytest("simulation", "relay and clients in memory, virtual time", "simulation"),
    _pytest("mutations", "guards taken out one by one: the test that is named for each has to fail", "mutations"),
    _pytest("netlab", "real processes in network namespaces", "netlab"),
    _pytest("machines", "real Debian systems, reached over SSH; needs root", "machines", workers=False),
)


def list_parts() -> int:
    """Print the parts and what they do; return the exit code."""
    for part in PARTS:
        print(f"{part.name:<14}{part.what}")
    return 0


def run_parts(checkout: Path, only: str, workers: int) -> int:
    """Run all parts, or those named in `only` by comma; return 0, 5 when one failed, 2 when a name is unknown."""
    names = [part.name for part in PARTS]
    wanted = [name.strip() for name in only.split(",")] if only else names
    for name in wanted:
        if name not in names:
            print(f'test: there is no part "{name}"\n  {suggestion(name, names)}', file=sys.stderr)
            return BAD_INPUT
    started = time.monotonic()
    results = [_run_part(part, checkout, workers) for part in PARTS if part.name in wanted]
    print(f"\n{'part':<14}{'seconds':>8}  result")
    for name, seconds, passed in results:
        print(f"{name:<14}{seconds:>8.1f}  {'passed' if passed else 'FAILED'}")
    failed = [name for name, _, passed in results if not passed]
    verdict = f"{len(failed)} of {len(results)} parts failed: {', '.join(failed)}" if failed else "all parts passed"
    print(f"{verdict} in {time.monotonic() - started:.0f} s", flush=True)
    return FAILED if failed else 0


def _run_part(part: Part, checkout: Path, workers: int) -> tuple[str, float, bool]:
    print(f"\n== {part.name}: {part.what}", flush=True)
    started = time.monotonic()
    command = [sys.executable, *part.command]
    environment = dict(os.environ)
    if "pytest" in part.command:
        command += ["-n", str(workers)] if part.workers and workers > 1 else []
        environment["PYTHONDEVMODE"] = "1"
    done = subprocess.run(command, cwd=checkout, env=environment, check=False)
    return part.name, time.monotonic() - started, done.returncode == 0
