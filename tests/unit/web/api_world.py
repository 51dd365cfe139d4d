"""The API as a client sees it: a real HTTP server on loopback, over a members' file and a status that a test wrote."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

from aiohttp import ClientResponse
from aiohttp.test_utils import TestClient, TestServer
from aiohttp.web import Application, Request

from rustun.admin.control import MAX_REQUEST_BYTES
from rustun.config.keys import Secret
from rustun.config.web import WebConfig
from rustun.errors import HostError
from rustun.web.app import dashboard_app
from rustun.web.source import Document, Source

T = TypeVar("T")
READ: Final = "read-token-of-a-test"
MANAGE: Final = "management-token-of-a-test"
Client = TestClient[Request, Application]
ROUTES: Final = """[
  { "cluster": "1", "identity": "gw", "private_ip": "10.0.1.1", "mask": "255.255.255.0",
    "gateway": "10.0.1.254", "ciders": ["192.168.1.0/24"], "note": "ours", "psk_file": "" },
  { "cluster": "1", "identity": "dev/北京", "name": "Zoë", "private_ip": "10.0.1.2", "mask": "255.255.255.0" },
  { "cluster": "shanghai", "identity": "db", "private_ip": "10.0.2.1", "mask": "255.255.255.0", "enabled": false }
]
"""


class ToldSource(Source):
    """A server that answers what a test says."""

    def __init__(self, document: Document) -> None:
        super().__init__(Path("nowhere"))
        self.document = document
        self.told: list[dict[str, object]] = []  # of management
        self.deaf = False

    async def _answer(self, word: str, told: Mapping[str, object]) -> bytes:
        """Return the document, or take what management tells."""
        if word == "status":
            return json.dumps(self.document).encode()
        if self.deaf:
            raise HostError("unknown request")
        if len(json.dumps({"ask": word, **told})) >= MAX_REQUEST_BYTES:
            raise HostError("the tunnel's process gives no whole answer")  # it hangs up
        self.told.append(dict(told))
        return json.dumps({"schema": 1, "noted": True}).encode()


class KeptLog:
    """An EventLog that keeps everything."""

    def __init__(self) -> None:
        self.events: list[tuple[str, str, str, dict[str, object]]] = []

    def event(self, level: str, name: str, message: str, /, **fields: object) -> None:
        """Keep one event."""
        self.events.append((level, name, message, fields))

    def messages(self, name: str) -> list[str]:
        """Return the messages of one event."""
        return [message for _, found, message, _ in self.events if found == name]


def status(routes: Path, **more: object) -> dict[str, Any]:
    """Return the part of a status document that the API looks at."""
    return {"schema": 1, "role": "server", "routes": {"file": str(routes)}, "sessions": [], **more}


def application(source: Source, log: KeptLog) -> Application:
    """Return the dashboard with its API, for the tokens READ and MANAGE."""
    return dashboard_app(WebConfig(token=Secret(READ), management_token=Secret(MANAGE)), source, log)


def served(
    routes: Path, work: Callable[[Client], Awaitable[T]], source: ToldSource | None = None, log: KeptLog | None = None
) -> T:
    """Serve the API over a members' file, and return what `work` returns, which is handed a client of it."""

    async def run() -> T:
        app = application(source or ToldSource(status(routes)), log or KeptLog())
        async with TestClient(TestServer(app)) as client:
            return await work(client)

    return asyncio.run(run())


async def ask(
    client: Client, method: str, path: str, body: object = None, *, token: str = MANAGE, **headers: str
) -> tuple[ClientResponse, Any]:
    """Return an answer and its JSON. Args: headers: by name, with _ for -."""
    given: Mapping[str, str] = {name.replace("_", "-"): value for name, value in headers.items()}
    options: dict[str, Any] = {"json": body} if body is not None else {}
    answer = await client.request(method, path, headers={"Authorization": f"Bearer {token}", **given}, **options)
    return answer, await answer.json()
