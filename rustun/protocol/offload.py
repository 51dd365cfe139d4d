"""The border to the kernel: its offload header on one side, a data record's item on the other (Linux).

Rules of this module
  1. The kernel's header never travels. A peer's header can make a receiving kernel rewrite addresses after our source
     check; so the wire carries one bit and a segment size, and the receiver derives the header from the packet.
  2. What does not come out the same when derived (`examine` would refuse it, or csum_start points elsewhere) is
     finished or cut here, at the sender, and travels complete.
  3. The checksum field under the checksum bit is not believed either: it is written anew before the kernel sees it.

Layout of struct virtio_net_hdr, native byte order (linux/virtio_net.h):
    0       1          2         4          6            8             10
    | flags | gso_type | hdr_len | gso_size | csum_start | csum_offset |
"""

from __future__ import annotations

import struct
from typing import Final

from rustun.protocol.checksum import CHECKSUM_AT, finish_partial, write_pseudo_sum
from rustun.protocol.packet import (
    FLAG_CHECKSUM_MISSING,
    IPV4_HEADER_BYTES,
    IPV6_HEADER_BYTES,
    MAX_PACKET_BYTES,
    PLAIN_IPV4,
    TCP,
    UDP,
    UDP_HEADER_BYTES,
    Buffer,
    examine,
)
from rustun.protocol.segmentation import segment

HEADER: Final = struct.Struct("=BBHHHH")
NEEDS_CHECKSUM: Final = 1  # VIRTIO_NET_HDR_F_NEEDS_CSUM
GSO_NONE: Final = 0
GSO_TCP4: Final = 1
GSO_TCP6: Final = 4
GSO_UDP: Final = 5  # VIRTIO_NET_HDR_GSO_UDP_L4, both IP versions, Linux 6.2 and later

COMPLETE: Final = (0, 0)  # item flags and segment size of a packet that needs nothing
UNFINISHED: Final = (FLAG_CHECKSUM_MISSING, 0)

_UNPACK: Final = HEADER.unpack_from
_PACK: Final = HEADER.pack_into
_NO_HEADER: Final = bytes(HEADER.size)
_READ_U16: Final = struct.Struct("!H").unpack_from


def from_kernel(header: Buffer, packet: Buffer, length: int) -> tuple[int, int] | None:
    """Say how a packet that was read from our own kernel can travel.

    Args:
        header: the 10 bytes in front of it.
        packet: the packet at its beginning.
        length: of the packet, bytes.

    Returns: (flags, segment bytes) of its item, or None: use `cut_from_kernel`.
    """
    kernel_bits, gso_type, _, segment_bytes, csum_start, csum_offset = _UNPACK(header)
    if not kernel_bits & NEEDS_CHECKSUM and gso_type == GSO_NONE:
        return COMPLETE
    if packet[0] == PLAIN_IPV4:
        transport, protocol, tcp_type = IPV4_HEADER_BYTES, packet[9], GSO_TCP4
    else:
        transport, protocol, tcp_type = IPV6_HEADER_BYTES, packet[6], GSO_TCP6
    if csum_start != transport or csum_offset != CHECKSUM_AT.get(protocol):
        return None
    if gso_type == GSO_NONE:
        return UNFINISHED
    if gso_type != (tcp_type if protocol == TCP else GSO_UDP) or not segment_bytes:
        return None
    if examine(packet, 0, length, FLAG_CHECKSUM_MISSING, segment_bytes, MAX_PACKET_BYTES):
        return None
    return FLAG_CHECKSUM_MISSING, segment_bytes


def cut_from_kernel(header: Buffer, packet: memoryview) -> list[bytearray]:
    """Turn a packet that cannot travel as it is into complete packets.

    Args:
        header: the 10 bytes in front of it.
        packet: exactly the packet, as our own kernel handed it over.

    Returns: the packets in order; none for a segmentation type that nobody asked the kernel for.
    """
    kernel_bits, gso_type, _, segment_bytes, csum_start, csum_offset = _UNPACK(header)
    if gso_type == GSO_NONE:
        finished = bytearray(packet)
        if kernel_bits & NEEDS_CHECKSUM:
            finish_partial(finished, csum_start, csum_offset)
        return [finished]
    if gso_type not in (GSO_TCP4, GSO_TCP6, GSO_UDP) or not kernel_bits & NEEDS_CHECKSUM or not segment_bytes:
        return []
    protocol = UDP if gso_type == GSO_UDP else TCP
    # The kernel's own pseudo header knows the final destination behind a routing header; we would have to look for it.
    addresses = _READ_U16(packet, csum_start + csum_offset)[0] - protocol - (len(packet) - csum_start)
    return segment(packet, segment_bytes, csum_start, protocol, addresses, finish=True)


def to_kernel(flags: int, segment_bytes: int, packet: memoryview, length: int, header: bytearray) -> None:
    """Derive the header for our own kernel and prepare the packet for it.

    Args:
        flags: of the item.
        segment_bytes: of the item.
        packet: begins with the item's packet, which `examine` passed; its checksum field is written anew.
        length: of the packet, bytes.
        header: 10 bytes that take the result.
    """
    if not flags:
        header[:] = _NO_HEADER
        return
    if packet[0] == PLAIN_IPV4:
        transport, protocol, gso_type = IPV4_HEADER_BYTES, packet[9], GSO_TCP4
    else:
        transport, protocol, gso_type = IPV6_HEADER_BYTES, packet[6], GSO_TCP6
    write_pseudo_sum(packet, transport, protocol, length)
    if not segment_bytes:
        # The kernel finds the headers' length by itself when nothing has to be cut.
        _PACK(header, 0, NEEDS_CHECKSUM, GSO_NONE, 0, 0, transport, CHECKSUM_AT[protocol])
    elif protocol == TCP:
        headers = transport + (packet[transport + 12] >> 4) * 4
        _PACK(header, 0, NEEDS_CHECKSUM, gso_type, headers, segment_bytes, transport, CHECKSUM_AT[TCP])
    else:
        headers = transport + UDP_HEADER_BYTES
        _PACK(header, 0, NEEDS_CHECKSUM, GSO_UDP, headers, segment_bytes, transport, CHECKSUM_AT[UDP])
