"""Connections that come, stay too long, or are too many."""

from __future__ import annotations

import asyncio
import resource
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from rustun.backends.base import Endpoint
from rustun.errors import HostError
from rustun.web import door
from rustun.web.app import dashboard_app
from rustun.web.door import CONNECTIONS, FIRST_SECONDS, MAX_CONNECTIONS, NEXT_SECONDS, Connections, Door
from rustun.web.guard import Guard, Right, Route, guarded
from rustun.web.source import Source
from tests.unit.web.talking import CONFIG, Heard, run, tunnel

HERE = Endpoint("127.0.0.1", 0)
ASK = b"GET /x HTTP/1.1\r\nHost: localhost\r\n\r\n"
Pair = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Served:
    """An application behind a door, whose connections see the time that a test sets."""

    def __init__(self, make: Callable[[Connections], web.Application]) -> None:
        self.now = 1000.0
        self.connections = Connections(lambda: self.now)
        self.door = Door([HERE], make(self.connections))
        self.port = 0
        self.opened: list[asyncio.StreamWriter] = []

    async def connect(self) -> Pair:
        """Connect, and wait until it is let in."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        self.opened.append(writer)
        return reader, writer

    async def ask(self, pair: Pair) -> bytes:
        """Send a request and return the status line of the answer, with all of it read."""
        reader, writer = pair
        writer.write(ASK)
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:"))
        await reader.readexactly(length)
        return head.split(b"\r\n")[0]


async def show(_: web.Request) -> web.StreamResponse:
    """Answer."""
    return web.Response(text="ok")


async def stream(request: web.Request) -> web.StreamResponse:
    """Answer without an end."""
    request.app[CONNECTIONS].streams(request.transport)
    answer = web.StreamResponse(headers={"Content-Length": "1000"})
    await answer.prepare(request)
    await answer.write(b"a" * 1000)
    await asyncio.Event().wait()
    return answer


async def show_much(_: web.Request) -> web.StreamResponse:
    """Answer more than a socket holds, and close."""
    answer = web.Response(body=bytes(8 << 20))
    answer.force_close()
    return answer


ROUTES = (
    Route("GET", "/x", show, Right.NONE),
    Route("GET", "/long", show_much, Right.NONE),
    Route("GET", "/stream", stream, Right.NONE),
)


@asynccontextmanager
async def served() -> AsyncIterator[Served]:
    """Serve ROUTES behind a door."""
    made = Served(lambda connections: guarded(ROUTES, Guard(CONFIG, Heard()), Heard(), connections))
    [endpoint] = await made.door.open()
    made.port = endpoint.port
    try:
        yield made
    finally:
        for writer in made.opened:
            writer.close()
        await made.door.close()


async def gone(pair: Pair) -> bool:
    """Wait for the end of a connection."""
    try:
        return await pair[0].read() == b""
    except ConnectionResetError:
        return True


def test_who_says_nothing_has_to_go() -> None:
    """A thousand silent connections hold their places for ever."""

    async def scenario() -> None:
        async with served() as serving:
            silent, half = await serving.connect(), await serving.connect()
            half[1].write(ASK[:-2])
            active = await serving.connect()
            await serving.ask(active)
            serving.now += FIRST_SECONDS
            serving.connections.sweep()
            assert await gone(silent)
            assert await gone(half)
            assert b"200" in await serving.ask(active)

    run(scenario())


def test_a_kept_connection_asks_again_in_time() -> None:
    """A connection that was used once, or whose answer nobody reads, is kept for ever."""

    async def scenario() -> None:
        async with served() as serving:
            idle, active = await serving.connect(), await serving.connect()
            await serving.ask(idle)
            serving.now += NEXT_SECONDS - 1
            await serving.ask(active)
            serving.now += 1
            serving.connections.sweep()
            assert await gone(idle)
            assert b"200" in await serving.ask(active)

    run(scenario())


def test_a_stream_may_be_silent() -> None:
    """The dashboard's live view ends once a minute."""

    async def scenario() -> None:
        async with served() as serving:
            reader, writer = await serving.connect()
            writer.write(ASK.replace(b"/x", b"/stream"))
            await reader.readexactly(1)
            serving.now += 100 * NEXT_SECONDS
            serving.connections.sweep()
            assert len(serving.connections) == 1

    run(scenario())


def test_a_thousand_idle_connections_keep_nobody_out() -> None:
    """Somebody opens a thousand connections, and the operator cannot see his dashboard."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard))

    async def scenario() -> None:
        async with served() as serving:
            for _ in range(10):
                await asyncio.gather(*(serving.connect() for _ in range(100)))
                serving.now += 0.01
            assert b"200" in await serving.ask(await serving.connect())
            assert len(serving.connections) <= MAX_CONNECTIONS

    try:
        run(scenario())
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_who_is_idle_makes_room_before_a_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    """The live view of an operator ends because somebody else opens connections."""
    monkeypatch.setattr(door, "MAX_CONNECTIONS", 2)

    async def scenario() -> None:
        async with served() as serving:
            live = await serving.connect()
            live[1].write(ASK.replace(b"/x", b"/stream"))
            await live[0].readuntil(b"\r\n\r\n")
            await live[0].readexactly(1000)
            serving.now += 1
            idle = await serving.connect()
            await serving.ask(idle)
            serving.now += 1
            assert b"200" in await serving.ask(await serving.connect())
            assert await gone(idle)
            assert not live[0].at_eof()

    run(scenario())


@pytest.mark.parametrize(
    "sent",
    [
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 100_000 + b"\r\n\r\n",
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"X: a\r\n" * 20_000 + b"\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500),
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"POST /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: \x00\r\n\r\n",
    ],
    ids=["header", "path", "headers", "two-hosts", "version", "tls", "ssh", "smuggled", "nul"],
)
def test_what_is_no_request_is_refused(sent: bytes, capfd: pytest.CaptureFixture[str]) -> None:
    """Garbage is kept in memory without a bound, answered with data, or fills the log with tracebacks."""

    async def scenario() -> None:
        async with served() as serving:
            reader, writer = await serving.connect()
            writer.write(sent)
            writer.write_eof()
            try:
                answer = await reader.read()
            except ConnectionResetError:
                answer = b""
            assert answer[:12] in (b"", b"HTTP/1.1 400", b"HTTP/1.1 421", b"HTTP/1.0 400")
            assert b"200" in await serving.ask(await serving.connect())

    run(scenario())
    assert "Traceback" not in capfd.readouterr().err


def test_a_packed_body_is_not_unpacked(tmp_path: Path) -> None:
    """A few kilobytes of packed zeros become gigabytes in memory."""

    async def scenario() -> None:
        async with tunnel(tmp_path) as told:
            serving = Served(lambda connections: dashboard_app(CONFIG, Source(told.path), Heard(), connections))
            [endpoint] = await serving.door.open()
            reader, writer = await asyncio.open_connection("127.0.0.1", endpoint.port)
            body = b"\x1f\x8b" + bytes(100)
            writer.write(
                b"POST /api/login HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(body) + body
            )
            assert b" 400 " in await reader.readline()
            writer.close()
            await serving.door.close()

    run(scenario())


def test_a_port_that_is_taken_is_told() -> None:
    """A taken port ends in a traceback, or nobody learns that there is no dashboard."""

    async def scenario() -> None:
        async with served() as serving:
            app = guarded((), Guard(CONFIG, Heard()), Heard(), serving.connections)
            second = Door([Endpoint("127.0.0.1", serving.port)], app)
            with pytest.raises(HostError, match="cannot listen on 127.0.0.1"):
                await second.open()
            await second.close()

    run(scenario())


def test_a_slow_reader_costs_one_answer(tmp_path: Path) -> None:
    """Somebody asks again and again on one connection and reads nothing, and all answers wait in memory."""

    async def scenario() -> None:
        async with served() as serving:
            _, writer = await serving.connect()
            writer.write(ASK * 1000)
            await writer.drain()
            other = await serving.connect()
            assert b"200" in await serving.ask(other)
            serving.now += NEXT_SECONDS
            serving.connections.sweep()
            assert len(serving.connections) == 0

    run(scenario())


def test_a_reader_that_takes_nothing_is_not_forgotten() -> None:
    """Connections that are being closed are no more counted, and each holds a descriptor and its answer for ever."""

    async def scenario() -> None:
        async with served() as serving:
            _, writer = await serving.connect()
            writer.write(ASK.replace(b"/x", b"/long"))
            other = await serving.connect()
            assert b"200" in await serving.ask(other)
            serving.connections.sweep()
            assert len(serving.connections) == 2
            serving.now += NEXT_SECONDS
            serving.connections.sweep()
            assert len(serving.connections) == 0

    run(scenario())
