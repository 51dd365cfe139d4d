"""Gathering datagrams: what one large write says has to be what the many small ones said."""

from __future__ import annotations

import random

import pytest

from netlab.worlds.ip_packets import tcp_packet, udp_packet
from rustun.backends.memory import MemoryTun, VirtualReactor
from rustun.client.datagrams import MAX_DATAGRAMS, DatagramGatherer
from rustun.protocol.checksum import address_sum, complete
from rustun.protocol.offload import GSO_NONE, GSO_UDP, HEADER
from rustun.protocol.packet import UDP
from rustun.protocol.segmentation import segment

ADDRESSES = {4: ("10.0.1.3", "10.0.1.2"), 6: ("fd00:1::3", "fd00:1::2")}


def device(*, offload: bool = True) -> MemoryTun:
    return MemoryTun(VirtualReactor(1), "tun0", frozenset({"csum", "tso4", "tso6", "uso"} if offload else ()))


def deliver(tun: MemoryTun, packets: list[bytes]) -> list[tuple[int, int, bool]]:
    """Do what the pump does with unfinished packets; return what each write said."""
    gatherer, header = DatagramGatherer(tun), bytearray(10)
    plain, start, results = memoryview(bytearray(b"".join(packets))), 0, []
    for packet in packets:
        if not gatherer.add(plain, start, len(packet)):
            results.append(gatherer.write(header))
            assert gatherer.add(plain, start, len(packet))
        start += len(packet)
    results.append(gatherer.write(header))
    assert not gatherer.waits
    return results


def arrived(tun: MemoryTun) -> list[bytes]:
    """Return the packets as a kernel makes them of what was written."""
    packets: list[bytes] = []
    for header, packet in tun.received:
        _, kind, _, segment_bytes, _, _ = HEADER.unpack(header)
        if kind == GSO_NONE:
            finished = bytearray(packet)
            complete(finished)
            packets.append(bytes(finished))
            continue
        assert kind == GSO_UDP
        transport = 20 if packet[0] == 0x45 else 40
        view = memoryview(packet)
        packets += map(bytes, segment(view, segment_bytes, transport, UDP, address_sum(packet), finish=True))
    return packets


def counted(packets: list[bytes], version: int) -> list[bytes]:
    """Return IPv4 packets without identification and header checksum, which differ behind a gathered write."""
    return [packet if version == 6 else packet[:4] + packet[6:10] + packet[12:] for packet in packets]


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("seed", range(8))
def test_every_datagram_arrives_as_it_was(version: int, seed: int) -> None:
    """If this fails, gathering loses, merges, reorders or garbles datagrams."""
    rng = random.Random(seed)
    peer, me = ADDRESSES[version]
    packets = [
        udp_packet(peer, me, (rng.choice((1, 2)), 9), rng.randbytes(rng.choice((1, 100, 100, 100, 101, 1400))))
        for _ in range(300)
    ]
    tun = device()
    results = deliver(tun, packets)
    assert counted(arrived(tun), version) == counted(packets, version)
    assert sum(count for count, _, _ in results) == len(packets)
    assert sum(size for _, size, _ in results) == sum(map(len, packets))
    assert len(tun.received) < len(packets)


def test_a_long_stretch_is_few_writes() -> None:
    """If this fails, small datagrams cost a system call each again."""
    tun = device()
    deliver(tun, [udp_packet(*ADDRESSES[4], (1, 2), bytes(100))] * 256)
    assert len(tun.received) == 256 // MAX_DATAGRAMS


def test_what_differs_is_not_mixed() -> None:
    """If this fails, a datagram gets another one's type of service, hop limit or address."""
    first = udp_packet(*ADDRESSES[4], (1, 2), bytes(100))
    for at in (1, 8):  # type of service, time to live
        other = bytearray(first)
        other[at] ^= 4
        tun = device()
        assert len(deliver(tun, [first, bytes(other)])) == 2
    assert len(deliver(device(), [first, udp_packet("10.0.1.4", "10.0.1.2", (1, 2), bytes(100))])) == 2


def test_nothing_follows_a_shorter_one() -> None:
    """If this fails, a kernel cuts the stretch at the wrong places."""
    sizes = [100, 100, 40, 40, 100]
    tun = device()
    packets = [udp_packet(*ADDRESSES[4], (1, 2), bytes([size]) * size) for size in sizes]
    assert [count for count, _, _ in deliver(tun, packets)] == [3, 1, 1]


@pytest.mark.parametrize("offload", [True, False])
def test_others_are_left_alone(offload: bool) -> None:
    """If this fails, TCP is taken for datagrams, or a kernel gets what it did not offer to take."""
    gatherer = DatagramGatherer(device(offload=offload))
    for packet in (tcp_packet(*ADDRESSES[4], (1, 2), b"x"), udp_packet(*ADDRESSES[4], (1, 2), b"")):
        assert not gatherer.add(memoryview(bytearray(packet)), 0, len(packet))
    datagram = udp_packet(*ADDRESSES[4], (1, 2), b"x")
    assert gatherer.add(memoryview(bytearray(datagram)), 0, len(datagram)) is offload


def test_a_refused_write_is_counted_with_all_its_packets() -> None:
    """If this fails, lost datagrams are missing from the count of drops."""
    tun = device()
    tun.refuses = True
    packets = [udp_packet(*ADDRESSES[4], (1, 2), bytes(100))] * 3
    assert deliver(tun, packets) == [(3, sum(map(len, packets)), False)]
