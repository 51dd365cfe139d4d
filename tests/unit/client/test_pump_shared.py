"""One device, several sessions: each packet goes the way of its flow, and one stream that is full stops no other."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable

import pytest

from netlab.worlds.ip_packets import udp_packet
from rustun.backends.base import Callback
from rustun.backends.memory import MemoryTun, VirtualReactor
from rustun.client.peers import Peers
from rustun.client.pump import MAX_FLOWS, MOVE_SECONDS, PATIENCE_SECONDS, Pump
from rustun.client.uplink import Uplink
from rustun.errors import HostError
from rustun.link.buffers import Buffers
from rustun.protocol.codec import RecordCodec
from rustun.protocol.frames import RECORD_TYPES, FrameReader
from rustun.protocol.handshake import SessionKeys
from rustun.protocol.packet import ITEM, ITEM_HEADER_BYTES
from rustun.protocol.records import Cipher

KEYS = SessionKeys(bytes([1]) * 32, bytes([2]) * 32, bytes(32))
ME = "10.0.1.1"


def packet(to: int, number: int, size: int = 10) -> bytes:
    """Return a packet to the host of that number."""
    return udp_packet(ME, f"10.0.1.{to}", (1, 2), number.to_bytes(4, "big") + bytes(size))


class Way:
    """A session as the pump sees it, and its server."""

    def __init__(self, pump: Pump) -> None:
        self.packets: list[bytes] = []
        self.sends = 0
        self.drains: list[tuple[Callback, float]] = []
        self.faults = 0
        self._pump = pump
        self._server = RecordCodec(Cipher.AES256, KEYS, is_client=False, now=0.0)
        client = RecordCodec(Cipher.AES256, KEYS, is_client=True, now=0.0)
        self.uplink = Uplink(client, Peers("me"), self._transmit, self._guard, self._drain, takes_offloads=True)

    def _guard(self, step: Callable[[], None]) -> None:
        try:
            step()
        except ZeroDivisionError:
            self.faults += 1
            self._pump.drop(self.uplink)

    def _drain(self, drained: Callback, seconds: float) -> None:
        self.drains.append((drained, seconds))

    def _transmit(self, frames: memoryview) -> None:
        self.sends += 1
        reader, start = FrameReader(RECORD_TYPES), 0
        while (found := reader.next_frame(frames, start, len(frames))) is not None:
            plain = memoryview(bytearray(70_000))
            end, at = self._server.open_data(frames[start : found[1]], plain, 0), 0
            start = found[1]
            while at < end:
                length = ITEM.unpack_from(plain, at)[2]
                at += ITEM_HEADER_BYTES + length
                self.packets.append(bytes(plain[at - length : at]))


class Site:
    """A device with two ways; hosts with even numbers are reached by the first, unless `moved` says otherwise."""

    def __init__(self) -> None:
        self.reactor = VirtualReactor()
        self.tun = MemoryTun(self.reactor, "rustun0")
        self.tun.queue_packets = 5000
        self.gone: list[HostError] = []
        self.moved: dict[int, int] = {}
        self.asked = 0
        self.pump = Pump(self.reactor, Buffers(), self.tun, 1430, self.choose, self.gone.append)
        self.ways = [Way(self.pump) for _ in range(2)]
        self.pump.use([way.uplink for way in self.ways])

    def choose(self, key: bytes) -> Uplink:
        self.asked += 1
        return self.ways[self.moved.get(key[-1], key[-1] % 2)].uplink

    def send(self, *packets: bytes) -> None:
        for one in packets:
            assert self.tun.send(one)
        self.reactor.run_until_idle()


@pytest.mark.parametrize("seed", range(4))
def test_each_packet_goes_its_way_once_and_in_order(seed: int) -> None:
    """If this fails, packets are lost, doubled, reordered or sent to a server that does not know their destination."""
    rng = random.Random(seed)
    site, expected, number = Site(), defaultdict[int, list[bytes]](list), 0
    for _ in range(20):
        turn = []
        for _ in range(rng.choice((1, 7, 400))):
            number += 1
            to = rng.choice((2, 3, 4, 5))
            turn.append(packet(to, number, rng.choice((0, 60, 1400, 9000, 40_000))))
            expected[to % 2].append(turn[-1])
        site.send(*turn)
    assert [way.packets for way in site.ways] == [expected[0], expected[1]]
    assert site.asked == 4, "once for each flow"


def test_a_turn_is_one_send_for_each_way() -> None:
    """If this fails, two servers cost a send for every packet."""
    site = Site()
    site.send(*(packet(number % 2 + 2, number) for number in range(100)))
    assert [way.sends for way in site.ways] == [1, 1]


def test_while_one_stream_is_full_the_others_wait_a_moment_only() -> None:
    """If this fails, one server that takes nothing silences all others, or costs them their queue."""
    site = Site()
    first, second = site.ways
    site.pump.pause(first.uplink)
    site.send(packet(2, 0), packet(3, 1))
    assert second.packets == [], "most streams take bytes again within the moment"
    site.reactor.run_for(PATIENCE_SECONDS)
    assert second.packets == [packet(3, 1)]
    assert site.pump.drops == {"queue-full": 1}
    site.send(packet(2, 2), packet(3, 3), packet(2, 4))
    assert second.packets == [packet(3, 1), packet(3, 3)]
    assert site.pump.drops == {"queue-full": 3}
    site.pump.resume(first.uplink)
    site.send(packet(2, 5))
    assert first.packets == [packet(2, 5)]


def test_a_stream_that_is_full_for_a_moment_loses_nothing() -> None:
    """If this fails, a transfer at full speed loses packets as soon as a second server is configured."""
    site = Site()
    first, second = site.ways
    for number in range(100):
        site.pump.pause(first.uplink)
        site.send(packet(2, number), packet(3, number))
        site.reactor.run_for(PATIENCE_SECONDS / 2)
        site.pump.resume(first.uplink)
        site.reactor.run_until_idle()
    assert (len(first.packets), len(second.packets)) == (100, 100)
    assert not site.pump.drops


def test_a_slow_stream_costs_the_others_its_moment_once() -> None:
    """If this fails, a server behind a slow line slows all others down again and again."""
    site = Site()
    first, second = site.ways
    site.pump.pause(first.uplink)
    site.reactor.run_for(1.0)
    site.pump.resume(first.uplink)
    site.pump.pause(first.uplink)
    site.send(packet(3, 1))
    assert second.packets == [packet(3, 1)], "at once: it was full for long"
    site.pump.resume(first.uplink)  # and this time not for long
    site.pump.pause(first.uplink)
    site.send(packet(3, 2))
    assert len(second.packets) == 1
    site.pump.resume(first.uplink)
    site.reactor.run_until_idle()
    assert len(second.packets) == 2


def test_nothing_is_read_while_all_streams_are_full() -> None:
    """If this fails, packets are thrown away that the kernel's queue would have kept."""
    site = Site()
    for way in site.ways:
        site.pump.pause(way.uplink)
    site.send(packet(2, 0), packet(3, 1))
    site.reactor.run_for(1.0)
    assert not site.pump.drops
    site.pump.resume(site.ways[1].uplink)
    site.reactor.run_until_idle()
    assert site.ways[1].packets == [packet(3, 1)]


def test_the_last_session_waits_for_its_stream_without_a_limit() -> None:
    """If this fails, the end of one session makes the one that is left lose packets."""
    site = Site()
    first, second = site.ways
    site.pump.pause(first.uplink)
    site.pump.drop(second.uplink)
    site.send(packet(2, 0), packet(3, 1))
    site.reactor.run_for(1.0)
    assert not site.pump.drops
    site.pump.resume(first.uplink)
    site.reactor.run_until_idle()
    assert first.packets == [packet(2, 0), packet(3, 1)]


def test_a_flow_that_moves_up_waits_until_what_it_sent_was_handled() -> None:
    """If this fails, packets overtake each other when a server is back."""
    site = Site()
    first, second = site.ways
    site.send(packet(2, 0), packet(3, 1))
    site.moved[3] = 0
    site.pump.choose_again()
    site.send(packet(3, 2))
    ((drained, seconds),) = second.drains
    assert seconds == MOVE_SECONDS
    assert len(first.packets) == 1
    drained()
    site.reactor.run_until_idle()
    assert first.packets == [packet(2, 0), packet(3, 2)]
    assert not first.drains


def test_a_flow_that_moves_down_waits_for_nobody() -> None:
    """If this fails, packets wait for a server that cannot deliver them any more."""
    site = Site()
    first, second = site.ways
    site.send(packet(2, 0))
    site.moved[2] = 1
    site.pump.choose_again()
    site.send(packet(2, 1))
    assert (first.packets, second.packets) == ([packet(2, 0)], [packet(2, 1)])
    assert not first.drains and not second.drains


def test_a_session_that_ends_while_it_is_waited_for_holds_nobody_up() -> None:
    """If this fails, the device is never read again."""
    site = Site()
    site.send(packet(3, 0))
    site.moved[3] = 0
    site.pump.choose_again()
    site.pump.drop(site.ways[1].uplink)
    site.send(packet(3, 1))
    assert site.ways[0].packets == [packet(3, 1)]
    for drained, _ in site.ways[1].drains:
        drained()
    site.send(packet(3, 2))
    assert len(site.ways[0].packets) == 2


def test_a_session_that_fails_ends_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """If this fails, a defect in one session takes the packets of the others along."""
    site = Site()
    first, second = site.ways

    def defect(items: memoryview, out: memoryview, start: int) -> int:
        return 1 // 0

    monkeypatch.setattr(first.uplink.codec, "seal_items", defect)
    site.send(packet(2, 0), packet(3, 1))
    assert (first.faults, second.faults) == (1, 0)
    assert second.packets == [packet(3, 1)]
    site.moved[2] = 1
    site.send(packet(2, 2))
    assert second.packets == [packet(3, 1), packet(2, 2)]


def test_a_session_whose_keys_are_too_old_is_not_used() -> None:
    """If this fails, a host that slept sends records that nobody can open."""
    site = Site()
    site.reactor.suspend(1000.0)
    site.send(packet(2, 0), packet(3, 1))
    assert [way.packets for way in site.ways] == [[], []]
    assert site.pump.drops == {"no-session": 2}


def test_flows_are_bounded_in_number() -> None:
    """If this fails, a scan through the tunnel fills a client's memory."""
    site = Site()
    for start in range(0, 3 * MAX_FLOWS, 500):
        names = (f"10.9.{number >> 8}.{number & 255}" for number in range(start, start + 500))
        site.send(*(udp_packet(ME, name, (1, 2), b"") for name in names))
        assert len(site.pump._flows) <= MAX_FLOWS
