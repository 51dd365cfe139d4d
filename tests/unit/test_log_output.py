"""In which form a log is written: by what standard error is."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

import pytest

from rustun.journal import JournalWriter
from rustun.log_output import log_output
from rustun.logs import Entry, LogFormat

ENTRY = Entry(1_700_000_000.25, "info", "up", "up", {"identity": "m0"})
TEXT = "2023-11-14 22:13:20Z info    up  identity=m0\n"


@contextmanager
def pipe() -> Iterator[tuple[TextIO, int]]:
    receiver, sender = os.pipe()
    with open(sender, "w") as stream:
        yield stream, receiver
    os.close(receiver)


def journal_variable(stream: TextIO) -> dict[str, str]:
    status = os.fstat(stream.fileno())
    return {"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"}


def test_people_read_a_terminal() -> None:
    """Who starts a relay by hand gets JSON."""
    master, slave = os.openpty()
    with open(slave, "w") as stream:
        log_output("auto", 0, stream, {}).write(ENTRY)
        assert os.read(master, 1000).decode().replace("\r\n", "\n") == TEXT
    os.close(master)


def test_machines_read_anything_else() -> None:
    """A container's log has to be taken apart by guessing."""
    with pipe() as (stream, receiver):
        log_output("auto", 0, stream, {}).write(ENTRY)
        assert json.loads(os.read(receiver, 1000))["identity"] == "m0"


@pytest.mark.parametrize("style", ["text", "json"])
def test_what_was_asked_for_wins(style: LogFormat) -> None:
    """`--log-format text` gives fields in the journal, or JSON in a pipe."""
    with pipe() as (stream, receiver):
        log_output(style, 0, stream, journal_variable(stream)).write(ENTRY)
        said = os.read(receiver, 1000).decode()
        assert (said == TEXT) == (style == "text")


def test_the_journal_of_a_service(tmp_path: Path) -> None:
    """A service under systemd has its fields in the text of its lines only."""
    with pipe() as (stream, _), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journal:
        journal.bind(str(tmp_path / "socket"))
        sink = log_output("auto", 0, stream, journal_variable(stream), str(tmp_path / "socket"))
        assert isinstance(sink, JournalWriter)
        sink.close()


def test_a_journal_out_of_reach_is_read_by_people(tmp_path: Path) -> None:
    """In a sandbox without the journal's socket a service logs nothing, or JSON into the journal."""
    with pipe() as (stream, receiver):
        log_output("auto", 0, stream, journal_variable(stream), str(tmp_path / "none")).write(ENTRY)
        assert os.read(receiver, 1000).decode() == TEXT


def test_the_level_by_v() -> None:
    """-v shows no more, or all of it is always shown."""
    with pipe() as (stream, _):
        assert [log_output("auto", verbosity, stream, {}).wants("debug", "up") for verbosity in (0, 1, 2)] == [
            False, True, True,
        ]  # fmt: skip
