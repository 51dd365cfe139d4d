"""A TUN device and a host's network in memory (base.TunDevice, base.HostNetwork).

Rules of this module
  1. A test plays the host: `send` puts a packet into the device, `received` is what came out of it.
  2. What is routed and what is refused is decided by the real plan (host_plan.py) over a made-up host.
"""

from __future__ import annotations

import ipaddress
from collections import deque
from dataclasses import replace

from rustun.backends.base import OFFLOAD_HEADER_BYTES, Buffer, HostPlan, HostReport, HostState
from rustun.backends.host_judgement import accept_addresses, local_addresses
from rustun.backends.host_plan import plan_routes
from rustun.backends.host_snapshot import RTPROT_KERNEL, Link, Route, Snapshot, device_route
from rustun.backends.memory.reactor import VirtualReactor
from rustun.errors import HostError, RightsError

NO_OFFLOAD = bytes(OFFLOAD_HEADER_BYTES)
ALL_OFFLOADS = frozenset({"csum", "tso4", "tso6", "uso"})
ETHERNET, TUN = 2, 99  # interface indexes of the made-up host's network card, and of our device
PLAIN_HOST = Snapshot(
    links=(Link(1, "lo", "", True, 65536), Link(ETHERNET, "eth0", "", True, 1500)),
    addresses=((ETHERNET, ipaddress.ip_interface("198.51.100.2/24")),),
    routes=(
        device_route(ipaddress.ip_network("198.51.100.0/24"), ETHERNET, RTPROT_KERNEL),
        Route(ipaddress.ip_network("0.0.0.0/0"), ETHERNET, 4),
        Route(ipaddress.ip_network("::/0"), ETHERNET, 4),
    ),
)


class MemoryTun:
    """A TUN device whose host is the test.

    Attributes:
        received: (offload header, packet) of each that was written to the device, oldest first.
        refuses: while set, the host refuses every packet.
        down: whether somebody set the device down; it refuses every packet until `apply` sets it up.
        queue_packets: room for packets that nobody has read; more are dropped, as the kernel does.
    """

    def __init__(self, reactor: VirtualReactor, name: str, offloads: frozenset[str] = ALL_OFFLOADS) -> None:
        self.received: list[tuple[bytes, bytes]] = []
        self.refuses = False
        self.down = False
        self.queue_packets = 500
        self._reactor = reactor
        self._name = name
        self._offloads = offloads
        self._number = reactor.next_number()
        self._sent: deque[tuple[bytes, bytes]] = deque()
        self._gone = False

    @property
    def name(self) -> str:
        """The interface's name."""
        return self._name

    @property
    def offloads(self) -> frozenset[str]:
        """What the host hands over and takes."""
        return self._offloads

    def fileno(self) -> int:
        """Return the descriptor, or -1 once closed."""
        return self._number

    def readable(self) -> bool:
        """Return whether a packet is there, or the device is gone."""
        return bool(self._sent) or self._gone

    def writable(self) -> bool:
        """Return True: a host always takes a packet or refuses it."""
        return True

    def send(self, packet: bytes, header: bytes = NO_OFFLOAD) -> bool:
        """Let the host send a packet; return False where the queue is full."""
        if len(self._sent) >= self.queue_packets:
            return False
        self._sent.append((header, packet))
        self._reactor.poke(self)
        return True

    def vanish(self) -> None:
        """Delete the device underneath its reader."""
        self._gone = True
        self._reactor.poke(self)

    def is_up(self) -> bool:
        """Return whether the device is up. Raises: HostError when it is gone."""
        self._check_there()
        return not self.down

    def read_into(self, header: memoryview, packet: memoryview) -> int | None:
        """Read one packet, None when nothing is there. Raises: HostError when the device is gone."""
        self._check_there()
        if not self._sent:
            return None
        sent_header, sent = self._sent.popleft()
        header[:OFFLOAD_HEADER_BYTES] = sent_header
        packet[: len(sent)] = sent
        return len(sent)

    def write(self, header: Buffer, *packet: Buffer) -> bool:
        """Give the host a packet; False where it refuses. Raises: HostError when the device is gone."""
        self._check_there()
        if self.refuses or self.down:
            return False
        self.received.append((bytes(header), b"".join(packet)))
        return True

    def close(self) -> None:
        """Close the descriptor."""
        self._number = -1

    def _check_there(self) -> None:
        if self._gone or self._number < 0:
            raise HostError(f"TUN device {self._name} is gone")


class MemoryHostNetwork:
    """A host's network as a record.

    Args:
        reactor: whose time the devices live in.
        host: what the host has beside us.

    Attributes:
        host: what the host has beside us.
        state: what is wished now, None after `clear`.
        tuns: every device that was opened, oldest first.
        may_open: False makes `open_tun` fail for want of rights.
        broken: while not empty, `apply` fails with this text.
        left: what cannot be taken off, a line each.
        flushed: whether somebody has taken what was set up off the host; `apply` sets it up again.
    """

    def __init__(self, reactor: VirtualReactor, host: Snapshot = PLAIN_HOST) -> None:
        self.host = host
        self.state: HostState | None = None
        self.tuns: list[MemoryTun] = []
        self.may_open = True
        self.broken = ""
        self.left: tuple[str, ...] = ()
        self.flushed = False
        self._reactor = reactor

    def open_tun(self, name: str, mtu: int, offload: bool) -> MemoryTun:
        """Create a device. Raises: RightsError, HostError (name taken)."""
        if not self.may_open:
            raise RightsError("no permission to create a TUN device", "run it as root")
        taken = {tun.name for tun in self.tuns if tun.fileno() >= 0}
        candidates = (name.replace("%d", str(number)) for number in range(len(taken) + 1))
        chosen = next((text for text in candidates if text not in taken), None)
        if chosen is None:
            raise HostError(f"TUN device {name} is held by a running process", "choose another name (--tun)")
        tun = MemoryTun(self._reactor, chosen, ALL_OFFLOADS if offload else frozenset())
        self.tuns.append(tun)
        return tun

    def apply(self, wished: HostState) -> HostReport:
        """Note what is wished and report as the real plan would. Raises: HostError."""
        if self.broken:
            raise HostError(self.broken)
        down = [tun for tun in self.tuns if tun.down and tun.name == wished.device]
        changes = len(down) + self.flushed + (wished != self.state)
        self.state = wished
        self.flushed = False
        for tun in down:
            tun.down = False
        return replace(self._judged(wished), changes=changes)

    def plan(self, wished: HostState) -> HostPlan:
        """Return a line per address and route that the real plan would set."""
        report = self._judged(wished)
        addresses = (f"ip address add {address} dev {wished.device}" for address in report.addresses)
        routes = (f"ip route add {prefix} dev {wished.device}" for prefix in report.routed)
        return HostPlan((*addresses, *routes), report)

    def _judged(self, wished: HostState) -> HostReport:
        link = Link(TUN, wished.device, "tun", True, wished.mtu)
        snapshot = replace(self.host, links=(*self.host.links, link))
        accepted, refused = accept_addresses(wished, snapshot, link)
        plan = plan_routes(accepted, snapshot, link)
        return HostReport(
            tuple(route.prefix for route in plan.routes),
            {**dict(plan.refused), **refused},
            accepted.addresses,
            elsewhere=plan.elsewhere,
            local=local_addresses(self.host, None),
            offers_exit=wished.forwarding.offer_exit,
        )

    def clear(self) -> tuple[str, ...]:
        """Forget what was wished."""
        self.state = None
        return self.left
