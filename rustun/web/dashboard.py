"""The dashboard's pages and what they ask for.

    GET /                        the page; its scripts, words and style below /pages/
    GET /dashboard/live          server-sent events (live.py)
    GET /dashboard/history       ?kind=member|cluster|relay&name=...: the last hour
    GET /dashboard/trace         ?source=...&destination=...: would a packet pass, as `rustun trace` says
    GET /dashboard/reach         ?cluster=...&from=0&to=0: who reaches whom, REACH_MEMBERS at a time

The pages are files of the package, read once at start; a path is a key of a table and never a way into a folder. They
hold no data, so that they need no token: whoever is not logged in sees a form.
"""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from aiohttp import web

from rustun.web import live
from rustun.web.door import CONNECTIONS
from rustun.web.envelope import Refusal, success
from rustun.web.guard import Right, Route, login_of
from rustun.web.happenings import Happenings
from rustun.web.history import STEP_SECONDS, History
from rustun.web.keys import GUARD, SOURCE
from rustun.web.live import Feed
from rustun.web.reach import Reach

FEED: Final = web.AppKey("FEED", Feed)
REACH: Final = web.AppKey("REACH", Reach)
FOLDER: Final = Path(__file__).parent / "pages"
KINDS: Final = ("member", "cluster", "relay")
MAX_NAME_CHARACTERS: Final = 255
TYPES: Final = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".json": "application/json",
    ".svg": "image/svg+xml",
}


@dataclass(frozen=True, slots=True)
class Page:
    """A file of the package, as it is sent; `packed` by gzip."""

    body: bytes
    packed: bytes
    content_type: str
    etag: str


def pages_below(folder: Path = FOLDER) -> Mapping[str, Page]:
    """Return all files below a folder, by their path in it."""
    pages = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix in TYPES:
            body = path.read_bytes()
            etag = hashlib.sha256(body).hexdigest()[:16]
            packed = gzip.compress(body, mtime=0)
            pages[path.relative_to(folder).as_posix()] = Page(body, packed, TYPES[path.suffix], etag)
    return pages


PAGES: Final = pages_below()


async def show_page(request: web.Request) -> web.StreamResponse:
    """Send a file of the package; a browser that has it already is told so."""
    page = PAGES.get(request.match_info.get("name", "index.html"))
    if page is None:
        raise Refusal(404, "there is no such page", "begin at /")
    headers = {"ETag": f'W/"{page.etag}"', "Cache-Control": "no-cache", "Vary": "Accept-Encoding"}
    if any(tag.value == page.etag for tag in request.if_none_match or ()):
        return web.Response(status=304, headers=headers)
    body = page.body
    if "gzip" in request.headers.get("Accept-Encoding", ""):
        body, headers["Content-Encoding"] = page.packed, "gzip"
    return web.Response(body=body, content_type=page.content_type, charset="utf-8", headers=headers)


async def show_live(request: web.Request) -> web.StreamResponse:
    """Tell what happens, until the login ends."""
    guard, login = request.app[GUARD], login_of(request)
    request.app[CONNECTIONS].streams(request.transport)
    return await live.stream(request, request.app[FEED], lambda: guard.goes_on(login))


async def show_history(request: web.Request) -> web.StreamResponse:
    """Give the last hour of one member, one cluster, or of all."""
    kind, name = request.query.get("kind", ""), request.query.get("name", "")
    if kind not in KINDS:
        raise Refusal(400, 'the query has no "kind"', f"write kind={' or '.join(KINDS)}")
    history = request.app[FEED].history
    series = history.series((kind, "" if kind == "relay" else name), time.monotonic())
    return success({"step_s": STEP_SECONDS, "kept_bytes": history.kept_bytes, **series})


async def show_trace(request: web.Request) -> web.StreamResponse:
    """Tell what would become of a packet."""
    source, destination = (_name(request, key) for key in ("source", "destination"))
    return success(await request.app[SOURCE].ask("trace", source=source, destination=destination))


async def show_reach(request: web.Request) -> web.StreamResponse:
    """Tell who reaches whom in a part of a cluster."""
    cluster, moment = _name(request, "cluster"), request.app[FEED].moment
    rows = moment.members.values() if moment is not None else ()
    members = sorted((str(row["identity"]), str(row["state"])) for row in rows if row["cluster"] == cluster)
    if not members:
        raise Refusal(404, "there is no such cluster", "load the page again")
    first, second = (_number(request, key) for key in ("from", "to"))
    return success(await request.app[REACH].part(members, first, second))


def _name(request: web.Request, key: str) -> str:
    value = request.query.get(key, "")
    if not 0 < len(value) <= MAX_NAME_CHARACTERS:
        raise Refusal(400, f'the query needs "{key}", of at most {MAX_NAME_CHARACTERS} characters')
    return value


def _number(request: web.Request, key: str) -> int:
    value = request.query.get(key, "0")
    if not (value.isascii() and value.isdigit() and len(value) <= 6):
        raise Refusal(400, f'"{key}" in the query is no number', f"write {key}=0")
    return int(value)


async def keep_live(app: web.Application) -> AsyncIterator[None]:
    """Watch the tunnel's process as long as the application runs."""
    source = app[SOURCE]
    happenings = Happenings(source)
    feed = app[FEED] = Feed(source, History(), happenings)
    app[REACH] = Reach(source)
    tasks = [asyncio.create_task(feed.run()), asyncio.create_task(happenings.run())]
    yield
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


ROUTES: Final = (
    Route("GET", "/", show_page, Right.NONE),
    Route("GET", "/pages/{name:.+}", show_page, Right.NONE),
    Route("GET", "/dashboard/live", show_live),
    Route("GET", "/dashboard/history", show_history),
    Route("GET", "/dashboard/trace", show_trace),
    Route("GET", "/dashboard/reach", show_reach),
)
