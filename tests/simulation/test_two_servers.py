"""Several servers: a packet takes the first of the list where its destination is online."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from rustun.backends.base import Endpoint
from tests.simulation.two_servers import BOTH, SECOND, TwoServers, kill, numbered
from tests.simulation.world import SERVER, Host, office

SILENT_S = 13.0  # an interval of keepalive and a little: until an unanswered proof of life counts
GIVEN_UP_S = 30.0  # until a server misses a member


@pytest.fixture
def world(tmp_path: Path) -> Iterator[TwoServers]:
    made = TwoServers(tmp_path, office(3))
    yield made
    made.finish()


def exchange(world: TwoServers, one: Host, other: Host, start: int, count: int = 20, gap_s: float = 0.05) -> None:
    """Send numbered packets both ways, in step with time."""
    addresses = [f"10.0.1.{int(host.identity[1:]) + 1}" for host in (one, other)]
    for number in range(start, start + count):
        one.send(numbered(number, addresses[0], addresses[1]))
        other.send(numbered(number, addresses[1], addresses[0]))
        world.run(gap_s)


def numbers(host: Host) -> list[int]:
    """Return the numbers of the packets that came, in their order."""
    return [int.from_bytes(packet[-4:], "big") for packet in host.packets]


def test_members_are_on_both_servers_and_use_the_first(world: TwoServers) -> None:
    """If this fails, a second server is no help when the first one dies, or the first one idles."""
    one, other = world.members(2)
    exchange(world, one, other, 0)
    assert numbers(one) == numbers(other) == list(range(20))
    assert world.relayed() == (40, 0)
    assert [link.state for link in one.client.links] == ["online", "online"]


def test_a_member_that_is_cut_off_from_one_server_meets_all_the_others(world: TwoServers) -> None:
    """If this fails, a member whose way to the first server is broken is lost, though a second one stands beside."""
    one, other, third = world.members(3)
    world.part(one, SERVER)
    world.run(SILENT_S)
    exchange(world, one, other, 0)
    assert numbers(other) == list(range(20)), "its own session is silent: it takes the other one"
    world.run(GIVEN_UP_S)
    exchange(world, one, other, 100)
    assert numbers(one) == list(range(100, 120)), "the first server has told that it is gone"
    before = world.relayed()
    exchange(world, other, third, 200)
    assert numbers(third) == list(range(200, 220))
    assert world.relayed() == (before[0] + 40, before[1])
    world.network.mend(one.network.address, SERVER.host)


def test_a_server_that_is_killed_costs_nothing(world: TwoServers) -> None:
    """If this fails, members wait for a handshake, or lose packets, when a server dies and another one is there."""
    one, other = world.members(2)
    sessions = [host.client.links[1].session for host in (one, other)]
    exchange(world, one, other, 0)
    kill(world.server)
    world.run(0.01)
    exchange(world, one, other, 20)
    assert numbers(one) == numbers(other) == list(range(40))
    assert sessions == [host.client.links[1].session for host in (one, other)]
    assert [one.client.state, one.client.links[0].state] == ["online", "waiting"]


def test_packets_return_to_a_server_that_is_back_in_their_order(world: TwoServers) -> None:
    """If this fails, the move back to the first server loses, doubles or reorders what is on its way."""
    one, other = world.members(2)
    kill(world.server)
    world.run(1.0)
    world.faults.latency_s = 0.02
    exchange(world, one, other, 0)
    world.start_server()
    for start in range(20, 2000, 100):
        exchange(world, one, other, start, 100, 0.007)
    world.run(1.0)
    assert numbers(one) == numbers(other) == [*range(20), *range(20, 2020)]
    assert [link.state for link in one.client.links] == ["online", "online"]
    first, second = world.relayed()
    assert first > 200 and second > 200
    before = world.relayed()
    exchange(world, one, other, 3000)
    world.run()
    assert world.relayed() == (before[0] + 40, before[1])


def test_a_server_that_vanishes_is_left_within_the_keepalive(world: TwoServers) -> None:
    """If this fails, a server that answers nothing swallows everything until each member gives it up."""
    one, other = world.members(2)
    world.run(5.0)
    world.faults.cut.add(SERVER.host)
    exchange(world, one, other, 0, 100, 0.2)
    for host in (one, other):
        assert numbers(host) == list(range(numbers(host)[0], 100))
        assert numbers(host)[0] * 0.2 <= 13.2, "an interval, a second for the answer, and two until the next look"
    assert one.client.links[0].session is not None, "not given up yet, only not trusted"
    world.network.mend(SERVER.host)


def test_a_server_that_says_goodbye_is_left_at_once(world: TwoServers) -> None:
    """If this fails, the restart of one of two servers interrupts what members do."""
    one, other = world.members(2)
    world.faults.latency_s = 0.02
    for number in range(200):
        if number == 100:
            world.stop_server()
        exchange(world, one, other, number, 1, 0.01)
    world.run(1.0)
    missing = set(range(200)) - set(numbers(one))
    assert missing <= set(range(96, 105)), "what was on its way to the server that stopped"
    assert numbers(one) == sorted(numbers(one))
    assert len(set(numbers(one))) == len(numbers(one))


def test_both_sides_of_a_partition_meet_where_they_can(world: TwoServers) -> None:
    """If this fails, a member that everybody reaches through one server or the other is lost for one half of them."""
    one, middle, other = world.members(3)
    world.part(one, SERVER)
    world.part(other, SECOND)
    world.run(GIVEN_UP_S)
    exchange(world, one, middle, 0)
    exchange(world, middle, other, 100)
    assert numbers(one) == list(range(20))
    assert numbers(other) == list(range(100, 120))
    assert numbers(middle) == [*range(20), *range(100, 120)]
    world.network.mend(one.network.address, SERVER.host)
    world.network.mend(other.network.address, SECOND.host)


def test_a_server_with_another_key_is_no_server(world: TwoServers) -> None:
    """If this fails, an impostor at the address of one server gets a member's packets, or keeps it from the other."""
    (other,) = world.members(1)
    host = world.member("m1", server="stolen")
    world.run(5.0)
    assert [link.state for link in host.client.links] == ["waiting", "online"]
    assert "closed without a word" in host.client.links[0].last_error
    exchange(world, other, host, 0)
    assert numbers(host) == numbers(other) == list(range(20))
    assert world.relayed() == (0, 40)


@pytest.mark.parametrize("order", [(SECOND,), (SECOND, SERVER)])
def test_servers_come_and_go_at_a_reload(world: TwoServers, order: tuple[Endpoint, ...]) -> None:
    """If this fails, a fleet that is moved to another server is interrupted."""
    one, other = (world.member(f"m{number}", (SERVER,)) for number in range(2))
    world.run(3.0)
    world.faults.latency_s = 0.02
    for step, servers in enumerate((BOTH, order)):
        for host in (one, other):
            world.write_client(host.identity, servers)
            host.client.reload()
            exchange(world, one, other, 200 * step + 100 * (host is other), 100, 0.01)
            world.run(2.0)
    assert [link.server for link in one.client.links] == list(order)
    assert all(link.state == "online" for link in one.client.links)
    exchange(world, one, other, 400)
    for host in (one, other):
        assert numbers(host) == sorted(numbers(host))
        assert len(set(numbers(host))) == len(numbers(host))
        assert numbers(host)[-20:] == list(range(400, 420))
    if len(order) > 1:  # nobody left: nothing is lost
        assert numbers(one) == numbers(other) == list(range(420))
