"""A program of ours in a process of its own."""

from __future__ import annotations

import json
import os
import select
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from rustun.backends import own_program
from rustun.backends.own_program import OwnProgram

WAIT_SECONDS = 20.0  # never reached unless something hangs
HANDS_OVER = """
import os, socket, sys
door = socket.socket(fileno=int(sys.argv[sys.argv.index("--door") + 1]))
own, theirs = socket.socketpair()
socket.send_fds(door, [b"c"], [theirs.fileno()])
own.sendall(b"hello")
with open(os.devnull) as file:
    socket.send_fds(door, [b"c"], [file.fileno()])
inet = socket.socket()
socket.send_fds(door, [b"c"], [inet.fileno()])
door.send(b"c")
own.recv(1)
"""
LOOKS_AROUND = """
import json, os, sys
found = {"environment": dict(os.environ), "descriptors": sorted(os.listdir("/proc/self/fd")), "path": sys.path}
with open(sys.argv[1], "w") as file:
    json.dump(found, file)
"""


@contextmanager
def running(monkeypatch: pytest.MonkeyPatch, script: str, *arguments: str) -> Iterator[OwnProgram]:
    """Run a script in the place of a module."""
    monkeypatch.setattr(own_program, "_START", script.replace("{", "{{").replace("}", "}}"))
    program = OwnProgram("rustun.web", arguments)
    try:
        yield program
    finally:
        program.end(9)
        program.close(WAIT_SECONDS)


def wait(source: socket.socket | OwnProgram) -> None:
    """Wait until something is readable."""
    assert select.select([source], [], [], WAIT_SECONDS)[0], "nothing came"


def test_connections_come_and_nothing_else_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """A web process that was taken over hands over a file or a TCP connection, and the tunnel reads from it."""
    with running(monkeypatch, HANDS_OVER) as program:
        wait(program.door)
        connection = program.connection()
        assert connection is not None
        with connection:
            assert not os.get_inheritable(connection.fileno())
            wait(connection)
            assert connection.recv(10) == b"hello"
            for _ in range(3):
                wait(program.door)
                assert program.connection() is None
            assert program.connection() is None  # nothing waits
            connection.sendall(b"x")
        wait(program)
        wait(program.door)
        with pytest.raises(EOFError):
            program.connection()
        assert program.close(WAIT_SECONDS) == "exit code 0"
        assert program.fileno() == -1


def test_it_has_nothing_of_ours(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A secret of the environment, or a socket of the tunnel, is in the hands of the process that strangers talk to."""
    monkeypatch.setenv("MARKED_SECRET", "x")
    monkeypatch.chdir(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        os.set_inheritable(listener.fileno(), True)
        with running(monkeypatch, LOOKS_AROUND, str(tmp_path / "found.json")) as program:
            wait(program)
            assert program.close(WAIT_SECONDS) == "exit code 0"
    found = json.loads((tmp_path / "found.json").read_text())
    assert "MARKED_SECRET" not in found["environment"]
    assert len(found["descriptors"]) == 5  # the standard ones, the door, the folder that is listed
    assert "" not in found["path"]
    assert str(tmp_path) not in found["path"]


def test_the_real_one_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The web process cannot be started from another folder, or another rustun is run than this one."""
    (tmp_path / "rustun").mkdir()
    (tmp_path / "rustun" / "__init__.py").write_text("raise SystemExit(7)")
    monkeypatch.chdir(tmp_path)
    program = OwnProgram("rustun.web", ["--help"])
    wait(program)
    assert program.close(WAIT_SECONDS) == "exit code 0"


def test_how_it_ended_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """The log says nothing of why there is no dashboard."""
    with running(monkeypatch, "import time; time.sleep(60)") as program:
        program.end(9)
        wait(program)
        assert program.close(WAIT_SECONDS) == "killed by SIGKILL"


def test_one_that_does_not_end_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A web process that hangs keeps its tunnel from stopping."""
    script = "import signal; signal.pthread_sigmask(signal.SIG_BLOCK, [15]); print(flush=True); signal.pause()"
    with running(monkeypatch, script) as program:
        program.end()
        assert program.close(0.05) in ("killed by SIGKILL", "killed by SIGTERM")  # the latter before it was deaf
