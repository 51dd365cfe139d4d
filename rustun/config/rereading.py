"""Reading a file again while the process runs: on a thread, one at a time, none forgotten.

Rules of this module
  1. Reading blocks and stretching a shared key takes 0.1 s, so neither happens on the loop.
  2. Asked while a reading is under way, one more follows behind it: that one may have missed what changed meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from rustun.backends.base import Reactor

T = TypeVar("T")


class Rereading(Generic[T]):
    """Reads the same thing as often as it is asked for.

    Args:
        read: blocks; its exceptions are handed to `on_read`.
        on_read: called on the loop's thread with what was read, or with the exception.
    """

    def __init__(self, reactor: Reactor, read: Callable[[], T], on_read: Callable[[T | Exception], None]) -> None:
        self._reactor = reactor
        self._read = read
        self._on_read = on_read
        self._reading = self._again = False

    @property
    def under_way(self) -> bool:
        """Whether something is being read, and `on_read` has yet to hear of it."""
        return self._reading

    def begin(self) -> None:
        """Read anew, at once or behind the reading that is under way."""
        if self._reading:
            self._again = True
        else:
            self._reading = True
            self._reactor.run_in_thread(self._read, self._end)

    def _end(self, found: T | Exception) -> None:
        self._reading = False
        self._on_read(found)
        if self._again:
            self._again = False
            self.begin()
