"""LinuxNetworkMonitor against the real kernel, in a network namespace of its own; loopback has no news of its own."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from pyroute2 import IPRoute

from rustun.backends import network_monitor
from rustun.backends.host_snapshot import ROUTE_PROTOCOL
from rustun.backends.network_monitor import GATHER_SECONDS, SPACING_SECONDS, LinuxNetworkMonitor
from rustun.backends.reactor import EpollReactor
from tests.netlab.private_namespace import in_private_namespace

LIMIT_S = 20.0  # only reached where something is missing
QUIET_S = GATHER_SECONDS + SPACING_SECONDS + 0.1  # news that matter are told within this
LOOPBACK = 1


class Watched:
    """This namespace with its monitor; use as a context."""

    def __init__(self) -> None:
        self.ip = IPRoute()
        self.ip.link("set", index=LOOPBACK, state="up")
        self.reactor = EpollReactor()
        self.times: list[float] = []
        self.monitor = LinuxNetworkMonitor(self.reactor)
        self.monitor.start(self._on_change)
        self._wanted = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.monitor.close()
        self.reactor.close()
        self.ip.close()

    def _on_change(self) -> None:
        self.times.append(self.reactor.now())
        if len(self.times) >= self._wanted:
            self.reactor.stop()

    def tells(self, change: Callable[[], object], calls: int = 1) -> float:
        """Make a change, return seconds until as many calls came of it."""
        began = self.reactor.now()
        self.times.clear()
        self._wanted = calls
        change()
        limit = self.reactor.call_at(began + LIMIT_S, self.reactor.stop)
        self.reactor.run()
        limit.cancel()
        assert len(self.times) == calls, self.times
        return self.times[-1] - began

    def is_silent_about(self, change: Callable[[], object]) -> None:
        """Make a change that does not matter; fail if it is told."""
        self.times.clear()
        change()
        self.reactor.call_at(self.reactor.now() + QUIET_S, self.reactor.stop)
        self.reactor.run()
        assert not self.times

    def route(self, command: str, prefix: str, **more: Any) -> Callable[[], object]:
        """Return the change of a route over loopback."""
        return lambda: self.ip.route(command, dst=prefix, oif=LOOPBACK, **more)


def nft(script: str) -> None:
    """Change the rules of this namespace."""
    subprocess.run(["nft", "-f", "-"], input=script, text=True, check=True)


@in_private_namespace
def test_what_may_matter_is_told_at_once() -> None:
    """If this fails, a laptop that changed networks stays with its dead connection until it has been silent long."""
    with Watched() as watched:
        ip = watched.ip
        assert watched.tells(watched.route("add", "0.0.0.0/0")) < 1.0
        watched.tells(watched.route("del", "0.0.0.0/0"))
        watched.tells(watched.route("add", "128.0.0.0/1"))
        watched.tells(watched.route("add", "::/0"))
        watched.tells(lambda: ip.addr("add", index=LOOPBACK, address="10.1.1.1", prefixlen=32))
        watched.tells(lambda: ip.addr("del", index=LOOPBACK, address="10.1.1.1", prefixlen=32))
        watched.tells(lambda: ip.addr("add", index=LOOPBACK, address="2001:db8::1", prefixlen=128))
        watched.tells(lambda: ip.link("set", index=LOOPBACK, mtu=1400))
        watched.tells(lambda: ip.link("set", index=LOOPBACK, state="down"))
        watched.tells(lambda: ip.link("set", index=LOOPBACK, state="up"))
        watched.tells(lambda: ip.rule("add", table=100, priority=100))
        watched.tells(lambda: ip.rule("del", table=100, priority=100))


@in_private_namespace
def test_what_cannot_matter_is_not() -> None:
    """If this fails, a router's own changes keep a client busy, or its own routes do so for ever."""
    with Watched() as watched:

        def changes() -> None:
            watched.route("add", "10.0.0.0/8")()
            watched.route("del", "10.0.0.0/8")()
            watched.route("add", "2001:db8::/32")()
            watched.route("add", "10.2.0.0/16", proto=ROUTE_PROTOCOL)()
            watched.route("add", "0.0.0.0/0", proto=ROUTE_PROTOCOL, table=ROUTE_PROTOCOL)()
            nft("table inet others { set s { type ipv4_addr; }; }")
            nft("add element inet others s { 10.1.1.1 }")
            nft("delete table inet others")

        watched.is_silent_about(changes)


@in_private_namespace
def test_what_was_taken_from_us_is_told() -> None:
    """If this fails, a flushed TUN device or firewall stays so until the client is restarted."""
    with Watched() as watched:
        watched.route("add", "10.2.0.0/16", proto=ROUTE_PROTOCOL)()
        watched.tells(watched.route("del", "10.2.0.0/16", proto=ROUTE_PROTOCOL))
        watched.tells(
            lambda: nft("table inet rustun-rustun0 { chain c { type filter hook input priority 0; counter; }; }")
        )
        watched.tells(lambda: nft("flush table inet rustun-rustun0"))
        watched.tells(lambda: nft("flush ruleset"))


@in_private_namespace
def test_many_changes_are_few_calls_and_none_is_lost() -> None:
    """If this fails, an interface that flaps takes the loop, or the last of its changes is missed."""
    with Watched() as watched:

        def many() -> None:
            for _ in range(20):
                watched.route("add", "0.0.0.0/0")()
                watched.route("del", "0.0.0.0/0")()

        assert watched.tells(many) >= GATHER_SECONDS
        watched.is_silent_about(lambda: None)
        watched.tells(watched.route("add", "0.0.0.0/0"))
        first = watched.times[0]
        watched.tells(watched.route("del", "0.0.0.0/0"))
        assert watched.times[0] - first >= SPACING_SECONDS


@in_private_namespace
def test_news_that_had_no_room_are_news() -> None:
    """If this fails, the change that counts is lost in a burst of others."""
    with Watched() as watched:

        def flood() -> None:
            lines = (f"address add 10.{number >> 8}.{number & 255}.1/32 dev lo\n" for number in range(2000))
            subprocess.run(["ip", "-batch", "-"], input="".join(lines), text=True, check=True)

        watched.tells(flood)
        watched.tells(watched.route("add", "0.0.0.0/0"))


@in_private_namespace
def test_a_host_that_slept_is_told_of() -> None:
    """Row 33. If this fails, a laptop that wakes up shows "connected", and is dead."""
    with Watched() as watched:
        really = network_monitor.slept_seconds

        def sleep() -> None:
            network_monitor.slept_seconds = lambda: really() + 3600.0

        watched.tells(sleep)
        watched.is_silent_about(lambda: None)


@in_private_namespace
def test_a_closed_monitor_says_nothing() -> None:
    """If this fails, a client that ends is called back afterwards, or leaves descriptors."""
    with Watched() as watched:
        sockets = list(watched.monitor._sockets)
        assert len(sockets) == 2
        watched.route("add", "0.0.0.0/0")()
        watched.monitor.close()
        watched.monitor.close()
        watched.is_silent_about(watched.route("del", "0.0.0.0/0"))
        assert all(sock.fileno() == -1 for sock in sockets)
