"""A tunnel's process that says what a test wants, and the web process's applications before it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, TypeVar

from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from rustun.config.keys import Secret
from rustun.config.web import WebConfig
from rustun.web.app import dashboard_app
from rustun.web.source import Source

T = TypeVar("T")
Client = TestClient[web.Request, web.Application]
READ: Final = "read-token-of-32-characters-0000"
MANAGE: Final = "management-token-of-32-characters"
CONFIG: Final = WebConfig(token=Secret(READ), management_token=Secret(MANAGE), hosts=("vpn.example.com",))
WAIT_SECONDS: Final = 20.0  # never reached unless something hangs


def session(number: int = 1, **changes: object) -> dict[str, object]:
    """Return a session of a status document."""
    return {
        "cluster": "beijing", "identity": f"m{number}", "name": "", "address": f"10.0.1.{number}", "address6": "",
        "remote": "192.0.2.1:4711", "state": "online", "tier": "key", "cipher": "aes256", "public_key": "",
        "server_public_key": "", "age_s": 5.0, "proof_age_s": 1.5, "rtt_ms": 0.8, "received_bytes": 1000 * number,
        "received_packets": number, "sent_bytes": 2000 * number, "sent_packets": 2 * number,
        "drops": {"queue-full": 3}, "queued_bytes": 7, "queued_packets": 1, "offloads": [], "mtu": 1500, **changes,
    }  # fmt: skip


def server_document(sessions: int = 1) -> dict[str, Any]:
    """Return a server's status document."""
    offline = {"cluster": "beijing", "identity": "gone", "address": "10.0.1.99", "state": "offline",
               "last_seen_age_s": None, "last_error": "", "last_error_age_s": None}  # fmt: skip
    return {
        "schema": 1, "role": "server", "version": "0.1.0", "pid": 1, "uptime_s": 12.5,
        "listen": ["0.0.0.0:8080"], "members": sessions + 1, "online": sessions, "pending": 2, "alarms": ["look"],
        "routes": {"file": "routes.json", "loaded_at": "2026-06-01T00:00:00+00:00", "members": sessions + 1,
                   "problems": [], "not_in_force": [], "keeping_keys": []},
        "drops": {"no-route": 4}, "closes": {"goodbye": 1}, "queued_bytes": 7,
        "sessions": [session(number) for number in range(1, sessions + 1)], "offline": [offline],
    }  # fmt: skip


def client_document(**changes: object) -> dict[str, Any]:
    """Return a client's status document."""
    server = {"state": "online", "server": "192.0.2.9:8080", "remote": "192.0.2.9:8080", "tier": "key",
              "cipher": "aes256", "public_key": "", "server_public_key": "", "age_s": 5.0, "proof_age_s": 2.0,
              "rtt_ms": 0.5, "last_error": "", "next_try_s": None}  # fmt: skip
    return {
        "schema": 1, "role": "client", "version": "0.1.0", "pid": 1, "uptime_s": 12.5, "identity": "bj-dev", **server,
        "servers": [server], "tun": {"name": "rustun0", "mtu": 1500, "offloads": []}, "name": "Beijing development",
        "ciders": ["192.168.1.0/24"], "addresses": ["10.0.1.2/24", "fd00:1::2/64"], "routes": ["10.0.1.0/24"],
        "refused_routes": {}, "warnings": [],
        "peers": [{"identity": "bj-gw", "name": "Gateway", "address": "10.0.1.1", "address6": "fd00:1::1",
                   "ciders": ["192.168.2.0/24"], "online": True}],
        "received_bytes": 3 << 20, "received_packets": 30, "sent_bytes": 1 << 20, "sent_packets": 10,
        "drops": {"bad-source": 2, "no-session": 1}, "reconnects": 0, **changes,
    }  # fmt: skip


class Tunnel:
    """Answers on a control socket.

    Attributes:
        document: what it answers; called anew for each question.
        questions: as they came.
        heard: set once a question has come.
        answering: cleared, it hears and says nothing.
    """

    def __init__(self, path: Path, document: Callable[[], Mapping[str, object] | bytes]) -> None:
        self.path = path
        self.document = document
        self.questions: list[dict[str, object]] = []
        self.heard = asyncio.Event()
        self.answering = asyncio.Event()
        self.answering.set()

    async def hear(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one connection."""
        try:
            self.questions.append(json.loads(await reader.readline()))
            self.heard.set()
            await self.answering.wait()
            found = self.document()
            writer.write(found if isinstance(found, bytes) else json.dumps(found).encode() + b"\n")
            await writer.drain()
        finally:
            writer.close()


@asynccontextmanager
async def tunnel(
    folder: Path, document: Callable[[], Mapping[str, object] | bytes] = server_document
) -> AsyncIterator[Tunnel]:
    """Run a Tunnel in a folder."""
    made = Tunnel(folder / "s.sock", document)
    server = await asyncio.start_unix_server(made.hear, made.path)
    try:
        yield made
    finally:
        made.answering.set()
        server.close()


class Heard:
    """A log that a test reads."""

    def __init__(self) -> None:
        self.events: list[tuple[str, str, dict[str, object]]] = []

    def event(self, level: str, name: str, message: str, /, **fields: object) -> None:
        """Note an event."""
        self.events.append((name, message, fields))


@asynccontextmanager
async def asking(app: web.Application) -> AsyncIterator[Client]:
    """Serve an application at 127.0.0.1 and ask it."""
    async with TestClient(TestServer(app)) as client:
        yield client


@asynccontextmanager
async def dashboard(
    folder: Path, config: WebConfig = CONFIG, document: Callable[[], Mapping[str, object]] = server_document
) -> AsyncIterator[Client]:
    """Serve the dashboard of a Tunnel and ask it."""
    async with tunnel(folder, document) as told, asking(dashboard_app(config, Source(told.path), Heard())) as client:
        yield client


def run(scenario: Coroutine[Any, Any, T]) -> T:
    """Run a scenario on a loop of its own, within WAIT_SECONDS."""
    return asyncio.run(asyncio.wait_for(scenario, WAIT_SECONDS))


def bearer(token: str) -> dict[str, str]:
    """Return the header that carries a token."""
    return {"Authorization": f"Bearer {token}"}
