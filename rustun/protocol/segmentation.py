"""Turning one large or unfinished packet into packets that a receiver can take.

A sender with offloads hands over up to 64 KB of one TCP stream, or several datagrams in a row, as one packet and leaves
the cutting and the checksums to whoever is last able to (docs/protocol.md, section 4). This module is that last one for
receivers whose kernel cannot: a peer from the seed, another platform, a device without offloads.

Rules of this module
  1. Headers are copied, and only these fields differ between segments (what a kernel does as well):
       IPv4      total length; identification counts up; header checksum
       IPv6      payload length
       TCP       sequence number; FIN and PSH on the last only; CWR on the first only (RFC 3168 section 6.1.2); checksum
       UDP       length; checksum
  2. A TCP segment is cut down to the receiver's MTU, since it is a stretch of a stream; a datagram never is.
  3. A receiver that takes unfinished checksums gets them unfinished: summing is nine tenths of the work here.
"""

from __future__ import annotations

import struct
from typing import Final

from rustun.protocol.checksum import (
    TCP_CHECKSUM_AT,
    UDP_CHECKSUM_AT,
    address_sum,
    complete,
    ones_complement_sum,
    transport_checksum,
)
from rustun.protocol.packet import (
    FLAG_CHECKSUM_MISSING,
    IPV4_HEADER_BYTES,
    IPV6_HEADER_BYTES,
    MIN_SEGMENT_BYTES,
    PLAIN_IPV4,
    TCP,
    UDP,
    UDP_HEADER_BYTES,
    Buffer,
)

Item = tuple[int, int, Buffer]  # flags, segment bytes, packet: what stands in a data record

_U8: Final = struct.Struct("!B").pack_into
_U16: Final = struct.Struct("!H").pack_into
_U16_U16: Final = struct.Struct("!HH").pack_into
_U32: Final = struct.Struct("!I").pack_into
_TCP_SEQUENCE_FLAGS: Final = struct.Struct("!4xI5xB").unpack_from
_READ_U16: Final = struct.Struct("!H").unpack_from

_TCP_LAST_ONLY: Final = 0x09  # FIN, PSH
_TCP_FIRST_ONLY: Final = 0x80  # CWR


def lower(packet: memoryview, flags: int, segment_bytes: int, offloads: frozenset[str], mtu: int) -> list[Item]:
    """Turn one examined item into items that a receiver can take.

    Args:
        packet: exactly the item's packet.
        flags: of the item.
        segment_bytes: of the item.
        offloads: what the receiver takes: a subset of {"csum", "tso4", "tso6", "uso"}.
        mtu: of the receiver, at least 576 bytes.

    Returns: the item itself where nothing has to be done (`packet` is then not copied), else new ones, in order.
    """
    if not flags:
        return [(0, 0, packet)]
    takes_unfinished = "csum" in offloads
    if not segment_bytes:
        if takes_unfinished:
            return [(flags, 0, packet)]
        finished = bytearray(packet)
        complete(finished)
        return [(0, 0, finished)]
    transport, protocol, kind = _describe(packet)
    if protocol == TCP:
        segment_bytes = min(segment_bytes, mtu - transport - (packet[transport + 12] >> 4) * 4)
    if takes_unfinished and kind in offloads and segment_bytes >= MIN_SEGMENT_BYTES:
        return [(flags, segment_bytes, packet)]
    pieces = segment(packet, segment_bytes, transport, protocol, address_sum(packet), finish=not takes_unfinished)
    left = FLAG_CHECKSUM_MISSING if takes_unfinished else 0
    return [(left, 0, piece) for piece in pieces]


def _describe(packet: memoryview) -> tuple[int, int, str]:
    """Return (offset of the transport header, protocol, name of the segmentation offload) of an examined packet."""
    if packet[0] == PLAIN_IPV4:
        protocol = packet[9]
        return IPV4_HEADER_BYTES, protocol, "uso" if protocol == UDP else "tso4"
    protocol = packet[6]
    return IPV6_HEADER_BYTES, protocol, "uso" if protocol == UDP else "tso6"


def segment(
    packet: memoryview, segment_bytes: int, transport: int, protocol: int, addresses: int, *, finish: bool
) -> list[bytearray]:
    """Cut a large TCP or UDP packet into packets of at most `segment_bytes` of payload each.

    Args:
        packet: exactly one packet with a whole TCP or UDP header.
        segment_bytes: payload per segment, 1 to 65535.
        transport: offset of the TCP or UDP header; IP options and extension headers before it are copied.
        protocol: TCP or UDP.
        addresses: sum of the addresses in the pseudo header (`checksum.address_sum`).
        finish: whether to fill in checksums, else the field holds the pseudo header's sum.
    """
    is_tcp = protocol == TCP
    headers = transport + ((packet[transport + 12] >> 4) * 4 if is_tcp else UDP_HEADER_BYTES)
    sequence, tcp_flags = _TCP_SEQUENCE_FLAGS(packet, transport) if is_tcp else (0, 0)
    template = bytearray(packet[:headers])
    checksum_at = transport + (TCP_CHECKSUM_AT if is_tcp else UDP_CHECKSUM_AT)
    write_ip_lengths = _ipv4_writer(template, transport) if packet[0] < 0x60 else _write_ipv6_length
    if is_tcp:
        _U32(template, transport + 4, 0)
        _U8(template, transport + 13, 0)
    _U16(template, checksum_at, 0)
    constant = addresses + protocol + (ones_complement_sum(template[transport:]) if finish else 0)

    pieces: list[bytearray] = []
    end = len(packet)
    for number, at in enumerate(range(headers, end, segment_bytes)):
        payload = packet[at : at + segment_bytes]
        piece = template + payload
        write_ip_lengths(piece, number)
        pieces.append(piece)
    return pieces
