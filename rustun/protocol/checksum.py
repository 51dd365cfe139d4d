"""The Internet checksum (RFC 1071), in C speed from pure Python.

A big-endian number modulo 0xFFFF is the one's-complement sum of its 16-bit words, because 2**16 is 1 modulo 0xFFFF.
So one conversion and one remainder replace a loop over words.

Rules of this module
  1. A sum is an int that matters only modulo 0xFFFF; sums may be added before they are reduced.
  2. One's complement has two zeros. A checksum field is written as `(0xFFFF - sum) % 0xFFFF`, which gives 0x0000,
     except in UDP, where 0 says "no checksum" and 0xFFFF goes on the wire (RFC 768, RFC 8200 section 8.1).
  3. Whoever asks for a transport checksum here has passed `packet.examine` with the checksum bit: the transport header
     is whole and directly behind an IPv4 header without options or an IPv6 header.
"""

from __future__ import annotations

import struct
from typing import Final

from rustun.protocol.packet import IPV4_HEADER_BYTES, IPV6_HEADER_BYTES, PLAIN_IPV4, TCP, UDP, Buffer

# Offset of the checksum field from the transport header's first byte: RFC 9293 section 3.1, RFC 768.
CHECKSUM_AT: Final = {TCP: 16, UDP: 6}

_IPV4_ADDRESSES: Final = struct.Struct("!12xII").unpack_from
_IPV6_ADDRESSES: Final = struct.Struct("!8xQQQQ").unpack_from
_WRITE: Final = struct.Struct("!H").pack_into


def ones_complement_sum(data: Buffer) -> int:
    """Return the one's-complement sum of `data` as 16-bit words, 0 to 0xFFFE; an odd last byte is padded with zero.

    Source: RFC 1071 section 1; 0 stands for both of its zeros.
    """
    total = int.from_bytes(data, "big")
    return (total << 8 if len(data) & 1 else total) % 0xFFFF


def address_sum(packet: Buffer) -> int:
    """Return the sum, not reduced, of a packet's addresses: their part of the pseudo header of TCP and UDP."""
    if packet[0] < 0x60:
        source, destination = _IPV4_ADDRESSES(packet)
        return source + destination  # type: ignore[no-any-return]
    return sum(_IPV6_ADDRESSES(packet))


def transport_checksum(total: int, protocol: int) -> int:
    """Turn the sum over pseudo header, transport header and payload into what the checksum field holds."""
    checksum = 0xFFFF - total % 0xFFFF
    return checksum % 0xFFFF if protocol == TCP else checksum


def write_pseudo_sum(packet: bytearray | memoryview, transport: int, protocol: int, length: int) -> None:
    """Put the pseudo header's sum into the checksum field, where a kernel that completes the checksum wants it.

    Args:
        packet: writable.
        transport: offset of its transport header.
        protocol: TCP or UDP.
        length: of the packet, bytes.
    """
    total = (address_sum(packet) + protocol + length - transport) % 0xFFFF
    _WRITE(packet, transport + CHECKSUM_AT[protocol], total)


def complete(packet: bytearray | memoryview) -> None:
    """Fill in the missing TCP or UDP checksum; what the field held before does not matter.

    Args:
        packet: exactly one examined packet, writable.
    """
    if packet[0] == PLAIN_IPV4:
        transport, protocol = IPV4_HEADER_BYTES, packet[9]
    else:
        transport, protocol = IPV6_HEADER_BYTES, packet[6]
    field = transport + CHECKSUM_AT[protocol]
    _WRITE(packet, field, 0)
    total = address_sum(packet) + protocol + len(packet) - transport + ones_complement_sum(packet[transport:])
    _WRITE(packet, field, transport_checksum(total, protocol))


def finish_partial(packet: bytearray | memoryview, csum_start: int, csum_offset: int) -> None:
    """Fill in a checksum that our own kernel left to its device, of whatever protocol (Linux CHECKSUM_PARTIAL).

    The field already holds the sum of what the checksum covers outside the packet's bytes, as a kernel leaves it.

    Args:
        packet: exactly one packet, writable.
        csum_start: offset of the first byte that is summed.
        csum_offset: offset of the 16-bit field from there; it lies inside the packet.
    """
    # 0xFFFF for a zero is right for UDP and equal to it for everybody else; the kernel does the same.
    _WRITE(packet, csum_start + csum_offset, 0xFFFF - ones_complement_sum(packet[csum_start:]))
