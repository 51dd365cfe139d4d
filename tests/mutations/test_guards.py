"""Each guard is taken out of a copy of the program, and the test that is named for it has to fail.

A suite that passes says little about a guard that no test would miss. Copies are thrown away; the checkout is not
touched.
"""

from __future__ import annotations

import importlib.util
import json
import os
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.mutations.guard import Guard
from tests.mutations.guards import GUARDS

ROOT = Path(__file__).resolve().parents[2]
FORKING = Path(__file__).resolve().parent / "forking.py"
# The warning: that pytest cannot rewrite the assertions of a library that is loaded; nobody wants to.
OPTIONS = ("-q", "-x", "-p", "no:cacheprovider", "-p", "no:xdist", "-W", "ignore::pytest.PytestAssertRewriteWarning")
COPIED = ("rustun", "tests", "netlab", "docs", "inventory", "templates", "pyproject.toml", "tasks.py")
PASSED, FAILED = 0, 1  # exit codes of pytest: 2 and more say that something else went wrong
OWN_FAULTS = ("SyntaxError", "NameError", "ImportError", "AttributeError", "TypeError", "no tests ran")
LIMIT_S = 300  # only reached where something hangs


@pytest.fixture(scope="session")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return a copy of the checkout."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in COPIED:
        source, target = ROOT / name, folder / name
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", "mutations"))
        else:
            shutil.copy(source, target)
    yield folder
    shutil.rmtree(folder)


class Runs:
    """Runs tests of a copy, up to the first failure; see forking.py."""

    def __init__(self, checkout: Path) -> None:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
        self._process = subprocess.Popen(
            [sys.executable, "-P", str(FORKING)],
            cwd=checkout,
            env={**kept, "PYTHONPATH": str(checkout)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(self, *tests: str) -> tuple[int, str]:
        """Return pytest's exit code and what it said."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps([*OPTIONS, *tests]) + "\n")
        self._process.stdin.flush()
        assert select.select([self._process.stdout], [], [], LIMIT_S)[0], f"it hangs: {tests}"
        found = json.loads(self._process.stdout.readline())
        return found["code"], found["said"]

    def end(self) -> None:
        """End the process, and a run that hangs with it."""
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.communicate()


@pytest.fixture(scope="session")
def runs(checkout: Path) -> Iterator[Runs]:
    """Return what runs tests of the copy."""
    made = Runs(checkout)
    yield made
    made.end()


def write(path: Path, text: str) -> None:
    """Write a module, so that no bytecode of the one before is taken for it."""
    path.write_text(text)
    Path(importlib.util.cache_from_source(str(path))).unlink(missing_ok=True)


def test_with_all_guards_the_named_tests_pass(runs: Runs) -> None:
    """If this fails, the failures below say nothing about the guards."""
    code, said = runs.run(*sorted({guard.test for guard in GUARDS}))
    assert code == PASSED, said


@pytest.mark.parametrize("guard", GUARDS, ids=lambda guard: guard.what)
def test_without_the_guard_its_test_fails(checkout: Path, runs: Runs, guard: Guard) -> None:
    """If this fails, the guard can be lost without anybody noticing."""
    path = checkout / "rustun" / guard.file
    whole = path.read_text()
    write(path, guard.taken_out_of(whole))
    try:
        code, said = runs.run(guard.test)
    finally:
        write(path, whole)
    assert code == FAILED, said
    assert not any(fault in said for fault in OWN_FAULTS), said
