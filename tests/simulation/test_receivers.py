"""Receivers that are slow, stuck or gone: rows 22, 23, 35 and 38 of the faults."""

from __future__ import annotations

import pytest

from netlab.worlds.ip_packets import udp_packet
from rustun.protocol.control import Ping, Pong
from tests.simulation.conftest import MakeWorld
from tests.simulation.peers import NoisePeer, hello, item
from tests.simulation.seed_peer import SeedClient
from tests.simulation.world import KEY, World, office

MIB = 1 << 20


def big(source: int, destination: int, number: int, length: int = 1400) -> bytes:
    """Return a packet between two members by their numbers."""
    payload = number.to_bytes(4, "big") + bytes(length)
    return udp_packet(f"10.0.1.{source + 1}", f"10.0.1.{destination + 1}", (1, 2), payload)


def flood(peer: NoisePeer, destination: int, source: int, packets: int) -> None:
    """Send that many packets of 1,432 bytes as fast as the server takes them."""
    for at in range(0, packets, 40):
        peer.send(peer.data(*(item(big(source, destination, at + number)) for number in range(40))))


def test_row_22_a_receiver_that_stops_reading_loses_alone_and_is_closed(make_world: MakeWorld) -> None:
    """Row 22. If this fails, one stuck laptop stops the others, or is kept for ever."""
    world = make_world(office(3))
    stuck, sender = NoisePeer(world, "m0"), NoisePeer(world, "m1")
    (third,) = world.online("m2")
    stuck.stop_reading()
    began = world.reactor.now()
    flood(sender, 0, 1, 2000)
    assert world.session("m0").queue.bytes <= MIB
    assert world.drops("m1")["queue-full"] > 500
    sender.send_packets(big(1, 2, 7))
    assert third.packets == [big(1, 2, 7)]
    while world.reactor.now() < began + 9.0:
        world.run(1.0)
        sender.say(Ping(1))
    assert "m0" in world.present
    world.run(4.0)
    assert world.present == {"m1", "m2"}
    assert world.core.closes == {"stalled": 1}
    assert Pong(1) in sender.messages()


@pytest.mark.parametrize("every_s", [0.02, 9.0])
def test_row_38_a_reader_of_single_bytes_is_closed(make_world: MakeWorld, every_s: float) -> None:
    """Row 38. If this fails, a byte now and then keeps a megabyte of queue alive."""
    world = make_world(office(2))
    stuck, sender = NoisePeer(world, hello("m0", keepalive_s=60)), NoisePeer(world, hello("m1", keepalive_s=60))
    stuck.stop_reading()
    flood(sender, 0, 1, 1200)
    byte = bytearray(1)
    began = world.reactor.now()
    while "m0" in world.present and world.reactor.now() < began + 30:
        stuck.stream.receive_into(memoryview(byte))
        world.run(every_s)
    assert world.reactor.now() - began < 20
    assert world.core.closes == {"stalled": 1}


def test_row_22_a_slow_reader_that_goes_on_stays(make_world: MakeWorld) -> None:
    """Row 22. If this fails, a member on a slow line is thrown out although it reads all the time."""
    world = make_world(office(2))
    slow, sender = NoisePeer(world, hello("m0", keepalive_s=60)), NoisePeer(world, hello("m1", keepalive_s=60))
    slow.stop_reading()
    flood(sender, 0, 1, 1500)
    buffer = memoryview(bytearray(20_000))
    for _ in range(60):  # 20 KB/s
        if slow.stream.readable():
            slow.received += buffer[: slow.stream.receive_into(buffer) or 0]
        world.run(1.0)
        if len(slow.received) < 600_000:
            sender.say(Ping(0))
    assert "m0" in world.present
    slow.messages()
    assert sum(run.count(b"\x45\0\x05") for run in slow.items) > 400


def test_row_22_two_members_with_full_queues_towards_each_other(make_world: MakeWorld) -> None:
    """Row 22. If this fails, two members that both send and do not read lock each other, or the relay."""
    world = make_world(office(3))
    one, other = NoisePeer(world, "m0"), NoisePeer(world, "m1")
    (third,) = world.online("m2")
    one.stop_reading()
    other.stop_reading()
    flood(one, 1, 0, 1200)
    flood(other, 0, 1, 1200)
    one.send_packets(big(0, 2, 1))
    other.send_packets(big(1, 2, 2))
    assert third.packets == [big(0, 2, 1), big(1, 2, 2)]
    one.read_on()
    other.read_on()
    world.run(1.0)
    one.messages()
    other.messages()
    assert len(one.items) > 5 and len(other.items) > 5
    assert world.core.closes == {}


def test_row_37_a_flooder_loses_its_own_packets_first(make_world: MakeWorld) -> None:
    """Row 37. If this fails, who sends most gets everything, and the others' packets pay for it."""
    world = make_world(office(3))
    receiver, flooder, modest = (NoisePeer(world, f"m{number}") for number in range(3))
    receiver.stop_reading()
    flood(flooder, 0, 1, 1200)
    expected = [big(2, 0, number) for number in range(40)]
    for packet in expected:
        modest.send_packets(packet)
        flood(flooder, 0, 1, 40)
    receiver.read_on()
    world.run(1.0)
    receiver.messages()
    received = b"".join(receiver.items)
    assert all(packet in received for packet in expected)
    assert world.drops("m1")["queue-full"] > 1000
    assert world.drops("m2") == {}


def test_row_38_all_receivers_stuck_at_once_stay_within_the_total(make_world: MakeWorld) -> None:
    """Row 38. If this fails, many stuck receivers together take the host's memory."""
    world = make_world(office(9), limits={"queued_bytes_total": 2 * MIB})
    sender = NoisePeer(world, hello("m8", keepalive_s=60))
    stuck = [NoisePeer(world, hello(f"m{number}", keepalive_s=60)) for number in range(8)]
    for peer in stuck:
        peer.stop_reading()
    most = 0
    for _ in range(12):
        for number in range(8):
            flood(sender, number, 8, 80)
            most = max(most, world.core.queued_bytes)
    assert MIB < most <= 2 * MIB
    longest = max(world.session(f"m{number}").queue.bytes for number in range(8))
    assert longest < 2 * MIB // 8 + 200_000, "the longest queue loses first"
    world.run(14.0)
    assert world.present == {"m8"}
    assert world.core.queued_bytes == 0
    assert world.core.closes == {"stalled": 8}


@pytest.mark.parametrize(("keepalive_s", "gone_after_s"), [(10, 25.0), (2, 5.0), (60, 150.0)])
def test_row_23_a_power_cut_is_noticed_by_the_server(
    make_world: MakeWorld, keepalive_s: int, gone_after_s: float
) -> None:
    """Row 23. If this fails, packets go to a dead host for minutes, or a living one is thrown out."""
    world = make_world(office(2))
    (cut,) = world.online("m0", keepalive_interval=keepalive_s)
    (other,) = world.online("m1")
    world.run(2 * keepalive_s)
    world.faults.cut.add(cut.network.address)
    world.run(gone_after_s - keepalive_s - 0.5)
    assert "m0" in world.present
    world.run(keepalive_s + 1.5)
    assert world.present == {"m1"}
    world.run(1.5)
    assert other.client.peers.entries["m0"].online is False
    other.send(big(1, 0, 1))
    world.run()
    assert world.drops("m1") == {"offline": 1}


def test_row_23_a_power_cut_of_a_seed_is_noticed_within_20_s(make_world: MakeWorld) -> None:
    """Row 23. If this fails, a seed's client that lost power is routed for longer than the seed's server would."""
    world = make_world(office(1), security={"minimum_tier": "legacy"})
    seed = SeedClient(world, "m0", world.method, KEY)
    seed.shake_hands()
    world.run(19.0)
    assert world.present == {"m0"}
    world.run(1.6)
    assert world.present == set()
    assert world.core.closes == {"silent": 1}


@pytest.mark.parametrize("legacy", [False, True])
def test_row_23_a_server_that_is_silent_is_left(make_world: MakeWorld, legacy: bool) -> None:
    """Row 23. If this fails, a client stays with a server that lost power."""
    world = make_world(office(1), security={"minimum_tier": "legacy"})
    (host,) = world.online("m0", keepalive_interval=5, keepalive_threshold=3, legacy=legacy)
    world.faults.cut.add("192.0.2.1")
    world.run(9.0)
    assert host.client.state == "online"
    world.run(7.0)
    assert host.client.state != "online"
    assert "silent" in host.log.texts("not-connected")[0]
    world.network.mend("192.0.2.1")
    world.run_until_online("m0", limit_s=60.0)


@pytest.mark.parametrize("legacy", [False, True])
def test_an_idle_session_stays_up_for_hours(make_world: MakeWorld, legacy: bool) -> None:
    """If this fails, keepalives do not keep anything alive."""
    world = make_world(office(1), security={"minimum_tier": "legacy"})
    (host,) = world.online("m0", legacy=legacy)
    world.run(2 * 3600.0)
    assert host.client.reconnects == 0
    assert host.client.session is not None and host.client.session.rtt_ms is not None
    assert abs(host.client.session.rtt_ms - 2.0) < 0.1


@pytest.mark.parametrize("seed", range(4))
def test_row_35_sockets_that_take_half(make_world: MakeWorld, seed: int) -> None:
    """Row 35. If this fails, a short write tears the stream, on any of its four ends."""
    world: World = make_world(office(4), security={"minimum_tier": "legacy"}, seed=seed)
    hosts = [*world.online("m0", "m1"), *world.online("m2", "m3", legacy=True)]
    world.run(12.0)
    world.faults.short_writes, world.faults.refused_writes, world.faults.receive_bytes = True, 0.5, 700
    expected: list[list[bytes]] = [[] for _ in hosts]
    for number in range(60):
        for source, host in enumerate(hosts):
            to = (source + 1 + number % 3) % 4
            packet = big(source, to, number)
            host.send(packet)
            expected[to].append(packet)
        world.run(0.2)
    world.run(5.0)
    for host, packets in zip(hosts, expected, strict=True):
        assert sorted(host.packets) == sorted(packets)
        assert host.client.reconnects == 0


def test_every_packet_of_a_sender_that_left_is_accounted_for(make_world: MakeWorld) -> None:
    """If this fails, packets vanish from the counters when their sender has gone before they are dropped."""
    world = make_world(office(3))
    stuck, first, second = (NoisePeer(world, hello(name, keepalive_s=60)) for name in ("m0", "m1", "m2"))
    stuck.stop_reading()
    flood(first, 0, 1, 1200)
    first.close()
    flood(second, 0, 2, 1200)
    receiver = world.session("m0")
    sent, waiting = receiver.traffic.sent_packets, receiver.queue.packets
    dropped = world.core.ended.drops["queue-full"] + world.drops("m2")["queue-full"]
    assert sent + waiting + dropped == 2400
