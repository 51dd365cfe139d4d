"""What a packet is: in a few words for people, and by what it is known again at another tap.

Rules of this module
  1. Any bytes have words; what is cut off or unknown is called so.
  2. A packet is known again by what nobody on its way changes: NAT writes addresses, ports and identifiers anew, a
     router the time to live, a gateway the largest segment of a connection. None of these, nor a checksum, is a mark.
  3. Taps keep more or less of a packet, so only the first MARK_BYTES behind its header count, and its length.
"""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass
from typing import Final

MARK_BYTES: Final = 128
ETHERNET_BYTES: Final = 14
ETHERTYPES: Final = {0x0800: 4, 0x86DD: 6}
ARP: Final = 0x0806
FRAGMENT6: Final = 44
TCP_FLAGS: Final = ((0x02, "SYN"), (0x01, "FIN"), (0x04, "RST"))
ICMP4: Final = {0: "echo reply", 3: "unreachable", 5: "redirect", 8: "echo request", 11: "time exceeded"}
ICMP6: Final = {
    1: "unreachable",
    2: "too big",
    3: "time exceeded",
    128: "echo request",
    129: "echo reply",
    133: "router solicitation",
    134: "router advertisement",
    135: "neighbour solicitation",
    136: "neighbour advertisement",
    143: "multicast report",
}
TOO_BIG: Final = (3, 4)  # type and code of IPv4's


@dataclass(frozen=True, slots=True)
class Dissected:
    """A packet as people speak of it.

    Attributes:
        words: "echo request 1", "tcp 8080 SYN".
        source, destination: addresses, "" where it has none.
        mark: equal where it is the same packet, most probably.
        bare: an acknowledgement of TCP that carries nothing.
    """

    words: str
    source: str = ""
    destination: str = ""
    mark: bytes = b""
    bare: bool = False

    def __str__(self) -> str:
        return f"{self.source} > {self.destination}  {self.words}" if self.source else self.words


def dissect_frame(data: bytes) -> Dissected:
    """Return what an Ethernet frame is."""
    kind = int.from_bytes(data[12:14], "big")
    if kind in ETHERTYPES:
        return dissect(data[ETHERNET_BYTES:])
    if kind == ARP and len(data) >= 42:
        asked = socket.inet_ntoa(data[38:42])
        words = f"arp: who has {asked}?" if data[21] == 1 else f"arp: {socket.inet_ntoa(data[28:32])} is here"
        return Dissected(words, mark=data[14:42])
    return Dissected(f"frame of type 0x{kind:04x}", mark=data[:MARK_BYTES])


def dissect(data: bytes) -> Dissected:
    """Return what an IP packet is."""
    try:
        if data[0] >> 4 == 4:
            return _ipv4(data)
        if data[0] >> 4 == 6:
            return _ipv6(data)
    except (IndexError, struct.error, ValueError, OSError):  # the last: of an address that is cut off
        return Dissected("cut off", mark=data[:MARK_BYTES])
    return Dissected("no IP packet", mark=data[:MARK_BYTES])


def _ipv4(data: bytes) -> Dissected:
    header = (data[0] & 15) * 4
    length, identification, fragment = struct.unpack_from("!HHH", data, 2)
    source, destination = socket.inet_ntoa(data[12:16]), socket.inet_ntoa(data[16:20])
    protocol, offset = data[9], (fragment & 0x1FFF) * 8
    behind = data[header:]
    if offset or fragment & 0x2000:
        return _fragment((source, destination), protocol, identification, offset, behind)
    return _inside((source, destination), protocol, behind, length - header)


def _ipv6(data: bytes) -> Dissected:
    length, protocol = struct.unpack_from("!HB", data, 4)
    source, destination = (socket.inet_ntop(socket.AF_INET6, data[at : at + 16]) for at in (8, 24))
    behind = data[40:]
    if protocol == FRAGMENT6:
        protocol, _, offset, identification = struct.unpack_from("!BBHI", behind)
        return _fragment((source, destination), protocol, identification, offset & 0xFFF8, behind[8:])
    return _inside((source, destination), protocol, behind, length)


def _fragment(ends: tuple[str, str], protocol: int, identification: int, offset: int, behind: bytes) -> Dissected:
    place = struct.pack("!BIH", protocol, identification, offset)
    return Dissected(f"{_name(protocol)} fragment at {offset}", *ends, place + behind[:MARK_BYTES][8:])


def _inside(ends: tuple[str, str], protocol: int, behind: bytes, length: int) -> Dissected:
    """Dissect what is directly behind the IP header; `length` is how long it is, captured or not."""
    size = struct.pack("!BI", protocol, length)
    if protocol == socket.IPPROTO_TCP:
        return _tcp(ends, behind, length, size)
    if protocol == socket.IPPROTO_UDP:
        source, destination = struct.unpack_from("!HH", behind)
        return Dissected(f"udp {source} > {destination}", *ends, size + behind[8:][:MARK_BYTES])
    if protocol in (socket.IPPROTO_ICMP, socket.IPPROTO_ICMPV6):
        return _icmp(ends, protocol, behind, size)
    return Dissected(_name(protocol), *ends, size + behind[:MARK_BYTES])


def _tcp(ends: tuple[str, str], behind: bytes, length: int, size: bytes) -> Dissected:
    source, destination = struct.unpack_from("!HH", behind)
    flags = behind[13]
    header = (behind[12] >> 4) * 4
    said = [name for bit, name in TCP_FLAGS if flags & bit]
    content = length - header
    words = " ".join([f"tcp {source} > {destination}", *(said or ["ACK"] * (not content))])
    mark = size[:1] + struct.pack("!I", content) + behind[4:12] + bytes([flags]) + behind[header:][:MARK_BYTES]
    return Dissected(words, *ends, mark, bare=not content and not said)


def _icmp(ends: tuple[str, str], protocol: int, behind: bytes, size: bytes) -> Dissected:
    kind, code = behind[0], behind[1]
    known = ICMP4 if protocol == socket.IPPROTO_ICMP else ICMP6
    words = known.get(kind, f"{_name(protocol)} type {kind}")
    if protocol == socket.IPPROTO_ICMP and (kind, code) == TOO_BIG:
        words = "too big"
    echo = words.startswith("echo")
    if echo:
        words += f" {struct.unpack_from('!H', behind, 6)[0]}"
    return Dissected(words, *ends, size + behind[:2] + (behind[6:] if echo else behind[8:])[:MARK_BYTES])


def _name(protocol: int) -> str:
    return {1: "icmp", 6: "tcp", 17: "udp", 58: "icmp6"}.get(protocol, f"protocol {protocol}")
