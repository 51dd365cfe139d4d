"""Between the device and the session: every packet once, in order, and none that was not judged."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from ipaddress import ip_interface, ip_network

import pytest

from netlab.worlds.ip_packets import tcp_packet, udp_packet
from rustun.backends.base import Callback, HostReport
from rustun.backends.memory import MemoryTun, VirtualReactor
from rustun.client.peers import OwnEntry, Peers
from rustun.client.pump import LULL_SECONDS, Pump
from rustun.client.uplink import Uplink
from rustun.config.consent import HostConsent
from rustun.errors import HostError, ProtocolError
from rustun.link.buffers import Buffers
from rustun.protocol.ciphers import SeedMethod, seed_cipher
from rustun.protocol.codec import MAX_PACKET_IN_RECORD_BYTES, RecordCodec, SeedCodec
from rustun.protocol.control import DirectoryEntry
from rustun.protocol.frames import RECORD_TYPES, SEED_SESSION_TYPES, FrameReader
from rustun.protocol.handshake import SessionKeys
from rustun.protocol.offload import GSO_UDP, HEADER, NEEDS_CHECKSUM
from rustun.protocol.packet import ITEM, ITEM_HEADER_BYTES, MAX_PACKET_BYTES, DropReason, examine, flow_key
from rustun.protocol.records import MAX_PLAINTEXT_BYTES, RECORD_OVERHEAD_BYTES, Cipher

KEYS = SessionKeys(bytes([1]) * 32, bytes([2]) * 32, bytes(32))
ME, PEER = "10.0.1.2", "10.0.1.3"


def codec(*, is_client: bool) -> RecordCodec:
    return RecordCodec(Cipher.AES256, KEYS, is_client=is_client, now=0.0)


def item(packet: bytes, flags: int = 0, segment_bytes: int = 0) -> bytes:
    return ITEM.pack(flags, segment_bytes, len(packet)) + packet


def items_of(run: bytes) -> list[tuple[int, int, bytes]]:
    items, at = [], 0
    while at < len(run):
        flags, segment_bytes, length = ITEM.unpack_from(run, at)
        at += ITEM_HEADER_BYTES + length
        items.append((flags, segment_bytes, run[at - length : at]))
    return items


def nobody_drains(drained: Callback, seconds: float) -> None:
    raise AssertionError("one session hands over to none")


class World:
    """A pump, its device, and a server's codec that opens what is transmitted."""

    def __init__(self, offloads: bool = True) -> None:
        self.reactor = VirtualReactor()
        self.tun = MemoryTun(self.reactor, "rustun0")
        self.peers = Peers("me")
        self.peers.own = OwnEntry("me", (ip_interface(f"{ME}/24"),), (ip_network("192.168.5.0/24"),))
        self.route("192.168.7.0/24")
        self.gone: list[HostError] = []
        self.pump = Pump(self.reactor, Buffers(), self.tun, 1430, lambda key: self.client, self.gone.append)
        self.server = codec(is_client=False)
        self.records: list[bytes] = []
        self.sends = 0
        self._offloads = offloads

    def route(self, prefix: str) -> None:
        own = ip_interface(f"{ME}/24")
        report = HostReport((own.network, ip_network(prefix)), addresses=(own,))
        self.peers.replace([DirectoryEntry("lan", "", "", "", (prefix,), True)])
        assert self.peers.own is not None
        self.peers.set_routed(report, HostConsent(as_told=True), self.peers.own)

    def uplink(self, guard: Callable[[Callback], None] = lambda step: step()) -> Uplink:
        """Return a session as the pump sees it."""
        return Uplink(
            codec(is_client=True), self.peers, self._transmit, guard, nobody_drains, takes_offloads=self._offloads
        )  # fmt: skip

    def attach(self) -> None:
        self.server = codec(is_client=False)
        self.client = self.uplink()
        self.pump.use([self.client])

    def _transmit(self, frames: memoryview) -> None:
        self.sends += 1
        reader, start = FrameReader(RECORD_TYPES), 0
        while (found := reader.next_frame(frames, start, len(frames))) is not None:
            plain = memoryview(bytearray(70_000))
            self.records.append(bytes(plain[: self.server.open_data(frames[start : found[1]], plain, 0)]))
            start = found[1]
        assert start == len(frames)

    def up(self) -> list[tuple[int, int, bytes]]:
        """Return every item that went up."""
        self.reactor.run_until_idle()
        assert all(self.records)
        return [each for record in self.records for each in items_of(record)]

    def deliver(self, run: bytes) -> None:
        out = memoryview(bytearray(len(run) + RECORD_OVERHEAD_BYTES))
        self.server.seal_items(run, out, 0)
        self.pump.deliver(self.client, out)


# --- upwards ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
def test_packets_go_up_once_and_in_order(seed: int) -> None:
    """If this fails, an application's packets are lost, doubled or glued together."""
    rng = random.Random(seed)
    world = World()
    world.attach()
    sent = []
    for _ in range(20):
        for _ in range(rng.choice((1, 5, 400))):
            packet = udp_packet(ME, PEER, (1, 2), rng.randbytes(rng.choice((0, 60, 1400, 1400, 9000))))
            assert world.tun.send(packet)
            sent.append((0, 0, packet))
        world.reactor.run_until_idle()
    assert world.up() == sent
    assert (world.pump.sent_packets, world.pump.sent_bytes) == (len(sent), sum(len(each[2]) for each in sent))


def test_what_waits_in_the_device_travels_together() -> None:
    """If this fails, every packet costs an AEAD call and a send."""
    world = World()
    world.attach()
    for _ in range(40):
        world.tun.send(udp_packet(ME, PEER, (1, 2), bytes(1400)))
    assert len(world.up()) == 40
    assert (len(world.records), world.sends) == (1, 1)


def test_the_first_packet_after_a_lull_goes_at_once() -> None:
    """If this fails, a lone packet waits until the device was looked at once more, or hides what is behind it."""
    world = World()
    world.attach()
    world.reactor.run_for(LULL_SECONDS)
    for _ in range(40):
        world.tun.send(udp_packet(ME, PEER, (1, 2), bytes(1400)))
    assert len(world.up()) == 40
    assert [len(items_of(record)) for record in world.records] == [1, 39]


def test_the_device_rests_while_the_stream_is_full() -> None:
    """If this fails, packets that nobody can send pile up here instead of in the kernel, which would choose."""
    world = World()
    world.attach()
    world.pump.pause(world.client)
    world.tun.send(udp_packet(ME, PEER, (1, 2), b"x"))
    assert world.up() == []
    world.pump.resume(world.client)
    assert len(world.up()) == 1
    world.pump.drop(world.client)
    world.pump.resume(world.client)  # a stream that comes back to a session that is gone
    world.tun.send(udp_packet(ME, PEER, (1, 2), b"y"))
    assert len(world.up()) == 1


def test_what_is_older_than_the_session_is_thrown_away() -> None:
    """If this fails, a client that was away for an hour sends packets of an hour ago."""
    world = World()
    for _ in range(3):
        world.tun.send(udp_packet(ME, PEER, (1, 2), b"old"))
    world.attach()
    assert world.up() == []
    assert world.pump.drops == {"no-session": 3}


def udp_offload(packet: bytes, segment_bytes: int) -> bytes:
    """Return the header of a large datagram that the kernel wants cut (UDP_SEGMENT)."""
    assert packet[0] == 0x45
    return HEADER.pack(1, GSO_UDP, 28, segment_bytes, 20, 6)


@pytest.mark.parametrize("length", [MAX_PACKET_IN_RECORD_BYTES, MAX_PACKET_IN_RECORD_BYTES + 1, MAX_PACKET_BYTES])
def test_the_largest_packets_of_the_kernel_travel(length: int) -> None:
    """If this fails, one large send of any local program ends the client's sending for good."""
    world = World()
    world.attach()
    small = udp_packet(ME, PEER, (1, 2), b"small")
    large = udp_packet(ME, PEER, (1, 2), bytes(length - 28))
    world.tun.send(small)
    world.tun.send(large, udp_offload(large, 1400))
    world.tun.send(small)
    items = world.up()
    assert (items[0], items[-1]) == ((0, 0, small), (0, 0, small))
    whole = [each for each in items[1:-1] if each[1]]
    if length <= MAX_PACKET_IN_RECORD_BYTES:
        assert [(flags, segment_bytes, len(packet)) for flags, segment_bytes, packet in items[1:-1]] == [
            (1, 1400, length)
        ]
    else:
        assert not whole
        assert sum(len(packet) - 28 for _, _, packet in items[1:-1]) == length - 28
    assert all(len(record) <= MAX_PLAINTEXT_BYTES for record in world.records)


def test_segments_of_a_few_bytes_do_not_flood() -> None:
    """If this fails, a tiny segment size makes more packets of one than the buffer holds."""
    world = World()
    world.attach()
    large = udp_packet(ME, PEER, (1, 2), bytes(60_000))
    world.tun.send(large, udp_offload(large, 2))
    world.tun.send(small := udp_packet(ME, PEER, (1, 2), b"small"))
    assert world.up() == [(0, 0, small)]
    assert world.pump.drops == {"uncuttable": 1}


def test_a_server_without_offloads_gets_complete_packets() -> None:
    """If this fails, a server of the seed gets packets without checksums, or larger than its device takes."""
    world = World(offloads=False)
    world.attach()
    large = udp_packet(ME, PEER, (1, 2), bytes(10_000))
    world.tun.send(large, udp_offload(large, 1400))
    items = world.up()
    assert len(items) == 8
    for flags, segment_bytes, packet in items:
        assert (flags, segment_bytes) == (0, 0)
        assert not examine(packet, 0, len(packet), 0, 0, 1430)
        expected = udp_packet(ME, PEER, (1, 2), packet[28:], identification=int.from_bytes(packet[4:6], "big"))
        assert packet == expected


def test_a_device_that_is_gone_is_told() -> None:
    """If this fails, a client without a device calls itself online."""
    world = World()
    world.attach()
    world.tun.vanish()
    world.reactor.run_for(1)
    assert len(world.gone) == 1
    again = World()
    again.tun.vanish()
    again.attach()
    assert again.gone


# --- downwards -------------------------------------------------------------------------------------------------------


def slow_deliver(world: World, run: bytes, drops: Counter[str]) -> list[bytes]:
    """Return the packets that the kernel gets, each judged by itself."""
    written = []
    for flags, segment_bytes, packet in items_of(run):
        reason = examine(packet + bytes(64), 0, len(packet), flags, segment_bytes, MAX_PACKET_BYTES)
        verdict = DropReason(reason).label if reason else world.peers.judge(flow_key(packet, 0))
        if verdict:
            drops[verdict] += 1
        else:
            written.append(packet)
    return written


@pytest.mark.parametrize("seed", range(4))
def test_delivery_agrees_with_judging_each_packet(seed: int) -> None:
    """If this fails, the kernel gets a packet that nobody judged, or an honest one is lost."""
    rng = random.Random(seed)
    world = World()
    world.attach()
    drops: Counter[str] = Counter()
    expected: list[bytes] = []
    for _ in range(40):
        run = b""
        for _ in range(rng.randint(1, 30)):
            source = rng.choice((PEER, PEER, PEER, "192.168.7.1", "8.8.8.8", "127.0.0.1"))
            destination = rng.choice((ME, ME, ME, "192.168.5.5", "10.0.1.9"))
            packet = udp_packet(source, destination, (1, 2), rng.randbytes(rng.choice((0, 100, 1400))))
            if rng.random() < 0.1:
                packet = packet[:-1]
            run += item(packet, *rng.choice(((0, 0), (0, 0), (0, 0), (0, 5), (4, 0))))
        expected += slow_deliver(world, run, drops)
        world.deliver(run)
        if rng.random() < 0.3:
            world.route(rng.choice(("192.168.7.0/24", "8.8.8.0/24")))
    assert [packet for _, packet in world.tun.received] == expected
    assert world.pump.drops == drops
    assert world.pump.received_packets == len(expected) > 100
    assert set(drops) == {"bad-packet", "bad-offload", "bad-source", "bad-destination"}


def test_an_unfinished_packet_is_delivered_with_its_header() -> None:
    """If this fails, the kernel takes a packet without a checksum for a damaged one."""
    world = World()
    world.attach()
    packet = tcp_packet(PEER, ME, (1, 2), bytes(5000))
    world.deliver(item(packet, 1, 1400))
    header, written = world.tun.received[0]
    assert header == HEADER.pack(1, 1, 40, 1400, 20, 16)
    assert written[:36] + written[38:] == packet[:36] + packet[38:]


def test_refused_packets_are_counted_and_the_rest_goes_on() -> None:
    """If this fails, one packet that the kernel does not like ends the session."""
    world = World()
    world.attach()
    run = item(udp_packet(PEER, ME, (1, 2), b"x"))
    world.tun.refuses = True
    world.deliver(run * 3)
    world.tun.refuses = False
    world.deliver(run)
    assert world.pump.drops == {"kernel-refused": 3}
    assert len(world.tun.received) == 1


@pytest.mark.parametrize(
    "bad", [b"", b"\0", b"\0\0\0\0", ITEM.pack(0, 0, 1), ITEM.pack(0, 0, 65535) + bytes(99)], ids=len
)
def test_broken_framing_of_items_is_a_protocol_error(bad: bytes) -> None:
    """If this fails, a record's end is read as a packet, or packets of another record are."""
    world = World()
    world.attach()
    good = item(udp_packet(PEER, ME, (1, 2), b"x"))
    world.deliver(good)
    with pytest.raises(ProtocolError):
        world.deliver((good if bad else b"") + bad)


def test_a_device_that_goes_in_the_middle_of_a_record_is_told_once() -> None:
    """If this fails, each packet of a record makes the client give up and begin again."""
    world = World()
    world.attach()
    world.tun.vanish()
    world.deliver(item(udp_packet(PEER, ME, (1, 2), b"x")) * 20)
    assert len(world.gone) == 1


def test_verdicts_are_bounded_in_number() -> None:
    """If this fails, a peer that scans addresses fills a client's memory."""
    world = World()
    world.attach()
    for start in range(0, 6000, 500):
        addresses = [f"192.168.7.{number % 256}:{number // 256}" for number in range(start, start + 500)]
        packets = [
            udp_packet(address.partition(":")[0], f"192.168.5.{address.partition(':')[2]}", (1, 2), b"")
            for address in addresses
        ]
        world.deliver(b"".join(map(item, packets)))
        assert len(world.peers.verdicts) <= 4096
    assert world.pump.received_packets == 6000


def test_packets_of_the_seeds_wire_are_delivered_too() -> None:
    """If this fails, a client on the seed's wire receives nothing."""
    world = World()
    cipher = seed_cipher(SeedMethod.CHACHA20POLY1305, "key")
    sender, receiver = (SeedCodec(cipher, random.Random(seed).randbytes) for seed in (1, 2))
    uplink = Uplink(
        receiver, world.peers, lambda frames: None, lambda step: step(), nobody_drains, takes_offloads=False
    )  # fmt: skip
    world.pump.use([uplink])
    packet = udp_packet(PEER, ME, (1, 2), b"x")
    out = memoryview(bytearray(500))
    end = sender.seal_items(item(packet), out, 0)
    assert FrameReader(SEED_SESSION_TYPES).next_frame(out, 0, end) == (3, end)
    world.pump.deliver(uplink, out[:end])
    assert world.tun.received == [(bytes(10), packet)]


def test_an_offload_header_that_points_outside_costs_one_packet() -> None:
    """If this fails, one odd header of the host's kernel silences the tunnel for ever."""
    world = World()
    world.attach()
    packet = udp_packet(ME, PEER, (1, 2), b"odd")
    world.tun.send(packet, HEADER.pack(NEEDS_CHECKSUM, 0, 0, 0, 60_000, 60_000))
    world.tun.send(small := udp_packet(ME, PEER, (1, 2), b"small"))
    assert world.up() == [(0, 0, small)]
    assert world.pump.drops == {"uncuttable": 1}


def test_what_fails_in_a_turn_reaches_the_session(monkeypatch: pytest.MonkeyPatch) -> None:
    """If this fails, one defect stops the device from being read for ever, while the client says that it is online."""
    world = World()
    faults: list[ZeroDivisionError] = []

    def guard(step: Callable[[], None]) -> None:
        try:
            step()
        except ZeroDivisionError as error:
            faults.append(error)
            world.pump.drop(ours)

    def defect(header: memoryview, packet: memoryview) -> int | None:
        raise ZeroDivisionError

    ours = world.uplink(guard)
    world.pump.use([ours])
    with monkeypatch.context() as patch:
        patch.setattr(world.tun, "read_into", defect)
        world.tun.send(udp_packet(ME, PEER, (1, 2), b"lost"), bytes(10))
        world.reactor.run_until_idle()
    assert len(faults) == 1
    world.attach()
    world.tun.send(udp_packet(ME, PEER, (1, 2), b"sent"), bytes(10))
    assert len(world.up()) == 1
