"""`invoke soak`: the long runs, bounded and resumable.

Rules of this module
  1. Each run is one command with a limit of its own. Its result goes to build/soak.json as soon as it is known.
  2. A run that passed on the code as it is now is not done again; any change of a source file makes it due again.
  3. After `minutes` no further run starts, so that a night's soak ends in the morning.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from rustun.config.findings import suggestion
from rustun.durable import replace_file
from rustun.ops.exit_codes import BAD_INPUT, FAILED

RESULTS: Final = Path("build", "soak.json")
SOAK: Final = "soak"  # the profile of Hypothesis in which tests go on for long
ENDING_SECONDS: Final = 20.0  # for a run that is told to end; then it is killed


@dataclass(frozen=True, slots=True)
class LongRun:
    """One long run: a command of Python, Hypothesis' profile for it; `limit_minutes` ends it as failed."""

    name: str
    what: str
    command: tuple[str, ...]
    profile: str
    limit_minutes: int


def _tests(*tests: str) -> tuple[str, ...]:
    return ("-m", "pytest", "-q", "-n", "2", *tests)


def _in_a_row(times: int, *tests: str) -> tuple[str, ...]:
    return ("-m", "tests.netlab.in_a_row", str(times), *tests)


FUZZ_OF_DECODERS: Final = _tests(
    "tests/fuzz", "--ignore=tests/fuzz/test_items.py", "--ignore=tests/fuzz/test_first_frames.py"
)
MODEL: Final = "tests/simulation/test_model.py::test_whatever_happens"
MODEL_RUN: Final = "millions of steps of the model, from new seeds"
CRASH_TESTS: Final = _tests("tests/netlab/test_crash_kill_switch.py", "tests/netlab/test_crash_restored.py")
RUNS: Final = (
    LongRun("fuzz", "4,000 fresh examples per property of the decoders", FUZZ_OF_DECODERS, SOAK, 90),
    LongRun("items", "4,000 hostile records", _tests("tests/fuzz/test_items.py"), SOAK, 60),
    LongRun("strangers", "4,000 batches of first messages each", _tests("tests/fuzz/test_first_frames.py"), SOAK, 60),
    LongRun(
        "simulation",
        "4,000 fresh examples per in-memory scenario",
        _tests("tests/simulation", f"--deselect={MODEL}"),
        SOAK,
        60,
    ),
    LongRun("bad-handshakes", "100,000 at a real server", _tests("tests/netlab/test_strangers.py"), SOAK, 10),
    LongRun(
        "host", "each step of a client on its host as its last", _tests("tests/netlab/test_host_crash.py"), SOAK, 10
    ),
    LongRun("crashes", "100 random crashes, with a kill switch and without one", CRASH_TESTS, SOAK, 20),
    LongRun("links", "how exact impaired links are", ("-m", "netlab.links.figures"), SOAK, 10),
    LongRun("lab-crash", "50 labs killed at random moments", _tests("tests/netlab/test_lab_crash.py"), SOAK, 30),
    LongRun(
        "lab-parallel",
        "25 rounds of eight labs at once; a lab up and down 200 times",
        _tests("tests/netlab/test_lab_parallel.py"),
        SOAK,
        40,
    ),
    LongRun("scenarios", "all scenarios, long ones as well", _tests("tests/netlab/test_scenarios.py"), SOAK, 20),
    LongRun(
        "scale",
        "5,000 clients who talk, come and go; 100 namespaces with clients",
        ("-m", "netlab", "bench", "--repetitions", "1", "--only", "talk,fairness,churn,hundred"),
        "house",
        15,
    ),
    LongRun("lab-suite", "all namespace tests ten times in a row", _in_a_row(10, "tests/netlab"), "house", 80),
    LongRun(
        "isolation",
        "the instrument that proves isolation, fifty times in a row",
        _in_a_row(50, "tests/netlab/test_isolation_faults.py"),
        "house",
        60,
    ),
    LongRun("ordinary-user", "all namespace tests without root", ("-m", "tests.netlab.ordinary_suite"), "house", 30),
    LongRun("model-1", MODEL_RUN, _tests(f"{MODEL}[0]", f"{MODEL}[1]"), SOAK, 30),
    LongRun("model-2", MODEL_RUN, _tests(f"{MODEL}[2]", f"{MODEL}[3]"), SOAK, 30),
)


@dataclass(frozen=True, slots=True)
class Result:
    """How a run ended, on which code, when (RFC 3339)."""

    name: str
    passed: bool
    seconds: float
    ended_at: str
    code: str


def run(checkout: Path, only: str, minutes: int, *, again: bool) -> int:
    """Do what is due; return 0 when everything wanted has passed, 5 when not, 2 for an unknown name."""
    names = [long_run.name for long_run in RUNS]
    wanted = [name.strip() for name in only.split(",")] if only else names
    for name in wanted:
        if name not in names:
            print(f'soak: there is no run "{name}"\n  {suggestion(name, names)}', file=sys.stderr)
            return BAD_INPUT
    code = _fingerprint(checkout)
    results = {} if again else _load(checkout)
    end = time.monotonic() + 60 * minutes
    for long_run in RUNS:
        before = results.get(long_run.name)
        if long_run.name not in wanted:
            continue
        if before is not None and before.passed and before.code == code:
            print(f"{long_run.name:<12} passed earlier on this code, {before.ended_at}")
        elif time.monotonic() < end:
            results[long_run.name] = _do(checkout, long_run, code)
            _save(checkout, results)
    return _report(wanted, results, code)


def _do(checkout: Path, long_run: LongRun, code: str) -> Result:
    print(f"\n== {long_run.name}: {long_run.what}; at most {long_run.limit_minutes} min", flush=True)
    started = time.monotonic()
    command = [sys.executable, *long_run.command]
    environment = {**os.environ, "HYPOTHESIS_PROFILE": long_run.profile}
    if long_run.profile == SOAK:  # one test is the whole run then
        environment["PYTEST_ADDOPTS"] = f"-o lab_timeout={60 * long_run.limit_minutes}"
    with subprocess.Popen(command, cwd=checkout, env=environment, stdin=subprocess.DEVNULL, process_group=0) as run:
        try:
            passed = run.wait(60 * long_run.limit_minutes) == 0
        except subprocess.TimeoutExpired:
            print(f"{long_run.name}: not done after {long_run.limit_minutes} min", file=sys.stderr)
            passed = False
        finally:
            _end(run)
    now = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
    return Result(long_run.name, passed, round(time.monotonic() - started, 1), now, code)


def _end(run: subprocess.Popen[bytes]) -> None:
    """End a run that goes on, with all that it started: a group that ctrl-C at a terminal does not reach."""
    for number in (signal.SIGINT, signal.SIGKILL):
        if run.poll() is None:
            os.killpg(run.pid, number)
            with suppress(subprocess.TimeoutExpired):
                run.wait(ENDING_SECONDS)


def _report(wanted: list[str], results: dict[str, Result], code: str) -> int:
    print(f"\n{'run':<12}{'seconds':>8}  result")
    good = True
    for name in wanted:
        result = results.get(name)
        current = result is not None and result.code == code
        word = "not done" if result is None or not current else "passed" if result.passed else "FAILED"
        good = good and word == "passed"
        print(f"{name:<12}{result.seconds if result else 0:>8.1f}  {word}")
    print(f"results in {RESULTS}")
    return 0 if good else FAILED


def _fingerprint(checkout: Path) -> str:
    """Return a hash over all sources that a run depends on."""
    digest = hashlib.sha256()
    for folder in ("rustun", "netlab", "tests", "templates"):
        for path in sorted((checkout / folder).rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                digest.update(f"{path.relative_to(checkout)}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def _load(checkout: Path) -> dict[str, Result]:
    try:
        found = json.loads((checkout / RESULTS).read_text())
        return {entry["name"]: Result(**entry) for entry in found["runs"]}
    except (OSError, ValueError, KeyError, TypeError):
        return {}  # none yet, or not ours: everything is due


def _save(checkout: Path, results: dict[str, Result]) -> None:
    path = checkout / RESULTS
    path.parent.mkdir(parents=True, exist_ok=True)
    facts = {"schema": 1, "runs": [asdict(result) for result in results.values()]}
    replace_file(path, json.dumps(facts, indent=2).encode())
