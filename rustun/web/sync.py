"""[conf_agent]: members from a control plane, and reports to it, as the seed's server does both.

Rules of this module
  1. Whatever the control plane answers, or does not, the last good set stays until a better one was judged and written.
     The server sees the new file by itself.
  2. An answer has status 200, ANSWER_SECONDS and MAX_ANSWER_BYTES, and is neither packed nor elsewhere: a redirect
     would take the token along.
  3. What fails is in the log when it begins and when it is over, not each time.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, Protocol

import aiohttp

from rustun.config.conf_agent import ControlPlane
from rustun.errors import ConfigError, HostError, ProtocolError, RustunError
from rustun.logs import EventLog, describe_bug
from rustun.web.changes import Values
from rustun.web.editor import Editor
from rustun.web.management import Proposal
from rustun.web.routes_text import RoutesText
from rustun.web.source import Source
from rustun.web.sync_members import (
    MAX_ANSWER_BYTES,
    connections_told,
    left_behind,
    parse_members,
    replace_members,
)

ANSWER_SECONDS: Final = 30.0  # the seed's
BY: Final = "control plane"


class Exchange(Protocol):
    """How a control plane is asked."""

    async def fetch(self) -> bytes:
        """Return what it answers about members. Raises: HostError."""

    async def report(self, connections: list[dict[str, object]]) -> None:
        """Tell it who is connected. Raises: HostError."""


class HttpExchange:
    """Asks a control plane over HTTP. Args: session: without cookies, `auto_decompress` off."""

    def __init__(self, session: aiohttp.ClientSession, config: ControlPlane) -> None:
        self._session = session
        self._url = config.url
        self._headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
        if config.token is not None:
            self._headers["Authorization"] = f"Bearer {config.token.reveal()}"

    async def fetch(self) -> bytes:
        """Return what it answers about members. Raises: HostError."""
        return await self._ask("GET", "/api/sync/clients", None)

    async def report(self, connections: list[dict[str, object]]) -> None:
        """Tell it who is connected. Raises: HostError."""
        await self._ask("POST", "/api/sync/connections", json.dumps(connections).encode())

    async def _ask(self, method: str, path: str, body: bytes | None) -> bytes:
        headers = self._headers | ({"Content-Type": "application/json"} if body is not None else {})
        try:
            async with (
                asyncio.timeout(ANSWER_SECONDS),
                self._session.request(
                    method, self._url + path, data=body, headers=headers, allow_redirects=False
                ) as answer,
            ):
                return await _read(answer, path)
        except TimeoutError:
            raise HostError(f"the control plane does not answer {path} within {ANSWER_SECONDS:g} s") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            remedy = "look at [conf_agent] control_plane_url, and at the control plane"
            raise HostError(f"the control plane cannot be asked: {type(error).__name__}: {error}", remedy) from error


async def _read(answer: aiohttp.ClientResponse, path: str) -> bytes:
    if answer.status != 200:
        remedy = "look at [conf_agent] api_token" if answer.status in (401, 403) else "see the control plane's log"
        raise HostError(f"the control plane answers {path} with status {answer.status}", remedy)
    if answer.headers.get("Content-Encoding", "identity") != "identity":
        raise HostError(f"the control plane's answer to {path} is packed, which nobody asked for")
    data = bytearray()
    async for chunk in answer.content.iter_any():
        data += chunk
        if len(data) > MAX_ANSWER_BYTES:
            raise HostError(f"the control plane's answer to {path} is over {MAX_ANSWER_BYTES >> 20} MiB long")
    return bytes(data)


class Agent:
    """Keeps the members' file as a control plane says.

    Args:
        exchange: asks it.
        editor: of the members' file.
        source: says who is connected.
        sleep: as asyncio.sleep.
    """

    def __init__(
        self,
        config: ControlPlane,
        exchange: Exchange,
        editor: Editor,
        source: Source,
        log: EventLog,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._config = config
        self._exchange = exchange
        self._editor = editor
        self._source = source
        self._log = log
        self._sleep = sleep
        self._left_behind: Mapping[str, Values] = {}
        self._failing: dict[str, str] = {}  # what fails -> as it was said

    async def run(self) -> None:
        """Poll and report until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._again("members", self.poll, self._config.poll_seconds))
            group.create_task(self._again("report", self.report, self._config.report_seconds))

    async def poll(self) -> None:
        """Take the control plane's members. Raises: RustunError: the file is as it was."""
        data = await self._exchange.fetch()
        try:
            members = await asyncio.to_thread(parse_members, data)
        except ProtocolError as error:
            raise HostError(f"the control plane's answer is no list of members: {error.message}") from None

        def make(before: RoutesText) -> Proposal:
            return replace_members(before, members, allow_empty=self._config.allow_empty, left_behind=self._left_behind)

        proposal = await self._editor.change(make, by=BY)
        self._left_behind = await asyncio.to_thread(left_behind, proposal, self._left_behind)

    async def report(self) -> None:
        """Tell the control plane who is connected; nobody, no report, as the seed has it. Raises: RustunError."""
        snapshot = await self._source.snapshot()
        connections = connections_told(snapshot.document, snapshot.taken_unix)
        if connections:
            await self._exchange.report(connections)

    async def _again(self, what: str, work: Callable[[], Awaitable[None]], seconds: float) -> None:
        while True:
            try:
                await work()
            except ConfigError as error:
                self._say(what, f"the members' file cannot be used: {error.errors[0]}")
            except RustunError as error:
                self._say(what, "; ".join(filter(None, (error.message, error.remedy))))
            except Exception as error:  # noqa: BLE001 - a defect must not end the exchange for good
                self._say(what, f"a defect of rustun, please report it: {describe_bug(error)}")
            else:
                self._say(what, "")
            await self._sleep(seconds)

    def _say(self, what: str, failure: str) -> None:
        before, self._failing[what] = self._failing.get(what, ""), failure
        if failure and failure != before:
            kept = "; the members stay as they were" if what == "members" else ""
            self._log.event("error", "control-plane", failure + kept, exchange=what)
        elif before and not failure:
            self._log.event("info", "control-plane", "the control plane is heard again", exchange=what)


async def run_agent(config: ControlPlane, editor: Editor, source: Source, log: EventLog) -> None:
    """Keep the members' file as a control plane says, until cancelled."""
    async with aiohttp.ClientSession(auto_decompress=False, cookie_jar=aiohttp.DummyCookieJar()) as session:
        await Agent(config, HttpExchange(session, config), editor, source, log).run()
