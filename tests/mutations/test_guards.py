"""Each guard is taken out of a copy of the program, and the test that is named for it has to fail.

A suite that passes says little about a guard that no test would miss. Copies are thrown away; the checkout is not
touched.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.mutations.guard import Guard
from tests.mutations.guards import GUARDS

ROOT = Path(__file__).resolve().parents[2]
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


def pytest_in(checkout: Path, *tests: str) -> subprocess.CompletedProcess[str]:
    """Run tests of a copy, up to the first failure."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-p", "no:xdist", *tests]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    environment = {**kept, "PYTHONPATH": str(checkout)}
    return subprocess.run(
        command, cwd=checkout, env=environment, capture_output=True, text=True, timeout=LIMIT_S, check=False
    )


def write(path: Path, text: str) -> None:
    """Write a module, so that no bytecode of the one before is taken for it."""
    path.write_text(text)
    Path(importlib.util.cache_from_source(str(path))).unlink(missing_ok=True)


def test_with_all_guards_the_named_tests_pass(checkout: Path) -> None:
    """If this fails, the failures below say nothing about the guards."""
    done = pytest_in(checkout, *sorted({guard.test for guard in GUARDS}))
    assert done.returncode == PASSED, done.stdout


@pytest.mark.parametrize("guard", GUARDS, ids=lambda guard: guard.what)
def test_without_the_guard_its_test_fails(checkout: Path, guard: Guard) -> None:
    """If this fails, the guard can be lost without anybody noticing."""
    path = checkout / "rustun" / guard.file
    whole = path.read_text()
    write(path, guard.taken_out_of(whole))
    try:
        done = pytest_in(checkout, guard.test)
    finally:
        write(path, whole)
    assert done.returncode == FAILED, done.stdout + done.stderr
    assert not any(fault in done.stdout for fault in OWN_FAULTS), done.stdout
