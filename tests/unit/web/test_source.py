"""How the web process asks the tunnel's process."""

from __future__ import annotations

import asyncio
import json
import socket
from pathlib import Path

import pytest

from rustun.errors import HostError
from rustun.web import source as module
from rustun.web.source import FRESH_SECONDS, Source
from tests.unit.web.talking import run, server_document, tunnel


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


def test_one_snapshot_a_second_however_many_ask(tmp_path: Path) -> None:
    """Each browser and scraper costs the tunnel a status document of its own."""
    clock = Clock()

    async def scenario() -> None:
        async with tunnel(tmp_path) as told:
            source = Source(told.path, clock)
            found = await asyncio.gather(*(source.snapshot() for _ in range(50)))
            assert {one.number for one in found} == {1}
            assert len(told.questions) == 1
            clock.seconds += FRESH_SECONDS - 0.01
            assert (await source.snapshot()).number == 1
            clock.seconds += 0.01
            assert (await source.snapshot()).number == 2
            assert told.questions == [{"ask": "status"}] * 2

    run(scenario())


def test_only_who_knows_something_says_so(tmp_path: Path) -> None:
    """A relay of an older version, which knows no such word, has nothing to show on any page."""
    clock = Clock()

    async def scenario() -> None:
        async with tunnel(tmp_path) as told:
            source = Source(told.path, clock)
            for since in ("", "7"):
                await source.changes(since)
                clock.seconds += FRESH_SECONDS
            assert told.questions == [{"ask": "status"}, {"ask": "status", "since": "7"}]

    run(scenario())


def test_a_snapshot_of_thousands_comes_less_often(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever opens the dashboard of a large fleet makes its relay encode megabytes each second."""
    clock = Clock()

    async def scenario() -> None:
        async with tunnel(tmp_path) as told:
            monkeypatch.setattr(module, "FOLLOWED_BYTES_PER_S", len(json.dumps(server_document())) / 3.5)
            source = Source(told.path, clock)
            numbers = []
            for _ in range(8):
                numbers.append((await source.snapshot()).number)
                clock.seconds += FRESH_SECONDS
            assert numbers == [1, 1, 1, 1, 2, 2, 2, 2]

    run(scenario())


def test_an_answer_to_a_question_is_never_kept(tmp_path: Path) -> None:
    """Something that has to be true now is a second old."""

    async def scenario() -> None:
        async with tunnel(tmp_path) as told:
            source = Source(told.path, Clock())
            await source.ask()
            await source.ask("status", cluster="beijing")
            assert told.questions == [{"ask": "status"}, {"ask": "status", "cluster": "beijing"}]

    run(scenario())


def test_who_waits_behind_a_failure_does_not_wait_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tunnel that hangs makes the fiftieth browser wait four minutes for an error."""
    monkeypatch.setattr(module, "EXCHANGE_SECONDS", 0.01)

    async def scenario() -> None:
        async with tunnel(tmp_path) as told:
            told.answering.clear()
            source = Source(told.path, Clock())
            found = await asyncio.gather(*(source.snapshot() for _ in range(50)), return_exceptions=True)
            assert all(isinstance(one, HostError) and "no answer in time" in one.message for one in found)
            assert len(told.questions) <= 1

    run(scenario())


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"", "no whole answer"),
        (b'{"schema": 1, "role": "server"', "no whole answer"),
        (b"[" * 100_000 + b"\n", "no whole answer"),
        (b"[]\n", "schema 1"),
        (b'{"schema": 2}\n', "schema 1"),
        (json.dumps({"schema": 1, "error": "unknown request", "remedy": "ask"}).encode() + b"\n", "unknown request"),
    ],
)
def test_an_answer_that_is_none_is_an_error(tmp_path: Path, answer: bytes, words: str) -> None:
    """A page shows half a document, or the web process ends with a traceback."""

    async def scenario() -> None:
        async with tunnel(tmp_path, lambda: answer) as told:
            with pytest.raises(HostError, match=words):
                await Source(told.path).snapshot()

    run(scenario())


def test_an_answer_without_end_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A document of more than anybody wants fills the memory."""
    monkeypatch.setattr(module, "MAX_DOCUMENT_BYTES", 1000)

    async def scenario() -> None:
        async with tunnel(tmp_path, lambda: b"x" * 10_000) as told:
            with pytest.raises(HostError, match="over"):
                await Source(told.path).ask()

    run(scenario())


def test_nobody_there_is_told(tmp_path: Path) -> None:
    """A page says nothing of why there is nothing."""
    with pytest.raises(HostError, match="cannot be asked at .*s.sock: No such file"):
        run(Source(tmp_path / "s.sock").ask())


def test_a_stream_goes_on_until_its_reader_stops(tmp_path: Path) -> None:
    """Events are lost after the first, or a reader that has gone is written to."""
    lines = b'{"schema": 1, "number": 1}\n{"schema": 1, "number": 2}\n'

    async def scenario() -> None:
        async with tunnel(tmp_path, lambda: lines) as told:
            found = [document["number"] async for document in Source(told.path).stream("events", since=0)]
            assert found == [1, 2]
            assert told.questions == [{"ask": "events", "since": 0}]

    run(scenario())


def test_a_connection_goes_through_the_door() -> None:
    """A web process without a right to the control socket's file cannot ask at all."""
    inside, outside = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)

    async def answer() -> None:
        loop = asyncio.get_running_loop()
        inside.setblocking(False)
        came = asyncio.Event()
        loop.add_reader(inside, came.set)
        await came.wait()
        loop.remove_reader(inside)
        _, descriptors, _, _ = socket.recv_fds(inside, 1, 1)
        reader, writer = await asyncio.open_unix_connection(sock=socket.socket(fileno=descriptors[0]))
        assert json.loads(await reader.readline()) == {"ask": "status"}
        writer.write(json.dumps(server_document()).encode() + b"\n")
        await writer.drain()
        writer.close()

    async def scenario() -> None:
        answering = asyncio.create_task(answer())
        assert (await Source(outside).ask())["role"] == "server"
        await answering
        inside.close()
        with pytest.raises(HostError, match="cannot be asked"):
            await Source(outside).ask()

    with inside, outside:
        run(scenario())


def test_what_is_true_now_is_asked_for_after_it_was_wanted(tmp_path: Path) -> None:
    """A page shows what was true before somebody asked, or a hundred who ask are a hundred questions at once."""

    async def scenario() -> None:
        async with tunnel(tmp_path) as told:
            told.answering.clear()
            source = Source(told.path, Clock())
            first = asyncio.create_task(source.status_now())
            await told.heard.wait()
            later = [asyncio.create_task(source.status_now()) for _ in range(100)]
            assert len(told.questions) == 1
            told.document = lambda: {**server_document(), "members": 77}
            told.answering.set()
            assert {(await one)["members"] for one in later} == {77}
            await first
            assert len(told.questions) == 2

    run(scenario())
