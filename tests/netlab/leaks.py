"""Programs that want to get out of a host all the time, and a detector of what leaves it in clear.

Rules of this module
  1. The programs send from before a client's first start on; so the detector has seen each of their packets in clear
     before none is to be seen.
  2. The detector is a packet socket at the far end of the host's cable. It fails where it missed anything.
"""

from __future__ import annotations

import select
import socket
import struct
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from ipaddress import ip_address
from itertools import cycle
from time import monotonic

from netlab.worlds.running import PORT, SERVER
from netlab.worlds.site import BUFFER_BYTES, ETH_P_ALL, PACKET_OUTGOING, PATIENCE_S
from rustun.backends.base import Address
from tests.netlab.crashes import World

GLOBAL = ("8.8.8.8", "2001:4860::8")
SOURCES = {4: "198.18.1.2", 6: "2a00:1::2"}
PACE_S = 0.003  # between packets of each kind
CONNECT_EVERY = 5  # packets; a connection is given up after as many more as are kept
KEPT_CONNECTIONS = 40
PORT_OF = {"free": 5301, "own address": 5302, "by interface": 5303}
GUEST_PORT, TCP_PORT = 5304, 443
KINDS = {f"udp {target} {port}" for target in GLOBAL for port in PORT_OF.values()}
KINDS |= {f"tcp {target} {TCP_PORT}" for target in GLOBAL}  # all, as the detector tells them
SO_BINDTODEVICE = 25  # Linux
ETH_P_ARP = 0x0806  # linux/if_ether.h
SOL_PACKET, PACKET_STATISTICS = 263, 6  # linux/if_packet.h
TCP, UDP, HOP_BY_HOP, ICMP6 = 6, 17, 0, 58
NAMES = {TCP: "tcp", UDP: "udp"}


class Programs:
    """What wants to get out of the host all the time, from a thread of its own; use as a context.

    UDP of each kind of PORT_OF, and TCP, for both IP versions; a guest's over IPv4.
    """

    def __init__(self, world: World) -> None:
        self._host = world.host
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._host.do, args=(self._send,))
        ports = {**PORT_OF, "guest": GUEST_PORT}
        self._sinks = {
            (kind, target): world.internet.udp(target, port) for kind, port in ports.items() for target in GLOBAL
        }
        self._guest = world.guest.udp("192.168.10.7")

    def __enter__(self) -> Programs:
        self._thread.start()
        return self

    def __exit__(self, *reason: object) -> None:
        self._ended.set()
        self._thread.join()
        for sink in (*self._sinks.values(), self._guest):
            sink.close()

    def until_heard(self, kind: str, address: str, source: str) -> None:
        """Wait for a datagram of that kind from now on, with this source."""
        sink = self._sinks[kind, address]
        while select.select([sink], [], [], 0)[0]:
            sink.recv(100)
        limit = monotonic() + PATIENCE_S
        while (found := sink.recvfrom(100)[1][0]) != source:
            assert monotonic() < limit, f"{kind} to {address} comes from {found}, not {source}"

    def _send(self) -> None:
        with ExitStack() as stack:
            senders = [*self._senders(stack), (self._guest, (GLOBAL[0], GUEST_PORT))]
            connections: deque[socket.socket] = deque()
            for turn in cycle(range(CONNECT_EVERY)):
                if self._ended.wait(PACE_S):
                    break
                for sender, address in senders:
                    with suppress(OSError):  # what the kernel says to whoever is refused
                        sender.sendto(b"out", address)
                for target in GLOBAL if turn == 0 else ():
                    connections.append(_connecting(target))
                while len(connections) > KEPT_CONNECTIONS:
                    connections.popleft().close()
            for connection in connections:
                connection.close()

    def _senders(self, stack: ExitStack) -> Iterator[tuple[socket.socket, tuple[str, int]]]:
        for target in GLOBAL:
            version = ip_address(target).version
            for kind, port in PORT_OF.items():
                family = socket.AF_INET if version == 4 else socket.AF_INET6
                sender = stack.enter_context(socket.socket(family, socket.SOCK_DGRAM))
                sender.setblocking(False)
                if kind == "own address":
                    sender.bind((SOURCES[version], 0))
                if kind == "by interface":
                    sender.setsockopt(socket.SOL_SOCKET, SO_BINDTODEVICE, b"eth0")
                yield sender, (target, port)


class Detector:
    """Tells what left the host in clear, at the far end of its cable; use as a context."""

    def __init__(self, world: World) -> None:
        def listen() -> socket.socket:
            listening = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ETH_P_ALL))
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
            listening.bind(("host", ETH_P_ALL))
            return listening

        self._socket = world.internet.do(listen)

    def __enter__(self) -> Detector:
        return self

    def __exit__(self, *reason: object) -> None:
        self._socket.close()

    def seen(self) -> set[str]:
        """Return what left since the last call, but for TCP to the server, DHCP, ARP and neighbour discovery."""
        found = set()
        while select.select([self._socket], [], [], 0)[0]:
            packet, (_, protocol, kind, *_) = self._socket.recvfrom(1 << 16)
            if kind != PACKET_OUTGOING:
                found.add(in_clear(packet) if protocol != ETH_P_ARP else "")
        _, missed = struct.unpack("II", self._socket.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))
        assert missed == 0, f"the detector missed {missed} packets"
        return found - {""}

    def saw_nothing(self, during: str) -> None:
        """Fail where anything was seen since the last call."""
        seen = self.seen()
        assert not seen, f"in clear, {during}: {sorted(seen)}"


def in_clear(packet: bytes) -> str:
    """Return what an observer reads of an IP packet, "" where it may leave."""
    if packet[0] >> 4 == 4:
        protocol, start = packet[9], 4 * (packet[0] & 15)
        target: Address = ip_address(packet[16:20])
    else:
        protocol, start = packet[6], 40
        target = ip_address(packet[24:40])
    ports = struct.unpack_from("!HH", packet, start) if protocol in (TCP, UDP) else (0, 0)
    if protocol == TCP and (str(target), ports[1]) == (SERVER, PORT):
        return ""
    if protocol == UDP and ports in ((68, 67), (546, 547)):
        return ""
    multicast_report = protocol == HOP_BY_HOP and str(target) == "ff02::16"
    if multicast_report or (protocol == ICMP6 and 133 <= packet[start] <= 136):  # RFC 3810; RFC 4861, section 4
        return ""
    return f"{NAMES.get(protocol, protocol)} {target} {ports[1]}"


def _connecting(address: str) -> socket.socket:
    connection = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
    connection.setblocking(False)
    connection.connect_ex((address, TCP_PORT))
    return connection
