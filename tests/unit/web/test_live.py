"""What open pages are told: differences, and the newest whole moment to whoever is behind."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import Awaitable, Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from rustun.web import live
from rustun.web.envelope import Refusal
from rustun.web.happenings import Happenings
from rustun.web.history import History
from rustun.web.live import Feed
from rustun.web.source import Source
from tests.browser.documents import large, status
from tests.browser.pretended_relay import PretendedRelay


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Fixture:
    """A feed of a relay that is asked when the test says so."""

    def __init__(self, relay: PretendedRelay) -> None:
        self.relay = relay
        self.clock = Clock()
        self.source = Source(relay.path, self.clock)
        self.feed = Feed(self.source, History(), Happenings(self.source), self.clock)
        self.flow = 0

    async def second(self, flow: int = 1_000) -> None:
        """Let a second pass in which each member sends so much."""
        self.clock.now += 1.0
        self.flow += flow
        now, so_far = self.clock.now, self.flow
        self.relay.status = lambda: status(uptime_s=100.0 + now, flow=so_far)
        await self.feed.look()


def with_feed(tmp_path: Path, test: Callable[[Fixture], Awaitable[None]]) -> None:
    """Run a test beside a relay."""
    relay = PretendedRelay(tmp_path / "control.sock")

    async def run() -> None:
        await test(Fixture(relay))

    try:
        asyncio.run(run())
    finally:
        relay.close()


def read(message: bytes) -> tuple[str, dict[str, Any]]:
    """Return kind and content of a server-sent event."""
    kind, data = message.decode().rstrip("\n").split("\n")
    return kind.removeprefix("event: "), json.loads(data.removeprefix("data: "))


def test_a_new_page_gets_everything_and_then_what_changes(tmp_path: Path) -> None:
    """Every page would be sent the whole fleet each second."""

    async def test(one: Fixture) -> None:
        with one.feed.watching():
            await one.second()
            kind, told = read(one.feed.message(0))
            assert (kind, len(told["members"]), told["trouble"]) == ("whole", 6, None)
            await one.second(flow=5_000)
            kind, told = read(one.feed.message(one.feed.number - 1))
            assert kind == "change"
            assert told["members"]["bj-dev"]["in_rate"] == 5_000
            assert "address" not in told["members"]["bj-dev"]
            assert "sh-db" not in told["members"]

    with_feed(tmp_path, test)


def test_a_moment_that_is_still_the_newest_is_a_message_without_it(tmp_path: Path) -> None:
    """Pages of a large fleet, whose moments are seconds apart, take the silence for a lost connection."""

    async def test(one: Fixture) -> None:
        with one.feed.watching():
            await one.second()
            before, moment = one.feed.number, one.feed.moment
            one.clock.now += 0.5
            await one.feed.look()
            assert (one.feed.number, one.feed.moment) == (before + 1, moment)
            assert read(one.feed.message(before)) == ("change", {})

    with_feed(tmp_path, test)


def test_who_missed_a_message_gets_the_newest_whole_moment(tmp_path: Path) -> None:
    """A slow page would apply a difference to another moment, and show what never was."""

    async def test(one: Fixture) -> None:
        with one.feed.watching():
            for _ in range(4):
                await one.second()
            assert read(one.feed.message(one.feed.number - 2))[0] == "whole"
            assert read(one.feed.message(one.feed.number - 1))[0] == "change"

    with_feed(tmp_path, test)


def test_a_relay_that_is_gone_is_told_and_comes_back(tmp_path: Path) -> None:
    """A page would go on to show green members of a relay that has crashed."""

    async def test(one: Fixture) -> None:
        with one.feed.watching():
            await one.second()
            one.relay.close()
            one.clock.now += 5.0
            await one.feed.look()
            told = read(one.feed.message(one.feed.number - 1))[1]
            assert "cannot be asked" in told["trouble"]["message"]
            assert "members" not in told
            assert len(read(one.feed.message(0))[1]["members"]) == 6, "what was known stays"
            one.relay.open()
            one.clock.now += 5.0
            await one.second()
            assert read(one.feed.message(one.feed.number - 1))[1]["trouble"] is None

    with_feed(tmp_path, test)


def test_a_clock_that_was_set_moves_every_point_in_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host that learns the time after its start shows members that came and went half a century ago, for ever."""
    wall_clock = Clock()
    monkeypatch.setattr(time, "time", wall_clock)

    async def test(one: Fixture) -> None:
        async def second() -> dict[str, Any]:
            wall_clock.now += 1.0
            await one.second()
            assert one.feed.moment is not None
            return deepcopy(one.feed.moment.members)

        for _ in range(3):
            before = await second()
        for step in (1.8e9, -3600.0):
            wall_clock.now += step
            after = await second()
            for identity, key in (("bj-dev", "began"), ("sh-db", "proved"), ("sh-db", "error_at")):
                assert after[identity][key] == pytest.approx(before[identity][key] + step, abs=2)
            before = after

    with_feed(tmp_path, test)


def test_a_relay_that_knows_no_changes_is_asked_for_everything(tmp_path: Path) -> None:
    """After a newer web process found an older relay, every page shows an error until somebody starts it again."""

    async def test(one: Fixture) -> None:
        for _ in range(3):
            await one.second()
        one.relay.knows_since = False
        await one.second()
        told = read(one.feed.message(0))[1]
        assert told["trouble"]["message"] == '"status" knows no "since"'
        await one.second()
        told = read(one.feed.message(0))[1]
        assert (told["trouble"], len(told["members"])) == (None, 6)

    with_feed(tmp_path, test)


@pytest.mark.parametrize("uptime_s", [float("inf"), "x", 10**400], ids=["infinite", "text", "huge"])
def test_what_cannot_be_read_ends_nothing(tmp_path: Path, uptime_s: object) -> None:
    """A dashboard that met one answer of another version stands still until somebody starts it again."""

    async def test(one: Fixture) -> None:
        for _ in range(3):
            await one.second()
        sessions = [{**session, "received_bytes": float("inf")} for session in status()["sessions"]]
        one.clock.now += 1.0
        one.relay.status = lambda: {**status(sessions=sessions), "uptime_s": uptime_s}
        await one.feed.look()
        assert "not what this version knows" in read(one.feed.message(0))[1]["trouble"]["message"]
        await one.second()
        assert read(one.feed.message(0))[1]["trouble"] is None

    with_feed(tmp_path, test)


def test_nothing_is_encoded_while_nobody_looks(tmp_path: Path) -> None:
    """A relay whose dashboard nobody opens would pay for it."""

    async def test(one: Fixture) -> None:
        await one.second()
        await one.second()
        assert read(one.feed.message(one.feed.number - 1))[0] == "whole", "no difference was made"

    with_feed(tmp_path, test)


def test_events_go_with_the_moments(tmp_path: Path) -> None:
    """Events would appear when a page is loaded, and never again."""

    async def test(one: Fixture) -> None:
        with one.feed.watching():
            one.feed.happenings.take({"number": 1, "event": "started"})
            await one.second()
            assert read(one.feed.message(0))[1]["events"] == [{"number": 1, "event": "started", "audit": True}]
            for number in range(2, 150):
                one.feed.happenings.take({"number": number})
            await one.second()
            told = read(one.feed.message(one.feed.number - 1))[1]
            assert [event["number"] for event in told["events"]] == list(range(50, 150))
            assert told["events_left_out"] == 48
            one.feed.happenings.take({"number": 1, "event": "started"})
            await one.second()
            assert read(one.feed.message(one.feed.number - 1))[0] == "whole", "another process: all is new"

    with_feed(tmp_path, test)


def test_an_event_is_told_once(tmp_path: Path) -> None:
    """A page that is opened while something happens would show it twice."""

    async def test(one: Fixture) -> None:
        with one.feed.watching():
            await one.second()
            one.feed.happenings.take({"number": 1, "event": "started"})
            first = read(one.feed.message(0))[1]["events"]
            await one.second()
            then = read(one.feed.message(one.feed.number - 1))[1]["events"]
            assert [event["number"] for event in (*first, *then)] == [1]

    with_feed(tmp_path, test)


def test_pages_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand streams would hold the memory of a thousand fleets."""
    monkeypatch.setattr(live, "MAX_WATCHERS", 2)

    async def test(one: Fixture) -> None:
        with one.feed.watching():
            with one.feed.watching():
                with pytest.raises(Refusal, match="open already"):
                    with one.feed.watching():
                        raise AssertionError("a third page came in")
            assert one.feed.watchers == 1

    with_feed(tmp_path, test)


async def served(one: Fixture, allowed: Callable[[], bool] = lambda: True) -> TestClient[web.Request, web.Application]:
    """Return a client of a server that streams this feed."""
    app = web.Application()

    async def handler(request: web.Request) -> web.StreamResponse:
        return await live.stream(request, one.feed, allowed)

    app.router.add_get("/live", handler)
    client = TestClient(TestServer(app))
    await client.start_server()
    return client


def test_a_stream_ends_with_the_login(tmp_path: Path) -> None:
    """Whoever was logged in once would be told for ever."""

    async def test(one: Fixture) -> None:
        await one.second()
        may = True
        client = await served(one, lambda: may)
        try:
            async with client.get("/live") as answer:
                assert answer.headers["Content-Type"] == "text/event-stream"
                assert read(await answer.content.readuntil(b"\n\n"))[0] == "whole"
                may = False
                await one.second()
                async with asyncio.timeout(10):
                    assert await answer.content.read() == b""
            assert one.feed.watchers == 0
        finally:
            await client.close()

    with_feed(tmp_path, test)


def test_a_slow_reader_is_told_the_newest_and_costs_no_memory(tmp_path: Path) -> None:
    """A page on a bad line would be shown what was minutes ago, from a queue that grows with each second."""

    async def test(one: Fixture) -> None:
        one.clock.now += 1.0
        one.relay.status = lambda: status(large(1000), uptime_s=100.0 + one.clock.now, flow=int(one.clock.now) * 10**6)
        await one.feed.look()
        client = await served(one)
        reader = socket.socket()
        reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        reader.setblocking(False)
        try:
            loop = asyncio.get_running_loop()
            await loop.sock_connect(reader, ("127.0.0.1", client.port))
            await loop.sock_sendall(reader, b"GET /live HTTP/1.1\r\nHost: localhost\r\n\r\n")
            received = await loop.sock_recv(reader, 100)
            for _ in range(20):  # 20 s of news, none of which is read
                one.clock.now += 1.0
                await one.feed.look()
            async with asyncio.timeout(20):
                while received.count(b"event: ") < 2:
                    try:
                        async with asyncio.timeout(0.1):
                            received += await loop.sock_recv(reader, 1 << 20)
                    except TimeoutError:  # it has taken all that was on the way
                        one.clock.now += 1.0
                        await one.feed.look()
            assert received.count(b"event: whole") == 2
            assert len(received) < 3 * len(one.feed.message(0)), "what came between was told as well"
        finally:
            reader.close()
            await client.close()

    with_feed(tmp_path, test)
