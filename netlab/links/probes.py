"""Send probes over a link itself and write down when each arrived: what the verdict on an impairment is made from.

Rules
  1. A probe is an Ethernet frame of the type for local experiments (IEEE 802, 88-B5), sent as any other frame of the
     sending node and caught as it comes in at the other end. No stack answers it and no address is needed.
  2. When it arrived is the kernel's own word (SO_TIMESTAMPNS), so a busy machine makes the reading late but not the
     figure. When it was sent is written into it.
  3. Many links are probed at once, in one loop; nothing waits longer than the last probe can take.

    frame: destination 6 | source 6 | 88 b5 | token 8 | number 4 | sent at 8 (ns, realtime) | zeros
"""

from __future__ import annotations

import ctypes
import os
import select
import socket
import struct
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from time import monotonic, time_ns
from typing import Final

from netlab.namespaces import NetworkNamespace
from netlab.topology import Port

ETHER_TYPE: Final = 0x88B5
ETHERNET_BYTES: Final = 14
LEAST_FRAME_BYTES: Final = 60
_HEADER: Final = struct.Struct("!6s6sH8sIQ")
_ETH_P_ALL: Final = 0x0003
_SO_ATTACH_FILTER: Final = 26
_SO_TIMESTAMPNS: Final = 35
_TIMESPEC: Final = struct.Struct("@qq")
_BUFFER_BYTES: Final = 16 << 20
_SO_SNDBUFFORCE: Final = 32
_SO_RCVBUFFORCE: Final = 33
_AT_ONCE: Final = 32  # then those that came are taken: an ordinary user's buffers hold not much more
_STEP_S: Final = 0.001  # probes of a train that are due within it leave together
_TEST_NET_1: Final = bytes((192, 0, 2, 1))  # RFC 5737
_TEST_NET_2: Final = bytes((198, 51, 100, 1))
_READ_BYTES: Final = 80
# Classic BPF: the Ethernet type is the probes', or it is IPv4 with ICMP "destination unreachable".
_ONLY_PROBES: Final = (
    (0x28, 0, 0, 12),  # load the half word at 12
    (0x15, 5, 0, ETHER_TYPE),  # if it equals, skip 5: take it
    (0x15, 0, 5, 0x0800),  # if it does not, skip 5: leave it
    (0x30, 0, 0, 23),  # load the byte at 23: the protocol
    (0x15, 0, 3, 1),
    (0x30, 0, 0, 34),  # the ICMP type, where the IP header has no options, as ours
    (0x15, 0, 1, 3),
    (0x06, 0, 0, 0x40000),  # take all of it
    (0x06, 0, 0, 0),  # take nothing
)


@dataclass(frozen=True, slots=True)
class Train:
    """Probes to send: how many, of how many bytes with the Ethernet header, how far apart in seconds."""

    count: int
    size: int
    spacing_s: float


@dataclass(frozen=True, slots=True)
class Arrival:
    """A probe that came: its number in the train, when it was sent and when it arrived, in seconds of one clock."""

    number: int
    sent: float
    arrived: float


class Gauge:
    """Both ends of one direction of a link, open for probes until `close`.

    Raises:
        OSError: an end does not exist or is not ours to open.
    """

    def __init__(self, sender: Port, receiver: Port, namespaces: Mapping[str, NetworkNamespace]) -> None:
        self._addresses = bytes.fromhex((receiver.mac + sender.mac).replace(":", ""))
        self._out = namespaces[sender.node].run(partial(_open_out, sender.name))
        self._in = namespaces[receiver.node].run(partial(_open_in, receiver.name))
        self._token = b""
        self.arrivals: list[Arrival] = []
        self.icmp_errors = 0  # of those sent by `send_icmp_error`, how many came

    def fileno(self) -> int:
        """Return the descriptor on which probes arrive."""
        return self._in.fileno()

    def begin(self) -> None:
        """Forget all arrivals; probes sent until now are strangers from now on."""
        self._token = os.urandom(8)
        self.arrivals, self.icmp_errors = [], 0

    def send(self, number: int, size: int) -> bool:
        """Send a probe; return False when the interface refuses its size."""
        sent = time_ns()
        frame = _HEADER.pack(self._addresses[:6], self._addresses[6:], ETHER_TYPE, self._token, number, sent)
        try:
            self._out.send(frame.ljust(size, b"\0"))
        except OSError:
            return False
        return True

    def send_icmp_error(self) -> None:
        """Send an ICMP "fragmentation needed" between addresses for documentation; nobody forwards or answers it."""
        ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + 8 + 8, 0, 0, 1, 1, 0, _TEST_NET_1, _TEST_NET_2)
        frame = self._addresses + b"\x08\x00" + ip + struct.pack("!BBHI", 3, 4, 0, 0) + self._token
        with suppress(OSError):
            self._out.send(frame.ljust(LEAST_FRAME_BYTES, b"\0"))

    def receive(self) -> None:
        """Write down all probes that have come."""
        with suppress(BlockingIOError):
            while True:
                frame, ancillary, _, _ = self._in.recvmsg(_READ_BYTES, 64)
                _, _, kind, token, number, sent = _HEADER.unpack_from(frame)
                if kind == ETHER_TYPE and token == self._token:
                    seconds, nanoseconds = _TIMESPEC.unpack(ancillary[0][2])
                    self.arrivals.append(Arrival(number, sent / 1e9, seconds + nanoseconds / 1e9))
                self.icmp_errors += kind != ETHER_TYPE and self._token in frame

    def close(self) -> None:
        """Close both ends."""
        self._out.close()
        self._in.close()


def _open_out(device: str) -> socket.socket:
    out = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0)
    with suppress(OSError):  # an ordinary user's buffers stay small: a train then waits for its own probes
        out.setsockopt(socket.SOL_SOCKET, _SO_SNDBUFFORCE, _BUFFER_BYTES)
    out.bind((device, 0))
    return out


def _open_in(device: str) -> socket.socket:
    """Open all protocols (a bridge's port gives its frames to no others) and let only probes in."""
    catching = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0)
    program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in _ONLY_PROBES))
    attached = struct.pack("HP", len(_ONLY_PROBES), ctypes.addressof(program))
    catching.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, attached)
    catching.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
    try:
        catching.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER_BYTES)
    except OSError:  # an ordinary user gets net.core.rmem_max, twice the usual: what holds a train of probes
        catching.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
    catching.bind((device, _ETH_P_ALL))
    catching.setblocking(False)
    return catching


def run(trains: Sequence[tuple[Gauge, Train]], patience_s: float, icmp_errors: int = 0) -> None:
    """Send trains on all gauges at once and collect what arrives, into each gauge's `arrivals`.

    Args:
        trains: at most one for each gauge.
        patience_s: how long after the last probe to wait for those that have not come.
        icmp_errors: how many of them to send on each gauge first.
    """
    for gauge, _ in trains:
        gauge.begin()
        for _ in range(icmp_errors):
            gauge.send_icmp_error()
    began = monotonic()
    sent = [0] * len(trains)
    last = began
    while any(count < train.count for count, (_, train) in zip(sent, trains, strict=True)):
        now, late = monotonic(), False
        for place, (gauge, train) in enumerate(trains):
            due = train.count if not train.spacing_s else min(train.count, int((now - began) / train.spacing_s) + 1)
            until = min(due, sent[place] + _AT_ONCE)
            for number in range(sent[place], until):
                gauge.send(number, train.size)
            sent[place], late = until, late or until < due
        last = monotonic()
        _collect([gauge for gauge, _ in trains], 0.0 if late else _STEP_S)
    while (left := last + patience_s - monotonic()) > 0:
        missing = [gauge for gauge, train in trains if len({one.number for one in gauge.arrivals}) < train.count]
        if not missing:
            return
        _collect(missing, left)


def _collect(gauges: Sequence[Gauge], seconds: float) -> None:
    poll = select.poll()
    by_descriptor = {gauge.fileno(): gauge for gauge in gauges}
    for descriptor in by_descriptor:
        poll.register(descriptor, select.POLLIN)
    for descriptor, _ in poll.poll(seconds * 1000):
        by_descriptor[descriptor].receive()
