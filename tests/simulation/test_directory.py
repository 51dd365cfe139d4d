"""Who is in the cluster, told to its members: pages, cursors, presence, pace."""

from __future__ import annotations

import pytest

from rustun.client.client import PRESENCE_SECONDS
from rustun.protocol.control import Directory, Ping, Presence, PresenceAsk
from tests.simulation.conftest import MakeWorld
from tests.simulation.peers import NoisePeer
from tests.simulation.world import Host, World, entry, office


def known(host: Host) -> set[str]:
    return set(host.client.peers.entries)


def pages(peer: NoisePeer) -> list[Directory]:
    return [message for message in peer.messages() if isinstance(message, Directory)]


def test_600_members_come_in_pages_and_without_presence(make_world: MakeWorld) -> None:
    """If this fails, a large cluster is not told, or pays for every member that comes and goes."""
    world = make_world(office(600))
    (host,) = world.online("m0")
    assert known(host) == {f"m{number}" for number in range(1, 600)}
    assert {one.online for one in host.client.peers.entries.values()} == {None}
    peer = NoisePeer(world, "m1")
    world.run(2.0)
    told = pages(peer)
    assert len(told) == 3
    assert [page.page for page in told] == [0, 1, 2]
    generation = world.session("m0").cluster.directory.generation
    for number in range(2, 12):
        NoisePeer(world, f"m{number}").close()
    world.run(3.0)
    assert pages(peer) == []
    assert world.session("m0").cluster.directory.generation == generation


@pytest.mark.parametrize(("before", "after"), [(256, 257), (257, 256)])
def test_presence_at_its_border(make_world: MakeWorld, before: int, after: int) -> None:
    """If this fails, members are told stale presence once a cluster has grown or shrunk."""
    world = make_world(office(before))
    hosts = world.online("m0", "m1")
    world.write_routes(office(after))
    world.run(3.0)
    expected = True if after <= 256 else None
    assert hosts[0].client.peers.entries["m1"].online is expected
    assert hosts[0].client.peers.entries["m9"].online is (False if after <= 256 else None)
    assert [host.client.reconnects for host in hosts] == [0, 0]


def test_news_come_at_most_once_a_second(make_world: MakeWorld) -> None:
    """If this fails, flapping members cost everybody a message each time."""
    world = make_world(office(12))
    watcher = NoisePeer(world, "m0")
    world.run(2.0)
    pages(watcher)
    for number in range(100):
        flapping = NoisePeer(world, f"m{1 + number % 8}")
        world.run(0.03)
        flapping.close()
    world.run(2.0)
    elapsed = 100 * 0.06 + 2
    assert len(pages(watcher)) <= elapsed + 2
    watcher.say(Ping(9))


def test_who_comes_and_goes_within_a_second_makes_no_news(make_world: MakeWorld) -> None:
    """If this fails, a member with a bad line is news every second."""
    world = make_world(office(2))
    watcher = NoisePeer(world, "m0")
    world.run(5.0)
    first = NoisePeer(world, "m1")
    world.run(0.1)
    pages(watcher)
    first.close()
    NoisePeer(world, "m1")
    world.run(3.0)
    assert pages(watcher) == []


def test_after_a_reconnect_the_whole_directory_comes_again(make_world: MakeWorld) -> None:
    """If this fails, a client works with what it knew of another server's generations."""
    world = make_world(office(5))
    host, other = world.online("m0", "m1")
    world.write_routes(office(4))
    world.run(2.0)
    assert known(host) == {"m1", "m2", "m3"}
    world.stop_server()
    world.write_routes([*office(3), entry("new", "10.0.3.3", ciders=["10.80.0.0/16"])])
    world.run(1.0)
    world.start_server()
    world.run_until_online("m0", "m1", limit_s=10.0)
    world.run(2.0)
    assert known(host) == {"m1", "m2", "new"}
    assert "10.80.0.0/16" in [str(prefix) for prefix in host.client.host_report.routed]
    assert known(other) == {"m0", "m2", "new"}


def test_news_go_on_from_where_a_receiver_is(make_world: MakeWorld) -> None:
    """If this fails, each change sends everybody everything, or a slow receiver misses one."""
    world: World = make_world(office(8))
    peer = NoisePeer(world, "m0")
    world.run(2.0)
    (snapshot,) = pages(peer)
    assert (snapshot.base, len(snapshot.members)) == (0, 8)
    for number in (7, 6, 5):
        world.write_routes(office(number))
        world.run(1.5)
    news = pages(peer)
    assert [(page.base, page.generation) for page in news] == [
        (snapshot.generation + at, snapshot.generation + at + 1) for at in range(3)
    ]
    assert [page.gone for page in news] == [("m7",), ("m6",), ("m5",)]
    assert all(page.members == () for page in news)


def test_a_receiver_far_behind_gets_a_snapshot(make_world: MakeWorld) -> None:
    """If this fails, who read nothing for two minutes is told of differences to what nobody remembers."""
    world = make_world(office(4))
    peer = NoisePeer(world, "m0")
    world.run(2.0)
    (first,) = pages(peer)
    cluster = world.session("m0").cluster
    session = world.session("m0")
    session._outbox.blocked = True  # a stream that takes nothing, for longer than the news are kept
    for number in range(70):
        entries = office(4)
        entries[3]["name"] = f"name {number}"
        world.write_routes(entries)
        world.run(1.1)
        session.heard_at = world.reactor.now()
        session._outbox.moved_at = world.reactor.now()
    session._outbox.blocked = False
    session._refill()
    world.run()
    (snapshot,) = pages(peer)
    assert snapshot.base == 0
    assert snapshot.generation == cluster.directory.generation > first.generation + 64
    assert {member.name for member in snapshot.members} >= {"name 69"}


def status_of(host: Host) -> dict[str, bool | None]:
    """Return who is online as the status says it."""
    peers = host.status()["peers"]
    assert isinstance(peers, list)
    return {peer["identity"]: peer["online"] for peer in peers}


def test_in_a_large_cluster_presence_is_told_on_request(make_world: MakeWorld) -> None:
    """If this fails, an operator of a large cluster cannot find out from a member who is there."""
    world = make_world([*office(450), entry("alone", "10.0.1.1", "shanghai")])
    host, other = world.online("m0", "m1")
    world.online("alone")
    assert set(status_of(host).values()) == {None}
    for _ in range(3):
        world.run(PRESENCE_SECONDS)
        status_of(host)
    world.run(PRESENCE_SECONDS)
    told = status_of(host)
    assert len(told) == 449
    assert [identity for identity, online in told.items() if online] == ["m1"]
    assert None not in told.values()
    other.client.stop("gone", lambda: None)
    for _ in range(4):
        world.run(PRESENCE_SECONDS)
        told = status_of(host)
    assert not any(told.values())


def test_presence_of_another_cluster_is_not_told(make_world: MakeWorld) -> None:
    """If this fails, a member finds out who belongs to another tenant and when he works."""
    world = make_world([*office(2), entry("alone", "10.0.1.1", "shanghai")])
    world.online("m1", "alone")
    peer = NoisePeer(world, "m0")
    peer.messages()
    peer.say(PresenceAsk(("alone", "m1", "nobody", "m0")))
    (answer,) = [message for message in peer.messages() if isinstance(message, Presence)]
    assert answer == Presence(("m1", "m0"), ())


def test_who_asks_for_the_status_all_the_time_ends_no_session(make_world: MakeWorld) -> None:
    """If this fails, any user who may read a client's status ends its tunnel by reading it in a loop."""
    world = make_world(office(300))
    host, _ = world.online("m0", "m1")
    for _ in range(200):
        status_of(host)
        world.run(0.01)
    assert host.client.reconnects == 0
    assert not world.core.closes
