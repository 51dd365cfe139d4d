"""What a connection still had to send when its owner let go of it."""

from __future__ import annotations

from rustun.backends.base import Reactor, Stream


class Rest:
    """Sends bytes as a stream takes them, then closes it; it is held by the reactor alone.

    Args:
        reactor, stream: where and what to watch; nobody else may watch it.
        unsent: frames, the first of which may have been sent in part.
        seconds: for which they are offered; then the stream is closed without them.
    """

    __slots__ = ("_reactor", "_stream", "_timer", "_unsent")

    def __init__(self, reactor: Reactor, stream: Stream, unsent: bytes, seconds: float) -> None:
        self._reactor = reactor
        self._stream = stream
        self._unsent = unsent
        self._timer = reactor.call_at(reactor.now() + seconds, self._end)
        reactor.watch(stream, None, self._on_writable)

    def _on_writable(self) -> None:
        try:
            self._unsent = self._unsent[self._stream.send(self._unsent) :]
        except ConnectionError:
            self._unsent = b""
        if not self._unsent:
            self._end()

    def _end(self) -> None:
        self._timer.cancel()
        self._reactor.unwatch(self._stream)
        self._stream.close()
