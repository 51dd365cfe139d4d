"""The last events on the control socket: told from the start, then one by one, at the reader's pace."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from rustun.admin.asking import Ask, AskError, Peer, find, parse
from rustun.admin.asks.events import KEPT, RecentEvents, note_management
from rustun.admin.exchange import Exchange
from rustun.backends.reactor import EpollReactor
from rustun.logs import Entry

ME = Peer(os.getpid(), os.geteuid(), os.getegid())
STRANGER = Peer(4711, os.geteuid() + 4711, 4711)
Told = list[tuple[str, str, str, dict[str, object]]]


class Reported:
    """An EventLog that keeps everything."""

    def __init__(self) -> None:
        self.events: Told = []

    def event(self, level: str, name: str, message: str, /, **fields: object) -> None:
        self.events.append((level, name, message, fields))


class Asked:
    """What a process keeps, and readers of it over socket pairs."""

    def __init__(self) -> None:
        self.reactor = EpollReactor()
        self.log = Reported()
        self.recent = RecentEvents(self.reactor)
        self.handlers = self.recent.handlers(self.log)
        self.readers: list[socket.socket] = []
        self.closed = 0

    def ask(self, line: str) -> socket.socket:
        """Return the end at which the answer arrives."""
        ours, theirs = socket.socketpair()
        theirs.setblocking(False)
        ours.setblocking(False)
        self.readers.append(ours)
        Exchange(self.reactor, theirs, lambda ask: find(self.handlers, ask)(ask), self._on_close)
        ours.sendall(line.encode() + b"\n")
        return ours

    def happen(self, count: int, first: int = 1) -> None:
        """Let things happen, numbered."""
        for number in range(first, first + count):
            self.recent.write(Entry(1_700_000_000.0, "info", "session-up", f"{number}", {"identity": "m0"}))

    def read(self, reader: socket.socket, until: Callable[[list[dict[str, Any]]], bool]) -> list[dict[str, Any]]:
        """Read until the lines are as wanted, or nothing more comes."""
        lines: list[dict[str, Any]] = []
        rest = b""

        def on_readable() -> None:
            nonlocal rest
            piece = reader.recv(1 << 16)
            *whole, rest = (rest + piece).split(b"\n")
            lines.extend(map(json.loads, whole))
            if not piece or (lines and until(lines)):
                self.reactor.unwatch(reader)
                self.reactor.stop()

        self.reactor.watch(reader, on_readable, None)
        self.reactor.run()
        return lines

    def turn(self, until: Callable[[], object]) -> None:
        """Let the loop turn until something is so."""

        def look() -> None:
            if until():
                self.reactor.stop()
            else:
                self.reactor.call_soon(look)

        look()
        self.reactor.run()

    def _on_close(self, exchange: Exchange) -> None:
        self.closed += 1


@pytest.fixture
def asked() -> Iterator[Asked]:
    made = Asked()
    yield made
    for reader in made.readers:
        reader.close()
    made.turn(lambda: made.closed == len(made.readers))
    assert not made.recent._followers, "who went is told for ever"
    made.reactor.close()


def numbers(lines: list[dict[str, Any]]) -> list[int]:
    return [line["number"] for line in lines]


def test_what_was_and_what_comes(asked: Asked) -> None:
    """Who opens the dashboard sees nothing of what led there, or nothing new, or something twice."""
    asked.happen(KEPT + 50)
    reader = asked.ask('{"ask": "events"}')
    lines = asked.read(reader, lambda lines: len(lines) == KEPT)
    assert numbers(lines) == list(range(51, KEPT + 51))
    assert lines[0] == {
        "schema": 1, "number": 51, "time": "2023-11-14T22:13:20.000+00:00", "level": "info", "event": "session-up",
        "message": "51", "identity": "m0",
    }  # fmt: skip
    asked.happen(3, KEPT + 51)
    assert numbers(asked.read(reader, lambda lines: len(lines) == 3)) == [KEPT + 51, KEPT + 52, KEPT + 53]


def test_only_what_is_new_to_the_reader(asked: Asked) -> None:
    """A dashboard that connects anew shows everything twice, or nothing of a server that was started again."""
    asked.happen(10)
    reader = asked.ask('{"ask": "events", "since": 8}')
    assert numbers(asked.read(reader, lambda lines: len(lines) == 2)) == [9, 10]
    started_again = asked.ask('{"ask": "events", "since": 4711}')
    assert numbers(asked.read(started_again, lambda lines: len(lines) == 10)) == list(range(1, 11))


def test_a_reader_that_sleeps_misses_some_and_sees_it(asked: Asked) -> None:
    """One reader that does not read makes the relay's memory grow, or believes that it has seen all."""
    reader = asked.ask("events")
    asked.turn(lambda: asked.recent._followers)
    for first in range(1, 10_001, 500):
        asked.happen(500, first)
    lines = asked.read(reader, lambda lines: lines[-1]["number"] == 10_000)
    found = numbers(lines)
    assert found == sorted(set(found)), "in order, none twice"
    assert len(found) < 10_000, "there is a gap"
    assert found[-KEPT + 100 :] == list(range(10_000 - KEPT + 101, 10_001))


def test_the_last_ones_in_one_document(asked: Asked) -> None:
    """A report on a bug has to follow a stream, and to guess where its past ends."""
    asked.happen(KEPT + 50)
    reader = asked.ask('{"ask": "recent", "since": 1000}')
    [document] = asked.read(reader, lambda lines: False)
    assert numbers(document["events"]) == list(range(1001, KEPT + 51))
    assert "schema" not in document["events"][0]


def test_what_is_kept(asked: Asked) -> None:
    """Debug lines push out what an operator looks for, or an audited event is not shown."""
    assert asked.recent.wants("info", "advice") and asked.recent.wants("debug", "takeover")
    assert not asked.recent.wants("debug", "host-routes")


@pytest.mark.parametrize(
    "line", ['{"ask": "events", "since": -1}', '{"ask": "recent", "since": "x"}', '{"ask": "events", "form": 1}']
)
def test_a_wrong_question_is_told(asked: Asked, line: str) -> None:
    """A misspelt filter gives all events, or ends the process."""
    [told] = asked.read(asked.ask(line), lambda lines: False)
    assert told["error"]
    assert not asked.recent._followers


MANAGEMENT = {
    "ask": "management", "action": "change", "cluster": "beijing", "identity": "bj-dev", "by": "198.18.0.9",
    "changed": "ciders, tier",
}  # fmt: skip


def asking(peer: Peer = ME, **more: object) -> Ask:
    return parse(json.dumps({**MANAGEMENT, **more}).encode(), peer)


def test_management_is_reported() -> None:
    """Nobody can tell later who took a member out by the dashboard."""
    log = Reported()
    assert note_management(asking(), log) == {"schema": 1, "noted": True}
    [(level, name, message, fields)] = log.events
    assert (level, name, message) == ("info", "management", "bj-dev: change")
    assert fields == {
        "action": "change", "cluster": "beijing", "identity": "bj-dev", "by": "198.18.0.9",
        "changed": ["ciders", "tier"],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (asking(STRANGER), "only root and the user of this process"),
        (asking(action="drop"), '"action" is none'),
        (asking(identity=5), '"identity" is no text'),
        (asking(identiti="bj-dev"), 'knows no "identiti"'),
    ],
)
def test_who_may_write_into_the_audit_log(ask: Ask, message: str) -> None:
    """Every user who may read the status writes into the audit log what he likes."""
    log = Reported()
    with pytest.raises(AskError, match=message):
        note_management(ask, log)
    assert log.events == []
