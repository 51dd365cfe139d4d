"""`invoke test` and `invoke style`: the parts, in the order of what fails fastest, each one command.

Rules of this module
  1. A part's words stream to the terminal; the verdict of all parts stands at the end, failed ones by name.
  2. Every part runs, also after one failed: one run shows all that is wrong.
  3. Nothing is skipped: a skipped test fails the run (tests/conftest.py), a part without tests fails it too.
  4. Tests run in Python's development mode and with warnings as errors, and so do the processes that they start.
  5. `invoke test` leaves a report of the parts that it ran (run_report.py), also when some of them failed.
"""

from __future__ import annotations

import datetime as dt
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from rustun.config.findings import suggestion
from rustun.ops import run_report
from rustun.ops.exit_codes import BAD_INPUT, FAILED
from rustun.ops.run_report import Outcome

REPORT: Final = Path("build", "test-report")


@dataclass(frozen=True, slots=True)
class Part:
    """One command of the run.

    Attributes:
        workers: whether pytest may spread it over processes.
        waits: whether its tests wait half of the time, so that half as many processes more keep the cores busy.
    """

    name: str
    what: str
    command: tuple[str, ...]
    workers: bool = False
    waits: bool = False

    def processes(self, workers: int) -> int:
        """Return how many are to run it where there are so many workers."""
        if not self.workers:
            return 1
        return workers + workers // 2 if self.waits else workers


def _pytest(name: str, what: str, *folders: str, workers: bool = True, waits: bool = False) -> Part:
    return Part(name, what, ("-m", "pytest", "-q", *(f"tests/{folder}" for folder in folders)), workers, waits)


PARTS: Final = (
    Part("lint", "style (ruff)", ("-m", "ruff", "check", ".", "invoke")),
    Part("types", "types (mypy --strict)", ("-m", "mypy")),
    _pytest("architecture", "imports go one way, house rules", "architecture"),
    _pytest("unit", "each module by itself", "unit", "golden"),
    _pytest("vectors", "recorded and published test vectors", "vectors"),
    _pytest("fuzz", "what reads foreign bytes and files (Hypothesis)", "fuzz"),
    _pytest("simulation", "relay and clients in memory, virtual time", "simulation"),
    _pytest("mutations", "guards taken out one by one: the test that is named for each has to fail", "mutations"),
    _pytest("browser", "the dashboard in a real browser", "browser"),
    _pytest("docs", "the site, man pages and completion: built without a warning, and read", "docs", workers=False),
    _pytest("netlab", "real processes in network namespaces", "netlab", waits=True),
    _pytest("machines", "real Debian systems, reached over SSH; needs root", "machines", workers=False),
)


def list_parts() -> int:
    """Print the parts and what they do; return the exit code."""
    for part in PARTS:
        print(f"{part.name:<14}{part.what}")
    return 0


def run_parts(checkout: Path, only: str, workers: int, report: Path | None = None) -> int:
    """Run all parts, or those named in `only` by comma; return 0, 5 when one failed, 2 when a name is unknown.

    Args:
        report: folder for what came of it, within the checkout; None for none.

    Raises: OSError where the report cannot be written.
    """
    names = [part.name for part in PARTS]
    wanted = [name.strip() for name in only.split(",")] if only else names
    for name in wanted:
        if name not in names:
            print(f'test: there is no part "{name}"\n  {suggestion(name, names)}', file=sys.stderr)
            return BAD_INPUT
    began, started = dt.datetime.now(dt.UTC).isoformat(timespec="seconds"), time.monotonic()
    outcomes = [_run_part(part, checkout, workers) for part in PARTS if part.name in wanted]
    seconds = time.monotonic() - started
    print(f"\n{'part':<14}{'seconds':>8}{'tests':>7}  result")
    for part in outcomes:
        print(f"{part.name:<14}{part.seconds:>8.1f}{len(part.cases):>7}  {'passed' if part.passed else 'FAILED'}")
    if report is not None:
        run_report.write(checkout / report, outcomes, began, seconds)
        print(f"report: {report / 'summary.md'}, report.json, junit.xml")
    print(f"{run_report.verdict(outcomes)} in {seconds:.0f} s", flush=True)
    return 0 if all(part.passed for part in outcomes) else FAILED


def _environment() -> dict[str, str]:
    """Return what tests run in: what is compiled is kept, for the thousand programs that they start."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**kept, "PYTHONDEVMODE": "1"}


def _run_part(part: Part, checkout: Path, workers: int) -> Outcome:
    print(f"\n== {part.name}: {part.what}", flush=True)
    started = time.monotonic()
    command = [sys.executable, *part.command]
    if "pytest" not in part.command:
        done = subprocess.run(
            command, cwd=checkout, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
        )
        print(done.stdout, end="", flush=True)
        return run_report.outcome(part.name, part.what, done.returncode, time.monotonic() - started, None, done.stdout)
    with TemporaryDirectory() as folder:
        junit = Path(folder, "junit.xml")
        processes = part.processes(workers)
        command += ["--junit-xml", str(junit)]
        if processes > 1:  # a few tests take as long as hundreds of others: who has none left takes some over
            command += ["-n", str(processes), "--dist", "worksteal"]
        code = subprocess.run(command, cwd=checkout, env=_environment(), check=False).returncode
        return run_report.outcome(part.name, part.what, code, time.monotonic() - started, junit, "")
