"""Laboratories that come up and go down, where their keeper does not do its part."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest

from netlab.control import commands, runfolder
from netlab.control.asking import ask_the_way
from netlab.control.runfolder import CONTROL, OWNER, RunFolder
from netlab.errors import EnvironmentLacks, ExpectationFailed


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let folders be made in one of the test's own, and nobody be waited for."""
    monkeypatch.setattr(runfolder, "root", lambda: tmp_path)
    monkeypatch.setattr(commands, "DOWN_SECONDS", 1.0)
    return tmp_path


def held_by_nobody_who_answers(name: str) -> tuple[RunFolder, subprocess.Popen[bytes]]:
    """Return a laboratory's folder, and the process that holds it and says nothing, as one that was stopped."""
    folder, held = runfolder.take(name)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as control:
        control.bind(str(folder.path / CONTROL))
        control.listen()
        keeper = subprocess.Popen(["sleep", "600"], pass_fds=(held, control.fileno()))
    os.close(held)
    return folder, keeper


@pytest.fixture
def silent() -> Iterator[tuple[RunFolder, subprocess.Popen[bytes]]]:
    """Have one."""
    folder, keeper = held_by_nobody_who_answers("acme")
    yield folder, keeper
    keeper.kill()
    keeper.wait()


def test_a_keeper_that_does_not_answer_is_ended(silent: tuple[RunFolder, subprocess.Popen[bytes]]) -> None:
    """The only way out of a laboratory that hangs is to find its process by hand: lab-sweep takes the dead alone."""
    folder, keeper = silent
    (folder.path / OWNER).write_text(json.dumps({"pid": keeper.pid, "inventory": "", "logs": ""}))
    assert commands.take_down(folder) == ["its keeper did not answer and was killed"]
    assert keeper.wait() == -signal.SIGKILL
    assert not folder.path.exists()


def test_one_that_is_not_known_yet_is_left_alone(silent: tuple[RunFolder, subprocess.Popen[bytes]]) -> None:
    """lab-down beside a lab-up would remove the folder under it."""
    folder, keeper = silent
    with pytest.raises(ExpectationFailed, match="still coming up"):
        commands.take_down(folder)
    assert keeper.poll() is None
    assert folder.alive


def test_ctrl_c_takes_down_what_was_coming_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It says that all is taken down, and a minute later the laboratory is up, or its name still taken."""
    begun: list[tuple[RunFolder, subprocess.Popen[bytes]]] = []

    def start(_inventory: Path, folder: RunFolder, held: int, *_more: object) -> tuple[subprocess.Popen[bytes], int]:
        begun.append((folder, subprocess.Popen(["sleep", "600"], pass_fds=(held,))))
        return begun[0][1], -1

    def interrupted(*_arguments: object) -> NoReturn:
        raise KeyboardInterrupt

    monkeypatch.setattr(commands, "_start_keeper", start)
    monkeypatch.setattr(commands, "_follow", interrupted)
    with pytest.raises(KeyboardInterrupt):
        commands._up(tmp_path / "fleet.toml", "acme", tmp_path, [], quiet=True)
    folder, keeper = begun[0]
    assert keeper.poll() == -signal.SIGTERM
    assert not folder.path.exists()


@pytest.mark.parametrize(
    ("answer", "kind", "words"),
    [
        (b"", ExpectationFailed, "did not answer"),
        (b'{"fla', ExpectationFailed, "did not answer"),
        (b'{"error": "busy", "exit_code": 5}', ExpectationFailed, "busy"),
        (b'{"flags": [1, 2], "through": []}', EnvironmentLacks, "too many open files"),
    ],
)
def test_a_way_into_a_node_that_is_none_is_told(
    monkeypatch: pytest.MonkeyPatch, answer: bytes, kind: type[Exception], words: str
) -> None:
    """lab-exec ends in a traceback where the laboratory goes at the same time, or has more nodes than it has files."""
    near, far = socket.socketpair()
    monkeypatch.setattr(RunFolder, "connect", lambda _folder: near)
    with far:
        far.sendall(answer)
        far.shutdown(socket.SHUT_WR)
        with pytest.raises(kind, match=words):
            ask_the_way(RunFolder(Path("/labs/acme")), "bj-dev")
