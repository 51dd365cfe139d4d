"""The seed's wire in both roles with all four methods, against a peer written from the wire alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from netlab.worlds.ip_packets import ip_packet, tcp_packet, udp_packet
from tests.simulation.conftest import MakeWorld
from tests.simulation.kernel import unfinished
from tests.simulation.seed_peer import DATA, HANDSHAKE, KEEPALIVE, REPLY, SeedClient, SeedServer, seal, unseal
from tests.simulation.world import KEY, Host, World, entry

METHODS = ["chacha20poly1305", "aes256", "xor", "plain"]
VECTORS: list[dict[str, Any]] = json.loads(
    (Path(__file__).parents[1] / "vectors/data/seed_wire.json").read_text()
)["vectors"]  # fmt: skip
OFFICE = [
    entry("bj-office-gw", "10.0.1.1", name="Office gateway", gateway="10.0.1.254", ciders=["192.168.1.0/24"]),
    entry("bj-dev", "10.0.1.2", name="Dev", private_ip6="fd00:1::2/64"),
]
LEGACY = {"minimum_tier": "legacy"}


@pytest.mark.parametrize("method", METHODS)
def test_the_hand_written_peer_speaks_the_recorded_wire(method: str) -> None:
    """If this fails, the tests below prove nothing about the seed."""
    vectors = [vector for vector in VECTORS if vector["method"] == method and (vector["key"] or method == "plain")]
    assert vectors
    for vector in vectors:
        payload, plaintext = bytes.fromhex(vector["frame"])[8:], bytes.fromhex(vector["plaintext"])
        assert unseal(method, vector["key"], payload) == plaintext
        assert seal(method, vector["key"], bytes.fromhex(vector["nonce"] or ""), plaintext) == payload


@pytest.mark.parametrize("method", METHODS)
def test_a_client_of_the_seed_works_with_our_server(make_world: MakeWorld, method: str) -> None:
    """If this fails, a fleet of the seed's clients is off the air once its server is ours."""
    world = make_world(OFFICE, method=method, security=LEGACY)
    (ours,) = world.online("bj-dev", legacy=True)
    seed = SeedClient(world, "bj-office-gw", method, KEY)
    reply = seed.shake_hands()
    assert reply is not None
    assert (reply["name"], reply["private_ip"], reply["mask"]) == ("Office gateway", "10.0.1.1", "255.255.255.0")
    assert (reply["gateway"], reply["ciders"]) == ("10.0.1.254", ["192.168.1.0/24"])
    assert [peer["identity"] for peer in reply["peer_details"]] == ["bj-dev"]
    assert reply["peer_details"][0]["last_active"] > 0
    there = udp_packet("192.168.1.7", "10.0.1.2", (1, 2), b"from the LAN behind the seed")
    back = udp_packet("10.0.1.2", "192.168.1.7", (2, 1), b"and back")
    seed.send(DATA, there)
    ours.send(back)
    world.run()
    assert ours.packets == [there]
    assert seed.packets == [back]
    assert not seed.ended


@pytest.mark.parametrize("method", METHODS)
def test_our_client_works_with_a_server_of_the_seed(make_world: MakeWorld, method: str) -> None:
    """If this fails, `rustun connect --legacy` does not join a server of the seed."""
    world, server, host = behind_a_seed_server(make_world, method)
    connection = server.connections[0]
    assert connection.frames[0] == (HANDSHAKE, b'{"identity":"bj-dev"}')
    connection.send(REPLY, REPLY_BODY)
    world.run()
    assert [body["identity"] for body in connection.bodies(KEEPALIVE)] == ["bj-dev"]
    connection.send(KEEPALIVE, KEEPALIVE_BODY)
    assert host.client.state == "online"
    assert host.status()["addresses"] == ["10.0.1.2/24"]
    assert routes(host) == ["192.168.1.0/24"]
    there = udp_packet("10.0.1.2", "10.0.1.1", (1, 2), b"there")
    back = udp_packet("192.168.1.9", "10.0.1.2", (2, 1), b"back")
    host.send(there)
    connection.send(DATA, back)
    assert connection.packets == [there]
    assert host.packets == [back]
    assert host.status()["tier"] == "legacy"
    assert host.client.config.tun_mtu == 1430
    server.close()


PEER = {"name": "Office", "identity": "bj-office-gw", "private_ip": "10.0.1.1", "ciders": ["192.168.1.0/24"],
        "ipv6": "", "port": 0, "stun_ip": "", "stun_port": 0, "last_active": 1_800_000_000}  # fmt: skip
REPLY_BODY = {"name": "Dev", "private_ip": "10.0.1.2", "mask": "255.255.255.0", "gateway": "10.0.1.254",
              "ciders": [], "cider_mapping": {}, "peer_details": []}  # fmt: skip
KEEPALIVE_BODY = {"name": "Dev", "identity": "bj-dev", "ipv6": "", "port": 0, "stun_ip": "", "stun_port": 0,
                  "peer_details": [PEER]}  # fmt: skip


def behind_a_seed_server(make_world: MakeWorld, method: str) -> tuple[World, SeedServer, Host]:
    """Return a world whose server is the seed's, and our client connected to it, its handshake sent."""
    world = make_world(OFFICE, method=method, security=LEGACY)
    world.stop_server()
    server = SeedServer(world, method, KEY)
    host = world.host("bj-dev", legacy=True)
    world.run()
    return world, server, host


def routes(host: Host) -> list[str]:
    """Return the prefixes that a client wants in its tunnel, its own network apart."""
    assert host.host_network.state is not None
    return [str(prefix) for prefix in host.host_network.state.routes]


def test_our_client_hears_of_routes_from_keepalives_alone(make_world: MakeWorld) -> None:
    """If this fails, a LAN that a seed's server adds or takes away is not followed."""
    world, server, host = behind_a_seed_server(make_world, "aes256")
    connection = server.connections[0]
    connection.send(REPLY, {**REPLY_BODY, "peer_details": [PEER]})
    assert routes(host) == ["192.168.1.0/24"]
    connection.send(KEEPALIVE, {**KEEPALIVE_BODY, "peer_details": [{**PEER, "ciders": ["10.9.0.0/16"]}]})
    assert routes(host) == ["10.9.0.0/16"]
    connection.send(KEEPALIVE, {**KEEPALIVE_BODY, "peer_details": [{**PEER, "ciders": ["-j ACCEPT"]}]})
    assert routes(host) == []
    assert host.client.state == "online"
    server.close()


def test_our_client_cuts_what_a_seed_cannot_take(make_world: MakeWorld) -> None:
    """If this fails, a large packet of our kernel reaches a peer of the seed, whose TUN has an MTU of 1430."""
    world, server, host = behind_a_seed_server(make_world, "chacha20poly1305")
    connection = server.connections[0]
    connection.send(REPLY, REPLY_BODY)
    payload = bytes(range(256)) * 40
    packet, header = unfinished(tcp_packet("10.0.1.2", "10.0.1.1", (1, 2), payload, sequence=7), 1390)
    host.send(packet, header=header)
    world.run()
    assert b"".join(part[40:] for part in connection.packets) == payload
    assert max(map(len, connection.packets)) == 1430
    server.close()


def test_every_keepalive_is_answered_with_the_cluster_as_it_is_now(make_world: MakeWorld) -> None:
    """If this fails, a seed's client drops its connection after 20 s, or never learns of a change."""
    world = make_world(OFFICE, security=LEGACY)
    seed = SeedClient(world, "bj-office-gw", world.method, KEY)
    seed.shake_hands()
    assert seed.keep_alive()["peer_details"][0]["last_active"] == 0
    world.online("bj-dev")
    told = seed.keep_alive(name="whatever it calls itself")
    assert (told["identity"], told["name"]) == ("bj-office-gw", "Office gateway")
    assert told["peer_details"][0]["last_active"] > 0
    world.write_routes([OFFICE[0], entry("bj-dev", "10.0.1.2", ciders=["10.7.0.0/16"])])
    world.run(1.0)
    assert seed.keep_alive()["peer_details"][0]["ciders"] == ["10.7.0.0/16"]
    assert len(seed.bodies(KEEPALIVE)) == 3


def test_what_a_seed_says_of_its_own_addresses_reaches_the_others(make_world: MakeWorld) -> None:
    """If this fails, two clients of the seed behind our server cannot find their direct path."""
    world = make_world(OFFICE, security=LEGACY)
    one, other = (SeedClient(world, name, world.method, KEY) for name in ("bj-office-gw", "bj-dev"))
    one.shake_hands()
    other.shake_hands()
    one.keep_alive(ipv6="2001:db8::7", port=51258, stun_ip="203.0.113.7", stun_port=40000)
    (detail,) = other.keep_alive()["peer_details"]
    assert (detail["ipv6"], detail["port"], detail["stun_ip"], detail["stun_port"]) == (
        "2001:db8::7", 51258, "203.0.113.7", 40000,
    )  # fmt: skip


def test_keys_that_mobile_clients_leave_out_are_no_error(make_world: MakeWorld) -> None:
    """If this fails, the seed's mobile clients, which send no name, are thrown out."""
    world = make_world(OFFICE, security=LEGACY)
    seed = SeedClient(world, "bj-dev", world.method, KEY)
    seed.shake_hands()
    seed.send(KEEPALIVE, {"identity": "bj-dev", "unknown": [1, {"deep": None}]})
    assert len(seed.bodies(KEEPALIVE)) == 1
    assert not seed.ended


def test_ipv6_solicitations_of_a_seed_are_dropped_and_counted(make_world: MakeWorld) -> None:
    """If this fails, the first packet of every client of the seed ends its session."""
    world = make_world(OFFICE, security=LEGACY)
    seed = SeedClient(world, "bj-dev", world.method, KEY)
    seed.shake_hands()
    seed.send(DATA, ip_packet("fe80::1", "ff02::2", 58, b"\x85\0\0\0\0\0\0\0"))
    assert world.drops("bj-dev") == {"bad-source": 1}
    assert not seed.ended


def test_a_cluster_too_large_for_the_frame_is_cut_and_said(make_world: MakeWorld) -> None:
    """If this fails, a length wraps, and every client of the seed in a large cluster loses its framing."""
    many = [entry(f"member-{number:03}", f"10.1.{number // 200}.{number % 200 + 1}") for number in range(600)]
    world = make_world(many, security=LEGACY)
    seed = SeedClient(world, "member-000", world.method, KEY)
    reply = seed.shake_hands()
    assert reply is not None
    assert 200 < len(reply["peer_details"]) < 599
    left_out = 599 - len(reply["peer_details"])
    assert world.log.texts("directory-too-long") == [
        f"{left_out} members do not fit the seed's frame and were left out"
    ]
    assert 200 < len(seed.keep_alive()["peer_details"]) < 599


@pytest.mark.parametrize("frame_type", [HANDSHAKE, REPLY, 6, 7, 0x10, 0x12, 0x14, 0x15, 0x18, 0xFF])
def test_row_2_unknown_type_in_a_session_of_the_seed(make_world: MakeWorld, frame_type: int) -> None:
    """Row 2. If this fails, a second handshake or a frame of another tier is taken inside a session."""
    world = make_world(OFFICE, security=LEGACY)
    seed = SeedClient(world, "bj-dev", world.method, KEY)
    seed.shake_hands()
    seed.stream.send(seed.frame(frame_type, b'{"identity":"bj-dev"}'))
    world.run()
    assert seed.ended
    assert world.core.closes == {"protocol-error": 1}


def test_a_flood_of_keepalives_ends_its_own_session(make_world: MakeWorld) -> None:
    """If this fails, one member of the seed makes the relay write its cluster down all day long, and nobody else is
    served.
    """
    world = make_world(OFFICE, security=LEGACY)
    seed = SeedClient(world, "bj-office-gw", world.method, KEY)
    seed.shake_hands()
    body = json.dumps({"identity": "bj-office-gw"}).encode()
    flood = b"".join(seed.frame(KEEPALIVE, body) for _ in range(500))
    assert seed.stream.send(flood) == len(flood)
    world.run()
    assert seed.ended
    assert len(seed.bodies(KEEPALIVE)) <= 20
    assert world.core.closes == {"protocol-error": 1}
