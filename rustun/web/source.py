"""What the tunnel's process says of itself, asked over its control socket.

Rules of this module
  1. One snapshot a second at most, however many ask, and of thousands of members not more than FOLLOWED_BYTES_PER_S,
     as for everybody who follows the other process: 5,000 make one in 4 s. Who comes while one is being fetched waits
     for that one. The same holds for what changed, which is a tenth: 10,000 make one a second.
  2. `ask` is anew each time, and so is `status_now`, which everybody may cause: for what has to be true when it is
     asked for.
  3. An error of the other process is a RustunError here; a snapshot is never older than it says.
"""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rustun.admin.control import EXCHANGE_SECONDS, FOLLOWED_BYTES_PER_S, MAX_DOCUMENT_BYTES, SCHEMA, STATUS_REQUEST
from rustun.errors import HostError

FRESH_SECONDS: Final = 1.0
Document = Mapping[str, Any]


class NotAnsweredError(HostError):
    """The other process understood that it was asked, and does not answer that."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A status document of the control socket (docs/status.md), and when it was taken.

    Attributes:
        taken_at: seconds of CLOCK_MONOTONIC, at which it was asked for.
        taken_unix: unix seconds of the same moment.
        number: counts up from 1.
        fresh_until: when the next one may be taken, of the clock of `taken_at`.
    """

    document: Document
    taken_at: float
    taken_unix: float
    number: int
    fresh_until: float


class Source:
    """Asks one process.

    Args:
        way: its control socket; or the door, over which it takes one end of a connection that is made here.
        monotonic: the clock that `Snapshot.taken_at` is of.
    """

    def __init__(self, way: Path | socket.socket, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._way = way
        if isinstance(way, socket.socket):
            way.setblocking(False)  # who does not take connections is told of, not waited for
        self._whole = _Paced(self._answer, monotonic)
        self._changes = _Paced(self._answer, monotonic)
        self._asking = asyncio.Lock()
        self._next: asyncio.Task[Document] | None = None  # has not been asked yet

    async def snapshot(self) -> Snapshot:
        """Return a status document that is at most FRESH_SECONDS old, or as many as rule 1 says.

        Raises: HostError: nobody answers.
        """
        return await self._whole.get({})

    async def changes(self, since: str) -> Snapshot:
        """Return a status document that tells of those known what changed; as old as `snapshot` says.

        Args:
            since: `as_of` of the one before, empty where everything is to be told. There is one asker: another one's
                would be told what changed since something else.
        Raises:
            NotAnsweredError: it does not say what changed, as one of another version.
            HostError: nobody answers.
        """
        return await self._changes.get({"since": since} if since else {})  # an older one knows no such word

    async def status_now(self) -> Document:
        """Return a status document that was asked for after this was called. Raises: HostError: nobody answers.

        However many call, one question is asked after the other; who calls while one is under way shares the next.
        """
        if self._next is None:
            self._next = asyncio.create_task(self._ask_next())
            self._next.add_done_callback(lambda task: task.cancelled() or task.exception())  # nobody may be left
        return await asyncio.shield(self._next)

    async def _ask_next(self) -> Document:
        async with self._asking:
            self._next = None
            return await self.ask()

    async def ask(self, word: str = STATUS_REQUEST, **told: object) -> Document:
        """Return the answer to one question, asked now.

        Args:
            word: what is asked (docs/status.md).
            told: what stands beside it in the question.
        Raises: HostError: nobody answers, not in time, or with an error.
        """
        return _document(await self._answer(word, told))

    async def stream(self, word: str, **told: object) -> AsyncGenerator[Document, None]:
        """Yield answer after answer, until the other process ends or the caller stops.

        Raises: HostError: nobody answers, or with an error.
        """
        try:
            reader, writer = await self._question(word, told)
            try:
                while line := await _line(reader):
                    yield _document(line)
            finally:
                writer.close()
        except OSError as error:
            raise self._unreachable(error) from error

    async def _answer(self, word: str, told: Mapping[str, object]) -> bytes:
        try:
            async with asyncio.timeout(EXCHANGE_SECONDS):
                reader, writer = await self._question(word, told)
                try:
                    return await _line(reader)
                finally:
                    writer.close()
        except TimeoutError:
            raise HostError("the tunnel's process gives no answer in time", "is it overloaded? see its log") from None
        except OSError as error:
            raise self._unreachable(error) from error

    async def _question(
        self, word: str, told: Mapping[str, object]
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if isinstance(self._way, Path):
            reader, writer = await asyncio.open_unix_connection(self._way, limit=MAX_DOCUMENT_BYTES)
        else:
            own = _through(self._way)
            reader, writer = await asyncio.open_unix_connection(sock=own, limit=MAX_DOCUMENT_BYTES)
        writer.write(json.dumps({"ask": word, **told}).encode() + b"\n")
        return reader, writer

    def _unreachable(self, error: OSError) -> HostError:
        place = f" at {self._way}" if isinstance(self._way, Path) else ""
        return HostError(
            f"the tunnel's process cannot be asked{place}: {error.strerror or type(error).__name__}",
            "is it up? this page tells as soon as it answers",
        )


class _Paced:
    """The latest status document, which is asked for anew where it is not fresh any more.

    Args:
        answer: asks.
        monotonic: as of Source.
    """

    def __init__(
        self, answer: Callable[[str, Mapping[str, object]], Awaitable[bytes]], monotonic: Callable[[], float]
    ) -> None:
        self._answer = answer
        self._monotonic = monotonic
        self._latest: Snapshot | None = None
        self._failed: tuple[float, HostError] | None = None  # when it was asked, and what came of it
        self._fetching = asyncio.Lock()

    async def get(self, told: Mapping[str, object]) -> Snapshot:
        """Return it; `told` stands beside the question, should there be one."""
        async with self._fetching:
            now = self._monotonic()
            if self._latest is not None and now < self._latest.fresh_until:
                return self._latest
            if self._failed is not None and self._monotonic() - self._failed[0] < FRESH_SECONDS:
                raise self._failed[1]
            number = self._latest.number + 1 if self._latest else 1
            wall_clock = time.time()
            try:
                answer = await self._answer(STATUS_REQUEST, told)
                fresh_until = now + max(FRESH_SECONDS, len(answer) / FOLLOWED_BYTES_PER_S)
                self._latest = Snapshot(_document(answer), now, wall_clock, number, fresh_until)
            except HostError as error:
                self._failed = (self._monotonic(), error)  # who waits behind this one need not wait as long again
                raise
            return self._latest


async def _line(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.readline()
    except ValueError:  # asyncio's word for a line over the limit
        raise HostError(f"an answer of over {MAX_DOCUMENT_BYTES >> 20} MiB", "ask for less of it") from None


def _document(line: bytes) -> Document:
    try:
        document = json.loads(line)
    except (ValueError, RecursionError):
        raise HostError("the tunnel's process gives no whole answer", "it may be ending: try again") from None
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        raise HostError(f"the tunnel's process does not answer with schema {SCHEMA}", "do both have one version?")
    if "error" in document:
        raise NotAnsweredError(str(document["error"]), str(document.get("remedy", "")))
    return document


def _through(door: socket.socket) -> socket.socket:
    """Make a connection, hand one end over, and return the other. Raises: OSError: nobody takes it."""
    own, theirs = socket.socketpair()
    try:
        socket.send_fds(door, [b"c"], [theirs.fileno()])
    except OSError:
        own.close()
        raise
    finally:
        theirs.close()
    return own
