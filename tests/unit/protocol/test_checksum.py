"""The fast checksum against the definition, word by word, and against scapy."""

from __future__ import annotations

import random

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.packet import Raw, raw

from netlab.worlds.ip_packets import ip_packet, udp_packet, word_checksum
from rustun.protocol.checksum import complete, finish_partial, ones_complement_sum


@settings(derandomize=True, deadline=None, max_examples=300)
@given(st.binary(max_size=200))
@example(b"")
@example(b"\xff\xff")
@example(b"\xff\xfe\x00\x01")
@example(b"\x01")
@example(bytes(65535))
def test_sum_is_that_of_the_definition(data: bytes) -> None:
    """If this fails, checksums are wrong for some length or carry."""
    for buffer in (data, bytearray(data), memoryview(data)):
        assert ones_complement_sum(buffer) == (~word_checksum(data) & 0xFFFF) % 0xFFFF


@pytest.mark.parametrize("network", (IP(src="10.1.2.3", dst="10.3.2.1"), IPv6(src="fd00::5", dst="fd01::6")))
@pytest.mark.parametrize("transport", (TCP(seq=5, options=[("MSS", 1400)]), UDP()))
def test_completed_packets_are_those_of_scapy(network: IP, transport: TCP) -> None:
    """If this fails, receivers without offloads drop what we complete."""
    rng = random.Random(4)
    for size in (0, 1, 2, 99, 1400):
        packet = bytearray(raw(network / transport / Raw(rng.randbytes(size))))
        field = len(raw(network)) + (16 if isinstance(transport, TCP) else 6)
        broken = bytearray(packet)
        broken[field : field + 2] = rng.randbytes(2)
        complete(memoryview(broken))
        assert broken == packet


def test_udp_checksum_that_comes_out_as_zero_is_sent_as_ffff() -> None:
    """If this fails, one datagram in 65,536 says that it has no checksum, which IPv6 receivers drop."""
    ports = (1, 2)
    for addresses in (("10.0.0.1", "10.0.0.2"), ("fd00::1", "fd00::2")):
        transport = 20 if "." in addresses[0] else 40
        payload = udp_packet(*addresses, ports, bytes(2))[transport + 6 : transport + 8]  # makes the sum 0xFFFF
        packet = bytearray(udp_packet(*addresses, ports, payload))
        complete(packet)
        assert packet[transport + 6 : transport + 8] == b"\xff\xff"


def test_tcp_checksum_of_zero_stays_zero() -> None:
    """If this fails, completed TCP packets differ from those that kernels make."""
    bare = ip_packet("10.0.0.1", "10.0.0.2", 6, bytes(12) + b"\x50\x10" + bytes(6))
    packet = bytearray(bare)
    complete(packet)
    packet[24:26] = packet[36:38]  # the checksum into the sequence number: now the sum is 0xFFFF
    complete(packet)
    assert packet[36:38] == b"\0\0"


def test_partial_checksums_are_finished_wherever_they_start() -> None:
    """If this fails, what the kernel left to its device for protocols of its own goes out broken."""
    rng = random.Random(8)
    for start, offset, size in ((20, 6, 100), (48, 16, 101), (28, 2, 61)):
        packet = bytearray(rng.randbytes(size))
        expected = bytes(packet[start:])
        finish_partial(packet, start, offset)
        field = start + offset
        assert int.from_bytes(packet[field : field + 2], "big") == word_checksum(expected)
        assert packet[start:field] + packet[field + 2 :] == expected[:offset] + expected[offset + 2 :]
