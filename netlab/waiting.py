"""Waiting until descriptors can be read, whatever their numbers: select(2) can name none beyond 1,023."""

from __future__ import annotations

import select
from collections.abc import Iterable
from typing import Protocol, TypeVar

MILLISECONDS = 1000


class HasDescriptor(Protocol):
    """What can be waited for: by its descriptor."""

    def fileno(self) -> int:
        """Return the descriptor."""


W = TypeVar("W", bound=int | HasDescriptor)


def readable(watched: Iterable[W], seconds: float) -> list[W]:
    """Wait until something can be read, or has ended; return what that is, nothing where it took too long.

    Args:
        watched: open descriptors, or what has one; none at all is a plain wait.
        seconds: how long at most; 0 or less only looks.
    """
    poll = select.poll()
    by_number: dict[int, W] = {}
    for one in watched:
        number = one if isinstance(one, int) else one.fileno()
        by_number[number] = one
        poll.register(number, select.POLLIN)
    return [by_number[number] for number, _ in poll.poll(max(0.0, seconds) * MILLISECONDS)]
