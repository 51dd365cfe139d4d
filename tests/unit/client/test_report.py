"""The client's status document against docs/status.md and against what really happened."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from netlab.worlds.ip_packets import udp_packet
from rustun.backends.base import NOT_AN_EXIT
from rustun.client.report import client_headline
from tests.simulation.world import World, entry

CLIENT_KEYS = {
    "identity", "name", "ciders", "state", "server", "remote", "tier", "cipher", "age_s", "proof_age_s", "rtt_ms",
    "tun", "addresses", "routes", "refused_routes", "peers", "received_bytes", "received_packets", "sent_bytes",
    "sent_packets", "drops", "reconnects", "last_error", "next_try_s", "public_key", "server_public_key", "servers",
    "warnings", "server_version", "received_bytes_per_s", "sent_bytes_per_s", "refused",
}  # fmt: skip
SERVER_KEYS = {
    "state", "server", "remote", "server_version", "tier", "cipher", "public_key", "server_public_key", "age_s",
    "proof_age_s", "rtt_ms", "last_error", "next_try_s",
}  # fmt: skip


@pytest.fixture
def world(tmp_path: Path) -> World:
    made = World(tmp_path, [entry("a", "10.0.1.2"), entry("b", "10.0.1.3", ciders=["192.168.7.0/24"])])
    made.online("a", "b")
    return made


def status(world: World) -> dict[str, object]:
    found = world.hosts[0].status()
    assert found.keys() >= CLIENT_KEYS
    assert json.loads(json.dumps(found)) == found
    servers = found["servers"]
    assert isinstance(servers, list)
    assert [one.keys() for one in servers] == [SERVER_KEYS]
    assert servers[0].items() <= found.items(), "with one server both tell the same"
    return found


def test_a_client_that_is_online_tells_all_of_it(world: World) -> None:
    """If this fails, a user cannot see whether the tunnel is up and what goes into it."""
    packet = udp_packet("10.0.1.2", "10.0.1.3", (1, 2), b"x")
    world.hosts[0].send(packet)
    world.hosts[1].send(udp_packet("10.0.1.3", "10.0.1.2", (1, 2), b"xyz"))
    world.run(1.0)
    found = status(world)
    assert (found["state"], found["server"], found["remote"]) == ("online", "192.0.2.1:8080", "192.0.2.1:8080")
    assert (found["tier"], found["cipher"]) == ("shared", "chacha20")
    assert (found["public_key"], found["server_public_key"]) == ("", ""), "the shared tier has none"
    assert (found["addresses"], found["routes"]) == (["10.0.1.2/24"], ["10.0.1.0/24", "192.168.7.0/24"])
    assert found["peers"] == [
        {
            "identity": "b",
            "name": "",
            "address": "10.0.1.3",
            "address6": "",
            "ciders": ["192.168.7.0/24"],
            "online": True,
        }
    ]
    assert (found["sent_packets"], found["sent_bytes"]) == (1, len(packet))
    assert (found["received_packets"], found["received_bytes"]) == (1, len(packet) + 2)
    assert (found["reconnects"], found["last_error"], found["next_try_s"]) == (0, "", None)


def test_a_client_that_lost_its_server_says_why_and_when(world: World) -> None:
    """If this fails, a user sees an old state, or no reason and no next try."""
    world.stop_server()
    world.run(2.0)
    found = status(world)
    assert found["state"] in ("waiting", "connecting")
    assert found["reconnects"] == 1
    assert found["last_error"]
    assert (found["age_s"], found["proof_age_s"], found["rtt_ms"], found["cipher"]) == (None, None, None, "")
    world.start_server()
    world.run(40.0)
    assert status(world)["state"] == "online"


def test_routes_that_the_host_refuses_are_told(world: World) -> None:
    """If this fails, a LAN that collides with the user's own is silently unreachable."""
    world.write_routes([entry("a", "10.0.1.2"), entry("b", "10.0.1.3", ciders=["198.51.100.0/24", "192.168.7.0/24"])])
    world.run(5.0)
    found = status(world)
    assert found["routes"] == ["10.0.1.0/24", "192.168.7.0/24"]
    refused = found["refused_routes"]
    assert isinstance(refused, dict)
    assert list(refused) == ["198.51.100.0/24"]
    assert refused["198.51.100.0/24"]


def test_an_exit_that_was_not_chosen_is_no_warning(world: World) -> None:
    """If this fails, every client of a cluster with an exit node warns, each time that it starts."""
    world.write_routes([entry("a", "10.0.1.2"), entry("b", "10.0.1.3", ciders=["0.0.0.0/0", "198.51.100.0/24"])])
    world.run(5.0)
    refused = status(world)["refused_routes"]
    assert isinstance(refused, dict)
    assert refused["0.0.0.0/0"] == NOT_AN_EXIT
    events = world.hosts[0].log.events
    told = {str(fields["prefix"]): level for level, event, _, fields in events if event == "route-refused"}
    assert told == {"0.0.0.0/0": "info", "198.51.100.0/24": "warning"}


def test_online_means_that_the_server_answers(world: World) -> None:
    """If this fails, a user whose server answers nothing any more reads that all is well."""
    world.run(30.0)
    world.faults.cut.add(world.hosts[0].network.address)
    states = []
    for _ in range(25):
        world.run(1.0)
        found = status(world)
        age = found["proof_age_s"]
        assert isinstance(age, float)
        assert (found["state"] == "online") == (age < 11.0), "an interval of 10 s, and a second for the answer"
        states.append(found["state"])
    assert set(states) == {"online", "unproven"}
    world.network.mend(world.hosts[0].network.address)
    world.run(1.0)
    assert status(world)["state"] == "online"


def test_the_line_for_the_service_manager(world: World) -> None:
    """If this fails, `systemctl status` does not tell whether the tunnel is up, or why not."""
    client = world.hosts[0].client
    assert client_headline(client) == "online at 192.0.2.1:8080"
    world.stop_server()
    world.run(0.5)
    words, reason = client_headline(client).split(": ", 1)
    assert words in ("waiting at 192.0.2.1:8080", "connecting at 192.0.2.1:8080")
    assert reason == client.last_error
