"""pcapng files of a laboratory: written as the project writes them (rustun.pcapng), and read.

Rules of this module
  1. Bytes in, bytes out; a tap is named "bj-dev:eth0".
  2. What is read may be cut off at its end, since it may be read while it is written; the part before that counts.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from netlab.errors import BadInput
from rustun.pcapng import (
    BYTE_ORDER,
    EDGES,
    INBOUND,
    INTERFACE_BLOCK,
    INTERFACE_DESCRIPTION,
    INTERFACE_FILTER,
    INTERFACE_NAME,
    LINKTYPE_ETHERNET,
    LINKTYPE_RAW,
    OUTBOUND,
    PACKET_BLOCK,
    PACKET_FLAGS,
    PEER,
    STATISTICS_BLOCK,
    STATISTICS_DROPPED,
    STATISTICS_RECEIVED,
    Interface,
    header,
    packet,
    statistics,
    tap_of,
)

__all__ = [
    "INBOUND",
    "LINKTYPE_ETHERNET",
    "LINKTYPE_RAW",
    "OUTBOUND",
    "Interface",
    "Packet",
    "Statistics",
    "header",
    "packet",
    "read",
    "statistics",
    "tap_of",
]


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


def read(path: Path) -> Iterator[Interface | Packet | Statistics]:
    """Yield what a file of this module holds, in its order.

    Raises:
        BadInput: it cannot be read, or is no such file.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror}", "./invoke lab-capture writes one") from error
    if len(content) < 12 or struct.unpack_from("=I", content, 8)[0] != BYTE_ORDER:
        raise BadInput(f"{path}: no pcapng file of this machine's byte order", "one that ./invoke lab-capture wrote")
    interfaces: list[Interface] = []
    at = 0
    while at + 12 <= len(content):
        kind, total = EDGES.unpack_from(content, at)
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
        if kind == INTERFACE_BLOCK:
            options = _options(body[8:])
            words = options.get(INTERFACE_FILTER, b"")[1:].decode()
            name = options.get(INTERFACE_NAME, b"").decode() or f"interface {len(interfaces)}"
            peer = options.get(INTERFACE_DESCRIPTION, b"").decode()
            peer = peer.removeprefix(PEER) if peer.startswith(PEER) else ""
            interfaces.append(Interface(name, struct.unpack_from("=H", body)[0], words, peer))
            return interfaces[-1]
        elif kind == PACKET_BLOCK:
            number, high, low, captured, length = struct.unpack_from("=IIIII", body)
            options = _options(body[20 + (captured + 3 & ~3) :])
            goes_out = int.from_bytes(options.get(PACKET_FLAGS, b""), sys.byteorder) & 3 == OUTBOUND
            return Packet(high << 32 | low, interfaces[number], goes_out, body[20 : 20 + captured], length)
        elif kind == STATISTICS_BLOCK:
            options = _options(body[12:])
            counts = (
                int.from_bytes(options.get(c, b""), "little") for c in (STATISTICS_RECEIVED, STATISTICS_DROPPED)
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
