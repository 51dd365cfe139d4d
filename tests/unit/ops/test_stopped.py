"""Whoever stops a task, wherever: files are as they were or as they should be, each whole, and the way on is clear."""

from __future__ import annotations

import json
import select
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from tests.unit.ops.stopping import WORLD
from tests.unit.ops.writing_tasks import TASKS, changed, fronts, make_world, visible

ROOT: Final = Path(__file__).resolve().parents[3]
LIMIT_S: Final = 120  # only reached where something hangs


@pytest.fixture(scope="module")
def stopping() -> Iterator[subprocess.Popen[str]]:
    """Start stopping.py once for all tasks: most of its time is importing them."""
    command = [sys.executable, "-m", "tests.unit.ops.stopping"]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield process
        process.kill()


@pytest.fixture(params=TASKS)
def tries(request: pytest.FixtureRequest, tmp_path: Path, stopping: subprocess.Popen[str]) -> list[dict[str, Any]]:
    """Return what stopping.py says of a task."""
    make_world(tmp_path / WORLD, request.param)
    assert stopping.stdin is not None and stopping.stdout is not None
    stopping.stdin.write(f"{tmp_path}\t{request.param}\n")
    stopping.stdin.flush()
    assert select.select([stopping.stdout], [], [], LIMIT_S)[0], "it hangs"
    found: list[dict[str, Any]] = json.loads(stopping.stdout.readline())
    return found


def test_a_stopped_task_leaves_everything_as_it_was_or_as_it_should_be(tries: list[dict[str, Any]]) -> None:
    """Ctrl-C, or the end of a login, would leave half of a change behind, or half of a file."""
    before, whole, *stopped = tries
    old, new = before["files"], whole["files"]
    assert whole["code"] == 0, whole["said"]
    assert (wished := changed(old, new))
    assert {one["run"] for one in stopped} == {"interrupted", "again"}
    for one in stopped:
        assert "Traceback" not in one["said"]
        if one["run"] == "interrupted":
            assert (one["code"], "interrupted" in one["said"]) == (130, True), (one["step"], one["said"])
            made = changed(old, one["files"])
            assert made in (*fronts(whole["task"], wished), wished), (one["step"], made)
            assert not any(changed(one["files"], new) & {name} for name in made), (one["step"], made)
        else:
            left = visible(one["left"])
            assert all(left.get(name) in (old.get(name), new.get(name)) for name in {**left, **old, **new}), one["step"]
            assert left == new or visible(one["files"]) == new, (one["step"], one["said"])
            assert visible(one["kept"]).items() <= one["keys"].items(), one["step"]
