"""The relay as one object: it listens, admits, watches its members' file, sweeps, and tells what it is doing.

Rules of this module
  1. Accepting never ends: a connection that is already dead is skipped, and a host without descriptors or memory is
     given time, and room by closing those who wait longest.
  2. A sweep looks at every session and every pending connection twice a second, a few hundred a step. One that comes
     late is put off once: while this process stood still, members spoke, and what they said has not been read yet.
  3. `stop` says goodbye to everybody, then closes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

from rustun.backends.base import Listener, Network, Reactor, Stream
from rustun.config.advice import advise
from rustun.config.server import ServerConfig
from rustun.errors import HostError, RightsError
from rustun.logs import EventLog
from rustun.relay.admission import PendingPool, SourceBudget, source_keys
from rustun.relay.core import RelayCore
from rustun.relay.known_keys import KnownKeys
from rustun.relay.noise_session import NoiseSession
from rustun.relay.pending import PendingConnection
from rustun.relay.policy import Policy
from rustun.relay.report import server_status
from rustun.relay.roster import Roster
from rustun.relay.session import RelaySession
from rustun.relay.settings import Settings

SWEEP_SECONDS: Final = 0.5
SWEEP_STEP: Final = 256  # sessions looked at between two turns of the loop, about 0.2 ms
ACCEPTS_PER_TURN: Final = 64
NO_ROOM_SECONDS: Final = 0.1  # how long accepting rests when the host has no descriptor or memory
GOODBYE_SECONDS_PER_MEMBER: Final = 0.001
LEAST_GOODBYE_SECONDS: Final = 0.5


class RelayServer:
    """A relay.

    Args:
        config: all that its server.toml says.
        reactor, network: the outside world.
        random_bytes: a source of unpredictable bytes, such as os.urandom.
        log: where events go.
        aes_is_fast: whether this host has AES instructions; decides what cipher "auto" likes best.
    """

    def __init__(
        self,
        config: ServerConfig,
        reactor: Reactor,
        network: Network,
        random_bytes: Callable[[int], bytes],
        log: EventLog,
        *,
        aes_is_fast: bool,
    ) -> None:
        self.settings = Settings(config, reactor, log, self._on_policy, aes_is_fast=aes_is_fast)
        self.core = RelayCore(reactor, config.limits, config.queues, random_bytes, log, self.settings.policy())
        security = config.security
        known_keys = KnownKeys(security.known_keys_file, reactor, log, durable=security.remembers_keys)
        self.roster = Roster(config.routes_file, reactor, log, self.core.apply_routes, known_keys)
        self.listeners: list[Listener] = []
        self._reactor = reactor
        self._network = network
        self._log = log
        limits = config.limits
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
        self._waiting: dict[PendingConnection, None] = {}  # in order of their deadlines
        self._sweep_list: list[RelaySession] = []
        self._sweep_at = 0.0
        self._sweep_was_put_off = False
        self._stopped = False

    def start(self) -> None:
        """Read the members, bind, and begin to accept. Raises ConfigError, HostError or RightsError."""
        self.roster.load()
        self._advise()
        try:
            for endpoint in self.config.listen:
                self.listeners.append(self._network.listen(endpoint))
        except (HostError, RightsError):
            self._close_listeners()
            raise
        for listener in self.listeners:
            self._watch(listener)
            self._log.event("info", "listening", f"listening on {listener.endpoint}")
        self.roster.watch()
        self._plan_sweep()

    def stop(self, reason: str, done: Callable[[], None]) -> None:
        """Say goodbye to every session, close everything, then call `done`."""
        self._stopped = True
        self.roster.stop()
        self._close_listeners()
        for pending in list(self._waiting):
            pending.close("stopping")
        window = max(LEAST_GOODBYE_SECONDS, GOODBYE_SECONDS_PER_MEMBER * len(self.core.sessions))
        for session in list(self.core.sessions):
            session.close("stopping", say="the server stops", window_seconds=window)
        self._log.event("info", "stopped", reason)
        done()

    def reload(self) -> None:
        """Read server.toml and the members' file again now."""
        self.settings.reload()
        self.roster.reload()

    @property
    def config(self) -> ServerConfig:
        """The configuration in force."""
        return self.settings.config

    def _on_policy(self, policy: Policy) -> None:
        self.roster.known_keys.make_durable(self.config.security.remembers_keys)
        self.core.apply_policy(policy)
        self._advise()

    def _advise(self) -> None:
        for problem in advise(self.config, self.roster.routes):
            level = "info" if problem.level == "note" else "warning"
            self._log.event(level, "advice", str(replace(problem, level="error")))  # the log shows the level itself

    def status(self) -> dict[str, object]:
        """Return the server's part of the status document."""
        return server_status(self)

    @property
    def loaded_at(self) -> str:
        """When the members in force were loaded, RFC 3339."""
        return datetime.fromtimestamp(self.roster.loaded_at, UTC).isoformat(timespec="seconds")

    # --- accepting ---------------------------------------------------------------------------------------------------

    def _watch(self, listener: Listener) -> None:
        if not self._stopped:
            self._reactor.watch(listener, lambda: self._accept(listener), None)

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
        now = self._reactor.now()
        if not self._connections.take(sources[0], now):
            self.core.closes["connection-budget"] += 1
            stream.reset()
            return
        pending = PendingConnection(
            self.core,
            stream,
            allow_handshake=lambda: self._handshakes.take(sources[0], self._reactor.now()),
            on_frame=self.pending.has_spoken,
            on_done=self._pending_done,
        )
        self._waiting[pending] = None
        victim = self.pending.add(pending, sources)
        if victim is not None:
            victim.close("crowded-out")

    def _pending_done(self, pending: PendingConnection) -> None:
        self.pending.remove(pending)
        self._waiting.pop(pending, None)

    def _rest(self, listener: Listener, error: OSError) -> None:
        """The host has no room for another connection: make some, and try again a little later."""
        self._log.event(
            "warning", "no-room", f"cannot accept: {error.strerror}; trying again", endpoint=listener.endpoint
        )
        self._reactor.unwatch(listener)
        for pending in list(self._waiting)[: max(1, len(self._waiting) // 8)]:
            pending.close("crowded-out")
        self._reactor.call_at(self._reactor.now() + NO_ROOM_SECONDS, lambda: self._watch(listener))

    def _close_listeners(self) -> None:
        for listener in self.listeners:
            self._reactor.unwatch(listener)
            listener.close()
        self.listeners.clear()

    # --- sweeping ----------------------------------------------------------------------------------------------------

    def _plan_sweep(self) -> None:
        self._sweep_at = self._reactor.now() + SWEEP_SECONDS
        self._reactor.call_at(self._sweep_at, self._sweep)

    def _sweep(self) -> None:
        if self._stopped:
            return
        now = self._reactor.now()
        self._sweep_was_put_off = now - self._sweep_at > SWEEP_SECONDS and not self._sweep_was_put_off
        if self._sweep_was_put_off:
            self._plan_sweep()
            return
        for pending in list(self._waiting):
            if pending.deadline > now:
                break
            pending.close("handshake-timeout")
        self._sweep_list = list(self.core.sessions)
        self._sweep_step()

    def _sweep_step(self) -> None:
        if self._stopped:
            return
        now = self._reactor.now()
        step, self._sweep_list = self._sweep_list[:SWEEP_STEP], self._sweep_list[SWEEP_STEP:]
        for session in step:
            self._look_at(session, now)
        if self._sweep_list:
            self._reactor.call_soon(self._sweep_step)
        else:
            self._plan_sweep()

    def _look_at(self, session: RelaySession, now: float) -> None:
        if session.closed:
            return
        expires_at = session.member.expires_at
        if now - session.heard_at > session.silence_seconds:
            session.close("silent")
        elif session.stalled(now):
            session.close("stalled")
        elif expires_at is not None and self._reactor.wall_clock() >= expires_at.timestamp():
            session.close("expired", say="expired")
        elif isinstance(session, NoiseSession):
            session.tick(now)
