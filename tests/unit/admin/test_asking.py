"""Questions on the control socket: what is asked, what is told beside it, who may."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable, Iterator

import pytest

from rustun.admin.asking import WAITING_DOCUMENTS, Answers, Ask, AskError, Document, Peer, parse
from rustun.admin.exchange import Exchange
from rustun.backends.reactor import EpollReactor

ME = Peer(os.getpid(), os.geteuid(), os.getegid())


def refusal(line: bytes, take: Callable[[Ask], object] = lambda ask: None) -> tuple[str, str]:
    """Return what is told of a question that cannot be answered."""
    with pytest.raises(AskError) as caught:
        ask = parse(line, ME)
        take(ask)
        ask.close()
    return caught.value.message, caught.value.remedy


def test_a_word_and_an_object_ask_the_same() -> None:
    """Tools of today and of tomorrow are answered differently."""
    for line in (b"status", b" status \r", b'{"ask": "status"}'):
        ask = parse(line, ME)
        assert ask.word == "status"
        ask.close()


def test_what_is_told_is_taken_by_kind() -> None:
    """A number where a name belongs reaches code that does not expect it."""
    ask = parse(b'{"ask": "ping", "member": "bj-dev", "seconds": 2}', ME)
    assert (ask.text("member"), ask.text("cluster", "all"), ask.number("seconds", 1, 0.1, 10)) == ("bj-dev", "all", 2)
    ask.close()


@pytest.mark.parametrize(
    ("line", "take", "told"),
    [
        (b"{", None, ("the question is no JSON", 'write {"ask": "status"}')),
        (b"{}", None, ('the question has no "ask"', 'write {"ask": "status"}')),
        (b'{"ask": 3}', None, ('the question has no "ask"', 'write {"ask": "status"}')),
        (b'{"ask": "x", "y": 1}', None, ('"x" knows no "y"', "it takes nothing beside the word")),
        (b'{"ask": "x", "menber": "m"}', "member", ('"x" knows no "menber"', 'did you mean "member"?')),
        (b'{"ask": "x", "member": 3}', "member", ('"member" is no text', 'write "member": "..."')),
    ],
)
def test_what_cannot_be_answered_is_told(line: bytes, take: str | None, told: tuple[str, str]) -> None:
    """A misspelt filter gives the answer to another question, without a word."""
    assert refusal(line, lambda ask: ask.text(take) if take else None) == told


@pytest.mark.parametrize("value", [b"0", b"11", b"true", b'"2"', b"null", b"NaN"])
def test_a_number_out_of_range_is_told(value: bytes) -> None:
    """A question asks for an answer each nanosecond, or for none in a year."""
    line = b'{"ask": "watch", "seconds": ' + value + b"}"
    assert refusal(line, lambda ask: ask.number("seconds", 1, 0.1, 10)) == ('"seconds" is no number from 0.1 to 10', "")


def test_who_may_change() -> None:
    """Every user who may read the status may also change something."""
    assert Peer(1, 0, 0).may_change
    assert Peer(1, os.geteuid(), 5).may_change
    assert not Peer(1, os.geteuid() + 4711, os.getegid()).may_change


class Listening:
    """An exchange over a socket pair, driven by hand; `tell` gives its reader one more document."""

    def __init__(self) -> None:
        self.reactor = EpollReactor()
        self.ours, theirs = socket.socketpair()
        theirs.setblocking(False)
        self.ours.settimeout(10)
        self.ended = self.closed = 0
        self.tell: Callable[[Document], bool]
        self.done: Callable[[], None]
        self.exchange = Exchange(self.reactor, theirs, self._answer, self._on_close)

    def _answer(self, ask: Ask) -> Answers:
        return Answers(self._begin, self._end)

    def _begin(self, tell: Callable[[Document], bool], done: Callable[[], None]) -> None:
        self.tell, self.done = tell, done

    def _end(self) -> None:
        self.ended += 1

    def _on_close(self, exchange: Exchange) -> None:
        self.closed += 1

    def turn(self, until: Callable[[], object]) -> None:
        """Let the loop turn until something is so."""

        def look() -> None:
            if until():
                self.reactor.stop()
            else:
                self.reactor.call_soon(look)

        look()
        self.reactor.run()

    def ask(self) -> None:
        self.ours.sendall(b"events\n")
        self.turn(lambda: self.exchange.streams)


@pytest.fixture
def listening() -> Iterator[Listening]:
    one = Listening()
    yield one
    one.exchange.close()
    one.ours.close()
    one.reactor.close()


def test_many_answers_come_line_by_line(listening: Listening) -> None:
    """Who follows events or rates hears one of them, or two in one line."""
    listening.ask()
    for number in range(3):
        assert listening.tell({"n": number, "list": iter([1, 2])})
    listening.done()
    listening.turn(lambda: listening.closed)
    heard = listening.ours.makefile("rb").read().splitlines()
    assert [json.loads(line) for line in heard] == [{"n": n, "list": [1, 2]} for n in range(3)]
    assert (listening.ended, listening.closed) == (1, 1)


def test_a_slow_reader_misses_some_and_costs_no_memory(listening: Listening) -> None:
    """One reader of events that reads nothing makes a relay's memory grow for ever."""
    listening.ask()
    taken = 0
    while listening.tell({"text": "x" * 100_000}):
        taken += 1
        assert taken <= WAITING_DOCUMENTS
    assert taken == WAITING_DOCUMENTS


def test_a_reader_that_goes_is_noticed(listening: Listening) -> None:
    """Who watched once is told for ever."""
    listening.ask()
    listening.ours.shutdown(socket.SHUT_RDWR)
    listening.turn(lambda: listening.closed)
    assert listening.ended == 1
    assert not listening.tell({"n": 1})
