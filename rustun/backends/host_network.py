"""Addresses and routes of a Linux host, made as wished (base.HostNetwork).

Rules of this module
  1. Look, plan, act: the host is read anew at each `apply`, so it does not matter who changed what in between.
  2. Nothing is remembered but the pins of this process; everything else that is ours is told by its device or number.
  3. What the kernel refuses for one route is a line in the report; for the device or an address it is an error.
  4. The netlink library is imported when a host is first looked at, so whoever gives up before pays nothing for it.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from rustun.backends import tun
from rustun.backends.base import HostReport, HostState, Prefix
from rustun.backends.host_judgement import accept_addresses
from rustun.backends.host_plan import RoutePlan, plan_addresses, plan_routes
from rustun.backends.host_snapshot import ROUTE_PROTOCOL, Link, Snapshot
from rustun.errors import HostError, RightsError

if TYPE_CHECKING:
    from rustun.backends.rtnetlink import RouteSocket

GSO_MAX_BYTES: Final = 65_300  # lower: LAN hosts' packets are cut in software; higher: a record outgrows an outer send
TXQUEUELEN: Final = 1000  # packets: 10 ms of 100,000 small ones a second, which arrive while the loop serves others
UNUSED_INDEX: Final = 0x7FFFFFFF  # of an interface that is still to be made
NOT_THERE: Final = frozenset({errno.ESRCH, errno.EADDRNOTAVAIL, errno.ENODEV, errno.ENOENT})


class LinuxHostNetwork:
    """Addresses and routes of the network namespace that the process is in."""

    def __init__(self) -> None:
        self._device = ""
        self._pins: frozenset[Prefix] = frozenset()

    def open_tun(self, name: str, mtu: int, offload: bool) -> tun.LinuxTun:
        """Create the TUN device, still down; `apply` sets it up.

        Raises: RightsError (no CAP_NET_ADMIN, no /dev/net/tun), HostError (name taken by a running process).
        """
        device = tun.open_device(name, offload)
        try:
            with _kernel(f"set up TUN device {device.name}") as sock:
                link = _find(sock.snapshot(), device.name)
                sock.set_queue(link.index, mtu=mtu, txqueuelen=TXQUEUELEN, gso_max_size=GSO_MAX_BYTES)
                with suppress(OSError):  # a host without IPv6, or an MTU under 1280
                    sock.silence_ipv6(link.index)
        except (HostError, RightsError):
            device.close()
            raise
        return device

    def apply(self, wished: HostState) -> HostReport:
        """Make the host as wished by the smallest set of changes; idempotent.

        Raises: HostError or RightsError when the device or an address is refused; call again after the cause is gone.
        """
        self._device = wished.device
        with _kernel(f"configure {wished.device}") as sock:
            snapshot = sock.snapshot()
            link = _find(snapshot, wished.device)
            if not link.up or link.mtu != wished.mtu:
                sock.set_up(link.index, wished.mtu)
            accepted, refused = accept_addresses(wished, snapshot, link)
            if _apply_addresses(sock, accepted, snapshot, link):
                snapshot = sock.snapshot()  # the kernel may have dropped routes with an address
            report = self._apply_routes(sock, plan_routes(accepted, snapshot, link, self._pins))
            return replace(report, refused={**report.refused, **refused}, addresses=accepted.addresses)

    def plan(self, wished: HostState) -> tuple[str, ...]:
        """Return what `apply` would do as commands for a shell, in order; nothing is done, and no device is needed.

        Raises: HostError when the host cannot be looked at.
        """
        with _kernel("look at this host") as sock:
            snapshot = sock.snapshot()
        link = snapshot.link(wished.device) or Link(UNUSED_INDEX, wished.device, "tun", False, 0)
        accepted, _ = accept_addresses(wished, snapshot, link)
        plan = plan_routes(accepted, snapshot, link)
        return (
            *(f"ip address add {address} dev {link.name} noprefixroute" for address in accepted.addresses),
            *(f"ip route add {route.prefix} dev {link.name} proto {ROUTE_PROTOCOL}" for route in plan.add),
        )

    def clear(self) -> None:
        """Take off everything that `apply` put on; harmless when nothing is there. Never raises."""
        nothing = HostState(self._device, 0)
        with suppress(HostError, RightsError), _kernel("clean up") as sock:
            snapshot = sock.snapshot()
            link = snapshot.link(self._device)
            self._apply_routes(sock, plan_routes(nothing, snapshot, link, self._pins))
            if link is not None:
                _apply_addresses(sock, nothing, snapshot, link)

    def _apply_routes(self, sock: RouteSocket, plan: RoutePlan) -> HostReport:
        refused = dict(plan.refused)
        errors = sock.add_routes(plan.pin, replace=True)
        unsafe = [route.prefix.network_address for route, number in zip(plan.pin, errors, strict=True) if number]
        for route in plan.routes if unsafe else ():
            address = next((address for address in unsafe if address in route.prefix), None)
            if address is not None:
                refused[route.prefix] = f"covers the server's address {address}, whose path cannot be kept"
        add = [route for route in plan.add if route.prefix not in refused]
        errors = sock.add_routes(add)
        for route, number in zip(add, errors, strict=True):
            if number:
                refused[route.prefix] = f"the kernel says: {os.strerror(number)}"
        unsafe_now = [route for route in plan.routes if route.prefix in refused and route not in plan.add]
        sock.delete_routes((*plan.remove, *unsafe_now))
        sock.delete_routes(plan.unpin)
        self._pins = plan.pinned
        return HostReport(tuple(route.prefix for route in plan.routes if route.prefix not in refused), refused)


def _apply_addresses(sock: RouteSocket, wished: HostState, snapshot: Snapshot, link: Link) -> bool:
    """Make the device's addresses as wished; return whether any was taken off."""
    plan = plan_addresses(wished, snapshot, link)
    for address in plan.add:
        sock.add_address(link.index, address)
    for address in plan.remove:
        try:
            sock.delete_address(link.index, address)
        except OSError as error:
            if error.errno not in NOT_THERE:
                raise
    if plan.remove:  # an address of the same network goes together with its elder
        for address in wished.addresses:
            sock.add_address(link.index, address)
    return bool(plan.remove)


def _find(snapshot: Snapshot, device: str) -> Link:
    link = snapshot.link(device)
    if link is None:
        raise HostError(f"TUN device {device} is gone")
    return link


@contextmanager
def _kernel(task: str) -> Iterator[RouteSocket]:
    """Open a netlink socket; translate what the kernel refuses."""
    from rustun.backends.rtnetlink import RouteSocket  # rule 4

    try:
        with RouteSocket() as sock:
            yield sock
    except PermissionError as error:
        raise RightsError(f"no permission to {task}", tun.RIGHTS_REMEDY) from error
    except OSError as error:
        raise HostError(f"cannot {task}: {error.strerror or error}") from error
