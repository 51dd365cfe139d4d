"""Items of a hostile member in a record that opens: delivered as they are, dropped, or our protocol error."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from hypothesis import given
from hypothesis import strategies as st

from netlab.worlds.ip_packets import tcp_packet, udp_packet
from rustun.backends.base import OFFLOAD_HEADER_BYTES
from rustun.errors import ProtocolError
from rustun.protocol.codec import RecordCodec
from rustun.protocol.packet import ITEM, ITEM_HEADER_BYTES, MAX_PACKET_BYTES, examine
from rustun.protocol.records import MAX_PLAINTEXT_BYTES, RECORD_OVERHEAD_BYTES, Cipher
from rustun.protocol.segmentation import lower_run
from rustun.relay.session import RelaySession
from tests.unit.client.test_pump import World as ClientWorld
from tests.unit.relay.test_switch import KEYS, World, items_of

ENDS = st.sampled_from(["10.0.1.1", "10.0.1.2", "10.0.1.3", "fd00::1", "fd00::2", "127.0.0.1"])


@st.composite
def packets(draw: st.DrawFn) -> bytes:
    """Return a packet that is right, or nearly."""
    source, destination = draw(ENDS), draw(ENDS)
    if (":" in source) != (":" in destination):
        destination = source
    payload = bytes(draw(st.sampled_from([0, 1, 700, 3000])))
    is_udp = draw(st.booleans())
    packet = bytearray((udp_packet if is_udp else tcp_packet)(source, destination, (1, 2), payload))
    for _ in range(draw(st.integers(0, 2))):
        packet[draw(st.integers(0, len(packet) - 1))] = draw(st.integers(0, 255))
    return bytes(packet[: draw(st.integers(0, 3000))])


@st.composite
def runs(draw: st.DrawFn) -> bytes:
    """Return the plaintext of a data record: items whose headers are mostly right, or any bytes."""
    run = b""
    for packet in draw(st.lists(packets(), max_size=4)):
        flags, segment_bytes = draw(st.sampled_from([0, 0, 1, 1, 2, 255])), draw(st.sampled_from([0, 0, 500, 1400, 1]))
        length = draw(st.sampled_from([len(packet)] * 9 + [0, len(packet) + 1, 65535]))
        run += ITEM.pack(flags, segment_bytes, length) + packet
    return run + draw(st.binary(max_size=6))


def refused(work: Callable[[], object]) -> bool:
    try:
        work()
    except ProtocolError:
        return True
    return False


def framed(run: bytes) -> bool:
    """Tell whether a run is whole items and at least one."""
    at = 0
    while at + ITEM_HEADER_BYTES <= len(run):
        at += ITEM_HEADER_BYTES + ITEM.unpack_from(run, at)[2]
    return at == len(run) > 0


@given(runs())
def test_the_relay_forwards_only_whole_items_that_it_judged(run: bytes) -> None:
    """If this fails, one member's bytes end the relay for all, or reach another member unjudged."""
    world = World()
    assert refused(lambda: world.turn(run)) == (not framed(run))
    world.switch.flush()
    for _, taken, _ in world.taken:
        for item in items_of(taken):
            assert item in run
            flags, segment_bytes, length = ITEM.unpack_from(item)
            assert not examine(item[ITEM_HEADER_BYTES:] + bytes(99), 0, length, flags, segment_bytes, 1500)
    counted = sum(world.sender.traffic.drops.values()) + world.sender.traffic.received_packets
    if framed(run):
        assert counted == len(items_of(run))
        assert world.sender.traffic.received_packets == sum(packets for _, _, packets in world.taken)


@given(runs(), st.frozensets(st.sampled_from(["csum", "tso4", "tso6", "uso"])), st.sampled_from([576, 1430, 9000]))
def test_what_was_forwarded_can_be_cut_for_any_receiver(run: bytes, offloads: frozenset[str], mtu: int) -> None:
    """If this fails, a packet that the relay let through ends the session of the member that it is for."""
    world = World()
    refused(lambda: world.turn(run))
    for _, taken, _ in world.taken:
        for part in lower_run(taken, offloads, mtu, MAX_PLAINTEXT_BYTES):
            assert len(part) <= MAX_PLAINTEXT_BYTES
            for item in items_of(bytes(part)):
                flags, segment_bytes, length = ITEM.unpack_from(item)
                assert not examine(item[ITEM_HEADER_BYTES:] + bytes(99), 0, length, flags, segment_bytes, 65535)


@given(runs())
def test_a_client_writes_only_what_it_judged(run: bytes) -> None:
    """If this fails, a server, or a member behind it, ends the client or reaches its kernel unjudged."""
    world = ClientWorld()
    world.attach()
    whole = framed(run)
    assert refused(lambda: world.deliver(run)) == (not whole)
    for header, packet in world.tun.received:
        assert len(header) == OFFLOAD_HEADER_BYTES
        assert not examine(packet + bytes(99), 0, len(packet), 0, 0, MAX_PACKET_BYTES)
        assert packet[16:20] == bytes([10, 0, 1, 2])
    if whole:
        assert sum(world.pump.drops.values()) + world.pump.received_packets == len(items_of(run))


@given(st.lists(runs().filter(framed), min_size=1, max_size=3), st.integers(1, 9))
def test_a_turn_cut_anywhere_forwards_the_same(all_runs: list[bytes], budget: int) -> None:
    """If this fails, what a busy relay puts off is lost, doubled or overtaken."""
    whole, cut = World(), World()
    for run in all_runs:
        whole.turn(run)
        left = cut.turn(run, max_packets=budget)
        while left:
            cut.switch.begin(cast(RelaySession, cut.sender), 1e9, budget)
            left = cut.switch.forward_left(left)
            cut.switch.flush()
    arrived = [[(name, item) for name, run, _ in each.taken for item in items_of(run)] for each in (whole, cut)]
    assert arrived[0] == arrived[1]
    assert whole.sender.traffic.drops == cut.sender.traffic.drops


@given(st.binary(max_size=300), st.integers(0, 0xFF))
def test_foreign_frames_end_a_session_and_nothing_else(payload: bytes, frame_type: int) -> None:
    """If this fails, bytes of somebody without keys get past the seal."""
    codec = RecordCodec(Cipher.AES256, KEYS, is_client=False, now=0.0)
    frame = memoryview(bytes(7) + bytes([frame_type]) + payload)
    assert refused(lambda: codec.open_data(frame, memoryview(bytearray(400)), 0))
    assert not codec.alive(0.0)
    own = bytearray(RECORD_OVERHEAD_BYTES + 1)
    codec.seal_items(b"x", memoryview(own), 0)
    assert refused(lambda: codec.open_data(memoryview(own), memoryview(bytearray(400)), 0))  # reflected
