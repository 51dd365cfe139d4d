"""A server that is listed no more after a reload: what is on the way arrives, then it is left with a word."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from rustun.backends.base import Endpoint
from rustun.client.noise_session import DRAIN_SECONDS
from rustun.client.session import ClientSession
from tests.simulation.two_servers import BOTH, SECOND, TwoServers, numbered
from tests.simulation.world import SERVER, Host, office

SILENT_S = 13.0  # an interval of keepalive and a little: until an unanswered proof of life counts


def is_over(session: ClientSession) -> bool:
    """Tell whether a session has ended by now."""
    return session.closed


@pytest.fixture
def world(tmp_path: Path) -> Iterator[TwoServers]:
    made = TwoServers(tmp_path, office(2))
    yield made
    made.finish()


def reload(world: TwoServers, host: Host, *servers: Endpoint) -> None:
    """Give a client other servers, and let it read them."""
    world.write_client(host.identity, servers)
    host.client.reload()


def outside(host: Host) -> set[Endpoint]:
    """Return the servers that a host reaches beside the tunnel."""
    assert host.host_network.state is not None
    return set(host.host_network.state.outside)


@pytest.mark.parametrize("latency_s", [0.0001, 0.02, 0.2])
@pytest.mark.parametrize("remaining", [True, False])
def test_what_is_on_the_way_arrives(world: TwoServers, latency_s: float, remaining: bool) -> None:
    """If this fails, a server that is taken out of a fleet takes packets of its members with it."""
    one, other = (world.member(f"m{number}", BOTH if remaining else (SERVER,)) for number in range(2))
    world.run(3.0)
    world.faults.latency_s = latency_s
    there = [numbered(number) for number in range(200)]
    back = [numbered(number, "10.0.1.2", "10.0.1.1") for number in range(200)]
    one.send(*there[:100])
    other.send(*back)
    world.run(latency_s * 1.5)  # those for m0 are on their last way
    one.send(*there[100:])
    world.run(0.0)
    reload(world, one, SECOND)
    world.run(latency_s * 1.5)
    assert outside(one) >= {SERVER}, "else its way would lead into the tunnel meanwhile"
    world.run(5.0)
    assert other.packets == there
    assert one.packets == back
    assert outside(one) == {SECOND}
    assert world.log.texts("session-closed") == ["m0: goodbye"]
    assert world.present == {"m1"}


def test_other_servers_do_not_wait_for_one_that_is_silent(world: TwoServers) -> None:
    """If this fails, taking a dead server off the list makes a member's traffic stand still."""
    one, other = world.members(2)
    world.part(one, SERVER)
    world.run(SILENT_S)
    reload(world, one, SECOND)
    world.run(0.01)
    one.send(numbered(1))
    world.run(0.05)
    assert other.packets == [numbered(1)]
    world.network.mend(one.network.address, SERVER.host)


def test_a_server_is_waited_for_a_second_at_most(world: TwoServers) -> None:
    """If this fails, a server that died a moment before it was taken off the list stops its members."""
    one, other = world.members(2)
    session = one.client.links[0].session
    assert session is not None
    world.part(one, SERVER)
    reload(world, one, SECOND)
    world.run(0.05)
    assert not is_over(session)
    one.send(numbered(1))
    world.run(DRAIN_SECONDS)
    assert is_over(session)
    assert other.packets == [numbered(1)]
    assert outside(one) == {SECOND}
    world.network.mend(one.network.address, SERVER.host)


def test_a_second_reload_takes_a_server_back(world: TwoServers) -> None:
    """If this fails, a slip of the pen that is mended at once costs a member one of its servers."""
    one, other = world.members(2)
    world.faults.latency_s = 0.2
    reload(world, one, SECOND)
    world.run(0.1)
    reload(world, one, *BOTH)
    world.run(10.0)
    assert [link.state for link in one.client.links] == ["online", "online"]
    assert [link.state for link in other.client.links] == ["online", "online"]
    one.send(numbered(1))
    world.run(1.0)
    assert other.packets == [numbered(1)]


@pytest.mark.parametrize("end", ["stop", "vanish"])
def test_the_end_of_the_client_is_the_end_of_what_it_leaves(world: TwoServers, end: str) -> None:
    """If this fails, a session that waits for its last packets outlives its client, or writes into a closed device."""
    one, other = world.members(2)
    session = one.client.links[0].session
    assert session is not None
    world.faults.latency_s = 0.2
    for number in range(20):
        other.send(numbered(number, "10.0.1.2", "10.0.1.1"))
        world.run(0.02)
    reload(world, one, SECOND)
    world.run(0.01)
    assert not is_over(session)
    if end == "stop":
        one.client.stop("enough", lambda: None)
    else:
        one.tun.vanish()
        world.run(1.1)
    assert is_over(session)
    world.run(10.0)
    assert len(one.log.texts("device-gone")) == (end == "vanish")
