"""The client as one object: a session with every server of the list, and the host as they want it.

Rules of this module
  1. Each server has a link of its own (server_link.py), and a packet takes the first one, in the order of the list,
     where its destination is online (ways.py). This member's own entry is the word of the first that has a session;
     what others say differently is logged, and no more.
  2. A sealed refusal ends the process when all servers have refused, before a first session and without
     `retry_refused`; else it is tried again, the reason in the status.
  3. What the host carries is one HostState, applied as a difference whenever what is known has changed; it stays while
     links reconnect and comes off at the end. A prefix is routed as long as one server tells of it. News wait for
     each other: a server that tells another story each millisecond takes a share of the time.
  4. When this host's network changes, or the host has slept, the host is applied anew and each link looks whether its
     session lives. What somebody has undone is put right, a device that was taken away is made anew: at a pace that is
     no fight (repair.py).
  5. Before a try the way to every address of the server is kept outside the tunnel: an old pin may lead nowhere now.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from rustun.backends.base import (
    HostNetwork,
    HostReport,
    HostState,
    Network,
    NetworkMonitor,
    Prefix,
    Reactor,
    Timer,
    TunDevice,
)
from rustun.client.host_wish import host_wish
from rustun.client.link_owner import Surroundings
from rustun.client.own_word import OwnWord
from rustun.client.peers import OwnEntry, Peers
from rustun.client.pump import Pump
from rustun.client.repair import NEWS_SHARE, TRY_AGAIN_SECONDS, TRY_AGAIN_SHARE, RepairPace, TimeShare
from rustun.client.report import Steps, client_status, log_refused
from rustun.client.server_link import ServerLink
from rustun.client.session import ClientSession, Tools
from rustun.client.settings import Settings
from rustun.client.ways import Ways
from rustun.config.client import ClientConfig
from rustun.errors import HostError, RefusedError, RightsError, RustunError
from rustun.link.buffers import Buffers
from rustun.logs import EventLog, describe_bug
from rustun.protocol.control import DirectoryEntry

PRESENCE_SECONDS: Final = 0.5  # between questions for the status; a server counts them
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
        links: one for each server, in the order of the list.
        tun, ways: the device, None while there is none; which session a packet takes.
        pump, tools: what carries packets; made with the device.
        host_state, host_report, host_warnings: what was wished of the host last, what came of it, what cannot be had.
    """

    def __init__(
        self,
        config: ClientConfig,
        reactor: Reactor,
        network: Network,
        host_network: HostNetwork,
        monitor: NetworkMonitor,
        random_bytes: Callable[[int], bytes],
        log: EventLog,
        *,
        aes_is_fast: bool,
    ) -> None:
        self.settings = Settings(config, reactor, log, self._on_settings, aes_is_fast=aes_is_fast)
        self.on_failure: Callable[[RustunError], None] = _raise
        self.retry_refused = False
        self.host_state: HostState | None = None
        self.host_report = HostReport()
        self.host_warnings: tuple[str, ...] = ()
        self.tun: TunDevice | None = None
        self.pump: Pump
        self.tools: Tools
        self._reactor = reactor
        self._host_network = host_network
        self._monitor = monitor
        self._random_bytes = random_bytes
        self._log = log
        self._buffers = Buffers()
        self._surroundings = Surroundings(reactor, network, random_bytes, log, self._buffers, self.settings)
        self.links = tuple(ServerLink(self._surroundings, one, self) for one in self.settings.attempts)
        self.ways = Ways(reactor)
        self._leaving: tuple[ServerLink, ...] = ()  # listed no more, with packets on the way
        self._own = OwnWord(log)
        self._had_session = False
        self._stopped = False
        self._apply_planned = False
        self._news_time = TimeShare(NEWS_SHARE)
        self._try_time = TimeShare(TRY_AGAIN_SHARE, TRY_AGAIN_SECONDS)
        self._device_timer: Timer | None = None
        self._presence_at = 0.0
        self._pace = RepairPace()
        self._repair_timer: Timer | None = None

    # --- start and end -----------------------------------------------------------------------------------------------

    @property
    def config(self) -> ClientConfig:
        """The configuration in force."""
        return self.settings.config

    @property
    def first(self) -> ServerLink:
        """The first link that has a session, else the first one."""
        return next((link for link in self.links if link.session is not None), self.links[0])

    @property
    def state(self) -> str:
        """What the first link is doing (server_link.py)."""
        return self.first.state

    @property
    def session(self) -> ClientSession | None:
        """The first session that there is."""
        return self.first.session

    @property
    def peers(self) -> Peers:
        """The cluster as the first server tells it."""
        return self.first.peers

    @property
    def reconnects(self) -> int:
        """How often a session ended."""
        return sum(link.reconnects for link in self.links)

    @property
    def last_error(self) -> str:
        """Why the first link has no session, or no newer one."""
        return self.first.last_error

    @property
    def next_try_at(self) -> float | None:
        """When the first link tries again, seconds of `now()`."""
        return self.first.next_try_at

    @property
    def tun_name(self) -> str:
        """The TUN device's name; the configured one until the device is made."""
        return self.tun.name if self.tun is not None else self.config.tun_name

    def start(self) -> None:
        """Make the device and begin to connect. Raises RightsError or HostError."""
        self._open_device()
        self._apply_host()
        try:
            self._monitor.start(self.network_changed)
        except HostError as error:  # what is lost is noticed by its silence
            self._log.event("warning", "network-monitor", str(error))
        for link in self.links:
            link.begin()

    def stop(self, reason: str, done: Callable[[], None]) -> None:
        """Say goodbye, take off what is on the host, then call `done`."""
        self._stopped = True
        self._monitor.close()
        for link in (*self.links, *self._leaving):
            link.stop(reason, say="the client stops")
        self.ways.stop()
        for line in self._host_network.clear():
            self._log.event("warning", "host-left", line)
        self._close_device()
        self._log.event("info", "stopped", reason)
        done()

    def reload(self) -> None:
        """Read the configuration again and connect anew to every server; those that are listed no more are left."""
        self.settings.reload()

    def _on_settings(self) -> None:
        if self._stopped:
            return
        present = {link.attempts.first_address: link for link in self.links}
        self.links = tuple(
            present.pop(one.first_address)
            if one.first_address in present
            else ServerLink(self._surroundings, one, self)
            for one in self.settings.attempts
        )
        self._leaving += tuple(present.values())
        for link in present.values():
            link.leave("the server is listed no more", say="this client uses other servers now")
        self.ways_changed()
        self._apply_host()
        for link, attempts in zip(self.links, self.settings.attempts, strict=True):
            link.begin_anew(attempts)

    def network_changed(self) -> None:
        """Links, addresses or routes of this host have changed, or it slept: pin anew, and see which sessions live."""
        if not self._stopped:
            self._repair()
            for link in self.links:
                link.network_changed()

    def status(self, cluster: str = "", member: str = "", since: str = "") -> Steps:
        """Make the client's part of the status document; who asks twice learns who is online in a large cluster."""
        now = self._reactor.now()
        for link in self.links if now >= self._presence_at else ():
            self._presence_at = now + PRESENCE_SECONDS
            link.ask_presence(link.peers.presence_to_ask())
        return client_status(self, now, cluster, member)

    # --- the device --------------------------------------------------------------------------------------------------

    def prepare_device(self) -> str:
        """See to it that there is a device; return why there is none, or nothing."""
        if self.tun is None:
            try:
                self._open_device()
            except (HostError, RightsError) as error:
                return str(error)
        return ""

    def _open_device(self) -> None:
        config = self.config
        self.tun = self._host_network.open_tun(config.tun_name, config.tun_mtu, config.offload)
        self.pump = Pump(self._reactor, self._buffers, self.tun, config.tun_mtu, self.ways.choose, self._on_device_gone)
        self.ways.pump = self.pump
        self.tools = Tools(self._reactor, self._buffers, self.pump, self._random_bytes, self._log)
        self._look_at_device()

    def _close_device(self) -> None:
        self.host_state, self.host_report = None, HostReport()
        for timer in (self._device_timer, self._repair_timer):
            if timer is not None:
                timer.cancel()
        if self.tun is not None:
            self._reactor.unwatch(self.tun)
            self.tun.close()
            self.tun = self.ways.pump = None

    def _look_at_device(self) -> None:
        """Once in a while, since neither a set down nor, between sessions, a vanished device reports itself."""
        if self.tun is None:
            return
        self._device_timer = self._reactor.call_at(self._reactor.now() + DEVICE_SECONDS, self._look_at_device)
        self.pump.mark(self._reactor.now())
        try:
            up = self.tun.is_up()
        except HostError as error:
            self._on_device_gone(error)
            return
        report, now = self.host_report, self._reactor.now()
        if not up:
            self._repair()
        elif (report.refused or report.warnings) and now >= self._try_time.due_at:
            self._apply_host()
            self._try_time.note(now, self._reactor.now())

    def _on_device_gone(self, error: HostError) -> None:
        """Somebody took the device away: end the sessions, and make it anew until that works; a kill switch stays."""
        self._log.event("error", "device-gone", str(error))
        self._close_device()
        now = self._reactor.now()
        self._pace.note(now)
        for link in self.links:
            link.device_gone(str(error), self._pace.due_at - now)
        for link in self._leaving:
            link.stop(str(error), say="device gone")

    # --- what links tell ---------------------------------------------------------------------------------------------

    def link_resolved(self) -> None:
        """Keep the way to a server outside also where it has changed since it was pinned."""
        self._apply_host()

    def link_online(self) -> None:
        """A session is about to begin: have its addresses on the device before the first packet."""
        self._had_session = True
        self._apply_host()

    def link_news(self) -> None:
        """Apply once for all news that came together, and let packets move between two times."""
        if not self._apply_planned:
            self._apply_planned = True
            self._reactor.call_at(max(self._reactor.now(), self._news_time.due_at), self._apply_news)

    def link_refused(self, error: RefusedError) -> bool:
        """Go on unless nobody will have us."""
        goes_on = self._had_session or self.retry_refused or not all(link.refused for link in self.links)
        if not goes_on:
            self.on_failure(error)
        return goes_on

    def has_session_beside(self, link: ServerLink) -> bool:
        """Tell whether another link has a session."""
        return any(one.session is not None for one in self.links if one is not link)

    def session_ended(self) -> None:
        """Let those try that wait for a place."""
        for link in self.links:
            link.place_freed()

    def ways_changed(self) -> None:
        """Let packets take the sessions that there are now."""
        self._leaving = tuple(link for link in self._leaving if link.session is not None)
        self.ways.use((*self.links, *self._leaving))

    # --- the host ----------------------------------------------------------------------------------------------------

    @property
    def members(self) -> dict[str, DirectoryEntry]:
        """The other members by identity, as the first server that tells of them does."""
        found: dict[str, DirectoryEntry] = {}
        for link in reversed(self.links):
            found.update(link.peers.entries)
        return found

    def _routes(self, own: OwnEntry) -> tuple[Prefix, ...]:
        found = frozenset[Prefix]().union(*(link.peers.prefixes(own) for link in self.links))
        return tuple(sorted(found, key=lambda prefix: (prefix.version, prefix)))

    def _apply_news(self) -> None:
        began = self._reactor.now()
        self._apply_planned = False
        self._apply_host()
        self._news_time.note(began, self._reactor.now())

    def _repair(self) -> None:
        """Have the host as it was wished last, now or when that is due."""
        if self._repair_timer is not None:
            self._repair_timer.cancel()
        wished, now = self.host_state, self._reactor.now()
        if wished is None:
            return
        if now < self._pace.due_at:
            self._repair_timer = self._reactor.call_at(self._pace.due_at, self._repair)
            return
        changes = self._apply_host()
        if changes != 0 and self.host_state == wished:
            self._pace.note(now)
        if changes and self.host_state == wished:
            text = f"what was set up at {wished.device} does not fit any more: put right (steps: {changes})"
            self._log.event("warning", "put-right", text, device=wished.device, steps=changes)

    def _apply_host(self) -> int | None:
        """Have the host as it is wished now; return how many steps that took, None where it failed."""
        own, tun = self._own.ask(self.links), self.tun
        if tun is None or self._stopped:
            return 0
        stands = self.host_state
        if own is None and stands is not None and not (stands.kill_switch or self.config.host.kill_switch):
            return 0  # once is enough: what an earlier client left is gone by then
        outside = tuple(dict.fromkeys(endpoint for link in (*self.links, *self._leaving) for endpoint in link.outside))
        routes = self._routes(own) if own is not None else ()
        members = self.members if any(link.peers.heard for link in self.links) else None
        wish = host_wish(self.config, tun.name, own, members, routes, outside)
        try:
            report = self._host_network.apply(wish.state)
        except (HostError, RightsError) as error:
            self._log.event("error", "host-network", str(error))
            return None
        except Exception as error:  # noqa: BLE001 - a try and a session go on without: else nobody would begin the next
            self._log.event("error", "internal-error", describe_bug(error))
            return None
        self._tell(report, (*wish.warnings, *report.warnings))
        self.host_state = wish.state
        if own is not None:
            for link in self.links:
                link.peers.set_routed(report, self.config.host, own)
            self.ways.choose_again()
        return report.changes

    def _tell(self, report: HostReport, warnings: tuple[str, ...]) -> None:
        """Log what is new of what this host refuses and cannot do, and keep all of it for the status."""
        log_refused(self._log, report.refused, self.host_report.refused)
        for warning in warnings:
            if warning not in self.host_warnings:
                self._log.event("warning", "host-warning", warning)
        changed = report.routed != self.host_report.routed
        self.host_report, self.host_warnings = report, warnings
        if changed:
            self._log.event("debug", "host-routes", "what is routed has changed", prefixes=len(report.routed))


def _raise(error: RustunError) -> None:
    raise error
