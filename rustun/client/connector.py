"""From a server's name to a handshake's outcome: resolve, connect, shake hands; one try at a time.

Rules of this module
  1. Every try begins with the name: an address that changed is found. Where the resolver fails, or takes its time, the
     addresses that it gave last are tried, round after round while it is silent; what it still says later joins them.
  2. Addresses race (RFC 8305): the resolver's order, its families in turn, the next one STEP_SECONDS after the one
     before or as soon as that fails. The first that connects wins, and the others are closed.
  3. A try ends in exactly one call of `on_outcome`, unless it is cancelled; then in none.
  4. A network that changes under a race gives every address another chance, beside the connections that are under way:
     a first packet that was lost is repeated a second later, too late for who waits. Those of the last STEP_SECONDS get
     that long first.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import zip_longest
from typing import Final

from rustun.backends.base import Endpoint, Network, Reactor, Stream, Timer
from rustun.client.handshake import ClientHandshake, Outcome
from rustun.client.narrow_paths import NarrowPaths
from rustun.errors import ProtocolError

CONNECT_SECONDS: Final = 10.0  # for one address
STEP_SECONDS: Final = 0.25  # between two addresses, and before known ones stand in for the resolver; RFC 8305, 8
AGAIN_SECONDS: Final = 1.0  # between two rounds of known addresses: a resolver that hangs does so for half a minute
MAX_CONNECTING: Final = 16  # a network that changes all the time adds no more; the oldest gives way

BeginHandshake = Callable[[Stream, Callable[[Outcome], None]], ClientHandshake]


class Connector:
    """Makes one connected, proven stream out of a name.

    Args:
        reactor, network: the outside world.
        on_resolved: called with the addresses that will be tried, before the first one is, and when others join them.
        begin_handshake: starts the tier's handshake on a connected stream; may raise ProtocolError.
        on_connected: called with the server's address when a handshake is about to begin; may cancel the try.
        on_outcome: called with what came of a try; the stream is None, or closed, when the outcome is a failure.
    Attributes:
        narrow: which addresses get small segments.
        on_unresolved: called with what the resolver said, when addresses known from earlier are tried instead.
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
        self.narrow = NarrowPaths()
        self.on_unresolved: Callable[[str], None] = _nobody_asks
        self._reactor = reactor
        self._network = network
        self._tell_resolved = on_resolved
        self._begin_handshake = begin_handshake
        self._on_connected = on_connected
        self._on_outcome = on_outcome
        self._known: dict[Endpoint, list[Endpoint]] = {}  # by server: what the resolver gave last
        self._question = 0  # a number for each: a thread may come back with the names of a try that was cancelled
        self._server: Endpoint | None = None  # that is tried
        self._resolving = False
        self._found: list[Endpoint] = []  # in this try
        self._waiting: list[Endpoint] = []  # of those, not yet tried
        self._error = ""
        self._connecting: dict[Stream, Timer] = {}
        self._patience: Timer | None = None  # with the resolver
        self._step: Timer | None = None
        self._began_at = 0.0  # the present race
        self._again: Timer | None = None  # the next one
        self._handshake: ClientHandshake | None = None

    def begin(self, server: Endpoint) -> None:
        """Begin a try; one that is under way is cancelled."""
        self.cancel()
        self._server = server
        self._error = f"{server.host} has no address"
        self._resolve(server)

    def cancel(self) -> None:
        """Give the present try up without a word."""
        self._server = None
        self._question += 1
        self._end_race()
        if self._handshake is not None:
            self._handshake.cancel()
            self._handshake = None

    def network_changed(self) -> None:
        """Give every address another chance, rule 4; harmless when nothing is tried."""
        if self._server is not None and self._handshake is None:
            _stop(self._again)
            when = self._began_at + STEP_SECONDS
            if self._reactor.now() < when:
                self._again = self._reactor.call_at(when, self.network_changed)
            else:
                self._resolve(self._server)

    # --- the name ----------------------------------------------------------------------------------------------------

    def _resolve(self, server: Endpoint) -> None:
        self._question += 1
        question = self._question
        self._resolving = True
        self._began_at = self._reactor.now()
        self._found, self._waiting = [], []
        self._reactor.run_in_thread(
            lambda: self._network.resolve(server), lambda found: self._on_answer(question, server, found)
        )
        if server in self._known:
            _stop(self._patience)
            self._patience = self._in_a_step(partial(self._use_known, server, "no answer yet"))

    def _on_answer(self, question: int, server: Endpoint, answer: list[Endpoint] | Exception) -> None:
        if question != self._question:
            return
        if isinstance(answer, list):
            self._known[server] = _families_in_turn(answer)
        if not self._resolving:  # known ones have won meanwhile
            return
        self._resolving = False
        _stop(self._patience)
        if isinstance(answer, list):
            self._race(self._known[server])
        elif not self._found:
            self._error = f"cannot resolve {server.host}: {_words(answer)}"
            self._use_known(server, _words(answer))
        else:
            self._connect_next()

    def _use_known(self, server: Endpoint, reason: str) -> None:
        known = self._known.get(server, [])
        if known:
            self.on_unresolved(f"{server.host}: {reason}; trying the addresses known from earlier")
        self._race(known)

    # --- the race ----------------------------------------------------------------------------------------------------

    def _race(self, addresses: list[Endpoint]) -> None:
        """Let those join in that are not there yet."""
        new = [address for address in addresses if address not in self._found]
        self._found += new
        self._waiting += new
        if new:
            self._tell_resolved(list(self._found))
        self._connect_next()

    def _connect_next(self) -> None:
        _stop(self._step)
        while self._waiting:
            address = self._waiting.pop(0)
            try:
                small = self.narrow.segment_bytes(address.host, self._reactor.now())
                stream = self._network.connect(address, small)
            except OSError as problem:
                self._error = f"cannot connect to {address}: {problem.strerror or problem}"
                continue
            self._await(stream)
            if self._waiting:
                self._step = self._in_a_step(self._connect_next)
            return
        if self._connecting:
            return
        if self._resolving:
            self._step = self._reactor.call_at(self._reactor.now() + AGAIN_SECONDS, self._try_known_again)
            return
        self._server = None
        self._on_outcome(None, self._error)

    def _try_known_again(self) -> None:
        self._waiting = list(self._found)
        self._connect_next()

    def _await(self, stream: Stream) -> None:
        if len(self._connecting) >= MAX_CONNECTING:
            self._drop(next(iter(self._connecting)))
        error = f"no answer from {stream.remote} within {CONNECT_SECONDS:.0f} s"
        too_late = partial(self._on_connect_failed, stream, error)
        self._connecting[stream] = self._reactor.call_at(self._reactor.now() + CONNECT_SECONDS, too_late)
        self._reactor.watch(stream, None, partial(self._on_writable, stream))

    def _on_connect_failed(self, stream: Stream, error: str) -> None:
        self._drop(stream)
        self._error = error
        self._connect_next()

    def _on_writable(self, stream: Stream) -> None:
        if stream not in self._connecting:
            return
        problem = stream.connect_error()
        if problem is not None:
            self._on_connect_failed(stream, f"cannot connect to {stream.remote}: {problem.strerror or problem}")
            return
        self._release(stream)
        self._end_race()
        self._on_connected(stream.remote)
        if self._server is None:  # that gave this try up
            stream.close()
            return
        try:
            self._handshake = self._begin_handshake(stream, partial(self._on_handshake, stream))
        except ProtocolError as error:  # what we were configured to say does not fit the wire
            self._server = None
            stream.close()
            self._on_outcome(None, str(error))

    def _on_handshake(self, stream: Stream, outcome: Outcome) -> None:
        self._server = self._handshake = None
        if isinstance(outcome, str):
            outcome = f"{stream.remote}: {outcome}"
        self._on_outcome(stream, outcome)

    def _end_race(self) -> None:
        _stop(self._patience)
        _stop(self._step)
        _stop(self._again)
        self._resolving = False
        self._waiting = []
        for stream in list(self._connecting):
            self._drop(stream)

    def _drop(self, stream: Stream) -> None:
        self._release(stream)
        stream.close()

    def _release(self, stream: Stream) -> None:
        self._connecting.pop(stream).cancel()
        self._reactor.unwatch(stream)

    def _in_a_step(self, call: Callable[[], None]) -> Timer:
        return self._reactor.call_at(self._reactor.now() + STEP_SECONDS, call)


def _stop(timer: Timer | None) -> None:
    if timer is not None:
        timer.cancel()


def _families_in_turn(addresses: list[Endpoint]) -> list[Endpoint]:
    """Return addresses with IPv4 and IPv6 in turn, beginning with the family of the first (RFC 8305, section 4)."""
    six = [address for address in addresses if ":" in address.host]
    four = [address for address in addresses if ":" not in address.host]
    first, other = (six, four) if addresses[:1] == six[:1] else (four, six)
    return [address for pair in zip_longest(first, other) for address in pair if address is not None]


def _words(error: Exception) -> str:
    """Return what an error of the resolver says, without its number."""
    return error.strerror if isinstance(error, OSError) and error.strerror else str(error)


def _nobody_asks(reason: str) -> None:
    pass
