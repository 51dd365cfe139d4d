"""Addresses and routes of a Linux host, made as wished (base.HostNetwork).

Rules of this module
  1. Look, plan, act: the host is read anew at each `apply`, so it does not matter who changed what in between.
  2. Nothing is remembered but the pins of this process; everything else that is ours is told by its device or number.
  3. What the kernel refuses for one route is a line in the report; for the device or an address it is an error.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

from rustun.backends import rtnetlink, tun
from rustun.backends.base import HostReport, HostState, Prefix
from rustun.backends.host_plan import RoutePlan, plan_addresses, plan_routes
from rustun.backends.netlink import NetlinkSocket
from rustun.backends.rtnetlink import Link, Snapshot
from rustun.errors import HostError, RightsError

GSO_MAX_BYTES: Final = 65_300  # lower: LAN hosts' packets are cut in software; higher: a record outgrows an outer send
TXQUEUELEN: Final = 500  # packets that wait while the loop serves others
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
                link = _find(rtnetlink.take_snapshot(sock), device.name)
                sock.request(rtnetlink.set_link(link.index, mtu=mtu, txqueuelen=TXQUEUELEN, gso_max_size=GSO_MAX_BYTES))
                with suppress(OSError):  # a host without IPv6, or an MTU under 1280
                    sock.request(rtnetlink.silence_ipv6(link.index))
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
            snapshot = rtnetlink.take_snapshot(sock)
            link = _find(snapshot, wished.device)
            if not link.up or link.mtu != wished.mtu:
                sock.request(rtnetlink.set_link(link.index, up=True, mtu=wished.mtu))
            if _apply_addresses(sock, wished, snapshot, link):
                snapshot = rtnetlink.take_snapshot(sock)  # the kernel may have dropped routes with an address
            return self._apply_routes(sock, plan_routes(wished, snapshot, link, self._pins))

    def clear(self) -> None:
        """Take off everything that `apply` put on; harmless when nothing is there. Never raises."""
        nothing = HostState(self._device, 0)
        with suppress(HostError, RightsError), _kernel("clean up") as sock:
            snapshot = rtnetlink.take_snapshot(sock)
            link = snapshot.link(self._device)
            self._apply_routes(sock, plan_routes(nothing, snapshot, link, self._pins))
            if link is not None:
                _apply_addresses(sock, nothing, snapshot, link)

    def _apply_routes(self, sock: NetlinkSocket, plan: RoutePlan) -> HostReport:
        refused = dict(plan.refused)
        errors = sock.batch([rtnetlink.add_route(route, replace=True) for route in plan.pin])
        unsafe = [route.prefix.network_address for route, number in zip(plan.pin, errors, strict=True) if number]
        for route in plan.routes if unsafe else ():
            address = next((address for address in unsafe if address in route.prefix), None)
            if address is not None:
                refused[route.prefix] = f"covers the server's address {address}, whose path cannot be kept"
        add = [route for route in plan.add if route.prefix not in refused]
        errors = sock.batch([rtnetlink.add_route(route) for route in add])
        for route, number in zip(add, errors, strict=True):
            if number:
                refused[route.prefix] = f"the kernel says: {os.strerror(number)}"
        unsafe_now = [route for route in plan.routes if route.prefix in refused and route not in plan.add]
        sock.batch([rtnetlink.delete_route(route) for route in (*plan.remove, *unsafe_now)])
        sock.batch([rtnetlink.delete_route(route) for route in plan.unpin])
        self._pins = plan.pinned
        return HostReport(tuple(route.prefix for route in plan.routes if route.prefix not in refused), refused)


def _apply_addresses(sock: NetlinkSocket, wished: HostState, snapshot: Snapshot, link: Link) -> bool:
    """Make the device's addresses as wished; return whether any was taken off."""
    plan = plan_addresses(wished, snapshot, link)
    for address in plan.add:
        sock.request(rtnetlink.add_address(link.index, address))
    for number in sock.batch([rtnetlink.delete_address(link.index, address) for address in plan.remove]):
        if number and number not in NOT_THERE:
            raise OSError(number, os.strerror(number))
    if plan.remove:  # an address of the same network goes together with its elder
        for address in wished.addresses:
            sock.request(rtnetlink.add_address(link.index, address))
    return bool(plan.remove)


def _find(snapshot: Snapshot, device: str) -> Link:
    link = snapshot.link(device)
    if link is None:
        raise HostError(f"TUN device {device} is gone")
    return link


@contextmanager
def _kernel(task: str) -> Iterator[NetlinkSocket]:
    """Open a netlink socket; translate what the kernel refuses."""
    try:
        with NetlinkSocket() as sock:
            yield sock
    except PermissionError as error:
        raise RightsError(f"no permission to {task}", tun.RIGHTS_REMEDY) from error
    except OSError as error:
        raise HostError(f"cannot {task}: {error.strerror or error}") from error
