"""Run a test function in a Python process of its own; a test's module is loaded there by its file.

Rules of this module
  1. The child runs as the project's processes must: `-X dev -W error`; a word on standard error fails the test. But
     that of asyncio's debug mode on callbacks of pyroute2 that took long is none: on a busy machine that is no fault.
  2. Children are forks of a process that has imported everything (nursery.py); each test process has one of these.
"""

from __future__ import annotations

import atexit
import functools
import importlib.util
import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).parents[2]
LAST_WORDS_S = 15.0


def run_in_child(module: str, function: Callable[..., None], *arguments: str, limit_s: float) -> None:
    """Have `inside` of `module` run with a function's file and name and the arguments; fail with what was written."""
    code = function.__code__
    run_inside(module, code.co_filename, code.co_name, *arguments, limit_s=limit_s)


def run_inside(module: str, *arguments: str, limit_s: float) -> None:
    """Have `inside` of `module` run with arguments; fail with what was written."""
    with TemporaryDirectory() as folder:
        words = {name: str(Path(folder, name)) for name in ("stdout", "stderr")}
        order = {"module": module, "arguments": arguments, **words}
        exit_code = _carry_out(json.dumps(order), limit_s)
        said, complained = (Path(path).read_text(errors="replace") for path in words.values())
    last_words = [line.strip() for line in (complained or said).splitlines() if line.strip(" ^")][-2:]
    assert exit_code == 0, f"{' | '.join(last_words)}\nexit code {exit_code}\n{said}{complained}"
    assert faults(complained) == [], complained


def _carry_out(order: str, limit_s: float) -> int | None:
    """Return the exit code of the fork that does it, None where it had to be killed."""
    nursery = _nursery()
    assert nursery.stdin is not None
    assert nursery.stdout is not None
    nursery.stdin.write(f"{order}\n".encode())
    child = int(nursery.stdout.readline())
    in_time = bool(select.select([nursery.stdout], [], [], limit_s)[0])
    if not in_time:  # first it may say what it was like
        os.kill(child, signal.SIGTERM)
        if not select.select([nursery.stdout], [], [], LAST_WORDS_S)[0]:
            os.kill(child, signal.SIGKILL)
    exit_code = int(nursery.stdout.readline())
    return exit_code if in_time else None


@functools.cache
def _nursery() -> subprocess.Popen[bytes]:
    """Start this process's nursery, which goes with it; unbuffered, so that a line is there when `select` says so."""
    command = [sys.executable, "-X", "dev", "-W", "error", "-m", "tests.netlab.nursery"]
    nursery = subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0, start_new_session=True
    )
    atexit.register(_end, nursery)
    return nursery


def _end(nursery: subprocess.Popen[bytes]) -> None:
    for pipe in (nursery.stdin, nursery.stdout):
        if pipe is not None:
            pipe.close()
    nursery.wait()


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
