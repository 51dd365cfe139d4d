"""The newest events of the tunnel's process, read from one stream however many pages show them.

Rules of this module
  1. KEPT of them and no more; each has a number, so that a page is told what it does not have.
  2. A number that does not go up is another process's: what was kept is dropped then, and `beginnings` counts.
  3. What belongs into the audit log is marked so (`audit`), by the catalogue of this version.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping
from contextlib import aclosing
from typing import Any, Final

from rustun.errors import RustunError
from rustun.events import is_audited
from rustun.web.source import Source

KEPT: Final = 1_000  # as many as the tunnel's process keeps itself
RETRY_SECONDS: Final = 5.0


class Happenings:
    """Keeps the newest events; begins empty.

    Attributes:
        count: the newest one's number; 0 for none.
        beginnings: how often the numbers began anew.
        trouble: why there is none, in a line; "" while there is one.
    """

    def __init__(self, source: Source) -> None:
        self.count = 0
        self.beginnings = 0
        self.trouble = ""
        self._source = source
        self._newest: deque[tuple[int, Mapping[str, Any]]] = deque(maxlen=KEPT)

    async def run(self) -> None:
        """Read on until cancelled; after an end or an error again in RETRY_SECONDS."""
        while True:
            try:
                async with aclosing(self._source.stream("events", since=self.count)) as stream:
                    async for event in stream:
                        self.take(event)
                self.trouble = "the stream of events ended"
            except RustunError as error:
                self.trouble = str(error)
            await asyncio.sleep(RETRY_SECONDS)

    def take(self, event: Mapping[str, Any]) -> None:
        """Keep an event."""
        number = int(event.get("number") or self.count + 1)
        if number <= self.count:
            self._newest.clear()
            self.beginnings += 1
        self.trouble = ""
        self.count = number
        self._newest.append((number, {**event, "audit": True} if is_audited(str(event.get("event"))) else event))

    def between(self, number: int, last: int, most: int) -> list[Mapping[str, Any]]:
        """Return the events after a number, up to a last one, the oldest first; the newest `most` of them."""
        return [event for told, event in self._newest if number < told <= last][-most:]
