"""A Linux host's network, made as wished and left as it was (base.HostNetwork).

Rules of this module
  1. What is done, and in which order, is the business of `host_changes.py` and `host_executor.py`; here is who may do
     it: one client for each device, which holds that device's journal while it lives.
  2. What an earlier client of the same device left is taken off when the device is made. Its firewall table stays until
     the first wish: a kill switch has no gap between two clients.
  3. A journal that cannot be had is a warning: what can be taken off without one is still set up.
  4. The netlink library is imported when a host is first looked at, so whoever gives up before pays nothing for it.
"""

from __future__ import annotations

import shlex
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rustun.backends import nft, tun
from rustun.backends.base import HostPlan, HostReport, HostState
from rustun.backends.host_changes import Changes, Facts, plan_changes
from rustun.backends.host_journal import STATE_DIR, HostJournal, Kept, devices
from rustun.backends.host_snapshot import Link
from rustun.backends.host_steps import LoadTable, Step
from rustun.backends.host_table import HostTable
from rustun.errors import HostError, RightsError

if TYPE_CHECKING:
    from rustun.backends.rtnetlink import RouteSocket

GSO_MAX_BYTES: Final = 65_300  # lower: LAN hosts' packets are cut in software; higher: a record outgrows an outer send
TXQUEUELEN: Final = 1000  # packets: 10 ms of 100,000 small ones a second, which arrive while the loop serves others
UNUSED_INDEX: Final = 0x7FFFFFFF  # of an interface that is still to be made


class LinuxHostNetwork:
    """The network namespace that the process is in.

    Args:
        state_dir: folder of the journals; each namespace that clients live in needs its own.
    """

    def __init__(self, state_dir: Path = STATE_DIR) -> None:
        self._state_dir = state_dir
        self._journal: HostJournal | None = None
        self._table = HostTable("")
        self._device = ""

    def open_tun(self, name: str, mtu: int, offload: bool) -> tun.LinuxTun:
        """Create the TUN device, still down; `apply` sets it up.

        Raises: RightsError (no CAP_NET_ADMIN, no /dev/net/tun), HostError (name taken by a running process).
        """
        device = tun.open_device(name, offload)
        try:
            with _kernel(f"set up TUN device {device.name}") as sock:
                index = _check_there(device.name)
                sock.set_queue(index, mtu=mtu, txqueuelen=TXQUEUELEN, gso_max_size=GSO_MAX_BYTES)
                with suppress(OSError):  # a host without IPv6, or an MTU under 1280
                    sock.silence_ipv6(index)
                self._take_over(device.name, sock)
        except (HostError, RightsError):
            device.close()
            raise
        return device

    def apply(self, wished: HostState) -> HostReport:
        """Make the host as wished by the smallest set of changes; idempotent.

        Raises: HostError or RightsError when the device or an address is refused; call again after the cause is gone.
        """
        from rustun.backends.host_executor import Hands, bring_about  # rule 4

        with _kernel(f"configure {wished.device}") as sock:
            _check_there(wished.device)
            journal = self._take_over(wished.device, sock)
            outcome = bring_about(wished, Hands(sock, self._table, journal))
            warnings = (*journal.warnings, *outcome.report.warnings)
            return replace(outcome.report, warnings=warnings, changes=len(outcome.done))

    def plan(self, wished: HostState) -> HostPlan:
        """Return what `apply` would do; nothing is done, and no device is needed.

        Raises: HostError when the host cannot be looked at, or the device's name is taken.
        """
        from rustun.backends.host_executor import look  # rule 4

        with _kernel("look at this host") as sock:
            snapshot = sock.snapshot()
        journal = HostJournal(self._state_dir, wished.device, hold=False)
        commands: list[str] = []
        present = snapshot.link(wished.device)
        if present is None:
            link = Link(UNUSED_INDEX, wished.device, "tun", False, 0)
            snapshot = replace(snapshot, links=(*snapshot.links, link))
            device = shlex.quote(wished.device)
            commands += [
                f"ip tuntap add dev {device} mode tun",
                f"ip link set dev {device} txqueuelen {TXQUEUELEN} gso_max_size {GSO_MAX_BYTES}",
                f"ip link set dev {device} addrgenmode none",
            ]
        elif present.kind != "tun":
            raise tun.name_error(wished.device)
        elif wished.device != self._device:
            raise tun.held_error(wished.device)
        table = self._table if wished.device == self._device else HostTable(wished.device)
        facts = look(wished, snapshot, table, journal)
        names = {link.index: link.name for link in snapshot.links}
        changes = _foreseen(wished, facts, journal.kept)
        commands += [step.command(names) for step in changes.steps]
        return HostPlan(tuple(commands), changes.report)

    def clear(self) -> tuple[str, ...]:
        """Take off everything that `apply` put on; harmless when nothing is there. Never raises.

        Returns: a line for each thing that is left, and why.
        """
        from rustun.backends.host_executor import Hands, bring_about  # rule 4

        if self._journal is None:
            return ()
        try:
            with _kernel("clean up") as sock:
                outcome = bring_about(HostState(self._device, 0), Hands(sock, self._table, self._journal))
            left = outcome.report.warnings
        except (HostError, RightsError) as error:
            left = (f"not everything was taken off: {error}; rustun cleanup --device {self._device} tries again",)
        self._journal.close()
        self._journal = None
        return left

    def _take_over(self, device: str, sock: RouteSocket) -> HostJournal:
        """Hold the device's journal, and take off what an earlier client left; return the journal."""
        from rustun.backends.host_executor import Hands, bring_about  # rule 4

        if self._journal is not None and device == self._device:
            return self._journal
        left = self.clear()  # the kernel gave the device another number
        self._device, self._table = device, HostTable(device)
        self._journal = HostJournal(self._state_dir, device)
        outcome = bring_about(HostState(device, 0), Hands(sock, self._table, self._journal), keep_table=True)
        self._journal.warnings += (*left, *outcome.report.warnings, *self._take_off_of_the_dead(device))
        return self._journal

    def _take_off_of_the_dead(self, device: str) -> tuple[str, ...]:
        """Take off what clients of other devices left, whose guard would stop our packets; return what has to stay."""
        from rustun.backends.host_recovery import recover  # rule 4

        others = [other for other in devices(self._state_dir) if other != device]
        found = [recover(self._state_dir, other, keep_kill_switch=True) for other in others]
        return tuple(line for one in found if not one.running for line in one.left)


def _foreseen(wished: HostState, facts: Facts, kept: Kept) -> Changes:
    """Return the plan; without a firewall table where no program could load it."""
    changes = plan_changes(wished, facts, kept, {})
    try:
        nft.find()
    except HostError as error:
        refused: dict[Step, str] = {}
        while loads := [step for step in changes.steps if isinstance(step, LoadTable)]:
            refused |= dict.fromkeys(loads, f"{error.message}; {error.remedy}")
            changes = plan_changes(wished, facts, kept, refused)
    return changes


def _check_there(device: str) -> int:
    """Return the interface's number. Raises: HostError: it is gone."""
    try:
        return socket.if_nametoindex(device)
    except OSError as error:
        raise HostError(f"TUN device {device} is gone") from error


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
