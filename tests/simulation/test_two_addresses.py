"""The shared tier, where two addresses of one server look like two: the second is refused, and that is quiet."""

from __future__ import annotations

from dataclasses import replace

from netlab.worlds.ip_packets import udp_packet
from rustun.backends.base import Endpoint
from tests.simulation.conftest import MakeWorld
from tests.simulation.world import SERVER, Host, World, office

SECOND_ADDRESS = Endpoint("192.0.2.77", 8080)
HOURS_S = 3 * 3600.0
PACKET = udp_packet("10.0.1.1", "10.0.1.2", (1, 2), b"hello")


def two_addresses(make_world: MakeWorld) -> tuple[World, Host, Host]:
    """Give a server with two addresses, m0 who lists both, and m1 who lists one."""
    world = make_world(office(2))
    world.stop_server()
    config = world.folder / "server.toml"
    both = f'listen_addr = ["{SERVER}", "{SECOND_ADDRESS}"]'
    config.write_text(config.read_text().replace(f'listen_addr = "{SERVER}"', both))
    world.start_server()
    config_of_one = world.shared_config("m0", method=world.method)
    (first,) = config_of_one.servers
    listed = (first, replace(first, endpoint=SECOND_ADDRESS))
    host, other = world.host_of(replace(config_of_one, servers=listed)), world.host("m1", server=str(SECOND_ADDRESS))
    world.run_until_online("m0", "m1")
    return world, host, other


def warnings(host: Host) -> list[str]:
    """Return what a host has warned of."""
    return [message for level, _, message, _ in host.log.events if level in ("warning", "error")]


def test_the_second_address_is_refused_in_silence(make_world: MakeWorld) -> None:
    """If this fails, a harmless list of servers fills two logs, and real troubles are not seen among it."""
    world, host, _ = two_addresses(make_world)
    world.run(HOURS_S)
    (warned,) = warnings(host)
    assert "another address of its list is the same server's" in warned
    assert len(host.log.texts("online")) == 1
    assert len(world.log.texts("session-closed") + world.log.texts("session-unproved")) <= 8
    assert sorted(link.state for link in host.client.links) == ["online", "waiting"]
    assert [link.last_error for link in host.client.links if link.session is None] == [warned.rpartition(";")[0]]


def test_the_second_address_takes_over_at_once(make_world: MakeWorld) -> None:
    """If this fails, a client waits for an hour beside an address that would have it."""
    world, host, other = two_addresses(make_world)
    world.run(HOURS_S)
    ended, taking = sorted(host.client.links, key=lambda link: link.session is None)
    world.faults.parted.add(frozenset({host.network.address, ended.server.host}))
    world.reactor.run_until_true(lambda: ended.session is None, 60.0)
    world.run(3.0)
    host.send(PACKET)
    world.run()
    assert other.packets == [PACKET]
    assert host.log.texts("online")[-1] == f"connected to {taking.server}"
    world.network.mend(host.network.address, ended.server.host)


def test_another_host_with_this_identity_is_told_each_time(make_world: MakeWorld) -> None:
    """If this fails, two hosts with one identity are noticed by nobody, and the second waits for an hour."""
    world = make_world(office(1))
    world.online("m0")
    late = world.host("m0")
    world.run(600.0)
    assert 8 <= len(warnings(late)) <= 10
    assert not any("this client's own" in message for message in warnings(late))
