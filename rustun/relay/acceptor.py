"""Strangers, from the listening socket to the proof of their keys (docs/protocol.md, section 8).

Rules of this module
  1. Accepting never ends: a connection that is already dead is skipped, and a host without descriptors or memory is
     given time, and room by closing those who wait longest.
  2. In the order of their price: connection budget, a place in the pool, header and length and envelope (pending.py),
     handshake budget, a turn in the queue, Diffie-Hellman.
  3. Who has proved its keys is no stranger any more; nobody is one for longer than `handshake_seconds`.
"""

from __future__ import annotations

from typing import Final

from rustun.backends.base import Endpoint, Listener, Network, Stream
from rustun.errors import HostError, RightsError
from rustun.relay.admission import PendingPool, SourceBudget, source_keys
from rustun.relay.core import RelayCore
from rustun.relay.handshake_queue import HandshakeQueue
from rustun.relay.pending import PendingConnection

ACCEPTS_PER_TURN: Final = 16  # about 1 ms
NO_ROOM_SECONDS: Final = 0.1  # how long accepting rests when the host has no descriptor or memory


class Acceptor:
    """Accepts connections and keeps those that have proved nothing.

    Args:
        core: what sessions of this relay share.
        network: where to listen.
    Attributes:
        listeners: those that are open.
        pending: who has proved nothing yet.
        queue: whose handshake comes next.
    """

    def __init__(self, core: RelayCore, network: Network) -> None:
        self.listeners: list[Listener] = []
        self._core = core
        self._network = network
        limits = core.limits
        self.pending: PendingPool[PendingConnection] = PendingPool(
            limits.pending_connections, limits.pending_per_source, limits.pending_per_site
        )
        self._connections = SourceBudget(
            limits.connections_per_second_per_source,
            limits.connections_per_second_per_source,
            limits.source_table_entries,
        )
        self._handshakes = SourceBudget(
            limits.handshakes_per_second_per_source, limits.handshake_burst_per_source, limits.source_table_entries
        )
        self.queue: HandshakeQueue[PendingConnection] = HandshakeQueue(
            core.reactor,
            lambda: core.switch.turns,
            PendingConnection.shake_hands,
            limits.source_table_entries,
            max(1, limits.pending_connections // 2),
        )

    def listen(self, endpoints: tuple[Endpoint, ...]) -> None:
        """Bind all of them, then begin to accept. Raises HostError or RightsError, with none of them bound."""
        try:
            for endpoint in endpoints:
                self.listeners.append(self._network.listen(endpoint))
        except (HostError, RightsError):
            self._close_listeners()
            raise
        for listener in self.listeners:
            self._watch(listener)
            self._core.log.event("info", "listening", f"listening on {listener.endpoint}", endpoint=listener.endpoint)

    def close(self) -> None:
        """Stop listening and close every stranger."""
        self._close_listeners()
        for pending in list(self.pending):
            pending.close("stopping")

    def close_late(self, now: float) -> None:
        """Close who has had its time."""
        late = []
        for pending in self.pending:  # in order of their deadlines
            if pending.deadline > now:
                break
            late.append(pending)
        for pending in late:
            pending.close("handshake-timeout")

    # --- accepting ---------------------------------------------------------------------------------------------------

    def _watch(self, listener: Listener) -> None:
        if listener in self.listeners:
            self._core.reactor.watch(listener, lambda: self._accept(listener), None)

    def _accept(self, listener: Listener) -> None:
        for _ in range(ACCEPTS_PER_TURN):
            try:
                stream = listener.accept()
            except OSError as error:
                self._rest(listener, error)
                return
            if stream is None:
                return
            self._admit(stream)

    def _admit(self, stream: Stream) -> None:
        sources = source_keys(stream.remote.host)
        if not self._connections.take(sources[0], self._core.reactor.now()):
            self._core.closes["connection-budget"] += 1
            stream.reset()
            return
        pending = PendingConnection(self._core, self, stream, sources[0])
        victim = self.pending.add(pending, sources)
        if victim is not None:
            victim.close("crowded-out")
        pending.begin()

    def _rest(self, listener: Listener, error: OSError) -> None:
        """The host has no room for another connection: make some, and try again a little later."""
        self._core.log.event(
            "warning", "no-room", f"cannot accept: {error.strerror}; trying again", endpoint=listener.endpoint
        )
        reactor = self._core.reactor
        reactor.unwatch(listener)
        for pending in list(self.pending)[: max(1, len(self.pending) // 8)]:
            pending.close("crowded-out")
        reactor.call_at(reactor.now() + NO_ROOM_SECONDS, lambda: self._watch(listener))

    def _close_listeners(self) -> None:
        for listener in self.listeners:
            self._core.reactor.unwatch(listener)
            listener.close()
        self.listeners.clear()

    # --- for pending connections -------------------------------------------------------------------------------------

    def allow_handshake(self, source: str) -> bool:
        """Take one token of a source's handshake budget; False when it has none."""
        return self._handshakes.take(source, self._core.reactor.now())

    def wait_for_turn(self, pending: PendingConnection) -> None:
        """Have `shake_hands` called when it is this connection's turn."""
        victim = self.queue.put(pending, pending.source)
        if victim is not None:
            victim.close("crowded-out")

    def done(self, pending: PendingConnection, *, proved: bool) -> None:
        """Forget a connection that was closed or whose peer has proved itself; a second call changes nothing."""
        self.pending.remove(pending)
        self.queue.remove(pending)
        if proved:
            self.queue.proved(pending.source)
