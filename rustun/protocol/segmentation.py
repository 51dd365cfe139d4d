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
from collections.abc import Iterator
from typing import Final

from rustun.protocol.checksum import (
    CHECKSUM_AT,
    address_sum,
    complete,
    ones_complement_sum,
    transport_checksum,
)
from rustun.protocol.packet import (
    FLAG_CHECKSUM_MISSING,
    IPV4_HEADER_BYTES,
    IPV6_HEADER_BYTES,
    ITEM,
    ITEM_HEADER_BYTES,
    MIN_SEGMENT_BYTES,
    PLAIN_IPV4,
    TCP,
    UDP,
    UDP_HEADER_BYTES,
    Buffer,
)

Item = tuple[int, int, Buffer]  # flags, segment bytes, packet: what stands in a data record

_READ_U16: Final = struct.Struct("!H").unpack_from
_READ_U32: Final = struct.Struct("!I").unpack_from
_WRITE_U16: Final = struct.Struct("!H").pack_into
_WRITE_U16_U16: Final = struct.Struct("!HH").pack_into
_WRITE_U32: Final = struct.Struct("!I").pack_into

_TCP_LAST_ONLY: Final = 0x09  # FIN, PSH
_TCP_FIRST_ONLY: Final = 0x80  # CWR


def lower_item(packet: memoryview, flags: int, segment_bytes: int, offloads: frozenset[str], mtu: int) -> list[Item]:
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


def lower_run(run: Buffer, offloads: frozenset[str], mtu: int, max_bytes: int) -> Iterator[bytearray]:
    """Turn a run of examined items into runs that a receiver can take.

    Cutting repeats headers, so what comes out may be more than fits one record.

    Args:
        run: whole items, one behind the other.
        offloads: what the receiver takes: a subset of {"csum", "tso4", "tso6", "uso"}.
        mtu: of the receiver, at least 576 bytes.
        max_bytes: longest run to return, at least that of the longest item in `run`.
    """
    view = memoryview(run)
    lowered = bytearray()
    start, end = 0, len(view)
    while start < end:
        flags, segment_bytes, length = ITEM.unpack_from(view, start)
        packet = view[start + ITEM_HEADER_BYTES : start + ITEM_HEADER_BYTES + length]
        start += ITEM_HEADER_BYTES + length
        for piece_flags, piece_segment_bytes, piece in lower_item(packet, flags, segment_bytes, offloads, mtu):
            if len(lowered) + ITEM_HEADER_BYTES + len(piece) > max_bytes:
                yield lowered
                lowered = bytearray()
            lowered += ITEM.pack(piece_flags, piece_segment_bytes, len(piece))
            lowered += piece
    if lowered:
        yield lowered


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
        finish: whether to fill in the checksums; else each field holds its pseudo header's sum.
    """
    headers = transport + ((packet[transport + 12] >> 4) * 4 if protocol == TCP else UDP_HEADER_BYTES)
    template = packet[:headers].tobytes()
    # An empty payload is one empty segment: a kernel may hand over a lone header with a segment size.
    starts = range(headers, max(len(packet), headers + 1), segment_bytes)
    pieces = [bytearray(template) + packet[at : at + segment_bytes] for at in starts]
    if packet[0] < 0x60:
        _renew_ipv4(pieces, transport)
    else:
        for piece in pieces:
            _WRITE_U16(piece, 4, len(piece) - IPV6_HEADER_BYTES)
    if protocol == TCP:
        _renew_tcp(pieces, transport, segment_bytes)
    else:
        for piece in pieces:
            _WRITE_U16(piece, transport + 4, len(piece) - transport)
    _renew_checksums(pieces, transport, protocol, addresses, finish=finish)
    return pieces


def _renew_ipv4(pieces: list[bytearray], header_bytes: int) -> None:
    """Write total length, identification and header checksum of each piece (RFC 791 section 3.1)."""
    identification = _READ_U16(pieces[0], 4)[0]
    bare = bytearray(pieces[0][:header_bytes])
    _WRITE_U16_U16(bare, 2, 0, 0)
    _WRITE_U16(bare, 10, 0)
    constant = ones_complement_sum(bare)
    for number, piece in enumerate(pieces, identification):
        _WRITE_U16_U16(piece, 2, len(piece), number & 0xFFFF)
        total = constant + len(piece) + (number & 0xFFFF)
        _WRITE_U16(piece, 10, (0xFFFF - total % 0xFFFF) % 0xFFFF)


def _renew_tcp(pieces: list[bytearray], transport: int, segment_bytes: int) -> None:
    """Write sequence number and flags of each piece (RFC 9293 section 3.1)."""
    sequence = _READ_U32(pieces[0], transport + 4)[0]
    flags_at = transport + 13
    first = flags = pieces[0][flags_at]
    for number, piece in enumerate(pieces):
        _WRITE_U32(piece, transport + 4, (sequence + number * segment_bytes) & 0xFFFFFFFF)
        piece[flags_at] = flags & ~_TCP_LAST_ONLY
        flags = first & ~_TCP_FIRST_ONLY
    pieces[-1][flags_at] |= first & _TCP_LAST_ONLY


def _renew_checksums(pieces: list[bytearray], transport: int, protocol: int, addresses: int, *, finish: bool) -> None:
    """Write the transport checksum of each piece, or what a kernel wants to find there to complete it."""
    field = transport + CHECKSUM_AT[protocol]
    for piece in pieces:
        total = addresses + protocol + len(piece) - transport
        if finish:
            _WRITE_U16(piece, field, 0)
            total += ones_complement_sum(memoryview(piece)[transport:])
            _WRITE_U16(piece, field, transport_checksum(total, protocol))
        else:
            _WRITE_U16(piece, field, total % 0xFFFF)
