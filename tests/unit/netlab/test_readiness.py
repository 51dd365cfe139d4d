"""Where processes say that they are ready."""

from __future__ import annotations

import select
import subprocess
import sys
from contextlib import closing
from pathlib import Path

from netlab.phases import phases_text
from netlab.readiness import Readiness

SPEAK = """
import os, socket, sys
with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as voice:
    for words in sys.argv[1:]:
        voice.sendto(words.encode(), os.environ["NOTIFY_SOCKET"])
"""
LIMIT_S = 20.0  # only reached where something hangs


def test_only_who_says_so_is_ready(tmp_path: Path) -> None:
    """A laboratory goes on before its processes serve, or takes one's word for another's."""
    with closing(Readiness(tmp_path / "ready.sock")) as readiness:
        speakers = [
            subprocess.Popen([sys.executable, "-c", SPEAK, *words], env=readiness.environment)
            for words in (["STATUS=NOT READY=1", "READY=0"], ["STATUS=starts", "READY=1\nSTATUS=serves"])
        ]
        for speaker in speakers:
            assert speaker.wait(LIMIT_S) == 0
        assert select.select([readiness], [], [], LIMIT_S)[0]
        readiness.collect()
        assert readiness.pids == {speakers[1].pid}
    assert list(tmp_path.iterdir()) == []


def test_what_a_start_took_is_one_line() -> None:
    """People do not see where the time goes."""
    phases = {"wired": 0.0312, "processes": 2.1, "sessions": 2.188, "echoes": 2.3}
    assert phases_text(phases) == "wired 0.03 s · processes 2.10 s · sessions 2.19 s · echoes 2.30 s"
