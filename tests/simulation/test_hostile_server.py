"""A server that is authentic and hostile: what it tells its client about the client's own host, and how much."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_network

import pytest

from netlab.worlds.ip_packets import udp_packet
from rustun.backends.base import HostReport, HostState
from rustun.client import peers as peers_module
from rustun.config import HostConsent
from rustun.protocol.control import Config, Directory, DirectoryEntry
from rustun.protocol.tiers import Tier
from tests.simulation.conftest import MakeWorld
from tests.simulation.peers import NoiseServer, item
from tests.simulation.world import Host, World, entry, office

AS_TYPED = HostConsent(as_told=True)  # what a command line without client.toml and --gateway consents to

PEER = DirectoryEntry("m1", "", "10.0.1.2", "", ("192.168.7.0/24",), True)
WIDE = DirectoryEntry("m1", "", "10.0.1.2", "", ("198.51.0.0/16", "192.0.0.0/16"), True)
LAN = ip_network("198.51.100.0/24")  # of the made-up host, which is .2 there


def welcomed(world: World, consent: HostConsent = AS_TYPED) -> tuple[Host, NoiseServer]:
    world.stop_server()
    world.run(1.0)
    config = world.shared_config("m0", method=world.method)
    server, host = NoiseServer(world), world.host_of(replace(config, host=consent))
    world.run(1.0)
    server.welcome()
    world.run(0.1)
    return host, server


@pytest.mark.parametrize(
    ("address", "prefixes", "source", "destination"),
    [
        ("10.0.1.1/0", (), "8.8.8.8", "10.0.1.1"),
        ("10.0.1.1/1", (), "8.8.8.8", "10.0.1.1"),
        ("10.0.1.1/0", ("0.0.0.0/0",), "8.8.8.8", "172.16.5.5"),
        ("10.0.1.1/24", ("0.0.0.0/0",), "192.168.7.1", "172.16.5.5"),
        ("10.0.1.1/24", ("128.0.0.0/1",), "192.168.7.1", "172.16.5.5"),
        ("198.51.100.1/24", (), "192.168.7.1", "198.51.100.1"),
        ("192.0.2.1/24", (), "192.168.7.1", "192.0.2.1"),
    ],
)
def test_no_word_of_a_server_turns_off_the_checks(
    make_world: MakeWorld, address: str, prefixes: tuple[str, ...], source: str, destination: str
) -> None:
    """If this fails, a server reaches services that trust an address, or the LAN behind a member, by an odd word."""
    world = make_world(office(1))
    host, server = welcomed(world)
    server.say(Config("", address, "", prefixes, {}), Directory(1, 0, 0, 1, (PEER,), ()))
    world.run(0.1)
    server.send_items(item(udp_packet(source, destination, (53, 53), b"forged")))
    world.run(0.1)
    assert host.packets == []
    assert host.drops["bad-source"] + host.drops["bad-destination"] == 1
    server.say(Config("", "10.0.1.1/24", "", (), {}))
    world.run(0.1)
    server.send_items(item(udp_packet("192.168.7.1", "10.0.1.1", (53, 53), b"honest")))
    world.run(0.1)
    assert len(host.packets) == 1
    server.close()


@pytest.mark.parametrize("source", ["198.51.100.2", "198.51.100.7", "10.0.1.1", "192.0.2.1"])
def test_what_the_host_reaches_elsewhere_does_not_come_out_of_the_tunnel(make_world: MakeWorld, source: str) -> None:
    """If this fails, a server speaks to a host as its LAN, as the host itself, or as the server outside."""
    host, server = welcomed(make_world(office(2)))
    server.say(Config("", "10.0.1.1/24", "", (), {}), Directory(1, 0, 0, 1, (WIDE,), ()))
    good = [udp_packet(address, "10.0.1.1", (1, 2), b"y") for address in ("10.0.1.2", "198.51.7.1")]
    server.send_items(*map(item, good), item(udp_packet(source, "10.0.1.1", (1, 2), b"x")))
    server.close()
    assert host.packets == good
    assert host.drops["bad-source"] == 1


def test_a_member_with_a_wide_prefix_does_not_speak_as_anothers_lan(make_world: MakeWorld) -> None:
    """If this fails, who was given a /16 reaches another member's host as a neighbour in its LAN."""
    world = make_world([entry("m0", "10.0.1.1"), entry("m1", "10.0.1.2", ciders=["198.51.0.0/16"])], tier=Tier.KEY)
    first, second = world.online("m0", "m1")
    good = udp_packet("198.51.7.1", "10.0.1.1", (1, 2), b"y")
    second.send(udp_packet("198.51.100.2", "10.0.1.1", (1, 2), b"x"), good)
    world.run(1.0)
    assert first.packets == [good]


@pytest.mark.parametrize(
    ("consent", "reached", "words"),
    [
        (HostConsent(), set(), "nothing is let in there, since [host_config] does not name it"),
        (HostConsent(gateway=(LAN,)), {"198.51.100.2", "198.51.100.7"}, '"8.8.8.0/24" is behind this host'),
        (AS_TYPED, {"198.51.100.7", "8.8.8.8"}, 'members reach "198.51.100.2/32", "198.51.100.0/24", "8.8.8.0/24"'),
    ],
)
def test_what_is_behind_a_host_is_reached_by_its_consent(
    make_world: MakeWorld, consent: HostConsent, reached: set[str], words: str
) -> None:
    """If this fails, a server that says so sends packets into the LAN, or to the LAN address, of any client."""
    host, server = welcomed(make_world(office(2)), consent)
    lans = ("198.51.100.2/32", "198.51.100.0/24", "8.8.8.0/24")
    server.say(Config("", "10.0.1.1/24", "", lans, {}), Directory(1, 0, 0, 1, (PEER,), ()))
    packets = {
        address: udp_packet("10.0.1.2", address, (1, 2), b"x")
        for address in ("10.0.1.1", "198.51.100.2", "198.51.100.7", "8.8.8.8", "1.1.1.1")
    }
    server.send_items(*map(item, packets.values()))
    server.close()
    assert {address for address, packet in packets.items() if packet in host.packets} == {"10.0.1.1", *reached}
    [warning] = host.log.texts("host-warning")
    assert words in warning


def test_an_own_address_that_is_refused_is_shown(make_world: MakeWorld) -> None:
    """If this fails, an operator wonders why a member that is online reaches nobody."""
    world = make_world(office(1))
    host, server = welcomed(world)
    server.say(Config("", "198.51.100.1/24", "fd00:1::1/64", (), {}))
    world.run(0.1)
    shown = host.status()
    reason = "not set as own address: lies inside 198.51.100.0/24, directly connected at eth0"
    assert shown["state"] == "online"
    assert shown["addresses"] == ["fd00:1::1/64"]
    assert shown["refused_routes"] == {"198.51.100.1/32": reason}
    assert any(reason in text for text in host.log.texts("route-refused"))
    server.close()


def test_pages_without_end_end_the_session(make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """If this fails, a server fills a client's memory with pages of a directory that never comes."""
    monkeypatch.setattr(peers_module, "MAX_DIRECTORY_BYTES", 1 << 20)
    world = make_world(office(1))
    host, server = welcomed(world)
    for page in range(30):
        names = tuple(f"stranger-{page}-{number:030}" for number in range(900))
        if server.ended:
            break
        server.say(Directory(1, 0, page, 10_000, (), names))
    assert server.ended
    assert 10 < page < 20
    assert "directory pages of over 1 MiB" in host.client.last_error
    server.close()


def test_a_server_that_tells_another_story_each_time_takes_a_share_of_the_time(make_world: MakeWorld) -> None:
    """If this fails, one server of several that flaps routes leaves no time to pass the packets of the others."""
    world = make_world(office(1))
    host, server = welcomed(world)
    apply = host.host_network.apply
    applied = []

    def slow(wished: HostState) -> HostReport:
        world.reactor.suspend(0.1)
        applied.append(wished)
        return apply(wished)

    host.host_network.apply = slow  # type: ignore[method-assign]
    began = world.reactor.now()
    for generation in range(1, 1001):
        prefixes = ("192.168.7.0/24",) if generation % 2 else ()
        server.say(Directory(generation, 0, 0, 1, (replace(PEER, prefixes=prefixes),), ()))
        world.run(0.01)
    assert 20 < len(applied) <= (world.reactor.now() - began) / 0.4 + 1
    world.run(1.0)
    assert ip_network("192.168.7.0/24") not in applied[-1].routes, "the last word"
    server.close()
