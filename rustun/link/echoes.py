"""Pings that somebody waits for, beside those that a session sends as proof of life."""

from __future__ import annotations

from typing import Final

from rustun.backends.base import Callback

MAX_ECHOES: Final = 16  # at a time; more than that only a peer that answers none leaves waiting


class Echoes:
    """Remembers who waits for which ping's answer; the oldest is given up for one too many."""

    __slots__ = ("_waiting",)

    def __init__(self) -> None:
        self._waiting: dict[int, Callback] = {}

    def wait(self, ping: int, on_answer: Callback) -> None:
        """Call back once, when this ping is answered."""
        if len(self._waiting) >= MAX_ECHOES:
            del self._waiting[next(iter(self._waiting))]
        self._waiting[ping] = on_answer

    def answered(self, ping: int) -> bool:
        """Note an answer; return whether somebody waited for it."""
        on_answer = self._waiting.pop(ping, None)
        if on_answer is None:
            return False
        on_answer()
        return True
