"""Reading IP packets that somebody else made: is this one packet, and may its item ask for offloads?

Rules of this module
  1. No object per packet: ints in, ints out, headers read in place.
  2. A packet is forwarded by its addresses alone. What is checked is what the kernel at the far end must be able to
     rely on: a version of 4 or 6, headers inside the packet, the length that its item says, no fragment that reaches
     over 65,535 bytes. Fragments are never reassembled and never looked into.
  3. An item that asks for offloads (checksum missing, segment size) must be one from which the receiver can derive
     everything its kernel wants to know: unfragmented, an IPv4 header without options or an IPv6 header whose next
     header is directly TCP or UDP, and a whole transport header. Everything else must come complete.
  4. A segment size without the checksum bit is refused: each segment needs a checksum of its own, so the large packet
     cannot have one.
  5. `mtu` bounds what a receiver gets in one packet: the packet itself or, when it has a segment size, each segment.

Layout of an item in a data record (docs/protocol.md, section 4), big endian:
    0       1               3        5
    | flags | segment bytes | length | IP packet ...
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import Final

Buffer = bytes | bytearray | memoryview

ITEM: Final = struct.Struct("!BHH")  # flags, segment size (0 = none), length of the packet; sizes in bytes
ITEM_HEADER_BYTES: Final = ITEM.size
FLAG_CHECKSUM_MISSING: Final = 1  # the TCP or UDP checksum field holds nothing of use
MIN_SEGMENT_BYTES: Final = 500  # a segment size of 1 made 60,000 packets of one record; the least honest MSS is 516
MAX_PACKET_BYTES: Final = 0xFFFF  # the length fields of IP have 16 bits

TCP: Final = 6
UDP: Final = 17
PLAIN_IPV4: Final = 0x45  # first byte: version 4, a header of five words, so no options
IPV4_HEADER_BYTES: Final = 20
IPV6_HEADER_BYTES: Final = 40
TCP_HEADER_BYTES: Final = 20
UDP_HEADER_BYTES: Final = 8

_IPV4: Final = struct.Struct("!BxHxxHxB").unpack_from  # version and IHL, total length, fragment field, protocol
_IPV6: Final = struct.Struct("!4xHB").unpack_from  # payload length, next header
_U16: Final = struct.Struct("!H").unpack_from
_IPV4_KEY: Final = struct.Struct("12x8s").unpack_from  # both addresses, as they stand
_IPV6_KEY: Final = struct.Struct("8x32s").unpack_from
_IPV4_ADDRESSES: Final = struct.Struct("!II").unpack

_FRAGMENTED: Final = 0x3FFF  # more fragments, or an offset (RFC 791 section 3.1)
_FRAGMENT_OFFSET: Final = 0x1FFF  # in units of 8 bytes
_IPV6_FRAGMENT: Final = 44
_IPV6_AUTHENTICATION: Final = 51  # counts its length in words of 4 bytes, less 2 (RFC 4302 section 2.2)
_IPV6_OPTIONS: Final = frozenset({0, 43, 60})  # hop-by-hop, routing, destination options: 8-byte units, less 1
_MAX_EXTENSION_HEADERS: Final = 8  # RFC 8200 needs no more; 8,000 tiny ones would cost a millisecond to walk


class DropReason(IntEnum):
    """Why a packet goes no further; 0 is no reason at all."""

    BAD_PACKET = 1
    BAD_OFFLOAD = 2
    TOO_BIG = 3

    @property
    def label(self) -> str:
        """The word for counters and status, such as "bad-packet"."""
        return self.name.lower().replace("_", "-")


def examine(buffer: Buffer, start: int, length: int, flags: int, segment_bytes: int, mtu: int) -> int:
    """Judge one packet and what its item asks for.

    Args:
        buffer: holds at least `start + length` bytes.
        start: where the packet begins.
        length: of the packet as its item says it, 0 to 65535 bytes.
        flags: of the item, 0 to 255.
        segment_bytes: of the item, 0 to 65535; 0 for none.
        mtu: the largest packet that the receiver is to get, bytes.

    Returns: 0, or the DropReason.
    """
    if length < IPV4_HEADER_BYTES:
        return DropReason.BAD_PACKET
    first, total, fragment, protocol = _IPV4(buffer, start)
    if first == PLAIN_IPV4 and not fragment & _FRAGMENTED:
        if total != length:
            return DropReason.BAD_PACKET
        transport = IPV4_HEADER_BYTES
    elif first >> 4 == 6:
        transport = _examine_ipv6(buffer, start, length)
        protocol = TCP if transport < 0 else buffer[start + 6]
    else:
        transport = _examine_unusual_ipv4(first, total, fragment, length)
    if transport < 0:
        return DropReason.BAD_PACKET
    if not flags and not segment_bytes:
        return 0 if length <= mtu else DropReason.TOO_BIG
    if not transport or flags != FLAG_CHECKSUM_MISSING:
        return DropReason.BAD_OFFLOAD
    headers = transport + _transport_header_bytes(buffer, start + transport, length - transport, protocol)
    if headers == transport:
        return DropReason.BAD_OFFLOAD
    if not segment_bytes:
        return 0 if length <= mtu else DropReason.TOO_BIG
    fits = MIN_SEGMENT_BYTES <= segment_bytes <= mtu - headers and segment_bytes < length - headers
    return 0 if fits else DropReason.BAD_OFFLOAD


def _examine_unusual_ipv4(first: int, total: int, fragment: int, length: int) -> int:
    """Judge an IPv4 header with options, or of a fragment: 0 when it stands, -1 when not."""
    header_bytes = (first & 0xF) * 4
    stands = (
        first >> 4 == 4
        and IPV4_HEADER_BYTES <= header_bytes <= length
        and total == length
        and (fragment & _FRAGMENT_OFFSET) * 8 + length <= MAX_PACKET_BYTES
    )
    return 0 if stands else -1


def _examine_ipv6(buffer: Buffer, start: int, length: int) -> int:
    """Return where TCP or UDP directly follows (40), 0 when something else does, -1 when the packet is malformed.

    Jumbograms (RFC 2675) say a payload length of 0 and are refused with the rest: no item is that long.
    """
    if length < IPV6_HEADER_BYTES:
        return -1
    payload_bytes, next_header = _IPV6(buffer, start)
    if payload_bytes != length - IPV6_HEADER_BYTES:
        return -1
    if next_header in (TCP, UDP):
        return IPV6_HEADER_BYTES
    return _walk_extension_headers(buffer, start + IPV6_HEADER_BYTES, start + length, next_header)


def _walk_extension_headers(buffer: Buffer, at: int, end: int, next_header: int) -> int:
    """Look for a fragment header that reaches too far, RFC 8200 section 4.5: -1, else 0.

    A chain that is cut off is the receiver's business, as in any router; one too long to walk is refused, because
    something may hide behind it.
    """
    begin = at
    for _ in range(_MAX_EXTENSION_HEADERS):
        if at + 8 > end:
            return 0
        if next_header == _IPV6_FRAGMENT:
            # What it reassembles to: offset, this part, and the extension headers in front of the fragment header.
            reach = (_U16(buffer, at + 2)[0] & 0xFFF8) + end - begin - 8
            return 0 if reach <= MAX_PACKET_BYTES else -1
        if next_header in _IPV6_OPTIONS:
            header_bytes = (buffer[at + 1] + 1) * 8
        elif next_header == _IPV6_AUTHENTICATION:
            header_bytes = (buffer[at + 1] + 2) * 4
        else:
            return 0
        next_header = buffer[at]
        at += header_bytes
    return -1


def _transport_header_bytes(buffer: Buffer, at: int, length: int, protocol: int) -> int:
    """Return the size of the TCP or UDP header at `at`, or 0 when there is no whole one within `length` bytes."""
    if protocol == UDP:
        # A datagram shorter than its packet is legal, but a kernel sums to the packet's end: it must come complete.
        return UDP_HEADER_BYTES if length >= UDP_HEADER_BYTES and _U16(buffer, at + 4)[0] == length else 0
    if protocol == TCP and length >= TCP_HEADER_BYTES:
        header_bytes: int = (buffer[at + 12] >> 4) * 4
        return header_bytes if TCP_HEADER_BYTES <= header_bytes <= length else 0
    return 0


def flow_key(buffer: Buffer, start: int) -> bytes:
    """Return source and destination of an examined packet as they stand: 8 bytes (IPv4) or 32 bytes (IPv6)."""
    key: bytes = (_IPV4_KEY if buffer[start] < 0x60 else _IPV6_KEY)(buffer, start)[0]
    return key


def flow_addresses(key: bytes) -> tuple[int, int, int]:
    """Return (IP version, source, destination) of a flow key."""
    if len(key) == 8:
        source, destination = _IPV4_ADDRESSES(key)
        return 4, source, destination
    return 6, int.from_bytes(key[:16], "big"), int.from_bytes(key[16:], "big")
