"""The same document again and again, for a reader that follows it (`watch`)."""

from __future__ import annotations

from collections.abc import Callable

from rustun.admin.asking import Document, Steps
from rustun.backends.base import Reactor, Timer


class Watching:
    """Tells a document at once, and again each `seconds` until the reader goes.

    Args:
        reactor: whose loop calls back.
        seconds: between two of them, above 0. One that comes while the reader has not taken the one before is left out.
        document: makes the next one.
    """

    def __init__(self, reactor: Reactor, seconds: float, document: Callable[[], Document | Steps]) -> None:
        self._reactor = reactor
        self._seconds = seconds
        self._document = document
        self._timer: Timer | None = None

    def begin(self, tell: Callable[[Document | Steps], bool], done: Callable[[], None]) -> None:
        """Tell the first one."""
        tell(self._document())
        when = self._reactor.now() + self._seconds
        self._timer = self._reactor.call_at(when, lambda: self.begin(tell, done))

    def end(self) -> None:
        """Tell no more."""
        if self._timer is not None:
            self._timer.cancel()
