"""Notices on Linux that this host's network may be another one (base.NetworkMonitor).

Rules of this module
  1. The kernel is asked for news of interfaces, addresses, routes, policy rules and nftables by the multicast groups of
     netlink. What the news say hardly counts: who is called back looks at the host itself.
  2. What cannot matter is dropped in the kernel, by a socket filter, so that a router with a million routes does not
     wake a client up: of routes only those as wide as a default route pass, and ours where they are taken away.
  3. What a client does to its host comes back as news of a few kinds: one more look, which finds nothing to do.
  4. News that the kernel had no room for are news.
  5. A host that slept has CLOCK_BOOTTIME run ahead of CLOCK_MONOTONIC.
"""

from __future__ import annotations

import errno
import socket
import time
from typing import Final

from rustun.backends import socket_filter
from rustun.backends.base import Callback, Reactor, Timer
from rustun.backends.host_snapshot import ROUTE_PROTOCOL
from rustun.backends.socket_filter import DROP, IF_EQUAL, IF_GREATER, LOAD_BYTE, LOAD_HALF, PASS, RETURN
from rustun.errors import HostError

GATHER_SECONDS: Final = 0.05  # a cable that is pulled makes a handful of news within some milliseconds
SPACING_SECONDS: Final = 0.2  # between two calls, whatever a host does to its interfaces
CLOCK_SECONDS: Final = 1.0  # between looks at the clocks
SLEPT_SECONDS: Final = 0.5  # the clocks are read one after the other
READS_PER_TURN: Final = 64
MESSAGE_BYTES: Final = 32_768  # the kernel puts no more into one
TABLE_PREFIX: Final = b"rustun-"  # of the names of our nftables tables

# rtnetlink(7), linux/rtnetlink.h and linux/netfilter/nfnetlink.h
RTNLGRP_LINK, RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV4_RULE = 1, 5, 7, 8
RTNLGRP_IPV6_IFADDR, RTNLGRP_IPV6_ROUTE, RTNLGRP_IPV6_RULE = 9, 11, 19
ROUTE_GROUPS: Final = (
    RTNLGRP_LINK,
    RTNLGRP_IPV4_IFADDR,
    RTNLGRP_IPV4_ROUTE,
    RTNLGRP_IPV4_RULE,
    RTNLGRP_IPV6_IFADDR,
    RTNLGRP_IPV6_ROUTE,
    RTNLGRP_IPV6_RULE,
)
NETLINK_NETFILTER: Final = 12
NFNLGRP_NFTABLES: Final = 7
RTM_NEWROUTE, RTM_DELROUTE = 24, 25
TYPE_AT: Final = 4  # nlmsg_type in struct nlmsghdr, in the host's byte order
PREFIX_LENGTH_AT, PROTOCOL_AT = 17, 21  # rtm_dst_len and rtm_protocol in the struct rtmsg behind it
DEFAULT_LIKE_BITS: Final = 7  # a prefix as short as this takes a part of what the default route had

FILTER: Final = (
    (LOAD_HALF, 0, 0, TYPE_AT),
    (IF_EQUAL, 2, 0, socket.htons(RTM_NEWROUTE)),  # a load takes the network's byte order
    (IF_EQUAL, 3, 0, socket.htons(RTM_DELROUTE)),
    (RETURN, 0, 0, PASS),
    (LOAD_BYTE, 0, 0, PROTOCOL_AT),
    (IF_EQUAL, 5, 2, ROUTE_PROTOCOL),  # we made it
    (LOAD_BYTE, 0, 0, PROTOCOL_AT),
    (IF_EQUAL, 2, 0, ROUTE_PROTOCOL),  # ours was taken away
    (LOAD_BYTE, 0, 0, PREFIX_LENGTH_AT),
    (IF_GREATER, 1, 0, DEFAULT_LIKE_BITS),
    (RETURN, 0, 0, PASS),
    (RETURN, 0, 0, DROP),
)


class LinuxNetworkMonitor:
    """Watches the network namespace that the process is in.

    Args:
        reactor: where it runs.
    """

    def __init__(self, reactor: Reactor) -> None:
        self._reactor = reactor
        self._on_change: Callback = _nobody_asks
        self._sockets: list[socket.socket] = []
        self._slept_s = 0.0
        self._told_at = 0.0
        self._clock_timer: Timer | None = None
        self._timer: Timer | None = None  # the call that is due

    def start(self, on_change: Callback) -> None:
        """Call back, from now on, a moment after a change that may matter. Raises: HostError."""
        self._on_change = on_change
        try:
            routes = _listen(socket.NETLINK_ROUTE, ROUTE_GROUPS)
        except OSError as error:
            raise HostError(f"cannot watch this host's network: {error.strerror or error}") from error
        self._sockets.append(routes)
        self._reactor.watch(routes, lambda: self._read(routes, b""), None)
        try:
            firewall = _listen(NETLINK_NETFILTER, (NFNLGRP_NFTABLES,))
        except OSError:  # no nftables on this host, so no rules of ours that somebody might take away
            pass
        else:
            self._sockets.append(firewall)
            self._reactor.watch(firewall, lambda: self._read(firewall, TABLE_PREFIX), None)
        self._slept_s = slept_seconds()
        self._look_at_clocks()

    def close(self) -> None:
        """Stop; a second call is harmless."""
        for sock in self._sockets:
            self._reactor.unwatch(sock)
            sock.close()
        self._sockets = []
        for timer in (self._timer, self._clock_timer):
            if timer is not None:
                timer.cancel()

    def _read(self, sock: socket.socket, wanted: bytes) -> None:
        """Empty a socket; `wanted` has to stand in a message for it to matter."""
        for _ in range(READS_PER_TURN):
            try:
                matters = wanted in sock.recv(MESSAGE_BYTES)
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                matters = True
            if matters:
                self._note()

    def _look_at_clocks(self) -> None:
        slept_s = slept_seconds()
        if slept_s > self._slept_s + SLEPT_SECONDS:
            self._note()
        self._slept_s = slept_s
        self._clock_timer = self._reactor.call_at(self._reactor.now() + CLOCK_SECONDS, self._look_at_clocks)

    def _note(self) -> None:
        if self._timer is None:
            when = max(self._reactor.now() + GATHER_SECONDS, self._told_at + SPACING_SECONDS)
            self._timer = self._reactor.call_at(when, self._tell)

    def _tell(self) -> None:
        self._timer = None
        self._told_at = self._reactor.now()
        self._on_change()


def slept_seconds() -> float:
    """Return how long this host has been suspended since it was started."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) - time.clock_gettime(time.CLOCK_MONOTONIC)


def _listen(family: int, groups: tuple[int, ...]) -> socket.socket:
    sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, family)
    try:
        if family == socket.NETLINK_ROUTE:
            socket_filter.attach(sock, FILTER)
        sock.bind((0, sum(1 << group - 1 for group in groups)))
    except OSError:
        sock.close()
        raise
    return sock


def _nobody_asks() -> None:
    pass
