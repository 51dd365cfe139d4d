"""What a kernel makes of a packet and its offload header: slow and obvious, for comparison.

The checksums and the cutting are done here from the fields of the packet, by netlab/worlds/ip_packets.py, and share
no code with rustun/protocol.
"""

from __future__ import annotations

import struct
from ipaddress import ip_address

from netlab.worlds.ip_packets import TCP, UDP, ip_packet, tcp_packet, udp_packet, word_checksum

HEADER = struct.Struct("=BBHHHH")  # struct virtio_net_hdr
NEEDS_CHECKSUM = 1
GSO_TCP4, GSO_TCP6, GSO_UDP = 1, 4, 5
FIN_PSH = 0x09


def unfinished(packet: bytes, segment_bytes: int = 0) -> tuple[bytes, bytes]:
    """Return (packet, offload header) as a kernel hands over a complete TCP or UDP packet that it left unfinished."""
    transport, protocol = (20, packet[9]) if packet[0] == 0x45 else (40, packet[6])
    offset = 16 if protocol == TCP else 6
    raw = bytearray(packet)
    raw[transport + offset : transport + offset + 2] = b"\x5a\xa5"  # nobody may rely on what stands there
    headers = transport + ((packet[transport + 12] >> 4) * 4 if protocol == TCP else 8)
    gso = 0
    if segment_bytes:
        gso = GSO_UDP if protocol == UDP else GSO_TCP4 if transport == 20 else GSO_TCP6
    return bytes(raw), HEADER.pack(NEEDS_CHECKSUM, gso, headers if gso else 0, segment_bytes, transport, offset)


def on_the_wire(packet: bytes, header: bytes) -> list[bytes]:
    """Return the complete packets that an application at the far end of a kernel would see."""
    bits, gso, _, segment_bytes, transport, _ = HEADER.unpack(header)
    if not bits & NEEDS_CHECKSUM:
        assert gso == 0
        return [packet]
    source, destination, protocol = _addresses(packet)
    identification = int.from_bytes(packet[4:6], "big") if transport == 20 else 0
    ports = (int.from_bytes(packet[transport : transport + 2], "big"),
             int.from_bytes(packet[transport + 2 : transport + 4], "big"))  # fmt: skip
    headers = transport + (8 if protocol == UDP else (packet[transport + 12] >> 4) * 4)
    payload = packet[headers:]
    step = segment_bytes or max(len(payload), 1)
    parts = [payload[at : at + step] for at in range(0, max(len(payload), 1), step)]
    if protocol == UDP:
        return [
            udp_packet(source, destination, ports, part, identification + number) for number, part in enumerate(parts)
        ]
    sequence, acknowledge = struct.unpack_from("!II", packet, transport + 4)
    flags = packet[transport + 13]
    return [
        tcp_packet(
            source,
            destination,
            ports,
            part,
            sequence=sequence + number * step,
            acknowledge=acknowledge,
            flags=flags if number == len(parts) - 1 else flags & ~FIN_PSH,
            options=packet[transport + 20 : headers],
            identification=identification + number,
        )
        for number, part in enumerate(parts)
    ]


def is_right(packet: bytes) -> bool:
    """Tell whether the checksums of a complete packet without IP options are right, word by word."""
    source, destination, protocol = _addresses(packet)
    transport = 20 if packet[0] == 0x45 else 40
    if transport == 20 and word_checksum(packet[:20]) != 0:
        return False
    body = packet[transport:]
    pseudo = ip_address(source).packed + ip_address(destination).packed + struct.pack("!II", len(body), protocol)
    return protocol not in (TCP, UDP) or word_checksum(pseudo + body) == 0


def fragment(source: str, destination: str, offset: int, body: bytes, *, more: bool, protocol: int = UDP) -> bytes:
    """Return a fragment of an IP packet; `offset` in bytes, a multiple of 8."""
    if ":" in source:
        extension = struct.pack("!BBHI", protocol, 0, offset | more, 77)
        return ip_packet(source, destination, 44, extension + body)
    packet = bytearray(ip_packet(source, destination, protocol, body))
    packet[6:8] = struct.pack("!H", offset // 8 | (0x2000 if more else 0))
    packet[10:12] = b"\0\0"
    packet[10:12] = struct.pack("!H", word_checksum(bytes(packet[:20])))
    return bytes(packet)


def _addresses(packet: bytes) -> tuple[str, str, int]:
    if packet[0] == 0x45:
        return str(ip_address(packet[12:16])), str(ip_address(packet[16:20])), packet[9]
    assert packet[0] >> 4 == 6
    return str(ip_address(packet[8:24])), str(ip_address(packet[24:40])), packet[6]
