"""Cutting and finishing, against packets that scapy or the definition makes for each segment."""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.packet import Packet, Raw, raw

from netlab.worlds.ip_packets import ACK, CWR, FIN, PSH, ip_packet, tcp_packet, udp_packet
from rustun.protocol.checksum import complete
from rustun.protocol.packet import ITEM, Buffer, examine
from rustun.protocol.segmentation import Item, lower_item, lower_run

PAIRS = (("10.0.0.1", "10.0.0.2"), ("fd00::1", "fd00::2"))
PORTS = (1234, 80)
NOTHING: frozenset[str] = frozenset()
EVERYTHING = frozenset({"csum", "tso4", "tso6", "uso"})
DATA = random.Random(5).randbytes(5003)


def lower(
    packet: bytes, flags: int, segment_bytes: int, offloads: frozenset[str] = NOTHING, mtu: int = 1500
) -> list[Item]:
    assert examine(packet, 0, len(packet), flags, segment_bytes, 65535) == 0
    return lower_item(memoryview(packet), flags, segment_bytes, offloads, mtu)


@pytest.mark.parametrize("network", (IP(src="10.1.2.3", dst="10.3.2.1", id=65534), IPv6(src="fd00::5", dst="fd01::6")))
@pytest.mark.parametrize("segment_bytes", (500, 501, 1448))
def test_tcp_segments_are_those_that_scapy_makes(network: Packet, segment_bytes: int) -> None:
    """If this fails, receivers without offloads get TCP segments with a wrong header or checksum."""
    options = [("Timestamp", (7, 9)), ("NOP", None), ("NOP", None)]
    first = TCP(sport=1, dport=2, seq=0xFFFFFC00, ack=5, flags="FPACE", options=options)
    items = lower(raw(network / first / Raw(DATA)), 1, segment_bytes, mtu=1600)
    starts = range(0, len(DATA), segment_bytes)
    assert len(items) == len(starts)
    for number, (at, item) in enumerate(zip(starts, items, strict=True)):
        header = first.copy()
        header.seq = (0xFFFFFC00 + at) % 2**32
        header.flags = ("FP" if at == starts[-1] else "") + "AE" + ("" if number else "C")
        outer = network.copy()
        if isinstance(outer, IP):
            outer.id = (65534 + number) % 65536
        assert item == (0, 0, raw(outer / header / Raw(DATA[at : at + segment_bytes])))


@pytest.mark.parametrize("network", (IP(src="10.1.2.3", dst="10.3.2.1", id=8), IPv6(src="fd00::5", dst="fd01::6")))
def test_datagrams_are_those_that_scapy_makes(network: Packet) -> None:
    """If this fails, receivers without offloads get datagrams with a wrong length or checksum."""
    items = lower(raw(network / UDP(sport=1, dport=2) / Raw(DATA)), 1, 1201)
    for number, at in enumerate(range(0, len(DATA), 1201)):
        outer = network.copy()
        if isinstance(outer, IP):
            outer.id = 8 + number
        assert items[number] == (0, 0, raw(outer / UDP(sport=1, dport=2) / Raw(DATA[at : at + 1201])))
    assert len(items) == 5


@settings(derandomize=True, deadline=None, max_examples=150)
@given(
    st.sampled_from(PAIRS),
    st.booleans(),
    st.integers(500, 3000),
    st.integers(1, 9000),
    st.sets(st.sampled_from(sorted(EVERYTHING))).map(frozenset),
    st.integers(576, 3100),
)
def test_nothing_is_lost_and_everything_can_be_taken(
    addresses: tuple[str, str], is_tcp: bool, segment_bytes: int, over: int, offloads: frozenset[str], mtu: int
) -> None:
    """If this fails, bytes are lost or doubled, or a receiver gets what it does not take."""
    data = random.Random(over).randbytes(segment_bytes + over)
    packet = (tcp_packet if is_tcp else udp_packet)(*addresses, PORTS, data)
    headers = len(packet) - len(data)
    arrived = b""
    for flags, size, piece in lower(packet, 1, segment_bytes, offloads, mtu):
        kind = "uso" if not is_tcp else "tso4" if addresses == PAIRS[0] else "tso6"
        assert flags == 0 or "csum" in offloads
        assert size == 0 or {"csum", kind} <= offloads
        limit = mtu if is_tcp else 65535  # a datagram is never made smaller
        assert examine(piece, 0, len(piece), flags, size, limit) == 0
        finished = bytearray(piece)
        complete(finished)
        assert flags or finished == piece
        arrived += piece[headers:]
    assert arrived == data


def test_ipv4_header_checksum_of_zero_stays_zero() -> None:
    """If this fails, one packet in 65,536 differs from what kernels make."""
    zero_at = int.from_bytes(tcp_packet(*PAIRS[0], PORTS, DATA[:1000], identification=0)[10:12], "big")
    pieces = lower(tcp_packet(*PAIRS[0], PORTS, DATA, identification=zero_at), 1, 1000)
    assert bytes(pieces[0][2][10:12]) == b"\0\0"


def test_receivers_with_offloads_get_the_packet_itself() -> None:
    """If this fails, work is done that the receiver's kernel does for nothing."""
    packets = {
        ("tso4", tcp_packet(*PAIRS[0], PORTS, DATA)),
        ("tso6", tcp_packet(*PAIRS[1], PORTS, DATA)),
        ("uso", udp_packet(*PAIRS[0], PORTS, DATA)),
        ("uso", udp_packet(*PAIRS[1], PORTS, DATA)),
    }
    for (kind, whole), name in product(packets, ("tso4", "tso6", "uso")):
        packet, fits = memoryview(whole), name == kind
        items = lower_item(packet, 1, 1000, frozenset({"csum", name}), 1500)
        assert (items == [(1, 1000, packet)]) == fits
        assert all(flags == 1 for flags, _, _ in items)
        for flags in (0, 1):
            assert lower_item(packet, flags, 0, frozenset({"csum"}), 1500)[0][2] is packet
        assert lower_item(packet, 0, 0, NOTHING, 1500)[0][2] is packet


def test_missing_checksum_is_completed_in_a_copy() -> None:
    """If this fails, one receiver's completion changes what another one gets."""
    whole = udp_packet(*PAIRS[0], PORTS, DATA)
    packet = bytes(bytearray(whole[:26]) + b"\0\0" + whole[28:])
    assert lower(packet, 1, 0) == [(0, 0, whole)]


def test_tcp_is_cut_to_the_mtu_and_datagrams_are_not() -> None:
    """If this fails, a receiver with a small MTU loses streams, or gets halves of datagrams."""
    large = tcp_packet(*PAIRS[0], PORTS, DATA)
    assert [len(piece) for _, _, piece in lower(large, 1, 1448, mtu=1280)] == [1280, 1280, 1280, 1280, 40 + 43]
    assert lower(large, 1, 1448, EVERYTHING, 1280) == [(1, 1240, large)]
    crowded = tcp_packet(*PAIRS[1], PORTS, DATA, options=bytes((1,)) * 40)
    assert [size for _, size, _ in lower(crowded, 1, 1400, EVERYTHING, 600)] == [500]
    assert [size for _, size, _ in lower(crowded, 1, 1400, EVERYTHING, 599)] == [0] * 11  # 499: no receiver takes it
    assert len(lower(udp_packet(*PAIRS[0], PORTS, DATA), 1, 1400, mtu=1280)[0][2]) == 1428


def as_run(items: Sequence[Item]) -> bytes:
    return b"".join(ITEM.pack(flags, size, len(packet)) + packet for flags, size, packet in items)


def items_of(run: Buffer) -> list[tuple[int, int, bytes]]:
    found, at = [], 0
    while at < len(run):
        flags, size, length = ITEM.unpack_from(run, at)
        found.append((flags, size, bytes(run[at + 5 : at + 5 + length])))
        at += 5 + length
    return found


@pytest.mark.parametrize("offloads", (NOTHING, frozenset({"csum"}), EVERYTHING))
def test_runs_keep_their_order_and_fit(offloads: frozenset[str]) -> None:
    """If this fails, packets overtake each other or a record overflows after cutting."""
    big = random.Random(6).randbytes(65_000 - 40)
    items: list[Item] = [
        (0, 0, ip_packet(*PAIRS[0], 1, b"ping")),
        (1, 500, tcp_packet(*PAIRS[0], PORTS, big[:30_000], flags=ACK | PSH | FIN | CWR)),
        (1, 0, udp_packet(*PAIRS[1], PORTS, b"query")),
        (1, 1200, udp_packet(*PAIRS[1], PORTS, big[:20_000])),
        (0, 0, ip_packet(*PAIRS[1], 58, b"pong")),
    ]
    runs_of_items: tuple[list[Item], ...] = (items, [(1, 500, tcp_packet(*PAIRS[0], PORTS, big))], [])
    for run_items in runs_of_items:
        expected = [
            (flags, size, bytes(piece))
            for item in run_items
            for flags, size, piece in lower_item(memoryview(item[2]), item[0], item[1], offloads, 1500)
        ]
        runs = list(lower_run(as_run(run_items), offloads, 1500, 65_519))
        assert [item for run in runs for item in items_of(run)] == expected
        assert all(0 < len(run) <= 65_519 for run in runs)


def test_runs_are_filled_to_the_last_byte() -> None:
    """If this fails, a record is one byte too long for its frame, or more records are sent than are needed."""
    item: Item = (0, 0, ip_packet(*PAIRS[0], 1, b"ping"))
    size = len(as_run([item]))
    for room, expected in ((3 * size, [3, 3, 1]), (3 * size - 1, [2, 2, 2, 1]), (size, [1] * 7)):
        assert [len(run) // size for run in lower_run(as_run([item] * 7), NOTHING, 1500, room)] == expected
