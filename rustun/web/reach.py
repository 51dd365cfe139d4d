"""Who reaches whom: the relay's own decision (`trace`), asked for each pair of a small part of a cluster.

Rules of this module
  1. The relay decides; nothing is worked out here. A pair costs it less than a packet, REACH_MEMBERS squared of them a
     page that somebody looks at.
  2. One part at a time, however many pages ask; an answer is good for KEPT_SECONDS, and for the states that it was
     asked in: what it says of a member who has gone since is over.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

from rustun.web.source import Source

REACH_MEMBERS: Final = 10  # in a row and in a column of one part
KEPT_SECONDS: Final = 5.0
KEPT_PARTS: Final = 64
Part = dict[str, Any]
Member = tuple[str, str]  # identity and state


class Reach:
    """Asks and keeps answers for a while.

    Args:
        source: whom to ask.
        now: seconds of a clock that never steps back.
    """

    def __init__(self, source: Source, now: Callable[[], float] = time.monotonic) -> None:
        self._source = source
        self._now = now
        self._asking = asyncio.Lock()
        self._kept: dict[tuple[Member, ...], tuple[float, Part]] = {}

    async def part(self, members: Sequence[Member], first: int, second: int) -> Part:
        """Return the answers of a part.

        Args:
            members: of a cluster, sorted.
            first, second: numbers of the first sender and of the first receiver.
        Returns: `from`, `to`: the identities; `of`: how many there are; `cells`: a row for each sender, of answers to
            `trace`, None where both are the same.
        Raises: HostError: the relay cannot be asked.
        """
        senders, receivers = members[first : first + REACH_MEMBERS], members[second : second + REACH_MEMBERS]
        key = (*senders, ("", ""), *receivers)
        async with self._asking:
            kept = self._kept.get(key)
            if kept is not None and self._now() - kept[0] < KEPT_SECONDS:
                return {**kept[1], "of": len(members)}
            names, others = ([identity for identity, _ in ones] for ones in (senders, receivers))
            cells = [[await self._cell(one, other) for other in others] for one in names]
            part: Part = {"from": names, "to": others, "cells": cells}
            self._kept.pop(key, None)
            while len(self._kept) >= KEPT_PARTS:
                del self._kept[next(iter(self._kept))]
            self._kept[key] = self._now(), part
            return {**part, "of": len(members)}

    async def _cell(self, sender: str, receiver: str) -> Any:
        if sender == receiver:
            return None
        return await self._source.ask("trace", source=sender, destination=receiver)
