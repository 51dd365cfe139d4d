"""What every open page of the dashboard is told once a second, as server-sent events (HTML standard, section 9.2).

Rules of this module
  1. One look at the relay and one encoding for all pages: a second page costs a write.
  2. A page that knows the moment before gets what changed; every other one, and one that did not take the last message
     yet, gets the newest whole moment when it can take it. Nothing is queued for anybody.
  3. Each second there is a message: of a fleet of which a moment comes less often (source.py), with the events alone.
  4. While nobody looks, the relay is asked once in a step of the history.
  5. A relay that cannot be asked is told to the pages (`trouble`); what they know stays.
  6. After the clock was set everything is asked for: what was told as an age is another point in time then.
"""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from aiohttp import web

from rustun.errors import RustunError
from rustun.web.envelope import Refusal
from rustun.web.happenings import Happenings
from rustun.web.history import STEP_SECONDS, History
from rustun.web.overview import JITTER_SECONDS, Overview, Row, UnknownNumber, overview, whole
from rustun.web.source import NotAnsweredError, Snapshot, Source

PERIOD_SECONDS: Final = 1.0
MAX_WATCHERS: Final = 64  # pages; each may hold a whole moment in its socket, 2 MB with 5,000 members
STALLED_SECONDS: Final = 30.0  # without taking anything: the page is gone, or its network is
SEND_BUFFER_BYTES: Final = 1 << 16  # of the kernel, that a slow page is not told what was long ago
EVENTS_AT_FIRST: Final = 200
UNREADABLE: Final = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)  # of another version's status
SAME_VERSION: Final = "start the server again: the web process and the relay are of one version then"
EVENTS_AT_ONCE: Final = 100  # of one second; more are counted
HEADERS: Final = {"Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no"}


class Feed:
    """The messages of all pages.

    Args:
        source: whom to ask.
        history: gets each moment as well.
        happenings: the events, that go with the messages.
        monotonic: the clock of the history.
    Attributes:
        number: of the newest message; 0 before the first.
        watchers: pages that are open.
        moment: the newest one, None before the first.
    """

    def __init__(
        self,
        source: Source,
        history: History,
        happenings: Happenings,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.number = 0
        self.watchers = 0
        self.moment: Overview | None = None
        self.history = history
        self.happenings = happenings
        self._source = source
        self._monotonic = monotonic
        self._snapshot_number = 0
        self._since = ""  # what the relay called the moment, when it told it
        self._clocks_apart_s = 0.0  # wall clock and monotonic, when everything was asked for
        self._beginnings = 0
        self._told_events = 0
        self._trouble: Row | None = None
        self._change: bytes | None = None  # leads from the message before to the newest
        self._whole: bytes | None = None
        self._published = asyncio.Event()
        self._watched = asyncio.Event()

    async def run(self) -> None:
        """Look at the relay, again and again, until cancelled."""
        while True:
            await self.look()
            await self._pause()

    async def look(self) -> None:
        """Ask the relay, and publish what it says, or why it says nothing."""
        clocks_apart_s = time.time() - self._monotonic()
        if abs(clocks_apart_s - self._clocks_apart_s) > JITTER_SECONDS:
            self._since, self._clocks_apart_s = "", clocks_apart_s
        try:
            snapshot = await self._source.changes(self._since)
        except RustunError as error:
            if isinstance(error, NotAnsweredError):  # of an older version than before: it tells everything
                self._since = ""
            self._publish_trouble(error.message, error.remedy)
            return
        if snapshot.number == self._snapshot_number:
            self._publish({}, None)
            return
        self._snapshot_number = snapshot.number
        since, self._since = self._since, ""
        try:
            self._take(snapshot)
        except UNREADABLE as error:
            if since and isinstance(error, UnknownNumber):  # the next answer tells everything
                self._publish({}, None)
                return
            what = f"the relay's status is not what this version knows: {type(error).__name__}"
            self._publish_trouble(what, SAME_VERSION)

    def message(self, known: int) -> bytes:
        """Return the newest message for a page that knows the one with the number `known`."""
        if known == self.number - 1 and self._change is not None:
            return self._change
        if self._whole is None:
            everything = whole(self.moment) if self.moment is not None else {}
            # Not beyond what this message tells: the next one begins there.
            told = self.happenings.between(0, self._told_events, EVENTS_AT_FIRST)
            events = {"events": told, "events_trouble": self.happenings.trouble}
            self._whole = _encode("whole", {**everything, **events, "trouble": self._trouble})
        return self._whole

    async def news(self) -> None:
        """Wait for the next message."""
        await self._published.wait()

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Count a page in. Raises: Refusal where there are too many."""
        if self.watchers >= MAX_WATCHERS:
            raise Refusal(503, f"{MAX_WATCHERS} pages are open already", "close one, or wait a minute")
        self.watchers += 1
        self._watched.set()
        try:
            yield
        finally:
            self.watchers -= 1
            if not self.watchers:
                self._watched.clear()

    def _take(self, snapshot: Snapshot) -> None:
        self.moment = overview(snapshot.document, snapshot.taken_unix, self.moment)
        self._since = str(snapshot.document.get("as_of") or "")
        self.history.add(self.moment, self._monotonic())
        self._publish(self.moment.change, None)

    def _publish_trouble(self, message: str, remedy: str) -> None:
        trouble: Row = {"message": message, "remedy": remedy}
        self._publish({"trouble": trouble} if trouble != self._trouble else {}, trouble)

    def _publish(self, change: Row | None, trouble: Row | None) -> None:
        """Make the next message; `change` is None where nobody can be led on from the one before."""
        events = self.happenings.between(self._told_events, self.happenings.count, EVENTS_AT_ONCE)
        if self.happenings.beginnings != self._beginnings:
            change = None
        elif change is not None:
            if events:
                left_out = self.happenings.count - self._told_events - len(events)
                change = {**change, "events": events, "events_left_out": left_out}
            if trouble is None and self._trouble is not None:
                change = {**change, "trouble": None}
        self._trouble = trouble
        self._beginnings, self._told_events = self.happenings.beginnings, self.happenings.count
        self._change = _encode("change", change) if change is not None and self.watchers else None
        self._whole = None
        self.number += 1
        self._published.set()
        self._published = asyncio.Event()

    async def _pause(self) -> None:
        if self.watchers:
            await asyncio.sleep(PERIOD_SECONDS)
            return
        try:
            async with asyncio.timeout(STEP_SECONDS):
                await self._watched.wait()
        except TimeoutError:
            pass


async def stream(request: web.Request, feed: Feed, allowed: Callable[[], bool]) -> web.StreamResponse:
    """Tell one page, until it goes or may not be told any more.

    Args:
        allowed: asked before each message.
    Raises: Refusal: too many pages are open.
    """
    with feed.watching():
        response = web.StreamResponse(headers=HEADERS)
        await response.prepare(request)
        transport = request.transport
        if transport is not None:
            transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        known, took_at = 0, time.monotonic()
        while transport is not None and not transport.is_closing() and allowed():
            if known == feed.number:
                await feed.news()
            elif not _has_room(transport):
                if time.monotonic() - took_at > STALLED_SECONDS:
                    _abort(transport)
                await feed.news()
            else:
                message, known, took_at = feed.message(known), feed.number, time.monotonic()
                if not await _write(response, message):
                    _abort(transport)
        return response


def _has_room(transport: asyncio.BaseTransport) -> bool:
    return not isinstance(transport, asyncio.WriteTransport) or transport.get_write_buffer_size() == 0


def _abort(transport: asyncio.BaseTransport) -> None:
    if isinstance(transport, asyncio.WriteTransport):
        transport.abort()


async def _write(response: web.StreamResponse, message: bytes) -> bool:
    """Write a message; False where the page did not take enough of it in STALLED_SECONDS."""
    try:
        async with asyncio.timeout(STALLED_SECONDS):
            await response.write(message)
    except (TimeoutError, ConnectionError):
        return False
    return True


def _encode(kind: str, data: dict[str, Any]) -> bytes:
    return f"event: {kind}\ndata: {json.dumps(data, separators=(',', ':'))}\n\n".encode()
