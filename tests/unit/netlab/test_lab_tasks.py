"""The tasks of the laboratory: each has a JSON form, and one way to end where nothing could be run."""

from __future__ import annotations

from pathlib import Path

import pytest
from invoke import Task

import tasks
from tests.unit.test_tasks import ARGUMENTS, invoke

LAB: dict[str, Task] = {
    name: task for name, task in tasks.namespace.tasks.items() if task.body.__module__.startswith("netlab.")
}
OTHERWISE = {
    "lab-events": "prints lines of JSON and nothing else",
    "bench": "--json names the file for them",
    "bench-report": "reads the JSON of a run, and makes tables and pages for people",
}
NOBODY = "--name no-such-lab"
BAD_INPUT = {
    "bench": "--only no-such-row",
    "bench-compare": "none.json none.json",
    "bench-report": "none.json",
    "demo": "--inventory none.toml",
    "lab-apply": NOBODY,
    "lab-capture": f"all {NOBODY}",
    "lab-demo": "--inventory none.toml",
    "lab-diff": NOBODY,
    "lab-doctor": "--nothing",
    "lab-down": NOBODY,
    "lab-events": NOBODY,
    "lab-exec": f"bj-dev {NOBODY} -- true",
    "lab-link": f"bj-dev {NOBODY}",
    "lab-ls": "--nothing",
    "lab-picture": "--inventory none.toml",
    "lab-probe": f"bj-dev bj-db {NOBODY}",
    "lab-run": "no-such-scenario",
    "lab-sequence": "none.pcapng",
    "lab-status": NOBODY,
    "lab-sweep": "--nothing",
    "lab-up": "--inventory none.toml",
    "policy-test": "--live --inventory none.toml",
}


def has_json(name: str) -> bool:
    """Return whether a task takes --json as a flag."""
    return any(argument.name == "json" and argument.kind is bool for argument in ARGUMENTS[name])


def test_every_task_has_a_form_for_machines() -> None:
    """A script would have to read what is written for people, and would break with the next better word."""
    assert {name for name in LAB if not has_json(name)} == set(OTHERWISE)


def test_every_task_is_tried_with_bad_input() -> None:
    """A new task could end in a traceback, or with the code of another fault, and nobody would notice."""
    assert set(BAD_INPUT) == set(LAB)


@pytest.mark.parametrize("name", sorted(BAD_INPUT))
def test_bad_input_ends_with_2_and_words_on_standard_error(name: str, tmp_path: Path) -> None:
    """A script would take a slip for a failed expectation, or parse a half document."""
    words, dashes, command = BAD_INPUT[name].partition(" -- ")
    typed = [*words.split(), *["--json"] * has_json(name), *([dashes.strip(), command] if dashes else [])]
    done = invoke(name, *typed, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    first, *rest = done.stderr.splitlines()
    assert first
    assert rest and rest[0].startswith("  ") and rest[0].strip(), done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())
