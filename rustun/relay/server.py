"""The relay as one object: it starts and stops all parts, sweeps, and tells what it is doing.

Rules of this module
  1. A sweep looks at every session and every pending connection twice a second, a few hundred a step. One that comes
     late is put off once: while this process stood still, members spoke, and what they said has not been read yet.
  2. `stop` says goodbye to everybody, then closes.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

from rustun.backends.base import Network, Reactor
from rustun.config.advice import advise
from rustun.config.server import ServerConfig
from rustun.link.rate import RATE_SECONDS
from rustun.logs import EventLog
from rustun.relay.acceptor import Acceptor
from rustun.relay.core import RelayCore
from rustun.relay.known_keys import KnownKeys
from rustun.relay.listing import Listing
from rustun.relay.noise_session import NoiseSession
from rustun.relay.policy import Policy
from rustun.relay.report import server_status
from rustun.relay.roster import Roster
from rustun.relay.session import RelaySession
from rustun.relay.settings import Settings

SWEEP_SECONDS: Final = 0.5
SWEEP_STEP: Final = 256  # sessions looked at between two turns of the loop, about 0.2 ms
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
        self.acceptor = Acceptor(self.core, network)
        self.listing = Listing(self.core)
        self.other_alarms: Callable[[], list[str]] = list
        self._reactor = reactor
        self._log = log
        self._sweep_list: list[RelaySession] = []
        self._sweep_at = 0.0
        self._sweep_was_put_off = False
        self._mark_at = 0.0
        self._marking = False  # the sweep that is under way sets marks
        self._stopped = False

    def start(self) -> None:
        """Read the members, bind, and begin to accept. Raises ConfigError, HostError or RightsError."""
        self.roster.load()
        self._advise()
        self.acceptor.listen(self.config.listen)
        self.roster.watch()
        self._plan_sweep()

    def stop(self, reason: str, done: Callable[[], None]) -> None:
        """Say goodbye to every session, close everything, then call `done`."""
        self._stopped = True
        self.roster.stop()
        self.acceptor.close()
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
        security = self.config.security
        self.roster.known_keys.configure(security.known_keys_file, durable=security.remembers_keys)
        self.core.apply_policy(policy)
        self._advise()

    def _advise(self) -> None:
        for problem in advise(self.config, self.roster.routes):
            level = "info" if problem.level == "note" else "warning"
            self._log.event(level, "advice", str(replace(problem, level="error")))  # the log shows the level itself

    def status(
        self, cluster: str = "", member: str = "", since: str = ""
    ) -> Generator[None, None, dict[str, object]]:
        """Make the server's part of the status document in short steps; arguments as of `server_status`."""
        return server_status(self, cluster, member, since)

    @property
    def loaded_at(self) -> str:
        """When the members in force were loaded, RFC 3339."""
        return datetime.fromtimestamp(self.roster.loaded_at, UTC).isoformat(timespec="seconds")

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
        self.acceptor.close_late(now)
        self._sweep_list = list(self.core.sessions)
        self._marking = now >= self._mark_at
        if self._marking:
            self._mark_at = now + RATE_SECONDS
        self._sweep_step()

    def _sweep_step(self) -> None:
        if self._stopped:
            return
        now = self._reactor.now()
        step, self._sweep_list = self._sweep_list[:SWEEP_STEP], self._sweep_list[SWEEP_STEP:]
        for session in step:
            self._look_at(session, now)
            if self._marking:
                session.traffic.mark(now)
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
