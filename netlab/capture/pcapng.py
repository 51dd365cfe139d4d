"""pcapng files, written and read: the few blocks that a capture of a laboratory consists of.

Rules of this module
  1. Bytes in, bytes out; who writes them writes whole blocks, so that the file can be read at any moment.
  2. A file begins with a section header and one interface description for each tap, named "bj-dev:eth0". Times are
     nanoseconds since 1970. Interface statistics come last: what each tap received, and what was lost on the way here.
  3. Each packet says in which direction it crossed its interface, as seen by the node that has it.
  4. What is read may be cut off at its end, since it may be read while it is written; the part before that counts.

Block (byte order of the writer, pcapng 1.0, draft-ietf-opsawg-pcapng section 3):
    | type | total length | body, filled up to 4 bytes | total length |
    option: | code | length | value, filled up to 4 bytes |, ended by code 0
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from netlab.errors import BadInput

LINKTYPE_ETHERNET: Final = 1
LINKTYPE_RAW: Final = 101  # begins with the IP header

_SECTION: Final = 0x0A0D0D0A
_INTERFACE: Final = 1
_STATISTICS: Final = 5
_PACKET: Final = 6
_BYTE_ORDER: Final = 0x1A2B3C4D
_NANOSECONDS: Final = 9  # if_tsresol: ten to the power of minus 9

_COMMENT: Final = 1  # options
_SECTION_APPLICATION: Final = 4
_INTERFACE_NAME: Final = 2
_INTERFACE_DESCRIPTION: Final = 3
_INTERFACE_RESOLUTION: Final = 9
_INTERFACE_FILTER: Final = 11
_STATISTICS_RECEIVED: Final = 4
_STATISTICS_DROPPED: Final = 5
_FLAGS: Final = 2

_EDGES: Final = struct.Struct("=II")
_ENHANCED: Final = struct.Struct("=IIIIIII")  # type, length, interface, time high and low, captured, original length
_TAIL: Final = struct.Struct("=HHIII")  # flags option, end of options (all zero), total length
_FIXED: Final = _ENHANCED.size + _TAIL.size
_PEER: Final = "cable to "  # in the description of an interface
_PADDING: Final = (b"", b"\0\0\0", b"\0\0", b"\0")
INBOUND: Final = 1
OUTBOUND: Final = 2


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


@dataclass(frozen=True, slots=True)
class Packet:
    """A packet of a file.

    Attributes:
        at_ns: nanoseconds since 1970.
        goes_out: it left the node by this interface.
        length: its bytes on the way; `data` may be cut.
    """

    at_ns: int
    interface: Interface
    goes_out: bool
    data: bytes
    length: int


@dataclass(frozen=True, slots=True)
class Statistics:
    """What a tap received and lost, packets."""

    interface: Interface
    received: int
    dropped: int


def header(interfaces: list[Interface], comment: str = "") -> bytes:
    """Return the beginning of a file, in which the taps are numbered as they are listed here."""
    section = struct.pack("=IHHq", _BYTE_ORDER, 1, 0, -1)
    options = _option(_COMMENT, comment.encode()) + _option(_SECTION_APPLICATION, b"rustun lab")
    blocks = [_block(_SECTION, section + options + _option(0, b""))]
    for one in interfaces:
        options = _option(_INTERFACE_NAME, one.name.encode()) + _option(_INTERFACE_RESOLUTION, bytes([_NANOSECONDS]))
        if one.peer:
            options += _option(_INTERFACE_DESCRIPTION, f"{_PEER}{one.peer}".encode())
        if one.filter:
            options += _option(_INTERFACE_FILTER, b"\0" + one.filter.encode())  # 0: in words, not as a program
        blocks.append(_block(_INTERFACE, struct.pack("=HHI", one.linktype, 0, 0) + options + _option(0, b"")))
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
    head = _ENHANCED.pack(_PACKET, total, number, at_ns >> 32, at_ns & 0xFFFFFFFF, captured, length)
    return head + data + _PADDING[captured & 3] + _TAIL.pack(_FLAGS, 4, direction, 0, total)


def tap_of(block: bytes) -> int:
    """Return the number of the tap that a packet's block names."""
    return int(_ENHANCED.unpack_from(block)[2])


def statistics(number: int, at_ns: int, received: int, dropped: int) -> bytes:
    """Return the block that says what a tap received and how much of it was lost, packets."""
    body = struct.pack("=III", number, at_ns >> 32, at_ns & 0xFFFFFFFF)
    counts = _option(_STATISTICS_RECEIVED, struct.pack("=Q", received))
    return _block(
        _STATISTICS, body + counts + _option(_STATISTICS_DROPPED, struct.pack("=Q", dropped)) + _option(0, b"")
    )


def _block(kind: int, body: bytes) -> bytes:
    total = len(body) + 12
    return _EDGES.pack(kind, total) + body + struct.pack("=I", total)


def _option(code: int, value: bytes) -> bytes:
    if code == _COMMENT and not value:
        return b""
    return struct.pack("=HH", code, len(value)) + value + _PADDING[len(value) & 3]


def read(path: Path) -> Iterator[Interface | Packet | Statistics]:
    """Yield what a file of this module holds, in its order.

    Raises:
        BadInput: it cannot be read, or is no such file.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror}", "./invoke lab-capture writes one") from error
    if len(content) < 12 or struct.unpack_from("=I", content, 8)[0] != _BYTE_ORDER:
        raise BadInput(f"{path}: no pcapng file of this machine's byte order", "one that ./invoke lab-capture wrote")
    interfaces: list[Interface] = []
    at = 0
    while at + 12 <= len(content):
        kind, total = _EDGES.unpack_from(content, at)
        if total < 12 or total % 4:
            raise BadInput(f"{path}: byte {at}: a block of {total} bytes", "the file is damaged")
        if at + total > len(content):
            return
        found = _parsed(kind, content[at + 8 : at + total - 4], interfaces, f"{path}: byte {at}")
        if found is not None:
            yield found
        at += total


def _parsed(kind: int, body: bytes, interfaces: list[Interface], place: str) -> Interface | Packet | Statistics | None:
    """Return what a block says, None where that is nothing; an interface is added to those known so far."""
    try:
        if kind == _INTERFACE:
            options = _options(body[8:])
            words = options.get(_INTERFACE_FILTER, b"")[1:].decode()
            name = options.get(_INTERFACE_NAME, b"").decode() or f"interface {len(interfaces)}"
            peer = options.get(_INTERFACE_DESCRIPTION, b"").decode()
            peer = peer.removeprefix(_PEER) if peer.startswith(_PEER) else ""
            interfaces.append(Interface(name, struct.unpack_from("=H", body)[0], words, peer))
            return interfaces[-1]
        elif kind == _PACKET:
            number, high, low, captured, length = struct.unpack_from("=IIIII", body)
            options = _options(body[20 + (captured + 3 & ~3) :])
            goes_out = int.from_bytes(options.get(_FLAGS, b""), sys.byteorder) & 3 == OUTBOUND
            return Packet(high << 32 | low, interfaces[number], goes_out, body[20 : 20 + captured], length)
        elif kind == _STATISTICS:
            options = _options(body[12:])
            counts = (
                int.from_bytes(options.get(c, b""), "little") for c in (_STATISTICS_RECEIVED, _STATISTICS_DROPPED)
            )
            return Statistics(interfaces[struct.unpack_from("=I", body)[0]], *counts)
    except (struct.error, IndexError, UnicodeDecodeError) as error:
        raise BadInput(f"{place}: not as a block of type {kind} has to be", "the file is damaged") from error
    return None


def _options(data: bytes) -> dict[int, bytes]:
    options: dict[int, bytes] = {}
    at = 0
    while at + 4 <= len(data):
        code, length = struct.unpack_from("=HH", data, at)
        if code == 0:
            break
        options[code] = data[at + 4 : at + 4 + length]
        at += 4 + (length + 3 & ~3)
    return options
