"""client.toml read again while packets flow: the new session stands before the old one goes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from netlab.worlds.ip_packets import udp_packet
from rustun.backends.base import Endpoint
from rustun.client.backoff import FIRST_SECONDS
from rustun.client.noise_session import LINGER_SECONDS
from rustun.config.client import load_client_config
from rustun.protocol.handshake import Hello
from rustun.protocol.tiers import Tier
from tests.simulation.conftest import MakeWorld
from tests.simulation.peers import NoiseServer
from tests.simulation.world import SERVER, Host, World, office, public_text

SETTLE_S = 1.0
PACKETS = 200


def change_over(world: World, host: Host, ages: tuple[str, ...], server_ages: tuple[str, ...] = ("",)) -> None:
    """Give a client new keys and let it read them."""
    path = world.folder / f"client-{host.identity}.toml"
    world.client_config(host.identity, ages=ages, server_ages=server_ages)
    host.client.settings.read = lambda: load_client_config(path)
    host.client.reload()


def numbered(number: int, source: str, destination: str) -> bytes:
    """Return the packet of that number."""
    return udp_packet(source, destination, (1, 2), number.to_bytes(4, "big"))


@pytest.mark.parametrize("latency_s", [0.0001, 0.02, 0.2])
def test_a_member_is_re_keyed_without_losing_a_packet(make_world: MakeWorld, latency_s: float) -> None:
    """If this fails, exchanging keys interrupts what a member is doing."""
    entries = office(2)
    entries[0]["public_key"] = [public_text("m0"), public_text("m0", "new")]
    world = make_world(entries, tier=Tier.KEY)
    first, second = world.online("m0", "m1")
    world.faults.latency_s = latency_s
    old = world.session("m0")
    there = [numbered(number, "10.0.1.1", "10.0.1.2") for number in range(PACKETS)]
    back = [numbered(number, "10.0.1.2", "10.0.1.1") for number in range(PACKETS)]
    for number in range(PACKETS):
        if number == PACKETS // 4:
            change_over(world, first, ("new",))
        first.send(there[number])
        second.send(back[number])
        world.run(0.02)
    world.run(SETTLE_S)
    assert old.closed
    assert world.session("m0") is not old
    assert world.core.closes == {"superseded": 1}
    assert second.packets == there, "all of them, once, in their order"
    assert first.packets == back
    assert first.client.reconnects == 0
    world.run(LINGER_SECONDS)
    assert first.client.state == "online"


def test_the_address_in_use_stays_outside_while_another_is_tried(make_world: MakeWorld) -> None:
    """If this fails, a reload after the server's name has moved cuts off a session that works."""
    world = make_world(office(2), tier=Tier.KEY)
    world.faults.names["relay.example"] = [SERVER.host]
    host = world.host("m0", server="relay.example:8080")
    world.run(SETTLE_S)
    world.faults.names["relay.example"] = ["203.0.113.9"]
    host.client.reload()
    world.run(SETTLE_S)
    assert host.client.state == "online"
    assert host.host_network.state is not None
    assert {endpoint.host for endpoint in host.host_network.state.outside} == {SERVER.host, "203.0.113.9"}


def test_what_is_still_under_way_on_the_old_session_arrives(make_world: MakeWorld) -> None:
    """If this fails, packets that wait for a slow path are thrown away when keys are exchanged."""
    entries = office(2)
    entries[0]["public_key"] = [public_text("m0"), public_text("m0", "new")]
    world = make_world(entries, tier=Tier.KEY)
    first, second = world.online("m0", "m1")
    world.faults.latency_s, world.faults.buffer_bytes = 0.02, 20_000
    there = [udp_packet("10.0.1.1", "10.0.1.2", (1, number), bytes(1000)) for number in range(150)]
    first.send(*there)
    world.run(0.001)
    change_over(world, first, ("new",))
    world.run(5.0)
    assert world.core.closes == {"superseded": 1}
    assert second.packets == there


@pytest.mark.parametrize("quick", [False, True])
def test_what_a_slow_path_has_not_taken_arrives(make_world: MakeWorld, quick: bool) -> None:
    """If this fails, packets that were sealed for a member on a slow path are thrown away as it exchanges keys."""
    world = make_world(office(2), tier=Tier.KEY)
    first, second = world.online("m0", "m1")
    for _ in range(4 * quick):  # a member that takes its place too often is not waited for
        change_over(world, first, ("",))
        world.run(SETTLE_S)
    world.faults.latency_s, world.faults.buffer_bytes = 0.02, 20_000
    there = [udp_packet("10.0.1.2", "10.0.1.1", (1, number), bytes(1000)) for number in range(300)]
    change_over(world, first, ("",))
    second.send(*there)
    world.run(LINGER_SECONDS)
    assert (first.packets == there) is not quick
    assert len(world.core.sessions) == 2


def test_what_waits_for_a_member_is_handed_to_its_new_session(make_world: MakeWorld) -> None:
    """If this fails, packets that wait at the relay for a member are thrown away as it exchanges keys."""
    world = make_world(office(2), tier=Tier.KEY)
    first, second = world.online("m0", "m1")
    world.faults.latency_s = 0.02
    there = [udp_packet("10.0.1.2", "10.0.1.1", (1, number), bytes(1000)) for number in range(150)]
    session = world.session("m0")
    session._outbox.blocked = True  # as if its stream took nothing
    second.send(*there)
    world.run()
    assert session.queue.packets == len(there)
    session._outbox.blocked = False
    change_over(world, first, ("",))
    world.run(5.0)
    assert first.packets == there


def test_with_the_old_key_gone_the_new_session_stays(make_world: MakeWorld) -> None:
    """If this fails, the last step of a rotation cuts off who has followed it."""
    entries = office(1)
    entries[0]["public_key"] = [public_text("m0"), public_text("m0", "new")]
    world = make_world(entries, tier=Tier.KEY)
    (host,) = world.online("m0")
    change_over(world, host, ("new",))
    world.run(SETTLE_S)
    session = world.session("m0")
    world.write_routes([{**entries[0], "public_key": public_text("m0", "new")}])
    world.run(SETTLE_S)
    assert world.session("m0") is session


def test_keys_that_do_not_serve_leave_the_old_session(make_world: MakeWorld) -> None:
    """If this fails, a client that was given its new key too early is cut off."""
    world = make_world(office(2), tier=Tier.KEY)
    first, second = world.online("m0", "m1")
    session = world.session("m0")
    change_over(world, first, ("unknown",))
    world.run(30.0)
    assert world.session("m0") is session
    assert first.client.state == "online"
    packet = numbered(1, "10.0.1.1", "10.0.1.2")
    first.send(packet)
    world.run()
    assert second.packets == [packet]
    change_over(world, first, ("",))
    world.run(SETTLE_S)
    assert world.session("m0") is not session


def test_a_broken_file_changes_nothing(make_world: MakeWorld) -> None:
    """If this fails, a slip of the pen while reloading cuts a member off."""
    world = make_world(office(1), tier=Tier.KEY)
    (host,) = world.online("m0")
    session = world.session("m0")
    host.client.settings.read = lambda: load_client_config(Path(world.folder / "nothing.toml"))
    host.client.reload()
    world.run(SETTLE_S)
    assert world.session("m0") is session
    assert "the client goes on as it was" in host.log.texts("config-refused")[-1]


def test_a_client_that_stops_in_the_middle_leaves_nothing(make_world: MakeWorld) -> None:
    """If this fails, a stop while keys are exchanged leaves a session that nobody ends."""
    world = make_world(office(1), tier=Tier.KEY)
    (host,) = world.online("m0")
    world.faults.latency_s = 0.2
    change_over(world, host, ("",))
    world.run(1.0)  # connected and answered; the old session is being drained
    host.client.stop("enough", lambda: None)
    world.run(SETTLE_S)
    assert not world.core.sessions


def test_the_shared_tier_ends_first(make_world: MakeWorld) -> None:
    """If this fails, a client of the shared tier is refused by its own session."""
    world = make_world(office(1))
    (host,) = world.online("m0")
    session = world.session("m0")
    host.client.reload()
    world.run(SETTLE_S)
    assert session.closed
    assert host.client.state == "online"


def test_a_fault_of_our_own_in_a_handshake_is_tried_again(make_world: MakeWorld) -> None:
    """If this fails, a defect in one try leaves a client that never tries again."""
    world = make_world(office(1), tier=Tier.KEY)
    (host,) = world.online("m0")
    hello = host.client.settings.hello

    def broken(offloads: frozenset[str]) -> Hello:
        return replace(hello(offloads), ciphers=None)  # type: ignore[arg-type]

    host.client.settings.hello = broken  # type: ignore[method-assign]
    world.stop_server()
    world.start_server()
    world.run(5.0)
    assert host.client.next_try_at is not None
    assert "a fault of this program" in host.client.last_error
    host.client.settings.hello = hello  # type: ignore[method-assign]
    world.run_until_online("m0")
    host.log.events.clear()  # the fault was ours: `finish` looks for others


@pytest.mark.parametrize("gap_s", [0.05, 0.2, 0.5, 0.9, 1.2])
@pytest.mark.parametrize("dead", [True, False])
def test_two_reloads_in_a_row_end_with_one_session(make_world: MakeWorld, gap_s: float, dead: bool) -> None:
    """If this fails, an operator who asks twice cuts the client off for good."""
    world = make_world(office(2), tier=Tier.KEY)
    first, second = world.online("m0", "m1")
    world.faults.latency_s = 0.01
    if dead:  # the old path swallows everything, as after a change of network
        world.session("m0")._outbox.pause_reading(True)
    change_over(world, first, ("",))
    world.run(gap_s)
    change_over(world, first, ("",))
    world.run(30.0)
    sent = [numbered(number, "10.0.1.1", "10.0.1.2") for number in range(60)]
    for packet in sent:
        first.send(packet)
        world.run(1.0)
    assert second.packets == sent
    assert first.client.state == "online"
    assert len(world.core.sessions) == 2


def test_a_successor_that_dies_leaves_a_client_that_comes_back(make_world: MakeWorld) -> None:
    """If this fails, a connection that breaks while keys are exchanged leaves a client without a session."""
    world = make_world(office(2), tier=Tier.KEY)
    first, second = world.online("m0", "m1")
    world.faults.latency_s = 0.2
    change_over(world, first, ("",))
    world.run(1.0)  # the old session is being drained, the new one waits
    (link,) = first.client.links
    assert link._successor is not None
    link._successor.close("it broke")
    world.run(30.0)
    packet = numbered(1, "10.0.1.1", "10.0.1.2")
    first.send(packet)
    world.run(1.0)
    assert second.packets == [packet]


def test_who_is_asked_to_begin_anew_forgets_old_troubles(make_world: MakeWorld) -> None:
    """If this fails, members that read their files anew just before a restart stay away as after an hour of trouble."""
    world = make_world(office(1), tier=Tier.KEY)
    (host,) = world.online("m0")
    world.stop_server()
    world.run(60.0)
    world.start_server()
    world.run_until_online("m0")
    change_over(world, host, ("",))
    world.run(SETTLE_S)
    world.session("m0").close("it broke")
    world.run(0.01)
    assert host.client.next_try_at is not None
    assert host.client.next_try_at - world.reactor.now() <= FIRST_SECONDS


def test_another_identity_needs_a_restart(make_world: MakeWorld) -> None:
    """If this fails, a client tries to be one member with the keys of another."""
    world = make_world(office(2), tier=Tier.KEY)
    (host,) = world.online("m0")
    session = world.session("m0")
    host.client.settings.read = lambda: world.client_config("m1")
    host.client.reload()
    world.run(SETTLE_S)
    assert world.session("m0") is session
    assert "identity was changed" in host.log.texts("config-refused")[-1]
    assert host.client.config.identity == "m0"


def test_many_reloads_are_read_one_at_a_time(make_world: MakeWorld) -> None:
    """If this fails, a storm of signals reads the file in a thread for each."""
    world = make_world(office(1), tier=Tier.KEY)
    (host,) = world.online("m0")
    config, read = host.client.config, []
    host.client.settings.read = lambda: (read.append(1), config)[1]  # type: ignore[func-returns-value]
    for _ in range(50):
        host.client.reload()
        world.server.reload()
    world.run(SETTLE_S)
    assert len(read) == 2
    assert len(world.log.texts("config-loaded")) == 2


def test_a_server_that_refuses_keeps_nobody_from_the_next(make_world: MakeWorld) -> None:
    """If this fails, a fleet with two relays is lost when one of them forgets a member."""
    world = make_world(office(1), tier=Tier.KEY)
    config = world.client_config("m0")
    refusing = NoiseServer(world, Endpoint("192.0.2.9", 8080))
    servers = (replace(config.servers[0], endpoint=Endpoint("192.0.2.9", 8080)), *config.servers)
    host = world.host_of(replace(config, servers=servers))
    world.run(0.5)
    refusing.refuse("unknown-identity")
    world.run_until_online("m0", limit_s=5.0)
    assert host.failures == []
    refusing.close()
