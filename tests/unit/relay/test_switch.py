"""Switch against a slow one that looks at each packet by itself and remembers nothing."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field
from typing import cast

import pytest

from netlab.worlds.ip_packets import tcp_packet, udp_packet
from rustun.backends.memory import VirtualReactor
from rustun.errors import ProtocolError
from rustun.link.buffers import PLAIN_BYTES, Buffers
from rustun.protocol.ciphers import SeedMethod, seed_cipher
from rustun.protocol.codec import MAX_PACKET_IN_RECORD_BYTES, RecordCodec, SeedCodec
from rustun.protocol.frames import FrameType, encode_frame
from rustun.protocol.handshake import SessionKeys
from rustun.protocol.packet import ITEM, ITEM_HEADER_BYTES, MAX_PACKET_BYTES, DropReason, examine, flow_key
from rustun.protocol.records import MAX_PLAINTEXT_BYTES, RECORD_OVERHEAD_BYTES, Cipher
from rustun.relay.cluster import Cluster
from rustun.relay.counters import Traffic
from rustun.relay.egress import Egress
from rustun.relay.seed_session import SEED_MTU
from rustun.relay.session import RelaySession
from rustun.relay.switch import RUNS_PER_CLOCK, Switch
from tests.members import member

KEYS = SessionKeys(bytes([1]) * 32, bytes([2]) * 32, bytes(32))


@dataclass(eq=False)
class Session:
    """What the switch looks at in a session; a receiver keeps what it is given."""

    identity: str
    cluster: Cluster
    taken: list[tuple[str, bytes, int]]
    mtu: int = 1500
    flows: dict[bytes, object] = field(default_factory=dict)
    flows_epoch: int = -1
    traffic: Traffic = field(default_factory=Traffic)

    def take(self, sender: Session, run: memoryview, packets: int) -> None:
        assert packets == len(items_of(bytes(run)))
        assert len(run) <= MAX_PLAINTEXT_BYTES
        self.taken.append((self.identity, bytes(run), packets))


def items_of(run: bytes) -> list[bytes]:
    items, at = [], 0
    while at < len(run):
        end = at + ITEM_HEADER_BYTES + ITEM.unpack_from(run, at)[2]
        items.append(run[at:end])
        at = end
    return items


class World:
    """A cluster of four, of whom `a` sends."""

    def __init__(self) -> None:
        self.taken: list[tuple[str, bytes, int]] = []
        self.cluster = Cluster("beijing")
        self.cluster.replace_members(
            [member(name, f"10.0.1.{number}", six=f"fd00::{number}/64") for number, name in enumerate("abcd", 1)]
        )
        self.sessions = {name: Session(name, self.cluster, self.taken) for name in "abc"}
        for name in "abc":
            self.come(name)
        self.reactor = VirtualReactor()
        buffers = Buffers()
        self.switch = Switch(self.reactor, buffers, Egress(buffers))
        self._client = RecordCodec(Cipher.CHACHA20, KEYS, is_client=True, now=0.0)
        self._codec = RecordCodec(Cipher.CHACHA20, KEYS, is_client=False, now=0.0)

    @property
    def sender(self) -> Session:
        return self.sessions["a"]

    def come(self, name: str) -> None:
        self.cluster.add_session(cast(RelaySession, self.sessions[name]))

    def go(self, name: str) -> None:
        self.cluster.remove_session(cast(RelaySession, self.sessions[name]))

    def begin(self, max_packets: int = 1 << 30, deadline: float = 1e9) -> None:
        self.switch.begin(cast(RelaySession, self.sender), deadline, max_packets)

    def forward(self, run: bytes) -> bytes:
        """Send a run as one record and let it be forwarded."""
        out = memoryview(bytearray(len(run) + RECORD_OVERHEAD_BYTES))
        end = self._client.seal_items(run, out, 0)
        return self.switch.forward_frame(self._codec, out[:end])

    def turn(self, run: bytes, max_packets: int = 1 << 30, deadline: float = 1e9) -> bytes:
        self.begin(max_packets, deadline)
        left = self.forward(run)
        self.switch.flush()
        return left


def slow_forward(world: World, run: bytes, drops: Counter[str]) -> list[tuple[str, bytes]]:
    """Return (receiver, item) for each packet that arrives."""
    arrived = []
    sender = cast(RelaySession, world.sender)
    for item in items_of(run):
        flags, segment_bytes, length = ITEM.unpack_from(item)
        packet = item[ITEM_HEADER_BYTES:]
        reason = examine(packet + bytes(64), 0, length, flags, segment_bytes, world.sender.mtu)
        if reason:
            drops[DropReason(reason).label] += 1
            continue
        found = world.cluster.route(sender, flow_key(packet, 0))
        if isinstance(found, str):
            drops[found] += 1
        else:
            arrived.append((found.identity, item))
    return arrived


def random_item(rng: random.Random) -> bytes:
    """Return an item: mostly good, to somebody who is there."""
    name = rng.choice(("10.0.1.{}", "fd00::{}"))
    source = name.format(1) if rng.random() < 0.9 else name.format(rng.randint(1, 9))
    destination = name.format(rng.choice((2, 2, 2, 3, 3, 4, 1, 9)))
    payload = rng.randbytes(rng.choice((0, 1, 100, 1400, 1400, 3000, 20_000)))
    flags = segment_bytes = 0
    if rng.random() < 0.3:
        packet = tcp_packet(source, destination, (1, 2), payload)
        flags, segment_bytes = rng.choice(((1, 0), (1, 1400), (1, 100), (0, 1400), (2, 0)))
    else:
        packet = udp_packet(source, destination, (1, 2), payload)
    if rng.random() < 0.05:
        packet = packet[:-1] or b"\0"
    return ITEM.pack(flags, segment_bytes, len(packet)) + packet


def random_run(rng: random.Random) -> bytes:
    run = random_item(rng)
    for _ in range(rng.choice((0, 3, 40))):
        item = random_item(rng)
        if len(run) + len(item) > MAX_PLAINTEXT_BYTES:
            break
        run += item
    return run


@pytest.mark.parametrize("seed", range(8))
def test_it_is_the_slow_switch_only_faster(seed: int) -> None:
    """If this fails, packets are lost, doubled, reordered, or delivered to the wrong member."""
    rng = random.Random(seed)
    world = World()
    drops: Counter[str] = Counter()
    for _ in range(25):
        name = rng.choice("bc")
        if name in world.cluster.sessions:
            world.go(name)
        else:
            world.come(name)
        runs = [random_run(rng) for _ in range(rng.randint(1, 12))]
        expected = [arrival for run in runs for arrival in slow_forward(world, run, drops)]
        world.taken.clear()
        budget = rng.choice((1, 7, 1 << 20))
        world.begin(budget)
        for run in runs:
            left = world.forward(run)
            while left:
                world.switch.flush()
                world.begin(budget)
                left = world.switch.forward_left(left)
        world.switch.flush()
        assert [(name, item) for name, run, _ in world.taken for item in items_of(run)] == expected
        assert world.sender.traffic.drops == drops
    assert world.sender.traffic.received_packets > 100
    assert set(drops) >= {"bad-packet", "bad-offload", "too-big", "bad-source", "no-route", "to-sender", "offline"}


def good(destination: int, payload: bytes = b"x" * 100) -> bytes:
    packet = udp_packet("10.0.1.1", f"10.0.1.{destination}", (1, 2), payload)
    return ITEM.pack(0, 0, len(packet)) + packet


def test_neighbours_for_one_receiver_travel_together() -> None:
    """If this fails, every packet costs an AEAD call and a send of its own."""
    world = World()
    world.begin()
    for _ in range(3):
        assert world.forward(good(2) * 50) == b""
    assert world.forward(good(3) + good(2) * 2) == b""
    world.switch.flush()
    assert [(name, packets) for name, _, packets in world.taken] == [("b", 150), ("c", 1), ("b", 2)]


def test_a_turn_larger_than_the_buffer_loses_nothing() -> None:
    """If this fails, a burst writes over packets that wait to be handed over."""
    world = World()
    run = good(2, b"x" * 1400) * 45
    world.begin()
    for _ in range(3 * PLAIN_BYTES // len(run)):
        assert world.forward(run) == b""
    world.switch.flush()
    assert b"".join(taken for _, taken, _ in world.taken) == run * (3 * PLAIN_BYTES // len(run))


def test_a_turn_ends_at_its_budget() -> None:
    """If this fails, one member's record of 13,000 tiny packets holds up everybody else."""
    world = World()
    run = good(2, b"") * 100
    left = world.turn(run, max_packets=30)
    assert (len(left), sum(packets for _, _, packets in world.taken)) == (len(run) * 70 // 100, 30)
    world.reactor.run_until(5.0)
    alternating = (good(2) + good(3)) * 100
    left = world.turn(alternating, deadline=4.0)
    assert 0 < len(alternating) - len(left) <= (RUNS_PER_CLOCK + 2) * len(good(2))


@pytest.mark.parametrize(
    "bad", [b"\0", b"\0\0\0\0", ITEM.pack(0, 0, 1), ITEM.pack(0, 0, 65535) + bytes(100), b""], ids=len
)
def test_broken_framing_of_items_is_a_protocol_error(bad: bytes) -> None:
    """If this fails, a record's end is read as a packet, or packets of another turn are."""
    world = World()
    world.begin()
    with pytest.raises(ProtocolError):
        world.forward((good(2) if bad else b"") + bad)


def test_what_is_remembered_is_forgotten_with_the_epoch() -> None:
    """If this fails, packets go on to a session that has closed, or are dropped although the member is back."""
    world = World()
    for step, expected in ((world.go, 0), (world.come, 1)):
        step("b")
        world.taken.clear()
        world.turn(good(2))
        assert len(world.taken) == expected
    assert world.sender.traffic.drops == {"offline": 1}


def test_flows_are_bounded() -> None:
    """If this fails, a scan of addresses fills the relay's memory."""
    world = World()
    for start in range(0, 12_000, 500):
        addresses = [f"10.9.{number // 256}.{number % 256}" for number in range(start, start + 500)]
        packets = [udp_packet("10.0.1.1", address, (1, 2), b"") for address in addresses]
        world.turn(b"".join(ITEM.pack(0, 0, len(packet)) + packet for packet in packets))
        assert len(world.sender.flows) <= 5000
    assert world.sender.traffic.drops == {"no-route": 12_000}


def test_a_packet_that_fits_no_record_is_dropped() -> None:
    """If this fails, a huge packet on the seed's wire is handed on in a run that nobody can seal or take."""
    world = World()
    world.sender.mtu = SEED_MTU
    codec = SeedCodec(seed_cipher(SeedMethod.PLAIN, "key"), bytes)
    for size in (MAX_PACKET_IN_RECORD_BYTES, MAX_PACKET_IN_RECORD_BYTES + 1, MAX_PACKET_BYTES):
        packet = udp_packet("10.0.1.1", "10.0.1.2", (1, 2), bytes(size - 28))
        world.begin()
        world.switch.forward_frame(codec, memoryview(encode_frame(FrameType.SEED_DATA, packet)))
        world.switch.flush()
    assert [len(run) for _, run, _ in world.taken] == [MAX_PLAINTEXT_BYTES]
    assert world.sender.traffic.drops == {"too-big": 2}
