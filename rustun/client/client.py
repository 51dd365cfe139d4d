"""The client as one object: keeps one session with a server, and the host as the session wants it.

    resolving -> connecting -> handshaking -> online -> waiting -> resolving ...
                                           -> refused (ends the process, or waits 60 s)

Rules of this module
  1. Every try begins with the name: an address that changed is found. Addresses of one answer are tried in order.
  2. Nothing unauthenticated is terminal (see handshake.py). A sealed refusal ends the process only before a first
     session and without `retry_refused`; else it is tried again every REFUSED_SECONDS, the reason in the status.
  3. What the host carries is one HostState, applied as a difference whenever what is known has changed; it stays while
     the client reconnects and comes off at the end.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from ipaddress import ip_address
from typing import Final

from rustun import __version__
from rustun.backends.base import (
    Address,
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
from rustun.backends.cpu import aes_is_fast
from rustun.client.backoff import Backoff
from rustun.client.handshake import (
    ClientHandshake,
    NoiseAccepted,
    Outcome,
    SeedAccepted,
    seed_handshake,
    shared_handshake,
)
from rustun.client.noise_session import ClientNoiseSession
from rustun.client.peers import OwnEntry, Peers, own_entry
from rustun.client.pump import Pump
from rustun.client.report import client_status
from rustun.client.seed_session import ClientSeedSession, seed_entries
from rustun.client.session import ClientSession, Tools
from rustun.config.client import ClientConfig
from rustun.errors import HostError, ProtocolError, RefusedError, RightsError, RustunError
from rustun.link.buffers import Buffers
from rustun.logs import EventLog
from rustun.protocol.ciphers import seed_cipher
from rustun.protocol.codec import RecordCodec
from rustun.protocol.handshake import SHARED, Hello, shared_psk
from rustun.protocol.record_choice import record_ciphers
from rustun.protocol.rekey import RekeyClient
from rustun.protocol.tiers import Tier

CONNECT_SECONDS: Final = 10.0  # for one address
REFUSED_SECONDS: Final = 60.0
DEVICE_SECONDS: Final = 1.0  # between tries to make a device that went away


class TunnelClient:
    """A client.

    Args:
        config: all that this client was told.
        reactor, network, host_network: the outside world.
        random_bytes: a source of unpredictable bytes, such as os.urandom.
        log: where events go.
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
    ) -> None:
        self.config = config
        self.on_failure: Callable[[RustunError], None] = _raise
        self.retry_refused = False
        self.state = "connecting"
        self.server = config.servers[0].endpoint
        self.remote: Endpoint | None = None
        self.session: ClientSession | None = None
        self.peers = Peers(config.identity)
        self.host_state: HostState | None = None
        self.host_report = HostReport()
        self.reconnects = 0
        self.last_error = ""
        self.next_try_at: float | None = None
        self.pump: Pump
        self._reactor = reactor
        self._network = network
        self._host_network = host_network
        self._random_bytes = random_bytes
        self._log = log
        self._buffers = Buffers()
        self._backoff = Backoff(random_bytes)
        self._had_session = False
        self._stopped = False
        self._timer: Timer | None = None
        self._handshake: ClientHandshake | None = None
        self._stream: Stream | None = None
        self._addresses: list[Endpoint] = []
        self._tun: TunDevice | None = None
        self._apply_planned = False
        key = config.key.reveal() if config.key is not None else ""
        if config.method is None:
            raise HostError("no method and key", "give one with -c, or crypto_config in client.toml")
        self._seed_cipher = seed_cipher(config.method, key) if config.tier is Tier.LEGACY else None
        self._psk = shared_psk(key) if config.tier is not Tier.LEGACY else b""
        self._tools: Tools

    # --- start and end -----------------------------------------------------------------------------------------------

    @property
    def tun_name(self) -> str:
        """The TUN device's name; the configured one until the device is made."""
        return self._tun.name if self._tun is not None else self.config.tun_name

    @property
    def tun(self) -> TunDevice | None:
        """The TUN device, None while there is none."""
        return self._tun

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
        if self._tun is not None:
            self._reactor.unwatch(self._tun)
        self._host_network.clear()
        if self._tun is not None:
            self._tun.close()
            self._tun = None
        self._log.event("info", "stopped", reason)
        done()

    def reload(self) -> None:
        """Give the present session up and connect anew, name resolution included."""
        if self.session is not None:
            self.session.close("asked to reconnect", say="reconnecting")
        self._cancel_try()
        self._try()

    def status(self) -> dict[str, object]:
        """Return the client's part of the status document."""
        return client_status(self, self._reactor.now())

    def _open_device(self) -> None:
        tun = self._host_network.open_tun(self.config.tun_name, self.config.tun_mtu, self.config.offload)
        self._tun = tun
        self.pump = Pump(self._reactor, self._buffers, tun, self.peers, self.config.tun_mtu, self._on_device_gone)
        self._tools = Tools(self._reactor, self._buffers, self.pump, self._random_bytes, self._log)

    def _on_device_gone(self, error: HostError) -> None:
        """Somebody took the device away: end the session, and make the device anew until that works."""
        self._log.event("error", "device-gone", str(error))
        if self._tun is not None:
            self._tun.close()
            self._tun = None
        self._host_network.clear()
        if self.session is not None:
            self.session.close(str(error), say="device gone")
        self._cancel_try()
        self._wait(DEVICE_SECONDS, str(error))

    # --- one try -----------------------------------------------------------------------------------------------------

    def _cancel_try(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._handshake is not None:
            self._handshake.cancel()
            self._handshake = None
        if self._stream is not None:
            self._reactor.unwatch(self._stream)
            self._stream.close()
            self._stream = None
        self._addresses = []

    def _try(self) -> None:
        if self._stopped:
            return
        self._timer = None
        self.next_try_at = None
        if self._tun is None:
            try:
                self._open_device()
            except (HostError, RightsError) as error:
                self._wait(self._backoff.next_wait(), str(error))
                return
        self.state = "connecting"
        server = self.server
        self._reactor.run_in_thread(lambda: self._network.resolve(server), self._on_resolved)

    def _on_resolved(self, found: list[Endpoint] | Exception) -> None:
        if self._stopped or self.state != "connecting" or self._stream is not None or self.session is not None:
            return
        if isinstance(found, Exception):
            self._failed(f"cannot resolve {self.server.host}: {found}")
            return
        self._addresses = found
        self._connect_next("no address")

    def _connect_next(self, error: str) -> None:
        while self._addresses:
            address = self._addresses.pop(0)
            try:
                stream = self._network.connect(address)
            except OSError as problem:
                error = f"cannot connect to {address}: {problem.strerror or problem}"
                continue
            self._stream = stream
            self._timer = self._reactor.call_at(
                self._reactor.now() + CONNECT_SECONDS, partial(self._on_connect_failed, f"no answer from {address}")
            )
            self._reactor.watch(stream, None, self._on_connected)
            return
        self._failed(error)

    def _on_connect_failed(self, error: str) -> None:
        stream, self._stream = self._stream, None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if stream is not None:
            self._reactor.unwatch(stream)
            stream.close()
        self._connect_next(error)

    def _on_connected(self) -> None:
        stream = self._stream
        if stream is None:
            return
        problem = stream.connect_error()
        if problem is not None:
            self._on_connect_failed(f"cannot connect to {stream.remote}: {problem.strerror or problem}")
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._reactor.unwatch(stream)
        self._stream = None
        self.state = "handshaking"
        self.remote = stream.remote
        try:
            self._handshake = self._begin_handshake(stream)
        except ProtocolError as error:  # our own configuration does not fit the wire
            stream.close()
            self._failed(str(error))

    def _begin_handshake(self, stream: Stream) -> ClientHandshake:
        config = self.config
        if self._seed_cipher is not None:
            return seed_handshake(
                self._reactor,
                self._buffers,
                stream,
                self._seed_cipher,
                config.identity,
                self._random_bytes,
                lambda outcome: self._on_handshake(stream, outcome),
            )
        tun = self._tun
        hello = Hello(
            config.identity,
            __version__,
            record_ciphers(config.cipher, config.method, aes_is_fast=aes_is_fast()),
            tun.offloads if tun is not None else frozenset(),
            config.keepalive_interval,
            config.tun_mtu,
        )
        return shared_handshake(
            self._reactor,
            self._buffers,
            stream,
            self._psk,
            hello,
            self._random_bytes(32),
            lambda outcome: self._on_handshake(stream, outcome),
        )

    # --- what came of it ---------------------------------------------------------------------------------------------

    def _on_handshake(self, stream: Stream, outcome: Outcome) -> None:
        self._handshake = None
        if isinstance(outcome, str):
            self._failed(f"{stream.remote}: {outcome}")
        elif isinstance(outcome, RefusedError):
            self._refused(outcome)
        else:
            try:
                self._begin_session(stream, outcome)
            except ProtocolError as error:
                stream.close()
                self._failed(str(error))

    def _refused(self, error: RefusedError) -> None:
        if not self._had_session and not self.retry_refused:
            self.state = "refused"
            self.last_error = error.message
            self.on_failure(error)
            return
        self._wait(REFUSED_SECONDS, error.message)
        self.state = "refused"

    def _begin_session(self, stream: Stream, accepted: NoiseAccepted | SeedAccepted) -> None:
        if isinstance(accepted, NoiseAccepted):
            welcome = accepted.welcome
            offered = self.peers.own.offered if self.peers.own is not None else ()
            own = own_entry(welcome.name, welcome.address, welcome.address6, ())
            own = OwnEntry(own.name, own.addresses, offered)  # the LANs come with the first config record
            session: ClientSession = self._noise_session(stream, accepted)
        else:
            reply = accepted.reply
            own = own_entry(reply.name, f"{reply.private_ip}/{reply.mask}", "", reply.ciders)
            self.peers.replace(seed_entries(reply.peer_details))
            session = self._seed_session(stream, accepted)
        self.session = session
        self._had_session = True
        self._backoff.reset()
        self.state = "online"
        self.last_error = ""
        self._log.event(
            "info", "online", f"connected to {stream.remote}", tier=session.tier.value, cipher=session.cipher_name
        )
        self.peers.own = own
        self._apply_host()
        if self.session is session:
            session.begin()

    def _noise_session(self, stream: Stream, accepted: NoiseAccepted) -> ClientNoiseSession:
        keys, config = accepted.keys, self.config
        return ClientNoiseSession(
            self._tools,
            stream,
            RecordCodec(accepted.welcome.cipher, keys, is_client=True, now=self._reactor.now()),
            tier=Tier.SHARED,
            rekey=RekeyClient(SHARED, self._psk, keys.handshake_hash),
            peers=self.peers,
            keepalive_seconds=config.keepalive_interval,
            silence_seconds=config.keepalive_interval * config.keepalive_threshold,
            on_config=self._on_config,
            on_directory=self._plan_apply,
            on_closed=self._on_session_closed,
            held=accepted.held,
        )

    def _seed_session(self, stream: Stream, accepted: SeedAccepted) -> ClientSeedSession:
        config = self.config
        return ClientSeedSession(
            self._tools,
            stream,
            accepted.codec,
            identity=config.identity,
            cipher_name=config.method.value if config.method is not None else "",
            peers=self.peers,
            keepalive_seconds=config.keepalive_interval,
            silence_seconds=config.keepalive_interval * config.keepalive_threshold,
            on_directory=self._plan_apply,
            on_closed=self._on_session_closed,
            held=accepted.held,
        )

    def _on_session_closed(self, reason: str, wait_seconds: float) -> None:
        self.session = None
        self.reconnects += 1
        if not self._stopped:
            self._wait(wait_seconds or self._backoff.next_wait(), reason)

    def _failed(self, reason: str) -> None:
        self._wait(self._backoff.next_wait(), reason)

    def _wait(self, seconds: float, reason: str) -> None:
        self.state = "waiting"
        self.last_error = reason
        self.next_try_at = self._reactor.now() + seconds
        self._log.event("warning", "not-connected", f"{reason}; trying again in {seconds:.1f} s")
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._reactor.call_at(self.next_try_at, self._try)

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
        own, tun = self.peers.own, self._tun
        if own is None or tun is None or self._stopped:
            return
        outside = (self.session.stream.remote,) if self.session is not None else ()
        wished = HostState(
            tun.name,
            self.config.tun_mtu,
            own.addresses,
            self.peers.prefixes(),
            tuple(_address(endpoint) for endpoint in outside),
        )
        try:
            report = self._host_network.apply(wished)
        except HostError as error:
            self._log.event("error", "host-network", str(error))
            return
        for prefix, reason in report.refused.items():
            if self.host_report.refused.get(prefix) != reason:
                self._log.event("warning", "route-refused", f"{prefix} is not routed into the tunnel: {reason}")
        self.host_state, self.host_report = wished, report
        self.peers.set_routed(report.routed)
        self.pump.forget_flows()


def _address(endpoint: Endpoint) -> Address:
    return ip_address(endpoint.host.partition("%")[0])


def _raise(error: RustunError) -> None:
    raise error
