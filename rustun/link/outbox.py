"""The sending half of a connection: short and refused writes are the rule here, not the exception.

Rules of this module
  1. Bytes handed over are sent in order, all of them, or the connection ends.
  2. While `blocked`, nobody seals more: what may still be dropped or overtaken stays plaintext with its owner.
  3. When everything went out, `refill` is called, so that the owner seals what waits, control messages first.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from rustun.backends.base import Callback, Reactor, Stream
from rustun.link.rest import Rest

PROGRESS_BYTES: Final = 65_536  # by default: less than this in the stall time counts as no progress


class Outbox:
    """Sends frames on one stream and watches it.

    Args:
        reactor, stream: where and what to watch.
        on_readable: the owner's receiving turn; watched from the start.
        refill: called when all bytes went out and the stream takes more.
        on_lost: called with the reason when the connection turns out to be dead.
        progress_bytes: what counts as progress of a stream that is full.
    Attributes:
        blocked: whether bytes wait for the stream.
        moved_at: when this outbox was last empty or last got `progress_bytes` out, in seconds of `now()`.
    """

    __slots__ = (
        "_closed",
        "_on_lost",
        "_on_readable",
        "_progress",
        "_progress_bytes",
        "_reactor",
        "_reading",
        "_refill",
        "_stream",
        "_unsent",
        "_wanted",
        "_watching_writable",
        "blocked",
        "moved_at",
    )

    def __init__(
        self,
        reactor: Reactor,
        stream: Stream,
        on_readable: Callback,
        refill: Callback,
        on_lost: Callable[[ConnectionError], None],
        progress_bytes: int = PROGRESS_BYTES,
    ) -> None:
        self._reactor = reactor
        self._stream = stream
        self._on_readable = on_readable
        self._refill = refill
        self._on_lost = on_lost
        self._unsent = b""
        self._progress = 0
        self._progress_bytes = progress_bytes
        self._reading = True
        self._closed = False
        self._wanted = False
        self._watching_writable = False
        self.blocked = False
        self.moved_at = reactor.now()
        reactor.watch(stream, on_readable, None)

    @property
    def unsent_bytes(self) -> int:
        """Sealed bytes that wait for the stream."""
        return len(self._unsent)

    def transmit(self, data: memoryview | bytes) -> None:
        """Send frames; only while not blocked. What the stream does not take now is kept and sent first later."""
        assert not self.blocked, "frames would overtake those that wait"
        try:
            sent = self._stream.send(data)
        except ConnectionError as error:
            self._on_lost(error)
            return
        if sent < len(data):
            self.moved_at = self._reactor.now()
            self._progress = 0
            self._unsent = bytes(data[sent:])
            self.blocked = True
            self._watch(writable=True)

    def want_turn(self) -> None:
        """Have `refill` called when the stream takes more, although nothing is unsent."""
        self._wanted = True
        self._watch(writable=True)

    def close(self, rest_seconds: float = 0.0) -> bool:
        """Stop watching; nothing is called back any more. The stream itself is the owner's to close.

        Args:
            rest_seconds: how long what is unsent is still offered to the stream.

        Returns: whether it is, so that the stream closes by itself when that is done.
        """
        self._closed = True
        self._reactor.unwatch(self._stream)
        unsent, self._unsent = self._unsent, b""
        if unsent and rest_seconds:
            Rest(self._reactor, self._stream, unsent, rest_seconds)
        # The owner holds this object: without the way back both go at once, not when the cycle collector comes by,
        # which on a relay is after hours.
        self._on_readable = self._refill = _nothing
        self._on_lost = _nothing_lost
        return bool(unsent and rest_seconds)

    def pause_reading(self, paused: bool) -> None:
        """Stop or resume the receiving turns."""
        if self._reading == paused and not self._closed:
            self._reading = not paused
            self._rewatch()

    def _watch(self, *, writable: bool) -> None:
        if self._watching_writable != writable and not self._closed:
            self._watching_writable = writable
            self._rewatch()

    def _rewatch(self) -> None:
        self._reactor.watch(
            self._stream,
            self._on_readable if self._reading else None,
            self._on_writable if self._watching_writable else None,
        )

    def _on_writable(self) -> None:
        if self.blocked:
            unsent = self._unsent
            try:
                sent = self._stream.send(unsent)
            except ConnectionError as error:
                self._on_lost(error)
                return
            self._progress += sent
            if self._progress >= self._progress_bytes:
                self._progress = 0
                self.moved_at = self._reactor.now()
            if sent < len(unsent):
                self._unsent = unsent[sent:]
                return
            self._unsent = b""
            self.blocked = False
        self._wanted = False
        self._refill()
        if not self.blocked and not self._wanted:
            self._watch(writable=False)


def _nothing() -> None:
    pass


def _nothing_lost(error: ConnectionError) -> None:
    pass
