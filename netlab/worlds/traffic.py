"""Traffic that runs while a test changes something, and taps that see all that comes out of a tunnel.

Rules of this module
  1. Each has a thread and sockets of its own, made in its namespace; as a context it ends with the context at the
     latest, and `stop` waits for what is under way first.
  2. A tap reads below everything that a kernel might do with a packet.
"""

from __future__ import annotations

import hashlib
import select
import socket
import threading
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from itertools import count
from time import monotonic

from netlab.bench.load import ICMP_ECHO
from netlab.lab import TUN
from netlab.namespaces import NetworkNamespace

INTERVAL_S = 0.01
PATIENCE_S = 30.0  # only reached where something hangs
LAST_S = 5.0  # only waited for where something is missing
BUFFER_BYTES = 4 << 20
ETH_P_ALL = 3
BLOCK = hashlib.sha256(b"what is sent").digest() * 512  # 16 KiB
BLOCK_INTERVAL_S = 0.005  # 26 Mbit/s: enough to have packets under way at every moment
_identifiers = count(0x5200)


@dataclass(frozen=True)
class Echoes:
    """What became of echoes: how many were sent, and which never came back; the longest silence in seconds."""

    sent: int
    missing: tuple[int, ...]
    silence: float


class Pings(ExitStack):
    """Echo requests at an interval from one namespace to an address, until `stop`.

    Attributes:
        sent: how many so far.
    """

    def __init__(self, namespace: NetworkNamespace, address: str, interval_s: float = INTERVAL_S) -> None:
        super().__init__()
        self._interval_s = interval_s
        self._identifier = next(_identifiers)
        self._echo = self.enter_context(namespace.run(partial(_echo_socket, address)))
        self._stopping = threading.Event()
        self.callback(self._stopping.set)
        self._patience_s = 0.0
        self.sent = 0
        self._back: dict[int, float] = {}
        self._thread = _start(self._run)
        self.callback(self._thread.join)
        self.callback(self._stopping.set)

    def stop(self, patience_s: float = LAST_S) -> Echoes:
        """Send no more, and return what became of all that were sent; those that are missing are waited for so long."""
        self._patience_s = patience_s
        self._stopping.set()
        self._thread.join()
        missing = tuple(number for number in range(self.sent) if number not in self._back)
        times = sorted(self._back.values())
        silence = max((late - early for early, late in zip(times, times[1:], strict=False)), default=float("inf"))
        return Echoes(self.sent, missing, silence)

    def _run(self) -> None:
        began = monotonic()
        while not self._stopping.is_set():
            try:
                self._echo.send(_request(self._identifier, self.sent))
            except OSError:  # no way there at the moment: sent, and lost
                pass
            self.sent += 1
            self._listen(began + self.sent * self._interval_s, lambda: False)
        if self._patience_s:
            self._listen(monotonic() + self._patience_s, lambda: len(self._back) == self.sent)

    def _listen(self, until: float, enough: Callable[[], bool]) -> None:
        while not enough() and (left := until - monotonic()) > 0:
            if select.select((self._echo,), (), (), left)[0]:
                packet = self._echo.recv(2048)
                kind, _, _, identifier, number = ICMP_ECHO.unpack_from(packet, (packet[0] & 15) * 4)
                if (kind, identifier) == (0, self._identifier):
                    self._back.setdefault(number, monotonic())


def _echo_socket(address: str) -> socket.socket:
    echo = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
    echo.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
    echo.connect((address, 0))
    return echo


def _request(identifier: int, number: int) -> bytes:
    total = (8 << 8) + identifier + number
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ICMP_ECHO.pack(8, 0, ~total & 0xFFFF, identifier, number)


class Transfer(ExitStack):
    """One TCP connection inside a tunnel that carries blocks of known bytes, one each interval, until `stop`.

    Attributes:
        received: whole blocks that have arrived, all of them right.
    """

    def __init__(
        self,
        sender: NetworkNamespace,
        receiver: NetworkNamespace,
        address: str,
        interval_s: float = BLOCK_INTERVAL_S,
    ) -> None:
        super().__init__()
        self._interval_s = interval_s
        self.received = 0
        listener = receiver.run(lambda: socket.create_server((address, 0)))
        port = listener.getsockname()[1]
        with listener:
            self._out = self.enter_context(sender.run(lambda: socket.create_connection((address, port), PATIENCE_S)))
            self._in = self.enter_context(listener.accept()[0])
        self._in.settimeout(PATIENCE_S)
        self._stopping = threading.Event()
        self._sent = 0
        self._threads = (_start(self._send), _start(self._receive))
        for thread in self._threads:
            self.callback(thread.join)
        self.callback(self._stopping.set)

    def stop(self) -> tuple[int, int]:
        """Send no more; return how many blocks were sent and how many arrived as they were."""
        self._stopping.set()
        for thread in self._threads:
            thread.join()
        return self._sent, self.received

    def _send(self) -> None:
        while not self._stopping.wait(self._interval_s):
            self._out.sendall(BLOCK)
            self._sent += 1
        self._out.shutdown(socket.SHUT_WR)

    def _receive(self) -> None:
        held = b""
        while data := self._in.recv(1 << 16):
            held += data
            while len(held) >= len(BLOCK):
                assert held.startswith(BLOCK), "other bytes arrived than were sent"
                self.received += 1
                held = held[len(BLOCK) :]


class Tap(ExitStack):
    """Sees every packet that a member's tunnel delivers to its kernel.

    Args:
        namespace: of the member.
        both_ways: see also what the kernel sends into the tunnel.
    Attributes:
        packets: in the order of their coming; grows while the tap is open.
        times: when packets came (monotonic seconds), by their source.
    """

    def __init__(self, namespace: NetworkNamespace, *, both_ways: bool = False) -> None:
        super().__init__()
        self._both_ways = both_ways
        self.packets: list[bytes] = []
        self.times: dict[bytes, list[float]] = {}
        self._socket = self.enter_context(namespace.run(_packet_socket))
        self._changed = threading.Condition()
        self._wake, wake = socket.socketpair()
        self.enter_context(self._wake)
        self.enter_context(wake)
        thread = _start(self._run)
        self.callback(thread.join)
        self.callback(lambda: wake.send(b"."))

    def until(self, holds: Callable[[], object], seconds: float = PATIENCE_S) -> bool:
        """Wait until what was seen is as wanted; False when it is not after `seconds`."""
        with self._changed:
            return self._changed.wait_for(lambda: bool(holds()), seconds)

    def until_more(self, source: bytes, packets: int = 1) -> bool:
        """Wait for more packets of a source than there are now; False when they do not come."""
        return self.until_there_are(len(self.times.get(source, ())) + packets, source)

    def until_there_are(self, packets: int, source: bytes) -> bool:
        """Wait for so many packets of a source in all; False when they do not come."""
        return self.until(lambda: len(self.times.get(source, ())) >= packets)

    def _run(self) -> None:
        while self._wake not in (ready := select.select((self._socket, self._wake), (), ())[0]):
            packet, (_, _, direction, *_) = ready[0].recvfrom(1 << 16)
            if self._both_ways or direction != socket.PACKET_OUTGOING:
                with self._changed:
                    self.packets.append(packet)
                    self.times.setdefault(addresses(packet)[0], []).append(monotonic())
                    self._changed.notify_all()


def addresses(packet: bytes) -> tuple[bytes, bytes]:
    """Return source and destination of an IP packet."""
    start, length = (12, 4) if packet[0] >> 4 == 4 else (8, 16)
    return packet[start : start + length], packet[start + length : start + 2 * length]


def _packet_socket() -> socket.socket:
    tap = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ETH_P_ALL))
    tap.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
    tap.bind((TUN, ETH_P_ALL))
    return tap


def _start(work: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=work)
    thread.start()
    return thread
