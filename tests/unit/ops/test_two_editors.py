"""Somebody else is at work on an inventory: every task that writes says so, and leaves everything as it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from rustun.ops.editing.files import editing as held
from rustun.ops.exit_codes import ENVIRONMENT
from rustun.ops.tasks import arguments, editing, fleet, hosts, project
from tests.unit.ops.writing_tasks import TASKS, files, make_world, run

ELSEWHERE = {"inventory-import", "schema"}  # a file that is not there yet; one of this project


@pytest.mark.parametrize("task", [task for task in TASKS if task not in ELSEWHERE])
def test_who_comes_second_is_told_and_changes_nothing(
    task: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """One of two would take back what the other wrote, or generate files of an inventory that is written by half."""
    for module in (arguments, editing, fleet, hosts, project):  # as they are, they come back behind the test
        monkeypatch.setattr(module, "ROOT", tmp_path)
    monkeypatch.chdir(tmp_path)
    world = tmp_path / "world"
    make_world(world, task)
    before = files(world)
    with held(world / "inventory" / "acme"):
        assert run(world, TASKS[task]) == ENVIRONMENT
    assert "somebody else is editing here\n  run it again when they are done\n" in capfd.readouterr().err
    assert files(world) == before
    assert run(world, TASKS[task]) == 0
