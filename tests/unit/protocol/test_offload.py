"""The kernel's header against what is derived; what a real kernel says to it stands in tests/netlab."""

from __future__ import annotations

import random
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netlab.worlds.ip_packets import FIN, PSH, ip_packet, tcp_packet, udp_packet, word_checksum
from rustun.protocol.offload import HEADER, cut_from_kernel, from_kernel, to_kernel
from rustun.protocol.packet import examine

PAIRS = (("10.0.0.1", "10.0.0.2"), ("fd00::1", "fd00::2"))
PORTS = (1234, 80)
NONE, TCP4, TCP6, UDP_L4 = 0, 1, 4, 5


def as_kernel_leaves_it(packet: bytes, transport: int, offset: int, protocol: int) -> bytes:
    """A packet with the pseudo header's sum in its checksum field."""
    addresses = packet[12:20] if packet[0] == 0x45 else packet[8:40]
    partial = ~word_checksum(addresses + struct.pack("!II", len(packet) - transport, protocol)) & 0xFFFF
    return packet[: transport + offset] + struct.pack("!H", partial) + packet[transport + offset + 2 :]


@pytest.mark.parametrize("addresses", PAIRS)
@pytest.mark.parametrize(("protocol", "offset"), ((6, 16), (17, 6)))
@pytest.mark.parametrize("segment_bytes", (0, 1200))
def test_what_travels_comes_out_the_same(
    addresses: tuple[str, str], protocol: int, offset: int, segment_bytes: int
) -> None:
    """If this fails, the receiving kernel is told something else than the sending one said."""
    make = tcp_packet if protocol == 6 else udp_packet
    whole = make(*addresses, PORTS, bytes(5001 if segment_bytes else 777))
    transport = 20 if whole[0] == 0x45 else 40
    kernels = as_kernel_leaves_it(whole, transport, offset, protocol)
    gso = {6: TCP4 if transport == 20 else TCP6, 17: UDP_L4}[protocol] if segment_bytes else NONE
    headers = transport + (20 if protocol == 6 else 8) if segment_bytes else 0
    header = HEADER.pack(1, gso, headers, segment_bytes, transport, offset)
    assert from_kernel(header, kernels, len(kernels)) == (1, segment_bytes)
    packet, derived = bytearray(whole), bytearray(10)
    to_kernel(1, segment_bytes, memoryview(packet), len(packet), derived)
    assert (bytes(derived), bytes(packet)) == (header, kernels)


def test_complete_packets_stay_as_they_are() -> None:
    """If this fails, a complete packet is marked as unfinished, or changed."""
    whole = tcp_packet(*PAIRS[0], PORTS, b"data")
    for header in (bytes(10), HEADER.pack(2, 0, 0, 0, 0, 0)):  # 2: the kernel has verified the checksum
        assert from_kernel(header, whole, len(whole)) == (0, 0)
        assert cut_from_kernel(header, memoryview(whole)) == [whole]
    packet, derived = bytearray(whole), bytearray(b"\xff" * 10)
    to_kernel(0, 0, memoryview(packet), len(packet), derived)
    assert (bytes(derived), bytes(packet)) == (bytes(10), whole)


def test_checksums_of_other_protocols_are_finished_here() -> None:
    """If this fails, a receiver gets an unfinished packet from which it cannot derive what is missing."""
    inner = udp_packet(*PAIRS[0], PORTS, bytes(100))
    outer = udp_packet(*PAIRS[0], (4789, 4789), bytes(8) + inner)
    kernels = as_kernel_leaves_it(inner, 20, 6, 17)
    packet = outer[:36] + kernels
    header = HEADER.pack(1, NONE, 0, 0, 36 + 20, 6)
    assert from_kernel(header, packet, len(packet)) is None
    assert cut_from_kernel(header, memoryview(packet)) == [outer[:36] + inner]


@pytest.mark.parametrize("segment_bytes", (1, 100, 499))
def test_small_segments_are_cut_here(segment_bytes: int) -> None:
    """If this fails, receivers drop what the sender's kernel wanted in small segments."""
    data = bytes(range(256)) * 2
    whole = udp_packet(*PAIRS[0], PORTS, data)
    header = HEADER.pack(1, UDP_L4, 28, segment_bytes, 20, 6)
    assert from_kernel(header, whole, len(whole)) is None
    pieces = cut_from_kernel(header, memoryview(as_kernel_leaves_it(whole, 20, 6, 17)))
    expected = [
        udp_packet(*PAIRS[0], PORTS, data[at : at + segment_bytes], 7 + at // segment_bytes)
        for at in range(0, len(data), segment_bytes)
    ]
    assert pieces == expected


def test_headers_that_a_receiver_would_not_derive_are_cut_here() -> None:
    """If this fails, packets with IP options or extension headers are lost, or cut with wrong checksums."""
    data = random.Random(3).randbytes(2500)
    option = bytes((6, 0)) + bytes((1, 4)) + bytes(4)
    tcp = tcp_packet(*PAIRS[1], PORTS, data, flags=FIN | PSH)
    packet = ip_packet(*PAIRS[1], 60, option + as_kernel_leaves_it(tcp, 40, 16, 6)[40:])
    header = HEADER.pack(1, TCP6, 68, 1000, 48, 16)
    assert from_kernel(header, packet, len(packet)) is None
    expected = [
        tcp_packet(*PAIRS[1], PORTS, data[at : at + 1000], sequence=at, flags=FIN | PSH if at == 2000 else 0)
        for at in (0, 1000, 2000)
    ]
    pieces = cut_from_kernel(header, memoryview(packet))
    assert pieces == [ip_packet(*PAIRS[1], 60, option + piece[40:]) for piece in expected]


def test_a_segment_size_with_nothing_to_cut_comes_out_complete() -> None:
    """If this fails, a lone segment that kept its segment size is lost."""
    for size in (0, 10, 1000):
        whole = tcp_packet(*PAIRS[0], PORTS, bytes(size))
        header = HEADER.pack(1, TCP4, 40, 1000, 20, 16)
        assert from_kernel(header, whole, len(whole)) is None
        assert cut_from_kernel(header, memoryview(as_kernel_leaves_it(whole, 20, 16, 6))) == [whole]


@pytest.mark.parametrize(
    "header",
    (
        HEADER.pack(1, 3, 28, 1000, 20, 6),  # UDP fragmentation offload
        HEADER.pack(1, 0x80 | TCP4, 40, 1000, 20, 16),  # with ECN
        HEADER.pack(0, TCP4, 40, 1000, 0, 0),
        HEADER.pack(1, TCP4, 40, 0, 20, 16),
    ),
)
def test_what_nobody_asked_the_kernel_for_is_dropped(header: bytes) -> None:
    """If this fails, a kernel's new type is sent on as something else."""
    whole = tcp_packet(*PAIRS[0], PORTS, bytes(3000))
    assert from_kernel(header, whole, len(whole)) is None
    assert cut_from_kernel(header, memoryview(whole)) == []


@pytest.mark.parametrize("gso", (TCP6, UDP_L4))
def test_type_has_to_be_that_of_the_packet(gso: int) -> None:
    """If this fails, a packet travels as segments of another protocol."""
    whole = tcp_packet(*PAIRS[0], PORTS, bytes(3000))
    assert from_kernel(HEADER.pack(1, gso, 40, 1000, 20, 16), whole, len(whole)) is None


@settings(derandomize=True, deadline=None, max_examples=300)
@given(st.binary(min_size=10, max_size=10), st.sampled_from(PAIRS), st.booleans(), st.integers(0, 3000))
def test_whatever_the_kernel_says_a_receiver_can_take_it(
    header: bytes, addresses: tuple[str, str], is_tcp: bool, size: int
) -> None:
    """If this fails, some header makes us send segments that every receiver drops."""
    whole = (tcp_packet if is_tcp else udp_packet)(*addresses, PORTS, bytes(size))
    item = from_kernel(header, whole, len(whole))
    assert item is None or examine(whole, 0, len(whole), *item, 65535) == 0
