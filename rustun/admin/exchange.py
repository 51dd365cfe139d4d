"""One connection to the control socket: a question, and its answer or answers.

Rules of this module
  1. Nothing blocks and no packet waits: a document is made and encoded in slices of SLICE_S, when the loop has nothing
     else to do, and only as fast as its reader takes it.
  2. Who is told again and again is told so many bytes a second (asking.Answers): a document of thousands of members
     costs the loop the same each second as one of a thousand, only it comes less often.
  3. A question is asked within EXCHANGE_SECONDS. A reader has as long as it likes, as long as it takes something within
     that time whenever something waits for it.
"""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import suppress
from itertools import islice
from typing import Final

from rustun.admin.asking import Answers, Ask, Document, Peer, Steps, parse
from rustun.admin.control import EXCHANGE_SECONDS, MAX_REQUEST_BYTES, SCHEMA
from rustun.backends.base import Reactor, Timer
from rustun.encoded import EncodedItems
from rustun.errors import RustunError

ITEMS_PER_PIECE: Final = 8  # of a list: 5 kB and 40 us of sessions
SLICE_S: Final = 0.0005  # after which the loop looks at its sources again; the last piece may end later
OUTPUT_BYTES: Final = 64 << 10  # encode more only when less than this waits to be written
UCRED: Final = struct.Struct("=iII")  # struct ucred: pid, uid, gid


class Exchange:
    """Hears one question and writes what `answer` returns.

    Args:
        reactor: whose loop calls back.
        peer: the connection; from now on owned by this object.
        answer: returns the document or the answers; what it raises as RustunError is told.
        on_close: called once, when the connection is closed.
    """

    def __init__(
        self,
        reactor: Reactor,
        peer: socket.socket,
        answer: Callable[[Ask], Document | Steps | Answers],
        on_close: Callable[[Exchange], None],
    ) -> None:
        self._reactor = reactor
        self._peer = peer
        self._who = peer_of(peer)
        self._answer = answer
        self._on_close = on_close
        self._request = bytearray()
        self._waiting: list[Iterator[bytes]] = []  # documents, the first of them being written
        self._output = bytearray()
        self._many: Answers | None = None
        self._room_at = reactor.now()  # of many answers, when there may be the next one
        self._last = False  # no document comes after those that wait
        self._encoding = self._closed = False
        self._deadline: Timer = reactor.call_at(reactor.now() + EXCHANGE_SECONDS, self.close)
        reactor.watch(peer, self._on_readable, None)

    @property
    def streams(self) -> bool:
        """Whether answers come as long as somebody reads."""
        return self._many is not None

    def close(self) -> None:
        """Hang up; a second call is harmless."""
        if self._closed:
            return
        self._closed = True
        self._deadline.cancel()
        self._reactor.unwatch(self._peer)
        self._peer.close()
        if self._many is not None:
            self._many.end()
        self._on_close(self)

    # --- the question ------------------------------------------------------------------------------------------------

    def _on_readable(self) -> None:
        try:
            received = self._peer.recv(MAX_REQUEST_BYTES + 1 - len(self._request))
        except BlockingIOError:
            return
        except OSError:
            self.close()
            return
        self._request += received
        line, newline, _ = self._request.partition(b"\n")
        if newline:
            self._hear(bytes(line))
        elif not received or len(self._request) > MAX_REQUEST_BYTES:
            self.close()

    def _hear(self, line: bytes) -> None:
        self._reactor.unwatch(self._peer)  # should the answer fail, only the deadline is left to call back
        self._reactor.call_when_idle(lambda: self._reply(line))

    def _reply(self, line: bytes) -> None:
        if self._closed:
            return
        try:
            answer = self._answer(parse(line, self._who))
        except RustunError as error:
            answer = {"schema": SCHEMA, "error": error.message, "remedy": error.remedy}
        if isinstance(answer, Answers):
            self._many = answer
            self._reactor.watch(self._peer, self._on_hang_up, None)
            answer.begin(self._tell, self._end)
            if not self._waiting:
                self._deadline.cancel()
        else:
            self._last = True
            self._waiting.append(encode_in_pieces(answer))
            self._go_on()

    def _on_hang_up(self) -> None:
        """Whoever reads many answers says nothing more; what becomes readable is the end."""
        with suppress(BlockingIOError):
            try:
                heard = self._peer.recv(MAX_REQUEST_BYTES)
            except OSError:
                heard = b""
            if not heard:
                self.close()

    # --- the answer --------------------------------------------------------------------------------------------------

    def _tell(self, document: Document | Steps) -> bool:
        now = self._reactor.now()
        if self._closed or self._many is None or len(self._waiting) >= self._many.waiting or now < self._room_at:
            return False
        if not self._waiting and not self._output:
            self._deadline.cancel()
            self._deadline = self._reactor.call_at(now + EXCHANGE_SECONDS, self.close)
        self._room_at = now
        self._waiting.append(encode_in_pieces(document))
        self._go_on()
        return True

    def _end(self) -> None:
        self._last = True
        if not self._waiting and not self._output:
            self.close()

    def _go_on(self) -> None:
        """Encode and write more as soon as the loop is idle."""
        if not self._encoding:
            self._encoding = True
            self._reactor.call_when_idle(self._step)

    def _step(self) -> None:
        self._encoding = False
        if self._closed:
            return
        self._encode()
        self._write()

    def _encode(self) -> None:
        """Encode for one slice."""
        until = self._reactor.now() + SLICE_S
        while self._waiting and len(self._output) < OUTPUT_BYTES:
            piece = next(self._waiting[0], None)
            if piece is None:
                del self._waiting[0]
            else:
                self._output += piece
                if self._many is not None:
                    self._room_at += len(piece) / self._many.bytes_per_s
            if self._reactor.now() >= until:
                return

    def _write(self) -> None:
        try:
            sent = self._peer.send(self._output) if self._output else 0
        except BlockingIOError:
            sent = 0
        except OSError:
            self.close()
            return
        del self._output[:sent]
        if sent:
            self._deadline.cancel()
            self._deadline = self._reactor.call_at(self._reactor.now() + EXCHANGE_SECONDS, self.close)
        if self._output and (not self._waiting or len(self._output) >= OUTPUT_BYTES):
            self._reactor.watch(self._peer, self._on_hang_up if self._many else None, self._on_writable)
        elif self._waiting:
            self._go_on()
        elif self._last:
            self.close()
        else:
            self._deadline.cancel()  # nothing waits for this reader

    def _on_writable(self) -> None:
        if self._many is not None:
            self._reactor.watch(self._peer, self._on_hang_up, None)
        else:
            self._reactor.unwatch(self._peer)
        self._go_on()


def peer_of(peer: socket.socket) -> Peer:
    """Return who is at the other end of a Unix socket."""
    return Peer(*UCRED.unpack(peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, UCRED.size)))


def encode_in_pieces(document: Document | Steps) -> Iterator[bytes]:
    """Encode a document as one line of JSON, a piece at a time; a piece is empty where only a step was made.

    Lists, iterators instead of lists, and mappings are taken ITEMS_PER_PIECE items at a time. An iterator's items are
    made when their piece is asked for: 5,000 sessions cost the loop many short steps, not one long one.
    """
    made = (yield from _in_empty_pieces(document)) if isinstance(document, Generator) else document
    head = "{"
    for key, value in made.items():
        head += f"{json.dumps(key)}: "
        pieces = _pieces_of(value)
        if pieces is None:
            head += f"{json.dumps(value)}, "
            continue
        marks = "{}" if isinstance(value, Mapping) else "[]"
        head += marks[0]
        separator = ""
        for piece in pieces:
            yield f"{head}{separator}{piece}".encode()
            head, separator = "", ", "
        head += f"{marks[1]}, "
    yield f"{head.removesuffix(', ')}}}\n".encode()


def _pieces_of(value: object) -> Iterator[str] | None:
    """Return a long value a piece at a time, without its brackets; None for one that needs no pieces."""
    if isinstance(value, EncodedItems):
        texts = iter(value)
        return iter(lambda: ", ".join(islice(texts, ITEMS_PER_PIECE)), "")
    if isinstance(value, Mapping) and len(value) > ITEMS_PER_PIECE:
        pairs = iter(value.items())
        return iter(lambda: json.dumps(dict(islice(pairs, ITEMS_PER_PIECE)))[1:-1], "")
    if isinstance(value, (list, tuple, Iterator)):
        items = iter(value)
        return iter(lambda: json.dumps(list(islice(items, ITEMS_PER_PIECE)))[1:-1], "")
    return None


def _in_empty_pieces(steps: Steps) -> Generator[bytes, None, Document]:
    while True:
        try:
            next(steps)
        except StopIteration as end:
            made: Document = end.value
            return made
        yield b""
