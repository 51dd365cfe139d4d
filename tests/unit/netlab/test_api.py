"""What stands between a task and the process that does it: signals reach the right one, and its exit code is ours."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from netlab.processes import environment
from netlab.waiting import readable

PATIENCE_S: Final = 20.0  # only reached where something hangs
TASK: Final = "import sys; from netlab import api; sys.executable = sys.argv[1]; sys.exit(api.sweep())"
# Says that it is there, and then each signal that it hears; SIGTERM ends it with 7, its standard input with 0.
WORKER: Final = """#!{python}
import signal, sys
def hear(number, _frame):
    print(signal.Signals(number).name, flush=True)
    if number == signal.SIGTERM:
        sys.exit(7)
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, hear)
print("up", flush=True)
sys.stdin.read()
"""


@contextmanager
def task(folder: Path, *wrapper: str) -> Iterator[subprocess.Popen[str]]:
    """Run a task whose work is WORKER's; it is there when this begins."""
    worker = folder / "worker"
    worker.write_text(WORKER.format(python=sys.executable))
    worker.chmod(0o700)
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    command = [*wrapper, sys.executable, "-c", TASK, str(worker)]
    with subprocess.Popen(command, env=environment(), start_new_session=True, **pipes) as process:  # type: ignore[call-overload]
        try:
            assert said(process) == "up"
            yield process
        finally:
            process.kill()


def said(process: subprocess.Popen[str]) -> str:
    """Return the worker's next line, "" where it has ended."""
    assert process.stdout is not None
    assert readable((process.stdout,), PATIENCE_S)
    return process.stdout.readline().strip()


def test_who_ends_a_task_ends_its_work(tmp_path: Path) -> None:
    """A bench that a script or a service manager stops goes on for hours, and disturbs whatever is measured next."""
    with task(tmp_path) as process:
        process.terminate()
        assert said(process) == "SIGTERM"
        assert process.wait(PATIENCE_S) == 7
    with task(tmp_path) as process:
        process.kill()
        assert said(process) == "SIGTERM"
        assert said(process) == ""


def test_ctrl_c_is_for_the_work_alone(tmp_path: Path) -> None:
    """What somebody runs in a node by lab-exec is killed by the first ctrl-C, though it has a use for it."""
    with task(tmp_path) as process:
        os.killpg(process.pid, signal.SIGINT)
        assert said(process) == "SIGINT"
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.5)  # twice what Python's own subprocess.call lets a child live on
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(PATIENCE_S) == 0


def test_who_is_not_to_hear_of_a_hangup_does_not(tmp_path: Path) -> None:
    """`nohup ./invoke bench &` ends with the terminal that it was begun in."""
    with task(tmp_path, "nohup") as process:
        process.send_signal(signal.SIGHUP)
        process.terminate()
        assert said(process) == "SIGTERM"


def test_work_that_was_killed_ends_a_task_as_shells_say(tmp_path: Path) -> None:
    """A script reads 247 where 137 says what happened."""
    worker = tmp_path / "worker"
    worker.write_text("#!/bin/sh\nkill -9 $$\n")
    worker.chmod(0o700)
    done = subprocess.run([sys.executable, "-c", TASK, str(worker)], env=environment(), check=False)
    assert done.returncode == 137
