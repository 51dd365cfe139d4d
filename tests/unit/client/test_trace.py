"""What a client says of a packet is what it, its host and its server do with it."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from rustun.client.ping import ping_target
from rustun.client.trace import trace
from rustun.errors import UsageError
from rustun.protocol.probe import probe_packet
from tests.simulation.world import Host, World, entry

ENTRIES = [
    entry("a", "10.0.1.2", ciders=["192.168.1.0/24"], private_ip6="fd00:1::2/64"),
    entry("b", "10.0.1.3", ciders=["192.168.7.0/24"], private_ip6="fd00:1::3/64"),
    entry("c", "10.0.1.4", ciders=["192.168.9.0/24"]),
]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """`a` forwards for its LAN, `b` is there, `c` is not."""
    made = World(tmp_path, ENTRIES)
    made.host("a", gateway=("192.168.1.0/24",))
    made.online("b")
    made.run_until_online("a", "b")
    made.run(2.0)
    yield made
    made.finish()


def told(host: Host, source: str, destination: str) -> dict[str, Any]:
    found = trace(host.client, source, destination)
    assert json.loads(json.dumps(found)) == found, "it goes over the control socket"
    return found


def steps(found: dict[str, Any]) -> dict[str, str]:
    return {step["step"]: step["text"] for step in found["steps"]}


def test_out_goes_what_the_host_routes(world: World) -> None:
    """If this fails, a user looks at the server for a packet that never left the host."""
    a = world.hosts[0]
    found = told(a, "a", "192.168.7.9")
    assert (found["verdict"], found["text"]) == ("pass", "goes to the server 192.0.2.1:8080, which decides")
    assert steps(found)["route"] == f"192.168.7.0/24 leads into {a.client.tun_name}"
    assert steps(found)["receiver"] == "b, online at that server"
    offline = told(a, "a", "c")
    assert offline["verdict"] == "pass"
    assert offline["otherwise"] == ["192.0.2.1:8080 says that c is offline: it would drop the packet (offline)"]
    nobody = told(a, "a", "172.16.3.4")
    assert (nobody["verdict"], nobody["counter"]) == ("not-routed", None)
    assert nobody["text"] == "no member of the cluster has 172.16.3.4, as far as the servers tell"


def test_without_a_session_the_reason_is_told(world: World) -> None:
    """If this fails, a packet of a client without a server is said to pass."""
    a = world.hosts[0]
    world.stop_server()
    world.run(1.0)
    found = told(a, "a", "b")
    assert (found["verdict"], found["reason"]) == ("drop", "no-session")
    assert "there is no session: " in found["text"]
    world.start_server()
    world.run(60.0)


def test_in_comes_what_the_client_lets_in(world: World) -> None:
    """If this fails, a user is told that a packet arrives which the client drops, or the other way round."""
    a = world.hosts[0]
    rng = random.Random(5)
    outside = ["10.0.1.3", "10.0.1.4", "192.168.7.9", "192.168.9.9", "8.8.8.8", "10.0.1.200"]
    inside = ["10.0.1.2", "192.168.1.9"]
    seen = Counter[str]()
    for _ in range(60):
        source, destination = rng.choice([*outside, "192.168.1.7", "127.0.0.1"]), rng.choice(inside)
        if ip_address(source) in (ip_address("192.168.1.7"),):
            continue  # from this host's own LAN: that is the way out
        found = told(a, source, destination)
        packet = probe_packet(ip_address(source), ip_address(destination))
        (link,) = a.client.links
        verdict = link.peers.judge(packet[12:20])
        assert (found["verdict"], found["reason"]) == ("drop" if verdict else "pass", verdict)
        seen[verdict] += 1
    assert seen.keys() == {"", "bad-source"}


@pytest.mark.parametrize(
    ("ends", "more", "words"),
    [
        (("a", "nobody"), {}, 'no member and no address: "nobody"'),
        (("192.168.7.9", "8.8.8.8"), {}, "neither 192.168.7.9 nor 8.8.8.8 is of this host"),
        (("a", "b"), {"member": "b"}, "a client knows itself and its own cluster alone"),
        (("a", "b"), {"cluster": "beijing"}, "a client knows itself and its own cluster alone"),
        (("a", "fd00:1::3"), {"size": 30}, "an IPv6 packet has 40 to 65535 bytes"),
        (("c", "fd00:1::2"), {}, '"c" has no IPv6 address'),
    ],
)
def test_questions_without_an_answer(world: World, ends: tuple[str, str], more: dict[str, Any], words: str) -> None:
    """If this fails, a slip is answered as another question."""
    with pytest.raises(UsageError) as caught:
        trace(world.hosts[0].client, *ends, **more)
    assert words in caught.value.message


def test_before_the_first_session_nothing_fails(tmp_path: Path) -> None:
    """If this fails, who asks while the client still connects gets a traceback in the log."""
    world = World(tmp_path, ENTRIES)
    world.stop_server()
    host = world.host("a")
    world.run(0.5)
    with pytest.raises(UsageError):
        trace(host.client, "a", "b")
    facts, send = ping_target(host.client, "")
    assert send is None
    assert str(facts["why_not"]).startswith("no session: ")
    world.start_server()
    world.run_until_online("a")
    world.finish()


def test_a_ping_goes_by_the_session_and_comes_back(world: World) -> None:
    """If this fails, the round trip is that of a keepalive, or the session's own count of answers is upset."""
    a = world.hosts[0]
    facts, send = ping_target(a.client, "b")
    assert (facts["member"], facts["address"], facts["not_routed"]) == ("b", "10.0.1.3", "")
    assert (facts["server"], facts["tier"]) == ("192.0.2.1:8080", "shared")
    heard: list[float] = []
    assert send is not None
    for _ in range(3):
        send(lambda: heard.append(world.reactor.now()))
    world.run(1.0)
    assert len(heard) == 3
    assert world.present == {"a", "b"}
    assert ping_target(a.client, "192.168.9.9")[0]["member"] == "c"
    assert ping_target(a.client, "172.16.3.4")[0]["not_routed"]


def test_a_ping_to_oneself_or_nobody(world: World) -> None:
    """If this fails, a host that pings itself is told about its server."""
    for member in ("a", "nobody"):
        with pytest.raises(UsageError):
            ping_target(world.hosts[0].client, member)
