"""Who gets in at the dashboard, and who does not."""

from __future__ import annotations

import asyncio
import hmac
import time
from dataclasses import replace
from pathlib import Path

import pytest
from aiohttp import web

from rustun.config.keys import Secret
from rustun.web.app import DASHBOARD, METRICS, SEED, metrics_app
from rustun.web.door import Connections
from rustun.web.failures import BURST
from rustun.web.guard import MAX_BODY_BYTES, UNGUESSABLE_CHARACTERS, Guard, Right, Route, guarded
from rustun.web.source import Source
from tests.unit.web.talking import CONFIG, MANAGE, READ, Heard, asking, bearer, dashboard, run, tunnel

OPEN_ROUTES = {"POST /api/login"}  # and static pages, which hold no data


def test_nothing_is_told_without_a_token(tmp_path: Path) -> None:
    """A stranger reads who the members are, or what runs."""

    async def scenario() -> None:
        async with dashboard(tmp_path) as client:
            for route in DASHBOARD:
                if route.right is Right.NONE:
                    continue
                path = route.path.replace("{", "").replace("}", "")
                answer = await client.request(route.method, path)
                assert answer.status == 401, route
                assert "members" not in await answer.text()

    run(scenario())


def test_only_what_lets_one_log_in_is_open() -> None:
    """A route is added to the table and forgets that it shows data."""
    open_api = {f"{route.method} {route.path}" for route in DASHBOARD if route.right is Right.NONE}
    assert {name for name in open_api if "/api/" in name} == OPEN_ROUTES
    assert all(route.right is not Right.NONE for route in METRICS)
    assert {route.path for route in SEED} == {"/health", "/status"}


@pytest.mark.parametrize(("token", "right"), [(READ, "read"), (MANAGE, "manage")])
def test_a_bearer_token_opens(tmp_path: Path, token: str, right: str) -> None:
    """A scraper or a script with the right token is refused, or gets another right than its token has."""

    async def scenario() -> None:
        async with dashboard(tmp_path) as client:
            answer = await client.get("/api/login", headers=bearer(token))
            assert (await answer.json())["data"]["right"] == right

    run(scenario())


@pytest.mark.parametrize(
    "header",
    ["Bearer wrong", "Bearer ", "Basic cmVhZDp4", READ, f"Bearer {READ}x", f"Bearer {READ[:-1]}", "Bearer ä"],
)
def test_a_wrong_token_does_not(tmp_path: Path, header: str) -> None:
    """Half a token, another scheme or bytes that are no text get in, or end in an internal error."""

    async def scenario() -> None:
        async with dashboard(tmp_path) as client:
            answer = await client.get("/api/snapshot", headers={"Authorization": header})
            assert answer.status == 401
            assert READ not in await answer.text()

    run(scenario())


def test_a_reader_may_not_change(tmp_path: Path) -> None:
    """Who was given the read token edits members."""

    async def change(_: web.Request) -> web.Response:
        raise AssertionError("a route that takes the management token was reached")

    async def scenario() -> None:
        routes = [Route("POST", "/x", change, Right.MANAGE)]
        app = guarded(routes, Guard(CONFIG, Heard()), Heard(), Connections(time.monotonic))
        async with asking(app) as client:
            answer = await client.post("/x", headers=bearer(READ))
            assert answer.status == 403
            assert "management token" in (await answer.json())["message"]

    run(scenario())


def test_every_token_is_compared_every_time(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """How long an answer takes tells whether a guess was close, or which of the two tokens it is."""
    compared: list[tuple[int, int]] = []

    compare_digest = hmac.compare_digest

    def compare(one: bytes, other: bytes) -> bool:
        compared.append((len(one), len(other)))
        return compare_digest(one, other)

    monkeypatch.setattr("rustun.web.guard.hmac.compare_digest", compare)

    async def scenario() -> None:
        async with dashboard(tmp_path) as client:
            for token in (READ, MANAGE, "x", READ[:-1]):
                compared.clear()
                await client.get("/api/login", headers=bearer(token))
                assert compared == [(32, 32), (32, 32)]

    run(scenario())


def test_guessing_is_slow(tmp_path: Path) -> None:
    """Somebody tries a million tokens in an hour, and the log has a line for each."""

    async def scenario() -> None:
        async with dashboard(tmp_path) as client:
            seen = [(await client.get("/api/login", headers=bearer(f"guess-{n}"))).status for n in range(BURST + 5)]
            assert seen == [401] * BURST + [429] * 5
            answer = await client.get("/api/login", headers=bearer(READ))
            assert answer.status == 429, "a right token tells a guesser that it was right"
            assert int(answer.headers["Retry-After"]) >= 1

    run(scenario())


def test_a_guesser_locks_nobody_out(tmp_path: Path) -> None:
    """If this fails, a wrong token every few seconds keeps all others behind the same proxy, or on this host, out."""
    long = "a" * UNGUESSABLE_CHARACTERS
    config = replace(CONFIG, token=Secret(long))

    async def scenario() -> None:
        async with dashboard(tmp_path, config=config) as client:
            for number in range(BURST):
                await client.get("/api/login", headers=bearer(f"guess-{number}"))
            tokens = ("guess", f"{long}a", long, MANAGE)
            seen = [(await client.get("/api/login", headers=bearer(token))).status for token in tokens]
            assert seen == [429, 429, 200, 429]
            assert (await client.post("/api/login", json={"token": long})).status == 200

    run(scenario())


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.0.0.1:99", "localhost", "LOCALHOST:1", "vpn.example.com", "vpn.example.com."]
)
def test_own_names_are_answered(tmp_path: Path, host: str) -> None:
    """The dashboard does not answer to its own name, behind a proxy or through a forwarded port."""

    async def scenario() -> None:
        async with dashboard(tmp_path) as client:
            answer = await client.get("/api/snapshot", headers={**bearer(READ), "Host": host})
            assert answer.status == 200

    run(scenario())


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:8081", "127.0.0.1.evil.example", "192.0.2.1", "", "[",
     "vpn.example.com@evil.example", "localhost.evil.example", "[::1]", "localhost, evil.example"],
)  # fmt: skip
def test_foreign_names_are_not(tmp_path: Path, host: str) -> None:
    """A page that a browser loaded under a name of its own (DNS rebinding) reads the dashboard."""

    async def scenario() -> None:
        async with dashboard(tmp_path) as client:
            answer = await client.get("/api/snapshot", headers={**bearer(READ), "Host": host})
            assert answer.status in (400, 421)
            assert "sessions" not in await answer.text()

    run(scenario())


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("http://evil.example", 403), ("null", 403), ("http://localhost:3000", 403), ("https://vpn.example.com", 200),
        ("https://vpn.example.com.evil.example", 403), ("file://", 403), ("http://[", 403), ("", 403),
    ],
)  # fmt: skip
def test_a_foreign_origin_is_refused(tmp_path: Path, origin: str, status: int) -> None:
    """Another site's script asks the dashboard with the operator's cookie, or tries tokens from his browser."""

    async def scenario() -> None:
        async with dashboard(tmp_path) as client:
            answer = await client.post("/api/login", json={"token": READ}, headers={"Origin": origin})
            assert answer.status == status
            assert "Access-Control-Allow-Origin" not in answer.headers

    run(scenario())


def test_the_own_origin_is_taken(tmp_path: Path) -> None:
    """The dashboard's own page cannot log in."""

    async def scenario() -> None:
        async with dashboard(tmp_path) as client:
            own = f"http://127.0.0.1:{client.port}"
            answer = await client.post("/api/login", json={"token": READ}, headers={"Origin": own})
            assert answer.status == 200

    run(scenario())


@pytest.mark.parametrize("path", ["/", "/api/snapshot", "/nowhere", "/api/login"])
def test_every_answer_forbids_what_pages_must_not_do(tmp_path: Path, path: str) -> None:
    """An error page, or one that is added later, may be framed, sniffed, or run a script that somebody put in."""

    async def scenario() -> None:
        async with dashboard(tmp_path) as client:
            answer = await client.get(path)
            policy = answer.headers["Content-Security-Policy"]
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy
            assert "frame-ancestors 'none'" in policy
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert "aiohttp" not in answer.headers["Server"]

    run(scenario())


@pytest.mark.parametrize(
    "path",
    ["/../../etc/passwd", "/static/../../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/static/..%2f..%2fetc/passwd",
     "//etc/passwd", "/%00", "/static//etc/passwd", "/static/%c0%ae%c0%ae/x"],
)  # fmt: skip
def test_nothing_is_found_by_climbing(tmp_path: Path, path: str) -> None:
    """A path with dots, coded or not, reads a file of the host."""

    async def scenario() -> None:
        async with dashboard(tmp_path) as client:
            reader, writer = await asyncio.open_connection("127.0.0.1", client.port)
            words = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {READ}\r\n"
            words += "Connection: close\r\n\r\n"
            writer.write(words.encode())
            answer = await reader.read()
            writer.close()
            assert answer.split()[1] in (b"400", b"403", b"404")
            assert b"root:" not in answer

    run(scenario())


@pytest.mark.parametrize(
    ("method", "path", "status", "message", "remedy"),
    [
        ("GET", "/api/clinets", 404, 'the API has no path "/api/clinets"', "GET /api/openapi.json describes all"),
        ("DELETE", "/api/clients/x", 404, 'the API has no path "/api/clients/x"', "GET /api/openapi.json describes"),
        ("GET", "/api/\x1b[2J\u202e", 404, r'the API has no path "/api/\x1b[2J\u202e"', "GET /api/openapi.json"),
        ("GET", "/metrix", 404, 'nothing is served at "/metrix"', "begin at /"),
        ("PATCH", "/api/clients", 405, 'PATCH is not taken at "/api/clients"', "it takes GET or POST"),
    ],
)
def test_what_is_not_served_is_told(
    tmp_path: Path, method: str, path: str, status: int, message: str, remedy: str
) -> None:
    """Who mistypes a path of the API gets a number, and not what to do about it."""

    async def scenario() -> None:
        async with dashboard(tmp_path) as client:
            answer = await client.request(method, path)
            found = await answer.json()
            assert (answer.status, found["code"], found["message"]) == (status, status, message)
            assert found["error"].startswith(remedy)

    run(scenario())


def test_a_giant_body_is_refused(tmp_path: Path) -> None:
    """A body of a gigabyte is kept in memory."""

    async def scenario() -> None:
        async with dashboard(tmp_path) as client:
            headers = {"Content-Type": "application/json"}
            answer = await client.post("/api/login", data=b'"' + b"a" * MAX_BODY_BYTES + b'"', headers=headers)
            assert (answer.status, (await answer.json())["message"]) == (413, "the body is over 65,536 bytes long")
            assert (await client.get("/api/login", headers=bearer(READ))).status == 200

    run(scenario())


def test_a_defect_is_told_to_the_log_alone(tmp_path: Path) -> None:
    """An exception shows its text, which may hold what somebody sent, or ends the process."""
    log = Heard()

    async def fail(_: web.Request) -> web.Response:
        raise ZeroDivisionError("secret text")

    async def scenario() -> None:
        app = guarded([Route("GET", "/x", fail)], Guard(CONFIG, log), log, Connections(time.monotonic))
        async with asking(app) as client:
            answer = await client.get("/x", headers=bearer(READ))
            assert answer.status == 500
            assert "secret" not in await answer.text()

    run(scenario())
    assert [reason for reason, _, _ in log.events] == ["internal-error"]
    assert "secret" not in str(log.events)


def test_figures_of_this_host_need_no_token_where_none_is_set(tmp_path: Path) -> None:
    """Prometheus on the same host cannot scrape without a token, or with one set everybody can."""

    async def scenario() -> None:
        async with tunnel(tmp_path) as told:
            for token, status in ((None, 200), (Secret(READ), 401)):
                app = metrics_app(replace(CONFIG, token=token, management_token=None), Source(told.path), Heard())
                async with asking(app) as client:
                    assert (await client.get("/metrics")).status == status
                    answer = await client.get("/api/snapshot")
                    assert (answer.status, (await answer.json())["error"]) == (404, "begin at /metrics")

    run(scenario())
