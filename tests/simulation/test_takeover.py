"""One identity, two hosts: row 24 of the faults."""

from __future__ import annotations

from netlab.worlds.ip_packets import udp_packet
from rustun.protocol.control import Goodbye
from tests.simulation.conftest import MakeWorld
from tests.simulation.peers import NoisePeer, hello
from tests.simulation.seed_peer import DATA, SeedClient
from tests.simulation.world import KEY, office

LEGACY = {"minimum_tier": "legacy"}
THERE = udp_packet("10.0.1.2", "10.0.1.1", (1, 2), b"for whoever is m0")


def test_row_24_shared_an_incumbent_that_answers_stays(make_world: MakeWorld) -> None:
    """Row 24. If this fails, a copied configuration throws the first host out."""
    world = make_world(office(2))
    first, other = world.online("m0", "m1")
    session = world.session("m0")
    newcomer = world.host("m0")
    world.run(3.0)
    assert world.session("m0") is session
    other.send(THERE)
    world.run()
    assert first.packets == [THERE]
    assert newcomer.packets == []
    assert "another session of this identity" in newcomer.client.last_error
    assert newcomer.client.next_try_at is not None
    assert newcomer.client.next_try_at - world.reactor.now() > 50.0, "told, so it waits a minute"
    assert first.client.reconnects == 0
    assert not world.core.takeover.alarms


def test_row_24_shared_an_incumbent_that_is_gone_gives_way(make_world: MakeWorld) -> None:
    """Row 24. If this fails, a laptop that changed its network is locked out by its own old connection."""
    world = make_world(office(2))
    first, other = world.online("m0", "m1")
    world.faults.cut.add(first.network.address)
    moved = world.host("m0")
    world.run(0.9)
    other.send(THERE)
    world.run(0.5)
    other.send(THERE)
    world.run()
    assert moved.packets == [THERE]
    assert world.core.closes == {"superseded": 1}
    world.network.mend(first.network.address)
    world.run(1.0)
    other.send(THERE)
    world.run()
    assert moved.packets == [THERE, THERE], "the end of the old connection withdraws nothing"


def test_row_24_the_superseded_one_waits_a_minute(make_world: MakeWorld) -> None:
    """Row 24. If this fails, two hosts throw each other out for ever."""
    world = make_world(office(1))
    (first,) = world.online("m0")
    world.faults.latency_s = 0.7  # its answer comes after the second that it has
    second = world.host("m0")
    world.run(6.0)
    assert second.client.state == "online"
    assert "took this member's place" in first.client.last_error
    assert first.client.next_try_at is not None
    assert 50.0 < first.client.next_try_at - world.reactor.now() <= 60.0
    assert world.core.closes == {"superseded": 1}


def test_row_24_legacy_the_newest_wins(make_world: MakeWorld) -> None:
    """Row 24. If this fails, a seed's client that lost its connection cannot come back."""
    world = make_world(office(2), security=LEGACY)
    (other,) = world.online("m1")
    first = SeedClient(world, "m0", world.method, KEY)
    first.shake_hands()
    second = SeedClient(world, "m0", world.method, KEY)
    second.shake_hands()
    assert first.ended
    other.send(THERE)
    world.run()
    assert (first.packets, second.packets) == ([], [THERE])
    first.close()
    second.send(DATA, udp_packet("10.0.1.1", "10.0.1.2", (2, 1), b"back"))
    assert len(other.packets) == 1


def test_row_24_a_lower_tier_takes_nothing_from_a_higher_one(make_world: MakeWorld) -> None:
    """Row 24. If this fails, the seed's weak key is enough to take a member's place on the shared tier."""
    world = make_world(office(1), security=LEGACY)
    (first,) = world.online("m0")
    seed = SeedClient(world, "m0", world.method, KEY)
    assert seed.shake_hands() is None
    assert seed.ended
    assert first.client.reconnects == 0
    first.client.stop("off", lambda: None)
    world.run()
    again = SeedClient(world, "m0", world.method, KEY)
    assert again.shake_hands() is not None
    world.online("m0")
    assert again.ended, "a higher tier takes over at once"


def test_row_24_two_newcomers_at_once(make_world: MakeWorld) -> None:
    """Row 24. If this fails, two sessions of one identity are up, or none."""
    world = make_world(office(1))
    silent = NoisePeer(world, hello("m0", keepalive_s=60))
    newcomers = [NoisePeer(world, "m0") for _ in range(3)]
    world.run(1.5)
    assert world.present == {"m0"}
    assert sum(not peer.ended for peer in newcomers) == 1
    assert Goodbye("superseded", "another session took this member's place") in silent.messages()
    assert len(world.core.sessions) == 1


def test_row_24_many_newcomers_do_not_wear_the_incumbent_out(make_world: MakeWorld) -> None:
    """Row 24. If this fails, hosts that claim a member's place make it answer so often that its session is closed."""
    world = make_world(office(1))
    (first,) = world.online("m0")
    for number in range(120):
        NoisePeer(world, "m0")
        assert "m0" in world.present, number
    world.run(3.0)
    assert first.client.reconnects == 0
    assert first.client.state == "online"
    assert len(world.core.sessions) == 1


def test_takeovers_that_go_on_raise_an_alarm(make_world: MakeWorld) -> None:
    """If this fails, nobody learns that two hosts use one identity."""
    world = make_world(office(1), security=LEGACY)
    for number in range(5):
        assert not world.core.takeover.alarms, number
        SeedClient(world, "m0", world.method, KEY).shake_hands()
        world.run(5.0)
    (alarm,) = world.core.takeover.alarms
    assert alarm.startswith("m0: 4 takeovers")
    assert world.status()["alarms"] == [alarm]
    assert len(world.log.texts("takeover-alarm")) == 1
    world.run(61.0)
    assert not world.core.takeover.alarms
