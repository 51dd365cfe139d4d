"""Judging packets and items, against RFC layouts read by scapy and against everything a peer may make up."""

from __future__ import annotations

import random
import struct
from ipaddress import ip_address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6, IPv6ExtHdrFragment

from netlab.worlds.ip_packets import ip_packet, tcp_packet, udp_packet
from rustun.protocol.packet import DropReason, examine, flow_addresses, flow_key

A4, B4, A6, B6 = "10.0.0.1", "10.0.0.2", "fd00::1", "fd00::2"
PAIRS = ((A4, B4), (A6, B6))
PORTS = (1234, 80)
ICMP, ICMPV6, FRAGMENT = 1, 58, 44


def judge(packet: bytes, flags: int = 0, segment_bytes: int = 0, mtu: int = 1500) -> int:
    return examine(packet, 0, len(packet), flags, segment_bytes, mtu)


def with_byte(packet: bytes, at: int, value: int) -> bytes:
    return packet[:at] + bytes((value,)) + packet[at + 1 :]


def fragment4(offset_units: int, size: int, more: bool = False) -> bytes:
    """An IPv4 fragment of `size` bytes behind its header."""
    packet = ip_packet(A4, B4, 17, bytes(size))
    return packet[:6] + struct.pack("!H", offset_units | (0x2000 if more else 0)) + packet[8:]


def fragment6(offset_units: int, size: int, before: bytes = b"", first: int = FRAGMENT) -> bytes:
    """An IPv6 fragment of `size` bytes behind its fragment header; `before` are extension headers in front of it."""
    return ip_packet(A6, B6, first, before + struct.pack("!BBHI", 17, 0, offset_units << 3, 1) + bytes(size))


@pytest.mark.parametrize("addresses", PAIRS)
def test_honest_packets_pass(addresses: tuple[str, str]) -> None:
    """If this fails, ordinary traffic is dropped."""
    for packet in (
        tcp_packet(*addresses, PORTS, b"x" * 100),
        udp_packet(*addresses, PORTS, b""),
        ip_packet(*addresses, ICMPV6, b"ping"),
        ip_packet(*addresses, 47, b""),
    ):
        assert judge(packet) == 0
        assert examine(b"..." + packet + b"...", 3, len(packet), 0, 0, 1500) == 0
    large = tcp_packet(*addresses, PORTS, bytes(60_000))
    assert judge(large, 1, 1400) == 0
    assert judge(udp_packet(*addresses, PORTS, bytes(60_000)), 1, 1400) == 0
    assert judge(tcp_packet(*addresses, PORTS, b"x"), 1, 0) == 0
    assert judge(udp_packet(*addresses, PORTS, b""), 1, 0) == 0


@pytest.mark.parametrize("version", (0, 1, 3, 5, 7, 15))
def test_unknown_versions_are_dropped(version: int) -> None:
    """If this fails, something that is not IP reaches a kernel."""
    assert judge(with_byte(tcp_packet(A4, B4, PORTS, bytes(60)), 0, version << 4 | 5)) == DropReason.BAD_PACKET


@pytest.mark.parametrize("words", (0, 1, 4, 15))
def test_ipv4_header_lengths_outside_the_packet_are_dropped(words: int) -> None:
    """If this fails, a header is shorter than IPv4 or reaches behind the packet."""
    assert judge(with_byte(ip_packet(A4, B4, ICMP, bytes(39)), 0, 0x40 | words)) == DropReason.BAD_PACKET


@pytest.mark.parametrize("addresses", PAIRS)
@pytest.mark.parametrize("change", (-1, 1, 400))
def test_length_has_to_be_that_of_the_item(addresses: tuple[str, str], change: int) -> None:
    """If this fails, what a kernel sees differs from what was examined."""
    packet = tcp_packet(*addresses, PORTS, bytes(1000))
    resized = packet[:change] if change < 0 else packet + bytes(change)
    assert judge(resized) == DropReason.BAD_PACKET


@pytest.mark.parametrize("length", (0, 1, 19))
def test_tiny_items_are_dropped(length: int) -> None:
    """If this fails, an empty item or a stump is read beyond its end."""
    assert judge(ip_packet(A4, B4, ICMP, b"")[:length]) == DropReason.BAD_PACKET
    assert judge(ip_packet(A6, B6, ICMPV6, b"")[: length + 20]) == DropReason.BAD_PACKET


def test_jumbograms_are_dropped() -> None:
    """If this fails, a payload length of 0 hides a packet of another length."""
    packet = ip_packet(A6, B6, 0, bytes((6, 0, 0xC2, 4, 0, 1, 0, 0)) + bytes(100))
    assert judge(packet[:4] + b"\0\0" + packet[6:]) == DropReason.BAD_PACKET


def test_fragments_pass_up_to_the_length_of_ip() -> None:
    """If this fails, fragments are dropped, or one that reaches over 65,535 bytes goes to a kernel (ping of death)."""
    assert judge(fragment4(0, 1200, more=True)) == 0
    assert judge(fragment4(150, 8)) == 0
    assert judge(fragment4(8189, 3)) == 0  # 65512 + 20 + 3 = 65535
    assert judge(fragment4(8189, 4)) == DropReason.BAD_PACKET
    assert judge(fragment6(0, 1200)) == 0
    assert judge(fragment6(8191, 7)) == 0  # 65528 + 7 = 65535
    assert judge(fragment6(8191, 8)) == DropReason.BAD_PACKET
    before = bytes((FRAGMENT, 0)) + bytes(6)
    assert judge(fragment6(8190, 7, before, first=60)) == 0
    assert judge(fragment6(8190, 8, before, first=60)) == DropReason.BAD_PACKET
    authentication = bytes((FRAGMENT, 1)) + bytes(10)
    assert judge(fragment6(8191, 0, authentication, first=51)) == DropReason.BAD_PACKET


def test_extension_headers_are_walked_so_far_and_no_further() -> None:
    """If this fails, a fragment hides behind a chain, or a chain of 8,000 headers stops the loop."""
    link = bytes((60, 0)) + bytes(6)
    assert judge(ip_packet(A6, B6, 60, link * 6 + bytes((17, 0)) + bytes(6))) == 0
    assert judge(ip_packet(A6, B6, 60, link * 8 + bytes(8))) == DropReason.BAD_PACKET
    assert judge(ip_packet(A6, B6, 60, bytes((60, 255)) + bytes(6))) == 0  # cut off: the receiver's business


@pytest.mark.parametrize("flags", (2, 3, 128, 255))
def test_unknown_flags_are_refused(flags: int) -> None:
    """If this fails, a later version's flag is silently taken for nothing."""
    assert judge(tcp_packet(A4, B4, PORTS), flags) == DropReason.BAD_OFFLOAD


@pytest.mark.parametrize("addresses", PAIRS)
@pytest.mark.parametrize("segment_bytes", (1, 499, 1461, 65535))
def test_segment_sizes_out_of_range_are_refused(addresses: tuple[str, str], segment_bytes: int) -> None:
    """If this fails, one record becomes 60,000 packets, or packets larger than the receiver takes."""
    packet = tcp_packet(*addresses, PORTS, bytes(60_000))
    assert judge(packet, 1, segment_bytes) == DropReason.BAD_OFFLOAD
    headers = 40 if addresses == PAIRS[0] else 60
    assert judge(packet, 1, 1500 - headers) == 0
    assert judge(packet, 1, 1501 - headers) == DropReason.BAD_OFFLOAD


def test_segment_size_needs_the_checksum_bit_and_something_to_cut() -> None:
    """If this fails, kernels are asked to cut packets in states that no sender produces."""
    assert judge(tcp_packet(A4, B4, PORTS, bytes(3000)), 0, 1000) == DropReason.BAD_OFFLOAD
    assert judge(tcp_packet(A4, B4, PORTS, bytes(1000)), 1, 1000) == DropReason.BAD_OFFLOAD
    assert judge(tcp_packet(A4, B4, PORTS, bytes(1001)), 1, 1000) == 0
    assert judge(tcp_packet(A4, B4, PORTS), 1, 1000) == DropReason.BAD_OFFLOAD


@pytest.mark.parametrize("segment_bytes", (0, 1000))
def test_offloads_only_for_plain_tcp_and_udp(segment_bytes: int) -> None:
    """If this fails, a peer makes a receiving kernel write a checksum where there is none."""
    udp_body = udp_packet(A4, B4, PORTS, bytes(3000))[20:]
    options = ip_packet(A4, B4, 17, udp_body)
    options = bytes((0x46, 0)) + struct.pack("!H", len(options) + 4) + options[4:20] + bytes(4) + options[20:]
    hop_by_hop = ip_packet(A6, B6, 0, bytes((17, 0)) + bytes(6) + udp_body)
    whole = ip_packet(A4, B4, 17, udp_body)
    for packet in (
        whole[:6] + b"\x20\0" + whole[8:],  # a first fragment; only the bit "more fragments" tells
        whole[:6] + b"\0\1" + whole[8:],
        fragment6(0, 1400),
        ip_packet(A4, B4, ICMP, bytes(1400)),
        ip_packet(A6, B6, ICMPV6, bytes(1400)),
        ip_packet(A4, B4, 132, bytes(1400)),
        options,
        hop_by_hop,
    ):
        assert judge(packet, mtu=9000) == 0
        assert judge(packet, 1, segment_bytes) == DropReason.BAD_OFFLOAD


@pytest.mark.parametrize("addresses", PAIRS)
def test_offloads_need_a_whole_transport_header(addresses: tuple[str, str]) -> None:
    """If this fails, a kernel is pointed to a checksum field outside the packet."""
    tcp = tcp_packet(*addresses, PORTS, bytes(20))
    transport = 20 if addresses == PAIRS[0] else 40
    for words in (0, 4, 11, 15):
        assert judge(with_byte(tcp, transport + 12, words << 4), 1) == DropReason.BAD_OFFLOAD
    assert judge(with_byte(tcp, transport + 12, 10 << 4), 1) == 0
    assert judge(ip_packet(*addresses, 6, bytes(12) + b"\x50" + bytes(6)), 1) == DropReason.BAD_OFFLOAD
    assert judge(ip_packet(*addresses, 17, bytes(7)), 1) == DropReason.BAD_OFFLOAD
    udp = udp_packet(*addresses, PORTS, bytes(20))
    assert judge(with_byte(udp, transport + 5, 27), 1) == DropReason.BAD_OFFLOAD
    assert judge(with_byte(udp, transport + 5, 27)) == 0


def test_packets_over_the_mtu_are_dropped() -> None:
    """If this fails, a receiver gets packets that its device cannot hold, or loses those that it can."""
    packet = udp_packet(A4, B4, PORTS, bytes(1472))
    for flags in (0, 1):
        assert judge(packet, flags) == 0
        assert judge(packet, flags, mtu=1499) == DropReason.TOO_BIG
    assert judge(fragment4(0, 1481), mtu=1500) == DropReason.TOO_BIG


def test_labels_are_the_words_of_status() -> None:
    """If this fails, counters in status are renamed under their readers."""
    assert [reason.label for reason in DropReason] == ["bad-packet", "bad-offload", "too-big"]


def slow_reach(packet: bytes) -> int:
    """What a packet, if it is a fragment, reassembles to at least; RFC 791 and RFC 8200 section 4.5."""
    if packet[0] >> 4 == 4:
        return int(IP(packet[:20]).frag) * 8 + len(packet)
    next_header, rest, walked = packet[6], packet[40:], 0
    while next_header in (0, 43, 51, 60) and len(rest) >= 8:
        size = (rest[1] + 2) * 4 if next_header == 51 else (rest[1] + 1) * 8
        next_header, rest, walked = rest[0], rest[size:], walked + size
    if next_header != 44 or len(rest) < 8:
        return 0
    return int(IPv6ExtHdrFragment(rest[:8]).offset) * 8 + walked + len(rest) - 8


def slow_judge(packet: bytes, flags: int, segment_bytes: int, mtu: int) -> str:
    """The rules of the module again, by scapy's dissection and with no thought for speed."""
    length = len(packet)
    version = packet[0] >> 4 if packet else 0
    if version == 4 and length >= 20:
        parsed = IP(packet[:20])
        ok = parsed.ihl >= 5 and parsed.ihl * 4 <= length and parsed.len == length
        plain = ok and parsed.ihl == 5 and not parsed.frag and not parsed.flags.MF
        protocol, at = parsed.proto, 20
    elif version == 6 and length >= 40:
        parsed = IPv6(packet[:40])
        ok, plain, protocol, at = parsed.plen == length - 40, True, parsed.nh, 40
    else:
        return "bad-packet"
    if not ok or slow_reach(packet) > 65535:
        return "bad-packet"
    if (flags, segment_bytes) == (0, 0):
        return "too-big" if length > mtu else ""
    body = packet[at:]
    if flags != 1 or not plain or protocol not in (6, 17) or len(body) < (20 if protocol == 6 else 8):
        return "bad-offload"
    header = TCP(body[:20]).dataofs * 4 if protocol == 6 else 8
    if header > len(body) or (header < 20 if protocol == 6 else UDP(body[:8]).len != len(body)):
        return "bad-offload"
    if not segment_bytes:
        return "too-big" if length > mtu else ""
    fits = segment_bytes >= 500 and at + header + segment_bytes <= mtu and len(body) - header > segment_bytes
    return "" if fits else "bad-offload"


def test_agrees_with_a_slow_reading_of_the_same_rules() -> None:
    """If this fails, the fast judgement and the written rules say different things about some packet."""
    rng = random.Random(19)
    verdicts: dict[str, int] = {}
    for _ in range(4000):
        addresses = rng.choice(PAIRS)
        size = rng.choice((0, 1, 30, 600, 1600))
        packet = rng.choice(
            (
                tcp_packet(*addresses, PORTS, bytes(size)),
                udp_packet(*addresses, PORTS, bytes(size)),
                fragment4(rng.randrange(8192), size),
                fragment6(rng.randrange(8192), size),
            )
        )
        for _ in range(rng.choice((0, 0, 1, 2))):
            at = rng.randrange(min(len(packet), 60))
            packet = with_byte(packet, at, packet[at] ^ 1 << rng.randrange(8))
        flags, segment_bytes = rng.choice((0, 1, 1, 2)), rng.choice((0, 0, 0, 0, 499, 500, 1000, 1440, 1460, 1461))
        verdict = judge(packet, flags, segment_bytes)
        label = DropReason(verdict).label if verdict else ""
        assert label == slow_judge(packet, flags, segment_bytes, 1500), packet[:60].hex()
        verdicts[label] = verdicts.get(label, 0) + 1
    assert min(verdicts[label] for label in ("", "bad-packet", "bad-offload", "too-big")) > 100, verdicts


@settings(derandomize=True, deadline=None, max_examples=500)
@given(
    st.one_of(st.binary(max_size=120), st.binary(max_size=100).map(lambda tail: b"\x60\0\0\0" + tail)),
    st.integers(0, 255),
    st.integers(0, 65535),
    st.integers(576, 65535),
)
def test_whatever_arrives_gets_a_verdict(packet: bytes, flags: int, segment_bytes: int, mtu: int) -> None:
    """If this fails, bytes of a peer end in an exception, or an item passes that nobody can address."""
    verdict = judge(packet, flags, segment_bytes, mtu)
    if verdict:
        assert DropReason(verdict).label
    else:
        assert flow_addresses(flow_key(packet, 0))[0] == packet[0] >> 4


@pytest.mark.parametrize("addresses", PAIRS)
def test_addresses_are_those_of_the_packet(addresses: tuple[str, str]) -> None:
    """If this fails, packets are checked or delivered by somebody else's address."""
    first, second = (ip_address(text) for text in addresses)
    packet = memoryview(b"-----" + udp_packet(*addresses, PORTS, b"x"))
    assert flow_key(packet, 5) == first.packed + second.packed
    assert flow_addresses(flow_key(packet, 5)) == (first.version, int(first), int(second))
