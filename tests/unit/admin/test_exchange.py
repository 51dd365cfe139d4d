"""Questions and answers over one connection, in virtual time: slices, pace, and the encoding."""

from __future__ import annotations

import json
import select
import socket
from collections.abc import Callable, Iterator

import pytest

from rustun.admin.asking import Answers, Document
from rustun.admin.exchange import ITEMS_PER_PIECE, SLICE_S, Exchange, encode_in_pieces
from rustun.admin.watching import Watching
from rustun.backends.memory import VirtualReactor
from rustun.encoded import EncodedItems

ITEM_SECONDS = SLICE_S / 10  # that making an item takes


class Watched(socket.socket):
    """A socket that a reactor in virtual time can watch."""

    def readable(self) -> bool:
        return bool(select.select([self], [], [], 0)[0])

    def writable(self) -> bool:
        return bool(select.select([], [self], [], 0)[1])


class Working(VirtualReactor):
    """Virtual time that goes on while something is made; it notes how long each slice took."""

    def __init__(self) -> None:
        super().__init__()
        self.used = 0.0
        self.slices: list[float] = []

    def now(self) -> float:
        return super().now() + self.used

    def call_when_idle(self, callback: Callable[[], None]) -> None:
        def timed() -> None:
            before = self.used
            callback()
            self.slices.append(self.used - before)

        super().call_when_idle(timed)


@pytest.fixture
def reader() -> Iterator[tuple[socket.socket, Watched]]:
    """Both ends of a connection on which something was asked."""
    near, far = socket.socketpair()
    asked = Watched(fileno=far.detach())
    asked.setblocking(False)
    near.sendall(b"watch\n")
    with near, asked:
        yield near, asked


def encoded(items: list[object]) -> EncodedItems:
    return EncodedItems(json.dumps(item) for item in items)


@pytest.mark.parametrize("length", [0, 1, ITEMS_PER_PIECE, ITEMS_PER_PIECE + 1, 1000])
@pytest.mark.parametrize("kind", [list, tuple, iter, encoded])
def test_pieces_are_the_document(length: int, kind: Callable[[list[object]], object]) -> None:
    """The piecewise encoding of a long list differs from the plain one."""
    items: list[object] = [{"n": number} for number in range(length)]
    more = {"a": [1, None, "ü\n"], "empty": {}, **{str(number): number for number in range(length)}}
    pieces = b"".join(encode_in_pieces({"schema": 1, "list": kind(items), "after": more}))
    assert json.loads(pieces) == {"schema": 1, "list": items, "after": more}


@pytest.mark.parametrize("kind", [iter, EncodedItems])
def test_items_are_made_a_piece_at_a_time(kind: Callable[[Iterator[str]], object]) -> None:
    """A status of thousands of sessions is made in one step, in which no packet moves."""
    made: list[int] = []

    def sessions() -> Iterator[str]:
        for number in range(10 * ITEMS_PER_PIECE):
            made.append(number)
            yield str(number)

    most = 0
    for _ in encode_in_pieces({"sessions": kind(sessions())}):
        most = max(most, len(made))
        made.clear()
    assert most == ITEMS_PER_PIECE


def test_a_slice_ends_by_the_clock(reader: tuple[socket.socket, Watched]) -> None:
    """Where members have hundreds of prefixes each, packets wait for the status ten times as long as elsewhere."""
    near, asked = reader
    reactor = Working()

    def sessions() -> Iterator[str]:
        for number in range(500):
            reactor.used += ITEM_SECONDS
            yield str(number)

    Exchange(reactor, asked, lambda ask: {"sessions": EncodedItems(sessions())}, lambda exchange: None)
    reactor.run_for(1.0)
    assert json.loads(near.recv(1 << 16)) == {"sessions": list(range(500))}
    assert len(reactor.slices) >= 500 * ITEM_SECONDS / (SLICE_S + ITEMS_PER_PIECE * ITEM_SECONDS)
    assert max(reactor.slices) <= SLICE_S + ITEMS_PER_PIECE * ITEM_SECONDS


@pytest.mark.parametrize(("length", "moments"), [(10, [0, 1, 2, 3, 4, 5, 6]), (2500, [0, 3, 6])])
def test_long_documents_come_less_often(
    reader: tuple[socket.socket, Watched], length: int, moments: list[float]
) -> None:
    """Each open dashboard costs a relay of 5,000 members a tenth of its core."""
    near, asked = reader
    reactor = VirtualReactor()

    def document() -> Document:
        return {"at": reactor.now(), "text": "x" * length}

    watching = Watching(reactor, 1.0, document)
    Exchange(
        reactor, asked, lambda ask: Answers(watching.begin, watching.end, waiting=1, bytes_per_s=1000), lambda one: None
    )
    reactor.run_for(6.5)
    assert [json.loads(line)["at"] for line in near.recv(1 << 16).splitlines()] == moments
