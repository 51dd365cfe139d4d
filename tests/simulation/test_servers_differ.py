"""Several servers that do not tell the same, or do not tell all."""

from __future__ import annotations

from pathlib import Path

import pytest

from netlab.worlds.ip_packets import udp_packet
from rustun.backends.base import Endpoint
from rustun.protocol.control import Config, Directory, DirectoryEntry
from tests.simulation.peers import NoiseServer, item
from tests.simulation.two_servers import KEY_NAMES, SECOND, TwoServers, kill, numbered
from tests.simulation.world import SERVER, entry, keyed, office


def test_the_first_server_that_is_there_says_who_this_member_is(tmp_path: Path) -> None:
    """If this fails, addresses of two servers alternate on the device, or a wrong routes.json stays unseen."""
    theirs = keyed([{**one, "private_ip": f"10.7.0.{number}"} for number, one in enumerate(office(2), 1)])
    world = TwoServers(tmp_path, office(2), theirs)
    host = world.members(2)[0]
    addresses = host.status()["addresses"]
    assert addresses == ["10.0.1.1/16", "fd00:1::1/64"]
    assert len(host.log.texts("servers-differ")) == 1
    assert f"those of {SERVER} count" in host.log.texts("servers-differ")[0]
    kill(world.server)
    world.run(1.0)
    assert host.status()["addresses"] == ["10.7.0.1/16", "fd00:1::1/64"]
    world.start_server()
    world.run(5.0)
    assert host.status()["addresses"] == addresses
    assert len(host.log.texts("servers-differ")) == 1
    world.finish()


def test_a_server_that_restarts_with_another_address_for_us_is_followed(tmp_path: Path) -> None:
    """If this fails, a member keeps an address that its server gave to somebody else, until it is restarted."""
    world = TwoServers(tmp_path, office(2))
    host, other = world.members(2)
    kill(world.server)
    kill(world.second)
    moved = [{**one, "private_ip": f"10.0.7.{number}", "ciders": []} for number, one in enumerate(office(2), 1)]
    world.write_routes(keyed(moved))
    world.start_server()
    world.start_second()
    world.run(5.0)
    assert host.status()["addresses"] == ["10.0.7.1/16", "fd00:1::1/64"]
    host.send(numbered(1, "10.0.7.1", "10.0.7.2"))
    world.run()
    assert other.packets == [numbered(1, "10.0.7.1", "10.0.7.2")]
    world.finish()


def test_a_packet_counts_by_what_its_own_server_tells(tmp_path: Path) -> None:
    """If this fails, one server speaks for the LANs behind members that only another one knows."""
    entries = office(2)
    entries[1]["ciders"] = ["192.168.7.0/24"]
    world = TwoServers(tmp_path, entries)
    (honest,) = (world.member("m1"),)
    world.second.stop("a hostile one takes its place", lambda: None)
    world.run(1.0)
    hostile = NoiseServer(world, SECOND, key="second")
    host = world.member("m0")
    world.run(1.0)
    hostile.welcome()
    world.run(0.1)
    peer = DirectoryEntry("m1", "", "10.0.1.2", "", (), True)
    hostile.say(Config("", "10.0.1.1/16", "", (), {}), Directory(1, 0, 0, 1, (peer,), ()))
    world.run(1.0)
    forged = udp_packet("192.168.7.1", "10.0.1.1", (1, 2), b"as if from behind m1")
    hostile.send_items(item(forged))
    honest.send(udp_packet("192.168.7.1", "10.0.1.1", (1, 2), b"from behind m1"))
    world.run(1.0)
    assert [packet[-14:] for packet in host.packets] == [b"from behind m1"]
    assert host.drops["bad-source"] == 1
    hostile.close()
    world.run(1.0)
    world.start_second()
    world.finish()


def test_in_a_large_cluster_the_way_is_asked_for(tmp_path: Path) -> None:
    """If this fails, members of a large cluster do not meet on the second server."""
    world = TwoServers(tmp_path, office(300))
    one, other = world.members(2)
    assert {entry.online for entry in one.client.peers.entries.values()} == {None}
    one.send(numbered(0))
    world.run()
    assert other.packets == [numbered(0)], "who is not known to be offline is tried at the first server"
    world.part(other, SERVER)
    number = 0
    while "m1" in world.present:
        number += 1
        one.send(numbered(number))
        world.run(0.1)
    for last in range(number + 1, number + 42):  # doubted at one look, known at the next
        one.send(numbered(last))
        world.run(0.1)
    assert other.packets[-1] == numbered(last)
    assert one.drops == {}
    world.network.mend(other.network.address, SERVER.host)
    world.finish()


@pytest.mark.parametrize("slow", [SERVER, SECOND])
def test_a_server_that_has_not_told_all_does_not_differ(tmp_path: Path, slow: Endpoint) -> None:
    """If this fails, each start with two servers logs a difference that is none, and LANs are taken for unknown."""
    world = TwoServers(tmp_path, [entry("m0", "10.0.1.1", ciders=["192.168.7.0/24"])])
    (world.server if slow == SERVER else world.second).stop("a slower one takes its place", lambda: None)
    world.run(1.0)
    server, host = NoiseServer(world, slow, key=KEY_NAMES[slow]), world.member("m0")
    world.run(1.0)
    [warning] = host.log.texts("host-warning")
    assert '"192.168.7.0/24" is behind this host: nothing is let in' in warning
    server.welcome()
    world.run(1.0)
    assert [link.state for link in host.client.links] == ["online", "online"]
    assert host.log.texts("servers-differ") == []
    assert host.status()["warnings"] == [warning]
    server.say(Config("", "10.0.1.1/24", "", (), {}))
    world.run(1.0)
    assert len(host.log.texts("servers-differ")) == 1
    server.close()
    world.finish()


def test_servers_that_tell_the_same_are_not_said_to_differ(tmp_path: Path) -> None:
    """If this fails, an operator looks for a difference of two files that are one."""
    entries = office(2)
    entries[0]["ciders"] = ["192.168.7.0/24"]
    world = TwoServers(tmp_path, entries)
    host = world.members(2)[0]
    kill(world.server)
    world.run(1.0)
    world.start_server()
    world.run(5.0)
    kill(world.second)
    world.run(1.0)
    world.start_second()
    world.run(5.0)
    assert [link.state for link in host.client.links] == ["online", "online"]
    assert host.log.texts("servers-differ") == []
    world.finish()


def test_a_refusal_ends_the_client_when_all_servers_refuse(tmp_path: Path) -> None:
    """If this fails, a client ends though a server would take it, or goes on though none will."""
    world = TwoServers(tmp_path, office(2), keyed(office(1)))
    host = world.member("m1")
    world.run(5.0)
    assert host.failures == []
    assert [link.state for link in host.client.links] == ["online", "refused"]
    stranger = world.member("nobody")
    world.run(5.0)
    assert len(stranger.failures) == 1
    assert [link.state for link in stranger.client.links] == ["refused", "refused"]
    assert all(link.next_try_at is None or link.state == "refused" for link in stranger.client.links)
    world.finish()


def test_a_refusal_of_one_server_waits_for_the_others(tmp_path: Path) -> None:
    """If this fails, a client ends because one server forgot it, while the other one is only restarting."""
    world = TwoServers(tmp_path, office(2), keyed(office(1)))
    world.stop_server()
    world.run(1.0)
    host = world.member("m1")
    world.run(100.0)
    assert host.failures == []
    world.start_server()
    world.run(40.0)
    assert host.client.state == "online"
    world.finish()
