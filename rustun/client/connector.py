"""From a server's name to a handshake's outcome: resolve, connect, shake hands; one try at a time.

Rules of this module
  1. Every try begins with the name: an address that changed is found. Addresses are tried in the resolver's order.
  2. A try ends in exactly one call of `on_outcome`, unless it is cancelled; then in none.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

from rustun.backends.base import Endpoint, Network, Reactor, Stream, Timer
from rustun.client.handshake import ClientHandshake, Outcome
from rustun.errors import ProtocolError

CONNECT_SECONDS: Final = 10.0  # for one address

BeginHandshake = Callable[[Stream, Callable[[Outcome], None]], ClientHandshake]


class Connector:
    """Makes one connected, proven stream out of a name.

    Args:
        reactor, network: the outside world.
        on_resolved: called with the addresses that will be tried, before the first one is.
        begin_handshake: starts the tier's handshake on a connected stream; may raise ProtocolError.
        on_connected: called with the server's address when a handshake begins.
        on_outcome: called with what came of a try; the stream is None, or closed, when the outcome is a failure.
    """

    def __init__(
        self,
        reactor: Reactor,
        network: Network,
        on_resolved: Callable[[list[Endpoint]], None],
        begin_handshake: BeginHandshake,
        on_connected: Callable[[Endpoint], None],
        on_outcome: Callable[[Stream | None, Outcome], None],
    ) -> None:
        self._reactor = reactor
        self._network = network
        self._tell_resolved = on_resolved
        self._begin_handshake = begin_handshake
        self._on_connected = on_connected
        self._on_outcome = on_outcome
        self._try = 0  # a number for each try: a thread may come back with the names of one that was cancelled
        self._addresses: list[Endpoint] = []
        self._stream: Stream | None = None
        self._timer: Timer | None = None
        self._handshake: ClientHandshake | None = None

    def begin(self, server: Endpoint) -> None:
        """Begin a try; one that is under way is cancelled."""
        self.cancel()
        number = self._try
        self._reactor.run_in_thread(
            lambda: self._network.resolve(server), lambda found: self._on_resolved(number, server, found)
        )

    def cancel(self) -> None:
        """Give the present try up without a word."""
        self._try += 1
        self._addresses = []
        self._drop_stream()
        if self._handshake is not None:
            self._handshake.cancel()
            self._handshake = None

    def _on_resolved(self, number: int, server: Endpoint, found: list[Endpoint] | Exception) -> None:
        if number != self._try:
            return
        if isinstance(found, Exception):
            self._on_outcome(None, f"cannot resolve {server.host}: {_words(found)}")
            return
        self._tell_resolved(found)
        self._addresses = found
        self._connect_next(f"{server.host} has no address")

    def _connect_next(self, error: str) -> None:
        while self._addresses:
            address = self._addresses.pop(0)
            try:
                stream = self._network.connect(address)
            except OSError as problem:
                error = f"cannot connect to {address}: {problem.strerror or problem}"
                continue
            self._stream = stream
            too_late = partial(self._on_connect_failed, f"no answer from {address} within {CONNECT_SECONDS:.0f} s")
            self._timer = self._reactor.call_at(self._reactor.now() + CONNECT_SECONDS, too_late)
            self._reactor.watch(stream, None, self._on_writable)
            return
        self._on_outcome(None, error)

    def _on_connect_failed(self, error: str) -> None:
        self._drop_stream()
        self._connect_next(error)

    def _on_writable(self) -> None:
        stream = self._stream
        if stream is None:
            return
        problem = stream.connect_error()
        if problem is not None:
            self._on_connect_failed(f"cannot connect to {stream.remote}: {problem.strerror or problem}")
            return
        self._release_stream()
        self._on_connected(stream.remote)
        try:
            self._handshake = self._begin_handshake(stream, partial(self._on_handshake, stream))
        except ProtocolError as error:  # what we were configured to say does not fit the wire
            stream.close()
            self._on_outcome(None, str(error))

    def _on_handshake(self, stream: Stream, outcome: Outcome) -> None:
        self._handshake = None
        if isinstance(outcome, str):
            outcome = f"{stream.remote}: {outcome}"
        self._on_outcome(stream, outcome)

    def _release_stream(self) -> Stream | None:
        """Watch the connecting stream no more and forget it."""
        stream, self._stream = self._stream, None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if stream is not None:
            self._reactor.unwatch(stream)
        return stream

    def _drop_stream(self) -> None:
        stream = self._release_stream()
        if stream is not None:
            stream.close()


def _words(error: Exception) -> str:
    """Return what an error of the resolver says, without its number."""
    return error.strerror if isinstance(error, OSError) and error.strerror else str(error)
