"""A story that taps saw, made of real packets: a ping through a tunnel, an answer, and a packet that vanishes."""

from __future__ import annotations

from ipaddress import ip_address
from struct import pack

from netlab.isolation.packets import udp
from netlab.picture.dissection import dissect
from netlab.picture.sequence import Sighting, Tap

TAPS = {
    tap.name: tap
    for tap in (
        Tap("bj-dev:rustun0", inner=True),
        Tap("bj-dev:eth0", peer="server:m2"),
        Tap("server:m2", peer="bj-dev:eth0"),
        Tap("server:m1", peer="bj-office-gw:eth0"),
        Tap("bj-office-gw:eth0", peer="server:m1"),
        Tap("bj-office-gw:rustun0", inner=True),
    )
}
BEGAN = 1_790_000_000_000_000_000
MEMBERS, FAR, NEAR = ("10.0.1.2", "10.0.1.1"), ("198.18.0.3", "198.18.0.1"), ("198.18.0.1", "198.18.0.2")


def packet(ends: tuple[str, str], protocol: int, inside: bytes, *, ttl: int = 64) -> bytes:
    """Return an IP packet of either version."""
    source, destination = (ip_address(end).packed for end in ends)
    if len(source) == 16:
        return pack("!IHBB", 6 << 28, len(inside), protocol, ttl) + source + destination + inside
    return pack("!BBHHHBBH", 0x45, 0, 20 + len(inside), 1, 0, ttl, protocol, 0) + source + destination + inside


def echo(ends: tuple[str, str], number: int, *, reply: bool = False, identifier: int = 7) -> bytes:
    """Return an ICMP echo, 84 bytes."""
    return packet(ends, 1, pack("!BBHHH", 0 if reply else 8, 0, number * 3 & 0xFFFF, identifier, number) + bytes(56))


def segment(ends: tuple[str, str], number: int, content: bytes, *, flags: int = 0x18) -> bytes:
    """Return a TCP segment with a timestamp that is different each time."""
    options = pack("!BBBBII", 1, 1, 8, 10, number, number)
    return packet(ends, 6, pack("!HHIIBBHHH", 40000, 8080, number, 5, 0x80, flags, 100, 0, 0) + options + content)


def datagram(ends: tuple[str, str], words: bytes) -> bytes:
    """Return a UDP datagram from port 53 to 4000."""
    source, destination = (ip_address(end).packed for end in ends)
    return packet(ends, 17, udp(source, destination, (53, 4000), words))


def seen(at_us: int, tap: str, goes_out: bool, data: bytes) -> Sighting:
    """Return a sighting some microseconds after the beginning."""
    return Sighting(BEGAN + at_us * 1000, TAPS[tap], goes_out, dissect(data), len(data))


def story() -> list[Sighting]:
    """Return a keepalive, a ping there and back, and a second ping that the relay's cable loses."""
    there, back, again = echo(MEMBERS, 1), echo(MEMBERS[::-1], 1, reply=True), echo(MEMBERS, 2)
    first, second, third, fourth, fifth = (bytes([n]) * 113 for n in range(5))
    return [
        seen(0, "bj-office-gw:eth0", True, segment(NEAR[::-1], 90, b"keepalive")),
        seen(20, "server:m1", False, segment(NEAR[::-1], 90, b"keepalive")),
        seen(40, "server:m1", True, segment(NEAR, 91, b"", flags=0x10)),
        seen(50, "bj-office-gw:eth0", False, segment(NEAR, 91, b"", flags=0x10)),
        seen(1000, "bj-dev:rustun0", True, there),
        seen(1200, "bj-dev:eth0", True, segment(FAR, 1, first)),
        seen(1210, "server:m2", False, segment(FAR, 1, first)),
        seen(1400, "server:m1", True, segment(NEAR, 1, second)),
        seen(1410, "bj-office-gw:eth0", False, segment(NEAR, 1, second)),
        seen(1600, "bj-office-gw:rustun0", False, there),
        seen(1650, "bj-office-gw:rustun0", True, back),
        seen(1800, "bj-office-gw:eth0", True, segment(NEAR[::-1], 2, third)),
        seen(1810, "server:m1", False, segment(NEAR[::-1], 2, third)),
        seen(2000, "server:m2", True, segment(FAR[::-1], 2, fourth)),
        seen(2010, "bj-dev:eth0", False, segment(FAR[::-1], 2, fourth)),
        seen(2200, "bj-dev:rustun0", False, back),
        seen(101_000, "bj-dev:rustun0", True, again),
        seen(101_200, "bj-dev:eth0", True, segment(FAR, 3, fifth)),
        seen(101_210, "server:m2", False, segment(FAR, 3, fifth)),
        seen(101_400, "server:m1", True, segment(NEAR, 3, b"x" * 113)),
    ]
