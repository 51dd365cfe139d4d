"""Folders for logs: each run has its own."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from netlab.__main__ import fresh_logs


def test_two_runs_at_once_have_logs_of_their_own(tmp_path: Path) -> None:
    """The second demo, or lab-run, removes the folder that the first one writes to, and that one ends in an error."""
    ready, told = os.pipe()
    other = os.fork()
    if other == 0:
        (fresh_logs(tmp_path, "demo") / "server.log").write_text("mine")
        os.write(told, b"!")
        signal.pause()
    os.read(ready, 1)
    second = fresh_logs(tmp_path, "demo")
    assert second == tmp_path / "logs" / "demo-2"
    assert (tmp_path / "logs" / "demo" / "server.log").read_text() == "mine"
    os.kill(other, signal.SIGKILL)
    os.waitpid(other, 0)
    first = fresh_logs(tmp_path, "demo")
    assert (first.name, list(first.iterdir())) == ("demo", [])
    for descriptor in (ready, told):
        os.close(descriptor)
