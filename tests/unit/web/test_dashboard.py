"""What the dashboard's pages ask for, and what they get."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp.test_utils import TestClient, TestServer

from rustun.web.app import dashboard_app
from rustun.web.guard import COOKIE
from rustun.web.history import STEPS
from rustun.web.source import Source
from tests.browser.documents import status
from tests.browser.pretended_relay import PretendedRelay
from tests.unit.web.talking import CONFIG, READ, Client, Heard, bearer, run


@asynccontextmanager
async def beside(folder: Path) -> AsyncIterator[tuple[Client, PretendedRelay]]:
    """Serve the dashboard of a pretended relay."""
    relay = PretendedRelay(folder / "control.sock")
    log = Heard()
    app = dashboard_app(CONFIG, Source(relay.path), log)
    try:
        async with TestClient(TestServer(app)) as client:
            yield client, relay
    finally:
        relay.close()
        assert [words for event, words, _ in log.events if event == "internal-error"] == []


async def first_message(client: Client) -> bytes:
    """Return the first server-sent event, by which time the relay was asked."""
    async with client.get("/dashboard/live", headers=bearer(READ)) as answer:
        return await answer.content.readuntil(b"\n\n")


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/", "text/html"),
        ("/pages/scripts/main.js", "text/javascript"),
        ("/pages/style.css", "text/css"),
        ("/pages/words/zh.json", "application/json"),
        ("/pages/icon.svg", "image/svg+xml"),
    ],
)
def test_pages_need_no_token_and_are_what_they_say(tmp_path: Path, path: str, kind: str) -> None:
    """Nobody could log in, or a browser would refuse a script for its type."""

    async def scenario() -> None:
        async with beside(tmp_path) as (client, _):
            answer = await client.get(path)
            assert (answer.status, answer.content_type) == (200, kind)
            assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
            again = await client.get(path, headers={"If-None-Match": answer.headers["ETag"]})
            assert (again.status, await again.read()) == (304, b"")

    run(scenario())


@pytest.mark.parametrize(
    "path",
    [
        "/pages/../dashboard.py", "/pages/%2e%2e/dashboard.py", "/pages/..%2f..%2fconfig/web.py", "/pages//etc/passwd",
        "/pages/scripts", "/pages/scripts/", "/pages/scripts/main.js%00", "/pages/%ff", "/pages/" + "a" * 5000,
    ],
)  # fmt: skip
def test_nothing_but_pages_can_be_had(tmp_path: Path, path: str) -> None:
    """A stranger would read files of the server."""

    async def scenario() -> None:
        async with beside(tmp_path) as (client, _):
            answer = await client.get(path)
            assert answer.status == 404
            assert b"import" not in await answer.read()

    run(scenario())


def test_the_hour_is_given(tmp_path: Path) -> None:
    """A page would have no picture, or fail at a name that it does not know."""

    async def scenario() -> None:
        async with beside(tmp_path) as (client, _):
            await first_message(client)
            for query, length in (("kind=relay", STEPS), ("kind=member&name=bj-dev", STEPS), ("kind=member&name=x", 0)):
                answer = await client.get(f"/dashboard/history?{query}", headers=bearer(READ))
                told = (await answer.json())["data"]
                assert (told["step_s"], len(told["in_rate"])) == (10, length), query
            assert (await client.get("/dashboard/history", headers=bearer(READ))).status == 400

    run(scenario())


def test_the_relay_is_asked_for_verdicts(tmp_path: Path) -> None:
    """The matrix would be empty, or anybody could make the relay answer questions without an end."""

    async def scenario() -> None:
        async with beside(tmp_path) as (client, relay):
            await first_message(client)
            answer = await client.get("/dashboard/reach?cluster=beijing", headers=bearer(READ))
            part = (await answer.json())["data"]
            assert part["from"] == ["bj-dev", "bj-office-gw", "bj-old"]
            assert part["cells"][0][1]["verdict"] == "pass"
            answer = await client.get("/dashboard/trace?source=10.0.1.1&destination=x", headers=bearer(READ))
            assert (await answer.json())["data"]["text"] == "goes to x"
            asked = relay.asked.count("trace")
            for query in (
                *("cluster=none", "cluster=", "cluster=beijing&from=-1", "cluster=beijing&to=99999999999"),
                *("cluster=beijing&from=%C2%B2", "cluster=" + "a" * 300),
            ):
                status = (await client.get(f"/dashboard/reach?{query}", headers=bearer(READ))).status
                assert status in (400, 404), query
            for query in ("source=a", "destination=a", "source=&destination=a", f"source=a&destination={'b' * 300}"):
                assert (await client.get(f"/dashboard/trace?{query}", headers=bearer(READ))).status == 400, query
            assert relay.asked.count("trace") == asked

    run(scenario())


def test_a_stream_ends_when_its_reader_logs_out(tmp_path: Path) -> None:
    """Whoever stole a cookie would read on after its owner has logged out."""

    async def scenario() -> None:
        async with beside(tmp_path) as (client, _):
            login = await client.post("/api/login", json={"token": READ})
            csrf = (await login.json())["data"]["csrf"]
            cookie = {"Cookie": f"{COOKIE}={login.cookies[COOKIE].value}"}
            async with client.get("/dashboard/live", headers=cookie) as answer:
                await answer.content.readuntil(b"\n\n")
                assert (await client.delete("/api/login", headers={"X-Rustun-Csrf": csrf})).status == 200
                await answer.content.read()  # which has an end

    run(scenario())


def test_a_status_of_another_version_ends_nothing(tmp_path: Path) -> None:
    """After half of an update the dashboard would stand still for ever, without a word."""

    async def scenario() -> None:
        async with beside(tmp_path) as (client, relay):
            relay.status = lambda: {**status(), "sessions": [5]}
            async with client.get("/dashboard/live", headers=bearer(READ)) as answer:
                while b"not what this version knows" not in await answer.content.readuntil(b"\n\n"):
                    pass
                relay.status = status
                while b'"bj-dev"' not in await answer.content.readuntil(b"\n\n"):
                    pass

    run(scenario())
