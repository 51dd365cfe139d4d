"""lab-events: what it prints, and when it ends."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

from netlab.control import events, runfolder
from netlab.control.answering import refused
from netlab.control.runfolder import RunFolder
from netlab.errors import BadInput

SNAPSHOT = b'{"event": "snapshot", "schema": 1}\n'


@pytest.fixture
def keeper(monkeypatch: pytest.MonkeyPatch) -> socket.socket:
    """Return the keeper's end of the connection that the command makes."""
    near, far = socket.socketpair()
    monkeypatch.setattr(runfolder, "find", lambda _name: RunFolder(Path("/labs/acme")))
    monkeypatch.setattr(RunFolder, "connect", lambda _folder: near)
    return far


def test_lines_come_as_they_are_and_the_end_is_told(keeper: socket.socket, capsys: pytest.CaptureFixture[str]) -> None:
    """A script that reads events would hang when the laboratory goes, or read something else than JSON."""
    with keeper:
        keeper.sendall(SNAPSHOT + b'{"event": "node-up"')
        keeper.sendall(b', "node": "bj-new"}\n')
        keeper.shutdown(socket.SHUT_WR)
        assert events.run("", "") == 0
        assert json.loads(keeper.recv(1000)) == {"do": "events"}
    captured = capsys.readouterr()
    assert [json.loads(line)["event"] for line in captured.out.splitlines()] == ["snapshot", "node-up"]
    assert captured.err == "lab-events: acme is down\n"


def test_a_refusal_is_no_event(keeper: socket.socket, capsys: pytest.CaptureFixture[str]) -> None:
    """A script takes it for something that happened, and 0 for a laboratory that ended in order."""
    with keeper:
        keeper.sendall(json.dumps(refused(BadInput('no request "events"', "there are down, status"))).encode())
        keeper.shutdown(socket.SHUT_WR)
        assert events.run("", "") == 2
    assert capsys.readouterr() == ("", 'lab-events: no request "events"\n  there are down, status\n')


def test_a_line_that_is_cut_off_is_left_out(keeper: socket.socket, capsys: pytest.CaptureFixture[str]) -> None:
    """A script that reads events stumbles over half of one when the keeper is killed."""
    with keeper:
        keeper.sendall(SNAPSHOT + b'{"event": "node-')
        keeper.shutdown(socket.SHUT_WR)
        assert events.run("", "99999999999999999s") == 0
    assert capsys.readouterr() == (SNAPSHOT.decode(), "lab-events: acme is down\n")


def test_it_ends_with_its_time(keeper: socket.socket, capsys: pytest.CaptureFixture[str]) -> None:
    """A script would have to kill it."""
    with keeper:
        keeper.sendall(SNAPSHOT)
        assert events.run("", "30ms") == 0
    assert capsys.readouterr() == (SNAPSHOT.decode(), "")


def test_a_time_that_is_none_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """It would run for ever, or end at once."""
    assert events.run("", "soon") == 2
    assert "--for" in capsys.readouterr().err
