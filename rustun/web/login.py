"""Logging in and out, and what a page needs to know of its login.

    POST   /api/login     {"token": "..."} -> the login, and its cookie
    GET    /api/login     -> the login: {"right": "read", "csrf": "...", "expires_in_s": 43200.0}
    DELETE /api/login     ends it
    GET    /api/snapshot  -> {"number", "age_s", "status": the status document}

A form of another site cannot send JSON, so nobody is logged in by a foreign page.
"""

from __future__ import annotations

import json
import time
from typing import Final

from aiohttp import web

from rustun.web.envelope import Refusal, success
from rustun.web.guard import COOKIE, LOGIN_SECONDS, Login, Right, Route, login_of
from rustun.web.keys import GUARD, SOURCE


async def log_in(request: web.Request) -> web.StreamResponse:
    """Take a token and give a cookie."""
    if request.content_type != "application/json":
        raise Refusal(415, "a login is sent as JSON", 'write Content-Type: application/json and {"token": "..."}')
    try:
        told = json.loads(await request.read())
    except (ValueError, RecursionError):
        raise Refusal(400, "the login is no JSON", 'send {"token": "..."}') from None
    token = told.get("token") if isinstance(told, dict) else None
    if not isinstance(token, str):
        raise Refusal(400, "the login has no token", 'send {"token": "..."}')
    login, cookie = request.app[GUARD].log_in(request, token.strip())
    answer = success(_shown(request, login))
    is_https = request.headers.get("Origin", "").startswith("https://")  # behind a proxy that does TLS
    answer.set_cookie(
        COOKIE, cookie, max_age=LOGIN_SECONDS, path="/", httponly=True, samesite="Strict", secure=is_https
    )
    return answer


async def show_login(request: web.Request) -> web.StreamResponse:
    """Tell what this login may."""
    return success(_shown(request, login_of(request)))


async def log_out(request: web.Request) -> web.StreamResponse:
    """End this login."""
    request.app[GUARD].log_out(request)
    answer = success(None)
    answer.del_cookie(COOKIE, path="/", httponly=True, samesite="Strict")
    return answer


async def show_snapshot(request: web.Request) -> web.StreamResponse:
    """Give the latest status document."""
    snapshot = await request.app[SOURCE].snapshot()
    age = round(time.monotonic() - snapshot.taken_at, 3)
    return success({"number": snapshot.number, "age_s": age, "status": snapshot.document})


def _shown(request: web.Request, login: Login) -> dict[str, object]:
    left = request.app[GUARD].seconds_left(login)
    return {"right": login.right.name.lower(), "csrf": login.csrf, "expires_in_s": left}


ROUTES: Final = (
    Route("POST", "/api/login", log_in, Right.NONE),
    Route("GET", "/api/login", show_login),
    Route("DELETE", "/api/login", log_out),
    Route("GET", "/api/snapshot", show_snapshot),
)
