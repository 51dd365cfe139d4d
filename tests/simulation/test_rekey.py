"""Keys grow old: rekeys under traffic, keys that must not be used any more, hosts that slept."""

from __future__ import annotations

from itertools import count

import pytest

import rustun.protocol.records
from netlab.worlds.ip_packets import udp_packet
from rustun.protocol.control import Ping, RekeyAsk, RekeyInit
from rustun.protocol.packet import ITEM
from rustun.protocol.records import KEY_LIFE_SECONDS, REKEY_AFTER_SECONDS, RecordSealer
from tests.simulation.conftest import MakeWorld
from tests.simulation.middleman import ADDRESS, Middleman
from tests.simulation.peers import NoisePeer, hello
from tests.simulation.world import Host, World, office

HOUR_S = 3600.0


class Traffic:
    """Packets between two hosts at a steady pace, both ways."""

    def __init__(self, world: World, hosts: list[Host], every_s: float, payload: bytes = b"x") -> None:
        self.sent: list[list[bytes]] = [[], []]
        self._world = world
        self._hosts = hosts
        self._every_s = every_s
        self._payload = payload
        self._numbers = count()
        self._ends = False
        self._send()

    def stop(self) -> None:
        """Send no more, and let what is under way arrive."""
        self._ends = True
        self._world.run(5.0)

    def assert_all_arrived(self) -> None:
        """Every packet, once, in order."""
        for sender, receiver in ((0, 1), (1, 0)):
            assert self._hosts[receiver].packets == self.sent[sender]

    def _send(self) -> None:
        if self._ends:
            return
        for sender, receiver in ((0, 1), (1, 0)):
            number = next(self._numbers).to_bytes(4, "big")
            packet = udp_packet(f"10.0.1.{sender + 1}", f"10.0.1.{receiver + 1}", (1, 2), number + self._payload)
            if self._hosts[sender].tun.send(packet):
                self.sent[sender].append(packet)
        self._world.reactor.call_at(self._world.reactor.now() + self._every_s, self._send)


def count_rekeys(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Return a list that grows by the time of each new sealing key of anybody."""
    made: list[float] = []
    original = RecordSealer.__init__

    def note(self: RecordSealer, cipher: object, key: bytes, now: float) -> None:
        made.append(now)
        original(self, cipher, key, now)  # type: ignore[arg-type]

    monkeypatch.setattr(RecordSealer, "__init__", note)
    return made


@pytest.mark.parametrize("bad_sockets", [False, True])
def test_hours_of_traffic_lose_no_packet(
    make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch, bad_sockets: bool
) -> None:
    """If this fails, every rekey costs packets, or a session dies after a while for no reason."""
    made = count_rekeys(monkeypatch)
    world = make_world(office(2))
    hosts = world.online("m0", "m1")
    if bad_sockets:
        world.faults.short_writes, world.faults.refused_writes = True, 0.3
        world.faults.latency_s = 0.2
    traffic = Traffic(world, hosts, every_s=1.7)
    world.run(2 * HOUR_S)
    traffic.stop()
    traffic.assert_all_arrived()
    assert [host.client.reconnects for host in hosts] == [0, 0]
    rekeys = 2 * 2 * (2 * HOUR_S / REKEY_AFTER_SECONDS)  # both members, both directions
    assert 0.95 * rekeys <= len(made) <= 1.05 * rekeys + 4


def test_rekey_after_many_records(make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """If this fails, a busy session uses a key for more records than its cipher bears."""
    made = count_rekeys(monkeypatch)
    monkeypatch.setattr(rustun.protocol.records, "MAX_RECORDS_AES", 4000)
    world = make_world(office(2), method="aes256")
    hosts = world.online("m0", "m1")
    traffic = Traffic(world, hosts, every_s=0.02)  # 3,000 records in a minute
    world.run(300.0)
    traffic.stop()
    traffic.assert_all_arrived()
    assert [host.client.reconnects for host in hosts] == [0, 0]
    assert 4 * 4 <= len(made) <= 4 * 6


def test_rekey_while_the_way_to_the_server_is_full(make_world: MakeWorld) -> None:
    """If this fails, a slow uplink that is busy for minutes ends its session with each rekey."""
    world = make_world(office(2))
    hosts = world.online("m0", "m1")
    world.faults.latency_s = 1.0
    world.faults.buffer_bytes = 40_000  # 20 KB/s: what is sealed waits for seconds
    traffic = Traffic(world, hosts, every_s=0.05, payload=bytes(1300))
    world.run(260.0)
    assert [host.client.reconnects for host in hosts] == [0, 0], [host.client.last_error for host in hosts]
    assert world.core.closes == {}
    traffic.stop()


def test_a_client_that_forgets_is_asked_and_then_closed(make_world: MakeWorld) -> None:
    """If this fails, keys live for ever as long as the client wishes."""
    world = make_world(office(1))
    peer = NoisePeer(world, hello("m0", keepalive_s=60))
    began = world.reactor.now()
    world.run(149.0)
    peer.say(Ping(1))
    assert not any(isinstance(message, RekeyAsk) for message in peer.messages())
    world.run(3.0)
    assert sum(isinstance(message, RekeyAsk) for message in peer.messages()) == 1
    world.reactor.run_until(began + KEY_LIFE_SECONDS - 1.0)
    assert world.present == {"m0"}
    world.run(2.0)
    assert peer.ended
    assert world.core.closes == {"key-expired": 1}


@pytest.mark.parametrize("asleep_s", [KEY_LIFE_SECONDS + 1, HOUR_S, 365 * 24 * HOUR_S])
def test_no_record_is_made_with_keys_that_died_in_sleep(make_world: MakeWorld, asleep_s: float) -> None:
    """If this fails, hosts that slept go on with keys that should have been forgotten."""
    world = make_world(office(3), security={"minimum_tier": "legacy"})
    man = Middleman(world)
    (sleeper,) = world.online("m0", server=str(ADDRESS))
    (legacy,) = world.online("m1", legacy=True)
    world.run(12.0)
    for number in range(3):
        sleeper.send(udp_packet("10.0.1.1", "10.0.1.2", (1, 2), bytes([number])))
        legacy.send(udp_packet("10.0.1.2", "10.0.1.1", (1, 2), bytes([number])))
    passed = len(man.from_client), len(man.from_server)
    world.reactor.suspend(asleep_s)
    world.run(0.2)  # less than the wait before the next try
    assert (len(man.from_client), len(man.from_server)) == passed
    assert sleeper.client.state == "waiting"
    world.run_until_online("m0", "m1", limit_s=40.0)
    world.run(12.0)
    fresh = udp_packet("10.0.1.1", "10.0.1.2", (1, 2), b"after sleep")
    sleeper.send(fresh)
    world.run()
    assert fresh in legacy.packets


def test_a_rekey_with_another_key_ends_the_session(make_world: MakeWorld) -> None:
    """If this fails, a rekey lets somebody in who does not hold the key."""
    world = make_world(office(1))
    peer = NoisePeer(world, "m0")
    stranger = NoisePeer(world, "m0", key="some other key of 32 characters", connected=False)
    noise = stranger.initiator.first_frame[8 + 48 :][:48]
    peer.say(RekeyInit(noise))
    assert peer.ended
    assert world.core.closes["protocol-error"] == 1


def test_the_relay_seals_nothing_with_a_receivers_dead_key(make_world: MakeWorld) -> None:
    """If this fails, a packet for a member whose keys died in the server's sleep is still sealed with them."""
    world = make_world(office(2))
    world.online("m0", "m1")
    sender, receiver = world.session("m1"), world.session("m0")
    packet = udp_packet("10.0.1.2", "10.0.1.1", (1, 2), b"too late")
    world.reactor.suspend(KEY_LIFE_SECONDS + 1)
    receiver.take(sender, memoryview(ITEM.pack(0, 0, len(packet)) + packet), 1)  # before any timer could run
    assert world.core.closes == {"key-expired": 1}
    assert receiver.traffic.sent_packets == 0
    assert sender.traffic.drops == {"offline": 1}
