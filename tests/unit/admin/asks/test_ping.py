"""One ping per question: answered in time, paced, and forgotten when nobody listens."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from rustun.admin.asking import Answers, AskError, Peer, parse
from rustun.admin.asks.ping import PAUSE_SECONDS, ping_handler
from rustun.backends.base import Callback
from rustun.backends.memory import VirtualReactor

ANYBODY = Peer(1, 1000, 1000)
FACTS = {"member": "b", "tier": "key"}


class Far:
    """The other end: keeps what waits for its answers."""

    def __init__(self, reactor: VirtualReactor) -> None:
        self.reactor = reactor
        self.waiting: list[Callback] = []
        self.sent_at: list[float] = []

    def send(self, on_answer: Callback) -> None:
        self.sent_at.append(self.reactor.now())
        self.waiting.append(on_answer)


class Reader:
    """Who asked: what was told, and whether the end was said."""

    def __init__(self) -> None:
        self.told: list[dict[str, Any]] = []
        self.done = 0

    def hear(self, answers: object) -> None:
        assert isinstance(answers, Answers)
        self.answers = answers

        def tell(document: Any) -> bool:
            self.told.append(dict(document))
            return True

        def finish() -> None:
            self.done += 1

        answers.begin(tell, finish)


@pytest.fixture
def reactor() -> VirtualReactor:
    return VirtualReactor()


@pytest.fixture
def far(reactor: VirtualReactor) -> Far:
    return Far(reactor)


@pytest.fixture
def ask(reactor: VirtualReactor, far: Far) -> Callable[[bytes], object]:
    handler = ping_handler("client", reactor, lambda member: ({**FACTS, "member": member}, far.send))
    return lambda line: handler(parse(line, ANYBODY))


def test_the_round_trip_is_measured(reactor: VirtualReactor, far: Far, ask: Callable[[bytes], object]) -> None:
    """If this fails, `rustun ping` shows another time than the ping took."""
    reader = Reader()
    reader.hear(ask(b'{"ask": "ping", "member": "b"}'))
    reactor.run_for(0.25)
    far.waiting.pop()()
    (found,) = reader.told
    assert (found["schema"], found["role"], found["member"], found["tier"]) == (1, "client", "b", "key")
    assert (found["rtt_ms"], found["why_not"], reader.done) == (250.0, "", 1)
    assert "error" not in found, "that is a question without an answer"


def test_silence_is_told_in_time_and_a_late_answer_is_nobodys(
    reactor: VirtualReactor, far: Far, ask: Callable[[bytes], object]
) -> None:
    """If this fails, who asks a dead peer waits for ever, or hears two answers."""
    reader = Reader()
    reader.hear(ask(b'{"ask": "ping", "seconds": 0.5}'))
    reactor.run_for(0.6)
    (found,) = reader.told
    assert (found["rtt_ms"], found["why_not"], reader.done) == (None, "no answer within 0.5 s", 1)
    far.waiting.pop()()
    assert (len(reader.told), reader.done) == (1, 1)


def test_a_reader_that_goes_is_told_nothing(reactor: VirtualReactor, far: Far, ask: Callable[[bytes], object]) -> None:
    """If this fails, an answer is written to a connection that is somebody else's by now."""
    reader = Reader()
    reader.hear(ask(b"ping"))
    reader.answers.end()
    far.waiting.pop()()
    reactor.run_for(20)
    assert (reader.told, reader.done) == ([], 0)


def test_many_who_ask_do_not_cost_the_session(
    reactor: VirtualReactor, far: Far, ask: Callable[[bytes], object]
) -> None:
    """If this fails, whoever may read the status makes the server close this member's session."""
    readers = [Reader() for _ in range(30)]
    for reader in readers:
        reader.hear(ask(b"ping"))
    readers[3].answers.end()
    reactor.run_for(10)
    gaps = [later - earlier for earlier, later in zip(far.sent_at, far.sent_at[1:], strict=False)]
    assert len(far.sent_at) == 29
    assert min(gaps) >= PAUSE_SECONDS - 1e-9
    assert [len(reader.told) for reader in readers] == [1, 1, 1, 0, *[1] * 26]


def test_who_gives_up_holds_nobody_up(reactor: VirtualReactor, far: Far, ask: Callable[[bytes], object]) -> None:
    """If this fails, whoever may read the status asks a thousand times, hangs up, and nobody has a ping for minutes."""
    for _ in range(1000):
        reader = Reader()
        reader.hear(ask(b"ping"))
        reader.answers.end()
    last = Reader()
    last.hear(ask(b"ping"))
    reactor.run_for(2 * PAUSE_SECONDS)
    assert len(far.sent_at) == 2, "the first one, and the one who stayed"
    far.waiting.pop()()
    assert len(last.told) == 1


def test_where_no_ping_can_be_sent_the_reason_is_told(reactor: VirtualReactor) -> None:
    """If this fails, nobody learns why a round trip is missing."""
    handler = ping_handler("server", reactor, lambda member: ({"why_not": "not connected"}, None))
    found = handler(parse(b"ping", ANYBODY))
    assert isinstance(found, dict)
    assert (found["rtt_ms"], found["why_not"]) == (None, "not connected")


@pytest.mark.parametrize("line", [b'{"ask": "ping", "seconds": 11}', b'{"ask": "ping", "menber": "b"}'])
def test_a_question_that_makes_no_sense(ask: Callable[[bytes], object], line: bytes) -> None:
    """If this fails, a misspelt question is answered as another one."""
    with pytest.raises(AskError):
        ask(line)
