"""Equal datagrams of one flow, one behind the other, become one write to the device.

A write of one small packet costs a kernel about four microseconds, most of it the same for any size. So a stretch of
datagrams that follow each other in a record is handed over as one large packet with a segment size (UDP segmentation
offload, Linux 6.2); the receiving socket gets each datagram for itself. The wire knows nothing of this.

Rules of this module
  1. Gathered are datagrams whose checksum is missing, so that each gets its own, right one. A complete packet goes on
     as it is: its checksum is its sender's, and a wrong one must arrive wrong.
  2. All have the same headers but for identification, length and checksum, and the same length; a shorter one may be
     the last. Nothing else is written in between, so the order of packets stays.
  3. The packets stay where they are, in the plain buffer: who gathers also writes before that buffer is used again.
"""

from __future__ import annotations

import struct
from typing import Final

from rustun.backends.base import TunDevice
from rustun.protocol.checksum import ones_complement_sum
from rustun.protocol.offload import to_kernel
from rustun.protocol.packet import (
    FLAG_CHECKSUM_MISSING,
    IPV4_HEADER_BYTES,
    IPV6_HEADER_BYTES,
    MAX_PACKET_BYTES,
    PLAIN_IPV4,
    UDP,
    UDP_HEADER_BYTES,
)

MAX_DATAGRAMS: Final = 64  # UDP_MAX_SEGMENTS of linux/udp.h
_HEAD4: Final = struct.Struct("!H4xI2x12s").unpack_from  # type of service; fragment, hops, protocol; addresses, ports
_HEAD6: Final = struct.Struct("!IxxH36s").unpack_from  # class and label; next header, hops; addresses, ports
_WRITE_U16: Final = struct.Struct("!H").pack_into


class DatagramGatherer:
    """Gathers datagrams for one write.

    Args:
        tun: the device; where it does not take "uso", nothing is gathered.
    Attributes:
        waits: whether something is gathered.
    """

    def __init__(self, tun: TunDevice) -> None:
        self._tun = tun
        self._takes_large = "uso" in tun.offloads
        self._head: tuple[object, ...] = ()
        self._length = 0  # of the first packet, bytes
        self._headers = 0  # IP and UDP, bytes
        self._parts: list[memoryview] = []
        self._bytes = 0  # of all packets as they came
        self._ended = False
        self.waits = False

    def add(self, plain: memoryview, start: int, length: int) -> bool:
        """Take one examined packet whose item has the checksum bit and no segment size.

        Returns: False when it does not go with what is gathered, or is no datagram: write first.
        """
        if plain[start] == PLAIN_IPV4:
            if plain[start + 9] != UDP:
                return False
            head, headers = _HEAD4(plain, start), IPV4_HEADER_BYTES + UDP_HEADER_BYTES
        else:
            if plain[start + 6] != UDP:
                return False
            head, headers = _HEAD6(plain, start), IPV6_HEADER_BYTES + UDP_HEADER_BYTES
        if length == headers or not self._takes_large:
            return False
        parts = self._parts
        if not parts:
            self._head, self._length, self._headers = head, length, headers
            parts.append(plain[start : start + length])
            self._bytes = length
            self.waits = True
            return True
        if (
            self._ended
            or head != self._head
            or length > self._length
            or len(parts) == MAX_DATAGRAMS
            or self._bytes + length - len(parts) * headers > MAX_PACKET_BYTES
        ):
            return False
        parts.append(plain[start + headers : start + length])
        self._bytes += length
        self._ended = length < self._length
        return True

    def write(self, header: bytearray) -> tuple[int, int, bool]:
        """Write what is gathered, and begin anew.

        Args:
            header: 10 bytes of scratch for the offload header.
        Returns: (packets, their bytes, whether the kernel took them).
        Raises: HostError when the device is gone; nothing is gathered then.
        """
        parts, self._parts = self._parts, []
        self._ended = self.waits = False
        count = len(parts)
        if not count:
            return 0, 0, True
        first, segment_bytes, length = parts[0], 0, self._length
        if count > 1:
            segment_bytes = length - self._headers
            length = self._bytes - (count - 1) * self._headers
            self._lengthen(first, length)
        to_kernel(FLAG_CHECKSUM_MISSING, segment_bytes, first, length, header)
        return count, self._bytes, self._tun.write(header, *parts)

    def _lengthen(self, packet: memoryview, length: int) -> None:
        """Write the lengths of the large packet, and with IPv4 its header's checksum (RFC 791 section 3.1)."""
        transport = self._headers - UDP_HEADER_BYTES
        _WRITE_U16(packet, transport + 4, length - transport)
        if transport == IPV6_HEADER_BYTES:
            _WRITE_U16(packet, 4, length - IPV6_HEADER_BYTES)
            return
        _WRITE_U16(packet, 2, length)
        _WRITE_U16(packet, 10, 0)
        _WRITE_U16(packet, 10, 0xFFFF - ones_complement_sum(packet[:IPV4_HEADER_BYTES]))
