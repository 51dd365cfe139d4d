"""pcapng files, written: the few blocks that a capture of this project consists of.

Rules of this module
  1. Bytes out; who writes them writes whole blocks, so that the file can be read at any moment.
  2. A file begins with a section header and one interface description for each tap. Times are nanoseconds since 1970.
     Interface statistics come last: what each tap received, and what was lost on the way here.
  3. Each packet says in which direction it crossed its interface, as seen by the host that has it.

Block (byte order of the writer, pcapng 1.0, draft-ietf-opsawg-pcapng section 3):
    | type | total length | body, filled up to 4 bytes | total length |
    option: | code | length | value, filled up to 4 bytes |, ended by code 0
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

LINKTYPE_ETHERNET: Final = 1
LINKTYPE_RAW: Final = 101  # begins with the IP header
INBOUND: Final = 1
OUTBOUND: Final = 2

SECTION_BLOCK: Final = 0x0A0D0D0A
INTERFACE_BLOCK: Final = 1
STATISTICS_BLOCK: Final = 5
PACKET_BLOCK: Final = 6
BYTE_ORDER: Final = 0x1A2B3C4D
NANOSECONDS: Final = 9  # if_tsresol: ten to the power of minus 9

COMMENT: Final = 1  # options
SECTION_APPLICATION: Final = 4
INTERFACE_NAME: Final = 2
INTERFACE_DESCRIPTION: Final = 3
INTERFACE_RESOLUTION: Final = 9
INTERFACE_FILTER: Final = 11
STATISTICS_RECEIVED: Final = 4
STATISTICS_DROPPED: Final = 5
PACKET_FLAGS: Final = 2

EDGES: Final = struct.Struct("=II")
PEER: Final = "cable to "  # in the description of an interface
_ENHANCED: Final = struct.Struct("=IIIIIII")  # type, length, interface, time high and low, captured, original length
_TAIL: Final = struct.Struct("=HHIII")  # flags option, end of options (all zero), total length
_FIXED: Final = _ENHANCED.size + _TAIL.size
_PADDING: Final = (b"", b"\0\0\0", b"\0\0", b"\0")


@dataclass(frozen=True, slots=True)
class Interface:
    """A tap as the file describes it.

    Attributes:
        filter: the expression that packets had to match, if any.
        peer: the tap at the other end of its cable, whether that is in the file or not; "" for none.
    """

    name: str
    linktype: int
    filter: str = ""
    peer: str = ""


def header(interfaces: list[Interface], comment: str = "") -> bytes:
    """Return the beginning of a file, in which the taps are numbered as they are listed here."""
    section = struct.pack("=IHHq", BYTE_ORDER, 1, 0, -1)
    options = _option(COMMENT, comment.encode()) + _option(SECTION_APPLICATION, b"rustun")
    blocks = [_block(SECTION_BLOCK, section + options + _option(0, b""))]
    for one in interfaces:
        options = _option(INTERFACE_NAME, one.name.encode()) + _option(INTERFACE_RESOLUTION, bytes([NANOSECONDS]))
        if one.peer:
            options += _option(INTERFACE_DESCRIPTION, f"{PEER}{one.peer}".encode())
        if one.filter:
            options += _option(INTERFACE_FILTER, b"\0" + one.filter.encode())  # 0: in words, not as a program
        blocks.append(_block(INTERFACE_BLOCK, struct.pack("=HHI", one.linktype, 0, 0) + options + _option(0, b"")))
    return b"".join(blocks)


def packet(number: int, at_ns: int, data: bytes, length: int, direction: int) -> bytes:
    """Return the block of a packet.

    Args:
        number: of its tap, from 0.
        data: as much of it as was captured.
        length: all its bytes.
        direction: INBOUND or OUTBOUND.
    """
    captured = len(data)
    total = _FIXED + (captured + 3 & ~3)
    head = _ENHANCED.pack(PACKET_BLOCK, total, number, at_ns >> 32, at_ns & 0xFFFFFFFF, captured, length)
    return head + data + _PADDING[captured & 3] + _TAIL.pack(PACKET_FLAGS, 4, direction, 0, total)


def tap_of(block: bytes) -> int:
    """Return the number of the tap that a packet's block names."""
    return int(_ENHANCED.unpack_from(block)[2])


def statistics(number: int, at_ns: int, received: int, dropped: int) -> bytes:
    """Return the block that says what a tap received and how much of it was lost, packets."""
    body = struct.pack("=III", number, at_ns >> 32, at_ns & 0xFFFFFFFF)
    counts = _option(STATISTICS_RECEIVED, struct.pack("=Q", received))
    return _block(
        STATISTICS_BLOCK, body + counts + _option(STATISTICS_DROPPED, struct.pack("=Q", dropped)) + _option(0, b"")
    )


def _block(kind: int, body: bytes) -> bytes:
    total = len(body) + 12
    return EDGES.pack(kind, total) + body + struct.pack("=I", total)


def _option(code: int, value: bytes) -> bytes:
    if code == COMMENT and not value:
        return b""
    return struct.pack("=HH", code, len(value)) + value + _PADDING[len(value) & 3]
