"""The journal, played by a datagram socket: what it is sent, and what becomes of a service without it."""

from __future__ import annotations

import io
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from rustun.journal import JournalWriter, datagram, is_journal
from rustun.logs import Entry, LineWriter, Log

TIME = 1_700_000_000.25


def entry(message: str = "m0 is online", level: str = "info", **fields: object) -> Entry:
    return Entry(TIME, level, "session-up", message, fields)  # type: ignore[arg-type]


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[socket.socket]:
    """A journal that listens on `tmp_path`/socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as made:
        made.bind(str(tmp_path / "socket"))
        made.settimeout(10)
        yield made


@pytest.fixture
def writer(tmp_path: Path, journal: socket.socket) -> Iterator[JournalWriter]:
    made = JournalWriter("info", str(tmp_path / "socket"))
    assert journal.recv(65536) == b""
    yield made
    made.close()
    made.close()


def fields(data: bytes) -> dict[str, str]:
    assert data.endswith(b"\n")
    return dict(line.split("=", 1) for line in data.decode().splitlines())


def test_an_event_and_its_fields(journal: socket.socket, writer: JournalWriter) -> None:
    """`journalctl RUSTUN_IDENTITY=...` finds nothing, or who reads the journal does not see of whom a line speaks."""
    writer.write(entry(identity="上海 m0", members=3, added=["a", "b"], changed={"c": ["tier"]}, code="", none=None))
    assert fields(journal.recv(65536)) == {
        "MESSAGE": 'm0 is online  identity="上海 m0"  members=3  added="a, b"  changed="c: tier"',
        "PRIORITY": "6",
        "SYSLOG_IDENTIFIER": "rustun",
        "RUSTUN_EVENT": "session-up",
        "RUSTUN_IDENTITY": "上海 m0",
        "RUSTUN_MEMBERS": "3",
        "RUSTUN_ADDED": '["a", "b"]',
        "RUSTUN_CHANGED": '{"c": ["tier"]}',
    }


@pytest.mark.parametrize(("level", "priority"), [("debug", "7"), ("info", "6"), ("warning", "4"), ("error", "3")])
def test_levels(level: str, priority: str) -> None:
    """`journalctl --priority=warning` shows what is none, or not what is one."""
    assert fields(datagram(entry(level=level)))["PRIORITY"] == priority


def test_a_peers_text_makes_no_field(journal: socket.socket, writer: JournalWriter) -> None:
    """A member's name adds fields of its own to the journal, or ends the service with an encoding error."""
    log = Log(lambda: TIME, writer)
    log.event("info", "refused", "no\nRUSTUN_CODE=forged", identity="m0\nPRIORITY=0\n\udc80", code="tier")
    found = fields(journal.recv(65536))
    assert (found["PRIORITY"], found["RUSTUN_CODE"]) == ("6", "tier")
    assert found["RUSTUN_IDENTITY"] == r"m0\nPRIORITY=0\n\udc80"
    assert set(found) == {
        "MESSAGE", "PRIORITY", "SYSLOG_IDENTIFIER", "RUSTUN_EVENT", "RUSTUN_IDENTITY", "RUSTUN_CODE",
    }  # fmt: skip


def test_lower_levels_are_left_out(writer: JournalWriter) -> None:
    """Debug entries fill the journal of a production host."""
    assert not writer.wants("debug", "host-routes")
    assert writer.wants("info", "session-up")


def test_a_full_queue_is_no_wait_and_the_loss_is_told(journal: socket.socket, writer: JournalWriter) -> None:
    """A journal that does not read stops every packet, or entries are gone without a word."""
    for _ in range(5000):
        writer.write(entry("x" * 500))
    lost = writer._lost
    assert lost > 0
    taken = 0
    journal.setblocking(False)
    with pytest.raises(BlockingIOError):
        while journal.recv(65536):
            taken += 1
    assert taken + lost == 5000
    writer.write(entry("after"))
    told = fields(journal.recv(65536))
    assert (told["RUSTUN_EVENT"], json.loads(told["RUSTUN_LOST"])) == ("log-lost", lost)
    assert fields(journal.recv(65536))["MESSAGE"] == "after"


def test_a_journal_that_is_restarted(tmp_path: Path, journal: socket.socket, writer: JournalWriter) -> None:
    """A service logs nothing any more once the journal was restarted, or ends with it."""
    journal.close()
    writer.write(entry("lost"))
    (tmp_path / "socket").unlink()
    writer.write(entry("lost as well"))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as again:
        again.bind(str(tmp_path / "socket"))
        again.settimeout(10)
        writer.write(entry("seen"))
        assert fields(again.recv(65536))["RUSTUN_LOST"] == "2"
        assert fields(again.recv(65536))["MESSAGE"] == "seen"


def test_an_entry_that_no_datagram_takes_is_lost_alone(journal: socket.socket, writer: JournalWriter) -> None:
    """One giant entry ends the service."""
    writer.write(entry("x" * (1 << 23)))
    writer.write(entry("after"))
    assert fields(journal.recv(65536))["RUSTUN_LOST"] == "1"
    assert fields(journal.recv(65536))["MESSAGE"] == "after"


def test_without_a_journal_there_is_no_writer(tmp_path: Path) -> None:
    """A service whose journal is out of reach logs into nothing."""
    with pytest.raises(FileNotFoundError):
        JournalWriter("info", str(tmp_path / "none"))


def test_whose_standard_error_it_is(tmp_path: Path) -> None:
    """What an operator redirects into a file goes to the journal, or a service's log to where nobody reads it."""
    with open(tmp_path / "log", "w") as stream:
        status = os.fstat(stream.fileno())
        this = f"{status.st_dev}:{status.st_ino}"
        assert is_journal(stream, {"JOURNAL_STREAM": this})
        assert not is_journal(stream, {"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino + 1}"})
        assert not is_journal(stream, {})
    assert not is_journal(stream, {"JOURNAL_STREAM": this})
    assert not is_journal(io.StringIO(), {"JOURNAL_STREAM": this})
    LineWriter(stream, "text", "info").write(entry())  # closed: nothing comes of it
