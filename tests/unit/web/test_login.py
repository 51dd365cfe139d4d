"""Logging in, staying in, and getting out."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from aiohttp import web

from rustun.web import guard
from rustun.web.door import Connections
from rustun.web.failures import BURST
from rustun.web.guard import COOKIE, CSRF_HEADER, Guard, Right, Route, guarded, login_of
from tests.unit.web.talking import CONFIG, MANAGE, READ, Client, Heard, asking, bearer, dashboard, run


async def log_in(client: Client, token: str) -> dict[str, object]:
    """Log in and return the login as the page sees it."""
    answer = await client.post("/api/login", json={"token": token})
    assert answer.status == 200, await answer.text()
    told: dict[str, object] = (await answer.json())["data"]
    return told


def test_who_is_logged_in_does_not_notice_guessing(tmp_path: Path) -> None:
    """Somebody else at the same address locks the operator out of an open dashboard."""

    async def scenario() -> None:
        async with dashboard(tmp_path) as client:
            await log_in(client, READ)
            for number in range(BURST + 1):
                await client.get("/api/login", headers=bearer(f"guess-{number}"))
            assert (await client.get("/api/snapshot")).status == 200

    run(scenario())


def test_a_cookie_is_out_of_reach_for_scripts_and_other_sites(tmp_path: Path) -> None:
    """A script in the page, or a link from another site, uses the operator's login."""

    async def scenario() -> None:
        async with dashboard(tmp_path) as client:
            answer = await client.post("/api/login", json={"token": READ})
            cookie = answer.headers["Set-Cookie"]
            assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(cookie.split("; "))
            assert READ not in cookie
            assert "Secure" not in cookie
            https = {"Origin": "https://vpn.example.com", "Host": "vpn.example.com"}
            answer = await client.post("/api/login", json={"token": READ}, headers=https)
            assert "Secure" in answer.headers["Set-Cookie"]

    run(scenario())


def test_a_login_expires(tmp_path: Path) -> None:
    """A cookie that was left on a borrowed machine works for ever."""
    now = [100.0]

    async def scenario() -> None:
        judge = Guard(CONFIG, Heard(), now=lambda: now[0])

        async def show(request: web.Request) -> web.Response:
            return web.Response(text=login_of(request).right.name)

        async def enter(request: web.Request) -> web.Response:
            answer = web.Response()
            answer.set_cookie(COOKIE, judge.log_in(request, READ)[1])
            return answer

        routes = [Route("GET", "/x", show), Route("POST", "/in", enter, Right.NONE)]
        async with asking(guarded(routes, judge, Heard(), Connections(time.monotonic))) as client:
            await client.post("/in")
            assert await (await client.get("/x")).text() == "READ"
            now[0] += guard.LOGIN_SECONDS
            assert (await client.get("/x")).status == 401

    run(scenario())


def test_a_login_ends_when_it_is_ended(tmp_path: Path) -> None:
    """Somebody signs out, and a copy of the cookie still works."""

    async def scenario() -> None:
        async with dashboard(tmp_path) as client:
            csrf = str((await log_in(client, MANAGE))["csrf"])
            cookies = {morsel.key: morsel.value for morsel in client.session.cookie_jar}
            assert (await client.delete("/api/login", headers={CSRF_HEADER: csrf})).status == 200
            answer = await client.get("/api/login", headers={"Cookie": f"{COOKIE}={cookies[COOKIE]}"})
            assert answer.status == 401

    run(scenario())


@pytest.mark.parametrize("header", [{}, {CSRF_HEADER: "wrong"}, {CSRF_HEADER: ""}])
def test_a_change_by_cookie_needs_the_csrf_word(tmp_path: Path, header: dict[str, str]) -> None:
    """Another site's page makes the operator's browser change members."""

    async def scenario() -> None:
        async with dashboard(tmp_path) as client:
            await log_in(client, MANAGE)
            assert (await client.delete("/api/login", headers=header)).status == 403
            assert (await client.get("/api/login")).status == 200

    run(scenario())


@pytest.mark.parametrize(
    ("tokens", "left"),
    [((READ, READ, READ, READ), [401, 200, 200, 200]), ((MANAGE, READ, READ, READ), [200, 401, 200, 200])],
    ids=["readers", "a manager among them"],
)
def test_the_oldest_logins_make_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tokens: tuple[str, ...], left: list[int]
) -> None:
    """Somebody with a token logs in for ever, and the process's memory grows; or a reader throws managers out."""
    monkeypatch.setattr(guard, "MAX_LOGINS", 3)

    async def scenario() -> None:
        async with dashboard(tmp_path) as client:
            cookies = []
            for token in tokens:
                answer = await client.post("/api/login", json={"token": token})
                cookies.append(answer.cookies[COOKIE].value)
            client.session.cookie_jar.clear()
            seen = [
                (await client.get("/api/login", headers={"Cookie": f"{COOKIE}={cookie}"})).status for cookie in cookies
            ]
            assert seen == left

    run(scenario())


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"token": 1}', b'{"token": null}', b"[" * 60_000, b"\xff", b'{"token": "\\ud800"}']
)
def test_a_login_that_makes_no_sense_is_refused(tmp_path: Path, body: bytes) -> None:
    """A broken login ends in an internal error, or gets in."""

    async def scenario() -> None:
        async with dashboard(tmp_path) as client:
            answer = await client.post("/api/login", data=body, headers={"Content-Type": "application/json"})
            assert answer.status in (400, 401)
            assert set(await answer.json()) == {"code", "message", "error"}

    run(scenario())


def test_a_form_cannot_log_in(tmp_path: Path) -> None:
    """Another site's form, which needs no leave to be sent, logs the operator in as somebody else."""

    async def scenario() -> None:
        async with dashboard(tmp_path) as client:
            assert (await client.post("/api/login", data={"token": READ})).status == 415

    run(scenario())
