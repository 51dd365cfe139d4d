"""Tests against the kernel as scenarios: what is read of their files, and what is told while they run."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from netlab.errors import EXIT_ENVIRONMENT, EXIT_UNEXPECTED
from netlab.processes import CHECKOUT
from netlab.scenarios.kernel_tests import KernelTests, read

DOORS = '''"""Doors that open and close.

      a ---- door
             |

Rules of this module
  1. A door that is open
     is not closed.
"""

import pytest


def test_a_second_door_opens_first() -> None:
    """Row 3. If this fails, nobody comes in."""


@pytest.mark.parametrize("door", [1, 2])
def test_doors_close(door: int) -> None:
    """Rows 4 and 12. If this fails, everybody comes in."""
    assert door != CLOSED, "it stands open"


def test_a_door_falls() -> None:
    """If this fails, it has fallen."""


CLOSED = 0
'''
TOLD = """
import json, sys
from dataclasses import asdict
from pathlib import Path
from netlab.scenarios import kernel_tests, pytest_steps
def tell(news):
    print("told", json.dumps(asdict(news)))
sys.exit(pytest_steps.play(kernel_tests.read(Path(sys.argv[1])), tell))
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file of tests."""
    path = tmp_path / "test_wooden_doors.py"
    path.write_text(DOORS)
    return path


def told(file: Path) -> tuple[int, list[tuple[int, str, str]]]:
    """Run a file of tests; return the exit code and step, state and reason of all that was told."""
    command = [sys.executable, "-c", TOLD, str(file)]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, timeout=60, check=False)
    lines = [json.loads(line.partition("told ")[2]) for line in done.stdout.splitlines() if "told " in line]
    assert lines or done.returncode == EXIT_ENVIRONMENT, done.stdout + done.stderr
    return done.returncode, [(one["step"], one["state"], one["why"]) for one in lines]


def test_a_file_says_what_it_shows(file: Path) -> None:
    """People would be shown other names, rows or pictures than the tests have."""
    assert read(file) == KernelTests(
        name="wooden-doors",
        shows="Doors that open and close.",
        picture="a ---- door\n       |",
        rows="3, 4, 12",
        file=file,
        tests=("test_a_second_door_opens_first", "test_doors_close", "test_a_door_falls"),
    )
    assert read(file).words == ("A second door opens first.", "Doors close.", "A door falls.")


def test_each_test_is_told_when_it_begins_and_when_all_of_it_has_ended(file: Path) -> None:
    """A step would be done while half of it is still to come."""
    code, news = told(file)
    assert code == 0
    assert [(step, state) for step, state, _ in news] == [
        (0, "running"),
        (0, "done"),
        (1, "running"),
        (1, "running"),
        (1, "done"),
        (2, "running"),
        (2, "done"),
    ]


def test_a_test_that_fails_is_told_with_its_reason_and_is_the_last(file: Path) -> None:
    """A failure would count as passed, or leave no word about what failed."""
    file.write_text(DOORS.replace("CLOSED = 0", "CLOSED = 2"))
    code, news = told(file)
    assert code == EXIT_UNEXPECTED
    assert news[-1][:2] == (1, "failed")
    assert "it stands open" in news[-1][2]


def test_what_the_machine_lacks_is_no_failure(file: Path) -> None:
    """People without a program of a distribution would look for the fault in the tunnel."""
    words = "import pytest\n\n\ndef pytest_configure():\n    raise pytest.UsageError('tests need: a door')\n"
    (file.parent / "conftest.py").write_text(words)
    assert told(file) == (EXIT_ENVIRONMENT, [])
