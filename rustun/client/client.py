"""The client as one object: keeps one session with a server, and the host as the session wants it.

    connecting -> handshaking -> online -> waiting -> connecting ...
                              -> refused (ends the process, or waits REFUSED_SECONDS)

Rules of this module
  1. Nothing unauthenticated is terminal (see handshake.py). A sealed refusal ends the process only before a first
     session and without `retry_refused`; else it is tried again, the reason in the status.
  2. What the host carries is one HostState, applied as a difference whenever what is known has changed; it stays while
     the client reconnects and comes off at the end.
  3. A device that was taken away is made anew, one that was set down is set up again, with a wait in between.
  4. Before a try the way to every address of the server is kept outside the tunnel: an old pin may lead nowhere now.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from rustun.backends.base import (
    Endpoint,
    HostNetwork,
    HostReport,
    HostState,
    Network,
    Reactor,
    Stream,
    Timer,
    TunDevice,
)
from rustun.client.backoff import Backoff
from rustun.client.connector import Connector
from rustun.client.handshake import ClientHandshake, NoiseAccepted, Outcome, SeedAccepted, begin_handshake
from rustun.client.noise_session import ClientNoiseSession
from rustun.client.peers import OwnEntry, Peers
from rustun.client.pump import Pump
from rustun.client.report import client_status
from rustun.client.session import ClientSession, Owner, Tools
from rustun.client.settings import Settings
from rustun.client.welcome import open_session
from rustun.config.client import ClientConfig
from rustun.errors import HostError, ProtocolError, RefusedError, RightsError, RustunError
from rustun.link.buffers import Buffers
from rustun.logs import EventLog, describe_bug
from rustun.protocol.tiers import Tier

REFUSED_SECONDS: Final = 60.0
STEADY_SECONDS: Final = 5.0  # a session that broke sooner counts as one more try that failed
NEXT_SECONDS: Final = 0.1  # before the next of several servers or keys is tried; the usual wait follows the last
DEVICE_SECONDS: Final = 1.0  # between looks at the device, and between tries to make one that went away


class TunnelClient:
    """A client.

    Args:
        config: all that this client was told.
        reactor, network, host_network: the outside world.
        random_bytes: a source of unpredictable bytes, such as os.urandom.
        log: where events go.
        aes_is_fast: whether this host has AES instructions; decides what cipher "auto" likes best.
    Attributes:
        on_failure: called with the error that should end the process.
        retry_refused: whether a refusal is no end.
        state: as in the picture above.
    """

    def __init__(
        self,
        config: ClientConfig,
        reactor: Reactor,
        network: Network,
        host_network: HostNetwork,
        random_bytes: Callable[[int], bytes],
        log: EventLog,
        *,
        aes_is_fast: bool,
    ) -> None:
        self.settings = Settings(config, reactor, log, self._on_settings, aes_is_fast=aes_is_fast)
        self.on_failure: Callable[[RustunError], None] = _raise
        self.retry_refused = False
        self.state = "connecting"
        self.remote: Endpoint | None = None
        self.session: ClientSession | None = None
        self._successor: ClientSession | None = None  # what the session in use hands over to
        self.peers = Peers(config.identity)
        self.host_state: HostState | None = None
        self.host_report = HostReport()
        self.reconnects = 0
        self.last_error = ""
        self.next_try_at: float | None = None
        self.tun: TunDevice | None = None
        self.pump: Pump
        self._tools: Tools
        self._reactor = reactor
        self._host_network = host_network
        self._random_bytes = random_bytes
        self._log = log
        self._buffers = Buffers()
        self._backoff = Backoff(random_bytes)
        self._connector = Connector(
            reactor, network, self._on_resolved, self._begin_handshake, self._on_connected, self._on_outcome
        )
        self._had_session = False
        self._stopped = False
        self._timer: Timer | None = None
        self._apply_planned = False
        self._outside: tuple[Endpoint, ...] = ()
        self._device_timer: Timer | None = None

    # --- start and end -----------------------------------------------------------------------------------------------

    @property
    def config(self) -> ClientConfig:
        """The configuration in force."""
        return self.settings.config

    @property
    def server(self) -> Endpoint:
        """The server that is tried or in use, as it was configured."""
        return self.settings.attempts.present.server

    @property
    def tun_name(self) -> str:
        """The TUN device's name; the configured one until the device is made."""
        return self.tun.name if self.tun is not None else self.config.tun_name

    def start(self) -> None:
        """Make the device and begin to connect. Raises RightsError or HostError."""
        self._open_device()
        self._try()

    def stop(self, reason: str, done: Callable[[], None]) -> None:
        """Say goodbye, take off what is on the host, then call `done`."""
        self._stopped = True
        self._cancel_try()
        if self.session is not None:
            self.session.close(reason, say="the client stops")
        self._close_device()
        self._log.event("info", "stopped", reason)
        done()

    def reload(self) -> None:
        """Read the configuration again and connect anew, name resolution included.

        In the key tier the present session serves until the new one stands; elsewhere it ends first, since the shared
        tier lets nobody in whose place is taken.
        """
        self.settings.reload()

    def _on_settings(self) -> None:
        if self._stopped:
            return
        session = self.session
        if session is not None and not (isinstance(session, ClientNoiseSession) and self.config.tier is Tier.KEY):
            session.close("asked to reconnect", say="reconnecting")
        self._try()

    def status(self) -> dict[str, object]:
        """Return the client's part of the status document; who asks twice learns who is online in a large cluster."""
        if isinstance(self.session, ClientNoiseSession):
            self.session.ask_presence()
        return client_status(self, self._reactor.now())

    def _open_device(self) -> None:
        config = self.config
        self.tun = self._host_network.open_tun(config.tun_name, config.tun_mtu, config.offload)
        self.pump = Pump(self._reactor, self._buffers, self.tun, self.peers, config.tun_mtu, self._on_device_gone)
        self._tools = Tools(self._reactor, self._buffers, self.pump, self._random_bytes, self._log)
        self._look_at_device()

    def _close_device(self) -> None:
        self._host_network.clear()
        self.host_state, self.host_report = None, HostReport()
        if self._device_timer is not None:
            self._device_timer.cancel()
        if self.tun is not None:
            self._reactor.unwatch(self.tun)
            self.tun.close()
            self.tun = None

    def _look_at_device(self) -> None:
        """Once in a while, since neither a set down nor, between sessions, a vanished device reports itself."""
        if self.tun is None:
            return
        self._device_timer = self._reactor.call_at(self._reactor.now() + DEVICE_SECONDS, self._look_at_device)
        try:
            up = self.tun.is_up()
        except HostError as error:
            self._on_device_gone(error)
            return
        if not up and self.host_state is not None:
            self._log.event("warning", "device-down", f"{self.tun.name} was set down by somebody: setting it up again")
            self._apply_host()

    def _on_device_gone(self, error: HostError) -> None:
        """Somebody took the device away: end the session, and make the device anew until that works."""
        self._log.event("error", "device-gone", str(error))
        self._close_device()
        if self.session is not None:
            self.session.close(str(error), say="device gone")
        self._wait(DEVICE_SECONDS, str(error))

    # --- one try -----------------------------------------------------------------------------------------------------

    def _show(self, state: str) -> None:
        """Tell what this client is doing; while a session serves, a try beside it does not count."""
        self.state = "online" if self.session is not None else state

    def _cancel_try(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._connector.cancel()

    def _try(self) -> None:
        self._cancel_try()
        if self._stopped:
            return
        self.next_try_at = None
        if self.tun is None:
            try:
                self._open_device()
            except (HostError, RightsError) as error:
                self._failed(str(error))
                return
        self._show("connecting")
        self._connector.begin(self.settings.attempts.present.server)

    def _on_resolved(self, found: list[Endpoint]) -> None:
        """Keep the way to the server outside also where it has changed since it was pinned."""
        self._outside = tuple(found)
        self._apply_host()

    def _on_connected(self, remote: Endpoint) -> None:
        self._show("handshaking")
        self.remote = remote

    def _begin_handshake(self, stream: Stream, on_done: Callable[[Outcome], None]) -> ClientHandshake:
        hello = self.settings.hello(self.tun.offloads if self.tun is not None else frozenset())
        secret = self.settings.attempts.present.secret
        try:
            return begin_handshake(self._reactor, self._buffers, stream, secret, hello, self._random_bytes, on_done)
        except ProtocolError:
            raise
        except Exception as error:  # else nobody would begin the next try
            self._log.event("error", "internal-error", describe_bug(error))
            raise ProtocolError("a fault of this program; see the log") from error

    # --- what came of it ---------------------------------------------------------------------------------------------

    def _on_outcome(self, stream: Stream | None, outcome: Outcome) -> None:
        if isinstance(outcome, str):
            self._failed(outcome)
        elif isinstance(outcome, RefusedError):
            self._refused(outcome)
        elif stream is not None:
            try:
                self._begin_session(stream, outcome)
            except ProtocolError as error:
                stream.close()
                self._failed(str(error))

    def _refused(self, error: RefusedError) -> None:
        if self.settings.attempts.next():
            self._wait(NEXT_SECONDS, error.message)  # another server may know this member
        elif self._had_session or self.retry_refused:
            self._wait(REFUSED_SECONDS, error.message)
        else:
            self.last_error = error.message
            self.on_failure(error)
        self._show("refused")

    def _begin_session(self, stream: Stream, accepted: NoiseAccepted | SeedAccepted) -> None:
        config = self.config
        owner = Owner(
            config.keepalive_interval,
            config.keepalive_interval * config.keepalive_threshold,
            self._on_config,
            self._plan_apply,
            self._on_session_closed,
        )
        own, session = open_session(self._tools, stream, accepted, owner, config, self.peers)
        present = self.session
        if isinstance(present, ClientNoiseSession):
            earlier, self._successor = self._successor, session
            if earlier is not None:
                earlier.close("another session takes its turn")
            present.hand_over(lambda: self._go_online(stream, own, session))
        else:
            self._go_online(stream, own, session)

    def _go_online(self, stream: Stream, own: OwnEntry, session: ClientSession) -> None:
        if self._stopped or self.tun is None:
            session.close("the device is gone")
        if session.closed:
            return
        self.session, self._successor = session, None
        self._had_session = True
        self.state = "online"
        self.last_error = ""
        self._log.event(
            "info", "online", f"connected to {stream.remote}", tier=session.tier.value, cipher=session.cipher_name,
            public_key=session.public_key,
        )  # fmt: skip
        self.peers.own = own
        self._outside = (stream.remote,)
        self._apply_host()
        if self.session is session:
            session.begin()

    def _on_session_closed(self, session: ClientSession, reason: str, wait_seconds: float) -> None:
        """The session in use has ended, or the one that was about to follow it; of others nobody needs to hear."""
        if session not in (self.session, self._successor):
            return
        present, self.session, self._successor = self.session, None, None
        if present is not None and self._reactor.now() - present.began_at >= STEADY_SECONDS:
            self._backoff.reset()
        for one in (present, session):
            if one is not None:
                one.close(reason)  # the one in use has handed over already: nothing is sent on it any more
        self.reconnects += 1
        if not self._stopped:
            self._wait(wait_seconds or self._backoff.next_wait(), reason)

    def _failed(self, reason: str) -> None:
        self._wait(NEXT_SECONDS if self.settings.attempts.next() else self._backoff.next_wait(), reason)

    def _wait(self, seconds: float, reason: str) -> None:
        self._cancel_try()
        self._show("waiting")
        self.last_error = reason
        self.next_try_at = self._reactor.now() + seconds
        self._timer = self._reactor.call_at(self.next_try_at, self._try)
        event = "not-connected" if self.session is None else "not-changed-over"
        self._log.event("warning", event, f"{reason}; trying again in {seconds:.1f} s")

    # --- the host ----------------------------------------------------------------------------------------------------

    def _on_config(self, own: OwnEntry) -> None:
        if own != self.peers.own:
            self.peers.own = own
            self._plan_apply()

    def _plan_apply(self) -> None:
        """Apply once for all news that came together."""
        if not self._apply_planned:
            self._apply_planned = True
            self._reactor.call_soon(self._apply_host)

    def _apply_host(self) -> None:
        self._apply_planned = False
        own, tun = self.peers.own, self.tun
        if own is None or tun is None or self._stopped:
            return
        wished = HostState(tun.name, self.config.tun_mtu, own.addresses, self.peers.prefixes(), self._outside)
        try:
            report = self._host_network.apply(wished)
        except (HostError, RightsError) as error:
            self._log.event("error", "host-network", str(error))
            return
        except Exception as error:  # noqa: BLE001 - a try and a session go on without: else nobody would begin the next
            self._log.event("error", "internal-error", describe_bug(error))
            return
        for prefix, reason in report.refused.items():
            if self.host_report.refused.get(prefix) != reason:
                self._log.event("warning", "route-refused", f"{prefix} is not routed into the tunnel: {reason}")
        self.host_state, self.host_report = wished, report
        self.peers.set_routed(report, self.config.host)
        self.pump.forget_flows()


def _raise(error: RustunError) -> None:
    raise error
