"""A question on the control socket: the word that says what is asked, what is told beside it, and who asks.

Rules of this module
  1. A question is one line: a word ("status"), or a JSON object with the word under "ask".
  2. Whoever answers takes each value by name and kind, then calls `close`: a key that nobody took is refused by name,
     so a misspelt filter never gives the answer to another question.
  3. Who asks is what the kernel says of the peer (SO_PEERCRED), not what the question says.
"""

from __future__ import annotations

import difflib
import json
import math
import os
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from typing import Final

from rustun.errors import RustunError

ROOT: Final = 0
WAITING_DOCUMENTS: Final = 64  # of many answers, behind the one that is being written
Document = Mapping[str, object]
Steps = Generator[None, None, Document]  # a document that is made in steps of a millisecond or less


class AskError(RustunError):
    """A question that cannot be answered; its text goes to whoever asked."""


@dataclass(frozen=True, slots=True)
class Peer:
    """Who asks, as the kernel knows it; pid 0 where it is of another PID namespace."""

    pid: int
    uid: int
    gid: int

    @property
    def may_change(self) -> bool:
        """Whether this is root or the user that this process runs as: others only read."""
        return self.uid in (ROOT, os.geteuid())


class Ask:
    """One question.

    Args:
        word: what is asked.
        told: what stood beside it.
        peer: who asks.
    """

    def __init__(self, word: str, told: Mapping[str, object], peer: Peer) -> None:
        self.word = word
        self.peer = peer
        self._told = told
        self._taken: set[str] = set()

    def text(self, key: str, default: str = "") -> str:
        """Return a text. Raises: AskError when it is something else."""
        value = self._take(key, default)
        if not isinstance(value, str):
            raise AskError(f'"{key}" is no text', f'write "{key}": "..."')
        return value

    def number(self, key: str, default: float, least: float, most: float) -> float:
        """Return a number from `least` to `most`. Raises: AskError when it is something else."""
        value = self._take(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
            raise AskError(f'"{key}" is no number from {least:g} to {most:g}')
        return value

    def close(self) -> None:
        """Note that all was taken. Raises: AskError for a key that nobody took."""
        for key in self._told:
            if key not in self._taken:
                near = difflib.get_close_matches(key, self._taken, n=1)
                known = ", ".join(sorted(self._taken)) or "nothing beside the word"
                remedy = f'did you mean "{near[0]}"?' if near else f"it takes {known}"
                raise AskError(f'"{self.word}" knows no "{key}"', remedy)

    def _take(self, key: str, default: object) -> object:
        self._taken.add(key)
        return self._told.get(key, default)


class Answers:
    """A document now, and more of them until the reader goes or `done` is called.

    Args:
        begin: called once with `tell`, which takes a document and returns whether there was room for it: a reader that
            is too slow misses some; and with `done`.
        end: called once when nobody listens any more.
        waiting: how many documents may wait behind the one that is being written.
        bytes_per_s: after a long document there is no room for the next one until so many seconds are over.
    """

    def __init__(
        self,
        begin: Callable[[Callable[[Document | Steps], bool], Callable[[], None]], None],
        end: Callable[[], None],
        waiting: int = WAITING_DOCUMENTS,
        bytes_per_s: float = math.inf,
    ) -> None:
        self.begin = begin
        self.end = end
        self.waiting = waiting
        self.bytes_per_s = bytes_per_s


Handler = Callable[[Ask], Document | Steps | Answers]


def parse(line: bytes, peer: Peer) -> Ask:
    """Return the question in a line without its newline. Raises: AskError."""
    word, told = line.strip().decode("utf-8", "replace"), {}
    if word.startswith("{"):
        try:
            told = json.loads(word)
        except (ValueError, RecursionError):
            raise AskError("the question is no JSON", 'write {"ask": "status"}') from None
        asked = told.pop("ask", None)
        if not isinstance(asked, str):
            raise AskError('the question has no "ask"', 'write {"ask": "status"}')
        word = asked
    return Ask(word, told, peer)


def find(handlers: Mapping[str, Handler], ask: Ask) -> Handler:
    """Return who answers. Raises: AskError for a word that nobody knows."""
    handler = handlers.get(ask.word)
    if handler is None:
        raise AskError("unknown request", f"ask one of: {', '.join(sorted(handlers))}")
    return handler
