"""Hand-made IP packets and a slow, obvious checksum, for tests that need no scapy."""

from __future__ import annotations

import struct
from ipaddress import ip_address

TCP, UDP = 6, 17
FIN, SYN, PSH, ACK, CWR = 0x01, 0x02, 0x08, 0x10, 0x80


def word_checksum(data: bytes) -> int:
    """Return the Internet checksum word by word, as RFC 1071 says it."""
    even = data if len(data) % 2 == 0 else data + b"\0"
    total = sum(struct.unpack(f"!{len(even) // 2}H", even))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def ip_packet(
    source: str, destination: str, protocol: int, body: bytes, identification: int = 7, ttl: int = 64
) -> bytes:
    """Return a complete IP packet around `body`; the version follows from the addresses."""
    addresses = ip_address(source).packed + ip_address(destination).packed
    if len(addresses) == 32:
        return struct.pack("!IHBB", 6 << 28, len(body), protocol, ttl) + addresses + body
    fields = (0x45, 0, 20 + len(body), identification, 0x4000, ttl, protocol)
    bare = struct.pack("!BBHHHBBH", *fields, 0) + addresses
    return struct.pack("!BBHHHBBH", *fields, word_checksum(bare)) + addresses + body


def _pseudo_header(source: str, destination: str, protocol: int, length: int) -> bytes:
    return ip_address(source).packed + ip_address(destination).packed + struct.pack("!II", length, protocol)


def udp_packet(source: str, destination: str, ports: tuple[int, int], payload: bytes, identification: int = 7) -> bytes:
    """Return a complete UDP packet."""
    length = 8 + len(payload)
    bare = struct.pack("!HHHH", *ports, length, 0) + payload
    checksum = word_checksum(_pseudo_header(source, destination, UDP, length) + bare) or 0xFFFF
    return ip_packet(source, destination, UDP, bare[:6] + struct.pack("!H", checksum) + payload, identification)


def tcp_packet(
    source: str,
    destination: str,
    ports: tuple[int, int],
    payload: bytes = b"",
    *,
    sequence: int = 0,
    acknowledge: int = 0,
    flags: int = ACK,
    options: bytes = b"",
    identification: int = 7,
) -> bytes:
    """Return a complete TCP packet; `options` is padded by the caller to whole words."""
    offset_flags = (5 + len(options) // 4) << 12 | flags
    bare = struct.pack("!HHIIHHHH", *ports, sequence, acknowledge, offset_flags, 65000, 0, 0) + options + payload
    checksum = word_checksum(_pseudo_header(source, destination, TCP, len(bare)) + bare)
    body = bare[:16] + struct.pack("!H", checksum) + bare[18:]
    return ip_packet(source, destination, TCP, body, identification)
