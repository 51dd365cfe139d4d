"""A server and its control plane, over HTTP on loopback; what goes wrong there, and one rustun that steers another."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from rustun.config.conf_agent import ControlPlane
from rustun.config.keys import Secret
from rustun.errors import RustunError
from rustun.web import sync
from rustun.web.editor import Editor
from rustun.web.sync import Agent, HttpExchange
from rustun.web.sync_api import Reports
from tests.unit.web.api_world import READ, KeptLog, ToldSource, application, status

TOKEN = "token-of-a-test"
KEY = "hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo="
OWN = (
    '[{"cluster": "1", "identity": "gw", "private_ip": "10.0.1.1", "mask": "255.255.255.0", '
    f'"public_key": "{KEY}"}}]\n'
)
GOOD = [
    {"name": "Gate", "cluster": "1", "identity": "gw", "private_ip": "10.0.1.1", "mask": "255.255.255.0", "gateway": "",
     "ciders": []},
    {"name": "", "cluster": "1", "identity": "dev", "private_ip": "10.0.1.2", "mask": "255.255.255.0", "gateway": "",
     "ciders": []},
]  # fmt: skip
SESSION = {"cluster": "1", "identity": "gw", "proof_age_s": 1.0}
Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


def fixed(body: bytes, code: int = 200, **headers: str) -> Answer:
    """Return what always answers this."""

    async def answer(_: web.Request) -> web.StreamResponse:
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        return web.Response(body=body, status=code, headers=given)

    return answer


async def endless(request: web.Request) -> web.StreamResponse:
    """Answer for as long as somebody listens."""
    response = web.StreamResponse()
    await response.prepare(request)
    while True:
        await response.write(b"[" * 65_536)


async def silent(_: web.Request) -> web.StreamResponse:
    """Never answer."""
    await asyncio.Event().wait()
    raise AssertionError


async def dropping(request: web.Request) -> web.StreamResponse:
    """Promise more than comes."""
    response = web.StreamResponse(headers={"Content-Length": "1000"})
    await response.prepare(request)
    await response.write(json.dumps(GOOD).encode()[:100])
    assert request.transport is not None
    request.transport.close()
    return response


@asynccontextmanager
async def agent(
    folder: Path, url: str, log: KeptLog | None = None, *, token: str = TOKEN, allow_empty: bool = False
) -> AsyncIterator[Agent]:
    """Give an agent of a server with one member and one session, whose control plane is at `url`."""
    (folder / "own.json").write_text(OWN)
    source = ToldSource(status(folder / "own.json", sessions=[SESSION]))
    config = ControlPlane(url, Secret(token), 60, 30, allow_empty=allow_empty)
    async with aiohttp.ClientSession(auto_decompress=False) as session:
        kept = log or KeptLog()
        yield Agent(config, HttpExchange(session, config), Editor(source, kept), source, kept)


@asynccontextmanager
async def control_plane(members: Answer, connections: Answer | None = None) -> AsyncIterator[str]:
    """Give the URL of a control plane."""
    app = web.Application()
    app.router.add_get("/base/api/sync/clients", members)
    app.router.add_post("/base/api/sync/connections", connections or fixed(b"{}"))
    async with TestServer(app) as server:
        yield str(server.make_url("/base"))


def poll_once(folder: Path, members: Answer, *, allow_empty: bool = False) -> str:
    """Poll a control plane once, and return why its answer was not taken, or nothing."""

    async def run() -> str:
        async with control_plane(members) as url, agent(folder, url, allow_empty=allow_empty) as one:
            try:
                await one.poll()
            except RustunError as error:
                return f"{error.message}; {error.remedy}"
            return ""

    return asyncio.run(run())


def test_members_come_from_the_control_plane(tmp_path: Path) -> None:
    """If this fails, a server of the seed's that becomes ours has no members any more."""
    asked: list[str] = []

    async def members(request: web.Request) -> web.StreamResponse:
        asked.append(request.headers["Authorization"])
        return web.json_response(GOOD)

    assert poll_once(tmp_path, members) == ""
    assert asked == [f"Bearer {TOKEN}"]
    gw, dev = json.loads((tmp_path / "own.json").read_text())
    assert (gw["name"], gw["public_key"], dev["identity"]) == ("Gate", KEY, "dev")


@pytest.mark.parametrize(
    ("answer", "word"),
    [
        (fixed(b"oops", 500), "status 500"),
        (fixed(json.dumps(GOOD).encode(), 401), "api_token"),
        (fixed(json.dumps(GOOD).encode(), 203), "status 203"),
        (fixed(b"", 302, Location="/base/api/sync/connections"), "status 302"),
        (fixed(b"null"), "no list of members"),
        (fixed(b"[]"), "names no member at all"),
        (fixed(b""), "no list of members"),
        (fixed(b"<html>"), "no list of members"),
        (fixed(b'{"code": 200, "message": "success", "data": []}'), "no list of members"),
        (fixed(json.dumps([{**GOOD[0], "private_ip": "x"}]).encode()), "not an IPv4 address"),
        (fixed(gzip.compress(json.dumps(GOOD).encode()), Content_Encoding="gzip"), "packed"),
        (endless, "MiB long"),
        (silent, "does not answer"),
        (dropping, "cannot be asked"),
    ],
)
def test_whatever_it_answers_the_last_good_set_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: Answer, word: str
) -> None:
    """If this fails, a broken control plane puts members out, or keeps the server busy."""
    monkeypatch.setattr(sync, "ANSWER_SECONDS", 0.3 if answer is silent else 30.0)
    monkeypatch.setattr(sync, "MAX_ANSWER_BYTES", 1 << 20)
    assert word in poll_once(tmp_path, answer)
    assert (tmp_path / "own.json").read_text() == OWN


def test_nobody_there_is_said_and_nothing_changes(tmp_path: Path) -> None:
    """If this fails, a control plane that is down ends the web process."""

    async def run() -> None:
        async with agent(tmp_path, "http://127.0.0.1:1") as one:
            with pytest.raises(RustunError, match="cannot be asked"):
                await one.poll()

    asyncio.run(run())
    assert (tmp_path / "own.json").read_text() == OWN


def test_an_emptying_that_was_allowed_is_made(tmp_path: Path) -> None:
    """If this fails, the last members of a fleet cannot be taken out."""
    assert poll_once(tmp_path, fixed(b"[]"), allow_empty=True) == ""
    assert json.loads((tmp_path / "own.json").read_text()) == []


def test_it_goes_on_for_ever_and_says_a_failure_once(tmp_path: Path) -> None:
    """If this fails, one bad answer ends the exchange, or fills the log once a minute."""
    answers = [fixed(b"oops", 500), fixed(b"oops", 500), fixed(json.dumps(GOOD).encode())]
    log = KeptLog()
    slept: list[float] = []

    async def members(request: web.Request) -> web.StreamResponse:
        return await answers.pop(0)(request)

    async def run() -> None:
        over = asyncio.Event()

        async def sleep(seconds: float) -> None:
            slept.append(seconds)
            if seconds == 60 and answers:
                return
            if seconds == 60:
                over.set()
            await asyncio.Event().wait()

        async with control_plane(members) as url, agent(tmp_path, url, log) as one:
            one._sleep = sleep
            running = asyncio.create_task(one.run())
            await over.wait()
            running.cancel()

    asyncio.run(run())
    said = log.messages("control-plane")
    assert len(said) == 2 and "status 500" in said[0] and "stay as they were" in said[0]
    assert said[1] == "the control plane is heard again"
    assert slept.count(60) == 3
    assert len(json.loads((tmp_path / "own.json").read_text())) == 2


def test_one_rustun_steers_another(tmp_path: Path) -> None:
    """If this fails, our own server is no control plane, and the seed's servers cannot be steered by it."""
    (tmp_path / "steering.json").write_text(json.dumps(GOOD))

    async def run() -> list[dict[str, object]]:
        app = application(ToldSource(status(tmp_path / "steering.json")), KeptLog())
        async with TestServer(app) as server:
            url = str(server.make_url("")).rstrip("/")
            async with agent(tmp_path, url, token=READ) as one:
                await one.poll()
                await one.report()
            async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {READ}"}) as session:
                found: list[dict[str, object]] = await (await session.get(f"{url}/api/sync/connections")).json()
            return found

    (reported,) = asyncio.run(run())
    assert (reported["cluster_id"], reported["identity"]) == (1, "gw")
    assert [one["identity"] for one in json.loads((tmp_path / "own.json").read_text())] == ["gw", "dev"]


def test_a_report_is_the_seeds_bare_list(tmp_path: Path) -> None:
    """If this fails, the seed's control plane refuses our report."""
    heard: list[tuple[str, list[dict[str, object]]]] = []

    async def connections(request: web.Request) -> web.StreamResponse:
        heard.append((request.content_type, await request.json()))
        return web.json_response({})

    async def run() -> None:
        async with control_plane(silent, connections) as url, agent(tmp_path, url) as one:
            await one.report()

    asyncio.run(run())
    ((kind, (connection,)),) = heard
    assert kind == "application/json"
    assert connection.keys() == {"cluster_id", "identity", "last_active"}
    assert isinstance(connection["last_active"], int)


def test_reports_of_strangers_are_not_kept(tmp_path: Path) -> None:
    """If this fails, whoever may read fills the memory of the web process."""
    (tmp_path / "steering.json").write_text(json.dumps(GOOD))
    strangers = [{"cluster_id": number, "identity": "x"} for number in range(1000)]

    async def run() -> tuple[object, object]:
        app = application(ToldSource(status(tmp_path / "steering.json")), KeptLog())
        headers = {"Authorization": f"Bearer {READ}"}
        async with TestServer(app) as server, aiohttp.ClientSession(headers=headers) as session:
            url = server.make_url("/api/sync/connections")
            answer = await (await session.post(url, json=[*strangers, {"cluster_id": 1, "identity": "dev"}])).json()
            refused = await session.post(url, json={"cluster_id": 1})
            assert refused.status == 400
            return answer["data"], await (await session.get(url)).json()

    answer, kept = asyncio.run(run())
    assert answer == {"taken": 1}
    assert isinstance(kept, list) and [one["identity"] for one in kept] == ["dev"]


def test_a_clock_that_was_wrong_is_forgotten() -> None:
    """If this fails, a clock that was in 2099 for a minute shows members as active that have been gone for days."""
    reports, dev = Reports(), ("1", "dev")
    wrong, right = datetime(2099, 1, 1, tzinfo=UTC), datetime(2026, 6, 1, tzinfo=UTC)
    assert reports.note({dev: int(wrong.timestamp())}, {dev}, wrong) == 1
    assert reports.note({}, {dev}, right) == 0
    assert reports.told() == [{"cluster_id": 1, "identity": "dev", "last_active": int(right.timestamp())}]
