"""A packet that was never sent: what questions about the way of packets are put to the data path with."""

from __future__ import annotations

import struct
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from rustun.protocol.packet import IPV4_HEADER_BYTES, IPV6_HEADER_BYTES, MAX_PACKET_BYTES

USUAL_BYTES: Final = 84  # of what `ping` sends
_IPV4: Final = struct.Struct("!BBHHHBBH4s4s")
_IPV6: Final = struct.Struct("!IHBB16s16s")
_HOPS: Final = 64
_ICMP: Final = 1
_NOTHING_FOLLOWS: Final = 59  # RFC 8200 section 4.7

Address = IPv4Address | IPv6Address


def probe_packet(source: Address, destination: Address, size: int = USUAL_BYTES) -> bytes:
    """Return a complete IP packet with these addresses and nothing but zeros behind its header.

    Args:
        source, destination: of one IP version.
        size: of the whole packet, bytes.

    Raises: ValueError: no packet is that small or large, or the versions differ.
    """
    if source.version != destination.version:
        raise ValueError(f"{source} and {destination} are not of one IP version")
    header_bytes = IPV4_HEADER_BYTES if source.version == 4 else IPV6_HEADER_BYTES
    if not header_bytes <= size <= MAX_PACKET_BYTES:
        raise ValueError(f"an IPv{source.version} packet has {header_bytes} to {MAX_PACKET_BYTES} bytes")
    if source.version == 4:
        header = _IPV4.pack(0x45, 0, size, 0, 0, _HOPS, _ICMP, 0, source.packed, destination.packed)
    else:
        rest = size - header_bytes
        header = _IPV6.pack(6 << 28, rest, _NOTHING_FOLLOWS, _HOPS, source.packed, destination.packed)
    return header + bytes(size - header_bytes)
