"""Probes as bytes: how each kind is made, and how what a tap saw is recognised.

Rules of this module
  1. Every packet carries its probe's number: TCP in the sequence number, everything else in its payload, every 8 bytes,
     so that each fragment has it.
  2. A packet is complete: lengths and checksums are those that a kernel would write (RFC 1071, RFC 8200 section 8.1).
     It is written by hand, since a matrix of ten members is some thousand packets; a test compares it with scapy's.
  3. An error that quotes a probe is not that probe.
"""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass
from typing import Final

from netlab.isolation.plan import Probe
from netlab.topology import Address

ECHO_PORT: Final = 7  # open for TCP, answers by UDP, in every namespace
CLOSED_PORT: Final = 9
SOURCE_PORT: Final = 40_000
MARK: Final = b"rust"  # then the probe's number in 4 bytes
MARKS: Final = 4  # in a payload that is not fragmented
FRAGMENTED_MARKS: Final = 250
FRAGMENT_BYTES: Final = 1200
SEQUENCE_BASE: Final = 0x5200_0000  # TCP probes carry 4 x their number in the sequence number
SEQUENCE_NUMBERS: Final = 1 << 22
TTL: Final = 64
WINDOW: Final = 8192
TCP_SYN: Final = 0x02
TCP_ACK: Final = 0x10
MORE_FRAGMENTS4: Final = 0x2000
IPV4_BYTES: Final = 20
IPV6_BYTES: Final = 40
UDP_BYTES: Final = 8
TCP_BYTES: Final = 20
_IPV4: Final = struct.Struct("!BBHHHBBH4s4s")
_IPV6: Final = struct.Struct("!IHBB16s16s")
_ECHO: Final = struct.Struct("!BBHHH")  # type, code, checksum, identifier, sequence number
_UDP: Final = struct.Struct("!HHHH")
_TCP: Final = struct.Struct("!HHIIBBHHH")
_FRAGMENT6: Final = struct.Struct("!BBHI")
_ECHO_TYPES: Final = {4: 8, 6: 128}


@dataclass(frozen=True, slots=True)
class Seen:
    """A packet at a tap: its addresses, the protocol of what is behind the IP header, and those bytes.

    `number` is that of the probe which it carries, 0 when it is no probe and no answer to one.
    """

    number: int
    source: bytes
    destination: bytes
    protocol: int
    inside: bytes


def craft(probe: Probe, number: int) -> list[bytes]:
    """Return the packets of a probe (two for fragments), numbered 1 to 4,194,303."""
    inside, protocol = whole(probe, number)
    source, destination = probe.source.packed, probe.destination.packed
    if probe.kind != "fragments":
        return [_header(source, destination, protocol, len(inside), number) + inside]
    pieces = [(at, inside[at : at + FRAGMENT_BYTES]) for at in range(0, len(inside), FRAGMENT_BYTES)]
    packets = []
    for at, piece in pieces:
        more = at + len(piece) < len(inside)
        if probe.source.version == 4:
            fragment = at // 8 | (MORE_FRAGMENTS4 if more else 0)
            packets.append(_header(source, destination, protocol, len(piece), number, fragment) + piece)
        else:
            extension = _FRAGMENT6.pack(protocol, 0, at | more, number)
            length = len(extension) + len(piece)
            packets.append(_header(source, destination, socket.IPPROTO_FRAGMENT, length, number) + extension + piece)
    return packets


def whole(probe: Probe, number: int) -> tuple[bytes, int]:
    """Return what is behind the IP header of a probe before it is cut into fragments, and its protocol."""
    source, destination = probe.source, probe.destination
    marks = (MARK + number.to_bytes(4, "big")) * (FRAGMENTED_MARKS if probe.kind == "fragments" else MARKS)
    if probe.kind == "udp":
        return udp(source.packed, destination.packed, (SOURCE_PORT, ECHO_PORT), marks), socket.IPPROTO_UDP
    if probe.kind in ("tcp-open", "tcp-closed"):
        port = ECHO_PORT if probe.kind == "tcp-open" else CLOSED_PORT
        sequence = SEQUENCE_BASE + number * 4
        fields = (SOURCE_PORT, port, sequence, 0, TCP_BYTES // 4 << 4, TCP_SYN, WINDOW, 0, 0)
        pseudo = _pseudo(source.packed, destination.packed, socket.IPPROTO_TCP, TCP_BYTES)
        sealed = checksum(pseudo + _TCP.pack(*fields))
        return _TCP.pack(*fields[:7], sealed, 0), socket.IPPROTO_TCP
    return _echo(source, destination, number & 0xFFFF, marks)


def _echo(source: Address, destination: Address, identifier: int, payload: bytes) -> tuple[bytes, int]:
    version = source.version
    protocol = socket.IPPROTO_ICMP if version == 4 else socket.IPPROTO_ICMPV6
    fields = (_ECHO_TYPES[version], 0, 0, identifier, 0)
    length = _ECHO.size + len(payload)
    pseudo = _pseudo(source.packed, destination.packed, protocol, length) if version == 6 else b""
    sealed = checksum(pseudo + _ECHO.pack(*fields) + payload)
    return _ECHO.pack(*fields[:2], sealed, *fields[3:]) + payload, protocol


def udp(source: bytes, destination: bytes, ports: tuple[int, int], payload: bytes) -> bytes:
    """Return a datagram with its checksum; addresses are packed, `ports` are (source, destination)."""
    length = UDP_BYTES + len(payload)
    pseudo = _pseudo(source, destination, socket.IPPROTO_UDP, length)
    sealed = checksum(pseudo + _UDP.pack(*ports, length, 0) + payload) or 0xFFFF  # RFC 768: 0 means none
    return _UDP.pack(*ports, length, sealed) + payload


def checksum(data: bytes) -> int:
    """Return the Internet checksum of bytes, RFC 1071."""
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def _pseudo(source: bytes, destination: bytes, protocol: int, length: int) -> bytes:
    if len(source) == 4:
        return source + destination + struct.pack("!BBH", 0, protocol, length)
    return source + destination + struct.pack("!II", length, protocol)


def _header(source: bytes, destination: bytes, protocol: int, length: int, number: int, fragment: int = 0) -> bytes:
    if len(source) == 16:
        return _IPV6.pack(6 << 28, length, protocol, TTL, source, destination)
    fields = (0x45, 0, IPV4_BYTES + length, number & 0xFFFF, fragment, TTL, protocol)
    sealed = checksum(_IPV4.pack(*fields, 0, source, destination))
    return _IPV4.pack(*fields, sealed, source, destination)


def recognise(data: bytes) -> list[Seen]:
    """Return what an IP packet is: nothing where it is none, several where datagrams of probes were joined."""
    if len(data) < IPV4_BYTES:
        return []
    if data[0] >> 4 == 4:
        start, end = (data[0] & 15) * 4, int.from_bytes(data[2:4], "big")
        protocol, source, destination = data[9], data[12:16], data[16:20]
    elif data[0] >> 4 == 6 and len(data) >= IPV6_BYTES:
        start, end = IPV6_BYTES, IPV6_BYTES + int.from_bytes(data[4:6], "big")
        protocol, source, destination = data[6], data[8:24], data[24:40]
    else:
        return []
    inside = data[start:end]
    parts = [inside]
    if protocol == socket.IPPROTO_UDP and len(inside) > UDP_BYTES + MARKS * 8 and MARK in inside:
        parts = _cut(inside, source, destination)
    return [Seen(_number(part, protocol), source, destination, protocol, part) for part in parts]


def _cut(joined: bytes, source: bytes, destination: bytes) -> list[bytes]:
    """Cut joined datagrams of probes into those that were sent, with headers as the kernel would write them."""
    ports = struct.unpack_from("!HH", joined)
    payloads = (joined[at : at + MARKS * 8] for at in range(UDP_BYTES, len(joined), MARKS * 8))
    return [udp(source, destination, ports, payload) for payload in payloads]


def _number(inside: bytes, protocol: int) -> int:
    if protocol == socket.IPPROTO_TCP:
        return _tcp_number(inside)
    place = inside.find(MARK)
    error4 = protocol == socket.IPPROTO_ICMP and place > 0 and inside[0] not in (0, 8)
    error6 = protocol == socket.IPPROTO_ICMPV6 and inside[:1] < b"\x80"
    if error4 or error6 or place < 0 or len(inside) < place + 8:
        return 0
    return int.from_bytes(inside[place + 4 : place + 8], "big")


def _tcp_number(inside: bytes) -> int:
    if len(inside) < TCP_BYTES:
        return 0
    sequence, acknowledged = struct.unpack_from("!II", inside, 4)
    flags = inside[13] & (TCP_SYN | TCP_ACK)
    value = sequence if flags == TCP_SYN else acknowledged - 1 if flags & TCP_ACK else -1
    number, rest = divmod(value - SEQUENCE_BASE, 4)
    return number if rest == 0 and 0 < number < SEQUENCE_NUMBERS else 0
