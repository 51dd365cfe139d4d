"""A packet socket: sees what crosses an interface, as any analyser does (packet(7)).

Rules of this module
  1. The kernel copies, and only while the socket is there; whoever has the interface notices nothing.
  2. What finds no room waits for nobody: the kernel drops it for this socket alone, and counts it.
  3. Every packet has the time at which the kernel saw it, and its direction.
"""

from __future__ import annotations

import errno
import socket
import struct
from dataclasses import dataclass
from typing import Final

from rustun.backends import socket_filter
from rustun.backends.socket_filter import DROP, RETURN
from rustun.errors import HostError, RightsError

ROOM_BYTES: Final = 16 << 20  # of the kernel's memory: some 150 packets of 64 KiB, or 15,000 small ones
LARGEST_BYTES: Final = 1 << 17  # a packet of a TUN device has 64 KiB at the most
_ETH_P_ALL: Final = 3
_SO_RCVBUFFORCE: Final = 33
_SO_TIMESTAMPNS: Final = 35
_SOL_PACKET: Final = 263
_STATISTICS: Final = 6
_TIMESPEC: Final = struct.Struct("=qq")
_COUNTS: Final = struct.Struct("=II")
_GONE: Final = frozenset({errno.ENETDOWN, errno.ENODEV, errno.ENXIO})


@dataclass(frozen=True, slots=True)
class Seen:
    """A packet, as it crossed the interface; `at_ns` in nanoseconds since 1970, `goes_out`: the host sent it."""

    at_ns: int
    goes_out: bool
    data: bytes
    length: int


class PacketSocket:
    """Sees the packets of one interface from now on.

    Args:
        device: name of the interface.
        kept_bytes: of each packet, at the most.

    Raises: RightsError: not without CAP_NET_RAW. HostError: there is no such interface.
    """

    def __init__(self, device: str, kept_bytes: int = LARGEST_BYTES) -> None:
        self._device = device
        self._buffer = memoryview(bytearray(LARGEST_BYTES))
        self._kept = kept_bytes
        self._received = self._dropped = 0
        try:
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, 0)
        except PermissionError as error:
            raise RightsError("no permission to see packets", "run it as root, or with CAP_NET_RAW") from error
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
            try:
                self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, ROOM_BYTES)
            except PermissionError:  # CAP_NET_RAW alone: as much as net.core.rmem_max allows
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, ROOM_BYTES)
            self._socket.bind((device, _ETH_P_ALL))  # only now: before, it would see all interfaces
        except OSError as error:
            self._socket.close()
            remedy = "rustun status shows the device of the client"
            raise HostError(f"cannot see packets of {device}: {error.strerror}", remedy) from error

    def fileno(self) -> int:
        """Return the descriptor, -1 once closed."""
        return self._socket.fileno()

    def read(self) -> Seen | None:
        """Return the next packet, None when none waits. Raises: HostError: the interface is gone or down."""
        try:
            length, told, _, (_, _, kind, *_) = self._socket.recvmsg_into([self._buffer], 64, socket.MSG_TRUNC)
        except BlockingIOError:
            return None
        except OSError as error:
            what = "is gone, or was set down" if error.errno in _GONE else f"tells no more: {error.strerror}"
            raise HostError(f"{self._device} {what}") from error
        stamp = next(value for level, number, value in told if number == _SO_TIMESTAMPNS)
        seconds, nanoseconds = _TIMESPEC.unpack(stamp)
        data = bytes(self._buffer[: min(length, self._kept, LARGEST_BYTES)])
        return Seen(seconds * 1_000_000_000 + nanoseconds, kind == socket.PACKET_OUTGOING, data, length)

    def shut(self) -> None:
        """See no more; what crossed before can still be read."""
        socket_filter.attach(self._socket, ((RETURN, 0, 0, DROP),))

    def counts(self) -> tuple[int, int]:
        """Return how many packets came, and how many of them found no room."""
        came, dropped = _COUNTS.unpack(self._socket.getsockopt(_SOL_PACKET, _STATISTICS, _COUNTS.size))
        self._received += came  # the kernel counts from the last question on
        self._dropped += dropped
        return self._received, self._dropped

    def close(self) -> None:
        """See no more; a second call is harmless."""
        self._socket.close()
