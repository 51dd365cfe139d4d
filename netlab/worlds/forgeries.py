"""What a hostile member may try to send, and what has to become of each: rows 17 to 20 of the table of faults.

Rules of this module
  1. Every forgery has its twin that is sent in the same way and has to arrive: else its silence would prove nothing.
  2. The sender is EVIL (10.0.1.3, fd00:1::3), whose own prefixes cover those of its neighbours: 10.0.0.0/16 and
     192.168.0.0/16 are its, 10.0.1.1, 10.0.1.2 and 192.168.1.0/24 inside them are theirs. Two clusters have all of
     these addresses; SECRET_LAN exists in the other one only.
  3. A packet is recognised by the mark and number in its payload.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from ipaddress import ip_address
from itertools import count

from netlab.worlds.ip_packets import TCP, UDP, ip_packet, tcp_packet, udp_packet, word_checksum
from rustun.protocol.packet import ITEM

GATEWAY, DEVICE, EVIL, ABSENT = "10.0.1.1", "10.0.1.2", "10.0.1.3", "10.0.1.9"
GATEWAY6, DEVICE6, EVIL6 = "fd00:1::1", "fd00:1::2", "fd00:1::3"
LAN_HOST, SECRET_HOST = "192.168.1.7", "100.64.9.1"
WIDE = ("10.0.0.0/16", "192.168.0.0/16", "192.168.66.0/24")
MAPPED, REAL = "192.168.66.0/24", "172.16.66.0/24"
MARK = b"forged packet number "
PORTS = (40_000, 9)
TO_DEVICE, TO_GATEWAY = "blue-dev", "blue-gw"
BAD_SOURCE, NO_ROUTE, TO_SENDER, OFFLINE = "bad-source", "no-route", "to-sender", "offline"
BAD_PACKET, BAD_OFFLOAD, TOO_BIG = "bad-packet", "bad-offload", "too-big"
CHECKSUM_MISSING = 1
ICMP, HOP_BY_HOP = 1, 0


@dataclass(frozen=True)
class Forgery:
    """One item; `fate` is the reason by which the relay counts its drop, or the identity at which it arrives."""

    number: int
    what: str
    item: bytes
    source: str
    destination: str
    fate: str


def numbers_in(packet: bytes) -> list[int]:
    """Return the numbers of the forgeries whose payload a packet holds, several where a kernel joined them."""
    parts = packet.split(MARK)[1:]
    return [int.from_bytes(part[:4], "big") for part in parts]


def _item(packet: bytes, flags: int = 0, segment_bytes: int = 0) -> bytes:
    return ITEM.pack(flags, segment_bytes, len(packet)) + packet


class _Workshop:
    def __init__(self) -> None:
        self._numbers = count(1)
        self.made: list[Forgery] = []

    def udp(self, what: str, fate: str, source: str = EVIL, destination: str = DEVICE) -> None:
        """A complete UDP packet with any addresses."""
        number = next(self._numbers)
        packet = udp_packet(source, destination, PORTS, self._payload(number))
        self.made.append(Forgery(number, what, _item(packet), source, destination, fate))

    def raw(self, what: str, fate: str, **changes: bytes) -> None:
        """A UDP packet from EVIL to DEVICE with bytes replaced: `at_N=bytes`, or `cut=` for its beginning only."""
        number = next(self._numbers)
        packet = bytearray(udp_packet(EVIL, DEVICE, PORTS, self._payload(number)))
        for name, value in changes.items():
            at = int(name.removeprefix("at_"))
            packet[at : at + len(value)] = value
        packet[10:12] = bytes(2)
        packet[10:12] = struct.pack("!H", word_checksum(bytes(packet[:20])))
        self.made.append(Forgery(number, what, _item(bytes(packet)), EVIL, DEVICE, fate))

    def offload(self, what: str, fate: str, packet: bytes, flags: int, segment_bytes: int = 0) -> None:
        """A packet of any kind, with what its item asks for; holds MARK, behind which its number goes."""
        number = next(self._numbers)
        packet = packet.replace(MARK + bytes(4), MARK + number.to_bytes(4, "big"))
        source, destination = (EVIL, DEVICE) if packet[0] >> 4 == 4 else (EVIL6, DEVICE6)
        self.made.append(Forgery(number, what, _item(packet, flags, segment_bytes), source, destination, fate))

    def cut(self, what: str, fate: str, length: int) -> None:
        """The beginning of a packet, its total length left as it was."""
        number = next(self._numbers)
        packet = udp_packet(EVIL, DEVICE, PORTS, self._payload(number))[:length]
        self.made.append(Forgery(number, what, _item(packet), EVIL, DEVICE, fate))

    @staticmethod
    def _payload(number: int) -> bytes:
        return MARK + number.to_bytes(4, "big")


def all_forgeries() -> list[Forgery]:
    """Return all of them, the same at each call."""
    shop = _Workshop()
    _sources(shop)
    _destinations(shop)
    _malformed(shop)
    _offloads(shop)
    return shop.made


def _sources(shop: _Workshop) -> None:
    shop.udp("own address", TO_DEVICE)
    shop.udp("own prefix where nobody else is", TO_DEVICE, "10.0.77.7")
    shop.udp("own LAN", TO_DEVICE, "192.168.66.9")
    shop.udp("own address, IPv6", TO_DEVICE, EVIL6, DEVICE6)
    for source in (GATEWAY, DEVICE, ABSENT, "192.168.1.9"):
        shop.udp("a neighbour inside the own prefix", BAD_SOURCE, source)
    for source in ("172.16.66.9", SECRET_HOST, "203.0.113.5", "198.18.0.1"):
        shop.udp("outside every own prefix", BAD_SOURCE, source)
    for source in ("0.0.0.0", "127.0.0.1", "169.254.1.1", "224.0.0.1", "255.255.255.255"):
        shop.udp("never a source", BAD_SOURCE, source)
    for source in (GATEWAY6, "2001:db8::1", "::1", "fe80::3", "ff02::1", "::ffff:10.0.1.3"):
        shop.udp("not its own, IPv6", BAD_SOURCE, source, DEVICE6)


def _destinations(shop: _Workshop) -> None:
    shop.udp("the gateway", TO_GATEWAY, destination=GATEWAY)
    shop.udp("a host in the gateway's LAN", TO_GATEWAY, destination=LAN_HOST)
    shop.udp("a member without a session", OFFLINE, destination=ABSENT)
    shop.udp("itself", TO_SENDER, destination=EVIL)
    shop.udp("itself, by its own prefix", TO_SENDER, destination="10.0.1.255")
    for destination in (SECRET_HOST, "198.18.0.1", "203.0.113.5", "127.0.0.1", "224.0.0.1", "255.255.255.255"):
        shop.udp("nobody of this cluster", NO_ROUTE, destination=destination)
    for destination in ("ff02::1", "fe80::1", "::1", "2001:db8::1"):
        shop.udp("nobody of this cluster, IPv6", NO_ROUTE, EVIL6, destination)


def _malformed(shop: _Workshop) -> None:
    shop.raw("a first fragment", TO_DEVICE, at_6=b"\x20\x00")
    shop.raw("a later fragment, overlapping", TO_DEVICE, at_6=b"\x20\x01")
    shop.raw("a last fragment that ends at 65,535 or before", TO_DEVICE, at_6=b"\x1f\xf0")
    shop.raw("a fragment beyond 65,535", BAD_PACKET, at_6=b"\x1f\xff")
    for first in (b"\x05", b"\x55", b"\xf5"):
        shop.raw("no version of IP", BAD_PACKET, at_0=first)
    shop.raw("a header length of 16", BAD_PACKET, at_0=b"\x44")
    shop.raw("a header longer than the packet", BAD_PACKET, at_0=b"\x4f")
    shop.raw("a total length too large", BAD_PACKET, at_2=b"\x01\x00")
    shop.raw("a total length too small", BAD_PACKET, at_2=b"\x00\x15")
    for length in (0, 1, 19, 30):
        shop.cut("cut off", BAD_PACKET, length)
    shop.raw("UDP without a checksum", TO_DEVICE, at_26=b"\x00\x00")


def _offloads(shop: _Workshop) -> None:
    note = MARK + bytes(4)
    bulk = note + bytes(2900)
    udp, tcp = udp_packet(EVIL, DEVICE, PORTS, note), tcp_packet(EVIL, DEVICE, PORTS, bulk)
    tcp6 = tcp_packet(EVIL6, DEVICE6, PORTS, bulk)
    garbled = bytearray(udp)
    garbled[26:28] = b"\xde\xad"
    shop.offload("a checksum to be made", TO_DEVICE, bytes(garbled), CHECKSUM_MISSING)
    shop.offload("a large TCP segment", TO_DEVICE, tcp, CHECKSUM_MISSING, 1000)
    shop.offload("a large TCP segment, IPv6", TO_DEVICE, tcp6, CHECKSUM_MISSING, 1000)
    fragment = bytearray(udp)
    fragment[6:8] = b"\x20\x00"
    shop.offload("a checksum on a fragment", BAD_OFFLOAD, bytes(fragment), CHECKSUM_MISSING)
    chain = bytes([UDP, 0, 1, 4, 0, 0, 0, 0]) + udp_packet(EVIL6, DEVICE6, PORTS, note)[40:]
    extended = ip_packet(EVIL6, DEVICE6, HOP_BY_HOP, chain)
    shop.offload("a checksum behind extension headers", BAD_OFFLOAD, extended, CHECKSUM_MISSING)
    echo = b"\x08\x00\x00\x00" + bytes(4) + note
    shop.offload("a checksum of ICMP", BAD_OFFLOAD, ip_packet(EVIL, DEVICE, ICMP, echo), CHECKSUM_MISSING)
    for size in (1, 499, 1461, 0xFFFF):
        shop.offload(f"segments of {size} bytes", BAD_OFFLOAD, tcp, CHECKSUM_MISSING, size)
    shop.offload("segments without the checksum bit", BAD_OFFLOAD, tcp, 0, 1000)
    shop.offload("an unknown flag", BAD_OFFLOAD, udp, 2)
    shop.offload("all flags", BAD_OFFLOAD, udp, 0xFF)
    stub = ip_packet(EVIL, DEVICE, TCP, note[:19])
    shop.offload("a TCP header that is not whole", BAD_OFFLOAD, stub, CHECKSUM_MISSING)
    shop.offload("over the MTU", TOO_BIG, tcp, 0)


def packed(address: str) -> bytes:
    """Return an address as it stands in a packet."""
    return ip_address(address).packed
