"""Let connections in: so many at once, and none that holds its place without asking.

Rules of this module
  1. At most MAX_CONNECTIONS. When more come, the one goes that has been without a request longest; a stream that
     somebody reads goes last.
  2. A connection brings its first request within FIRST_SECONDS, header and all, and the next one within NEXT_SECONDS of
     it, by which time the answer has to be read: a reader that takes a byte a second is not waited for. What streams
     (`streams`) is exempt; it drops what its reader does not take.
  3. What is no HTTP, or more of it than a request may have, is answered and closed by aiohttp, without a line of log.
  4. A listener that cannot accept (no descriptor left) tries again a moment later.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from aiohttp import web

from rustun.backends.base import Endpoint
from rustun.errors import HostError, RightsError

MAX_CONNECTIONS: Final = 256
FIRST_SECONDS: Final = 10.0
NEXT_SECONDS: Final = 60.0
SWEEP_SECONDS: Final = 1.0
ACCEPT_PAUSE_SECONDS: Final = 1.0
LINGER_SECONDS: Final = 2.0  # for the rest of a body that nobody wants, so that its sender reads why
STOP_SECONDS: Final = 0.2
_QUIET: Final = logging.getLogger("rustun.web.quiet")  # aiohttp's, which writes a traceback for each broken request
_QUIET.addHandler(logging.NullHandler())
_QUIET.propagate = False


@dataclass(slots=True)
class Connection:
    """One connection; `ends_at` None while it streams, seconds of the loop's clock else."""

    transport: asyncio.BaseTransport
    asked_at: float
    ends_at: float | None


class Connections:
    """All connections of the process, whatever door they came through. Args: now: the loop's clock."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._open: dict[asyncio.BaseTransport | None, Connection] = {}

    def __len__(self) -> int:
        return len(self._open)

    def add(self, transport: asyncio.BaseTransport) -> None:
        """Let one in; where there is no place, another goes for it."""
        self.sweep()
        if len(self._open) >= MAX_CONNECTIONS:
            last = min(self._open.values(), key=lambda one: (one.ends_at is None, one.asked_at))
            self._end(last)
        now = self._now()
        self._open[transport] = Connection(transport, now, now + FIRST_SECONDS)

    def note_request(self, transport: asyncio.BaseTransport | None) -> None:
        """A whole request came."""
        connection = self._open.get(transport)
        if connection is not None:
            connection.asked_at = self._now()
            connection.ends_at = connection.asked_at + NEXT_SECONDS

    def streams(self, transport: asyncio.BaseTransport | None) -> None:
        """The answer of this one has no end."""
        connection = self._open.get(transport)
        if connection is not None:
            connection.ends_at = None

    def sweep(self) -> None:
        """Forget what is closed and close what holds its place for nothing."""
        now = self._now()
        for connection in list(self._open.values()):
            if _is_closed(connection.transport):
                del self._open[connection.transport]
            elif connection.ends_at is not None and connection.ends_at <= now:
                self._end(connection)

    def _end(self, connection: Connection) -> None:
        del self._open[connection.transport]
        if isinstance(connection.transport, asyncio.WriteTransport):
            connection.transport.abort()


CONNECTIONS: Final = web.AppKey("CONNECTIONS", Connections)


class Door:
    """Listening sockets and the one application behind them.

    Args:
        endpoints: where to listen; port 0 lets the kernel choose.
        app: not yet started; its connections are those under CONNECTIONS.
    """

    def __init__(self, endpoints: Sequence[Endpoint], app: web.Application) -> None:
        self._endpoints = endpoints
        self._connections = app[CONNECTIONS]
        self._runner = web.AppRunner(
            app,
            access_log=None,
            logger=_QUIET,
            handler_cancellation=True,
            keepalive_timeout=NEXT_SECONDS,
            lingering_time=LINGER_SECONDS,
            auto_decompress=False,
            shutdown_timeout=STOP_SECONDS,
        )
        self._listeners: list[socket.socket] = []
        self._accepting: list[asyncio.Task[None]] = []

    async def open(self) -> list[Endpoint]:
        """Listen from now on, and return where.

        Raises:
            RightsError: this user may not listen on that port.
            HostError: it is taken, or the address is not this host's.
        """
        for endpoint in self._endpoints:
            self._listeners.append(_listen(endpoint))
        await self._runner.setup()
        self._accepting = [asyncio.create_task(self._accept(one)) for one in self._listeners]
        return [Endpoint(*one.getsockname()[:2]) for one in self._listeners]

    async def close(self) -> None:
        """Stop listening and hang up; a second call is harmless."""
        for task in self._accepting:
            task.cancel()
        for listener in self._listeners:
            listener.close()
        await self._runner.cleanup()

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                peer, _ = await loop.sock_accept(listener)
            except ConnectionAbortedError:
                continue
            except OSError:  # EMFILE and the like
                self._connections.sweep()
                await asyncio.sleep(ACCEPT_PAUSE_SECONDS)
                continue
            server = self._runner.server
            if server is None:
                peer.close()
                return
            try:
                transport, _ = await loop.connect_accepted_socket(server, peer)
            except OSError:  # reset meanwhile
                peer.close()
                continue
            self._connections.add(transport)


def _is_closed(transport: asyncio.BaseTransport) -> bool:
    """Return whether the socket is gone; a transport that is closing keeps it until its peer has read all."""
    opened = transport.get_extra_info("socket")
    return opened is None or opened.fileno() < 0


async def sweep_for_ever(connections: Connections) -> None:
    """Close what holds its place for nothing, once in SWEEP_SECONDS."""
    while True:
        await asyncio.sleep(SWEEP_SECONDS)
        connections.sweep()


def _listen(endpoint: Endpoint) -> socket.socket:
    family = socket.AF_INET6 if ":" in endpoint.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        address = socket.getaddrinfo(endpoint.host, endpoint.port, family, socket.SOCK_STREAM)[0][4]  # with its zone
        listener.bind(address)
        listener.listen(MAX_CONNECTIONS)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        words = f"cannot listen on {endpoint}: {error.strerror or error}"
        if isinstance(error, PermissionError):
            raise RightsError(words, "ports below 1024 are root's: choose another") from None
        raise HostError(words, "choose another port, or an address of this host") from None
    return listener
