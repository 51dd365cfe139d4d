"""What trace says of a packet is what the switch does with it."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from rustun.errors import UsageError
from rustun.protocol.probe import probe_packet
from rustun.relay.trace import trace
from tests.simulation.world import Host, World, entry

ENTRIES = [
    entry("a", "10.0.1.2", ciders=["192.168.0.0/16"], private_ip6="fd00:1::2/64"),
    entry("b", "10.0.1.3", ciders=["192.168.7.0/24", "172.16.0.0/24"], cider_mapping={"172.16.0.0/24": "10.9.0.0/24"}),
    entry("c", "10.0.1.4", ciders=["0.0.0.0/0"]),
    entry("d", "10.0.1.5"),
    entry("e", "10.0.1.6", ciders=["192.168.8.0/24"], enabled=False),
    entry("x", "10.0.1.2", "shanghai"),
    entry("y", "10.0.2.3", "shanghai", ciders=["192.168.7.0/24"]),
]
ONLINE = ("a", "b", "c", "x", "y")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Two clusters with equal addresses; one member offline, one disabled, one with a default route, one with NAT."""
    made = World(tmp_path, ENTRIES)
    made.online(*ONLINE)
    yield made
    made.finish()


def host(world: World, identity: str) -> Host:
    return next(one for one in world.hosts if one.identity == identity)


def told(world: World, source: str, destination: str, **more: Any) -> dict[str, Any]:
    found = trace(world.server, source, destination, **more)
    assert json.loads(json.dumps(found)) == found, "it goes over the control socket"
    assert {"verdict", "reason", "text", "cluster", "member", "source", "destination", "size"} < found.keys()
    assert {"steps", "counter", "otherwise", "back"} < found.keys()
    return found


def what_happens(world: World, sender: str, packet: bytes) -> tuple[str, str]:
    """Send a packet and return the verdict and reason that came of it, from counters alone."""
    before = {one: (Counter(world.drops(one)), world.session(one).traffic.sent_packets) for one in ONLINE}
    host(world, sender).send(packet)
    world.run()
    drops = world.drops(sender) - before[sender][0]
    reached = [one for one in ONLINE if world.session(one).traffic.sent_packets > before[one][1]]
    assert sum(drops.values()) + len(reached) == 1, "each packet is dropped once, or reaches one member"
    return ("drop", next(iter(drops))) if drops else ("pass", reached[0])


def test_trace_says_what_the_switch_does(world: World) -> None:
    """If this fails, an operator is told that a packet passes which is dropped, or the other way round."""
    rng = random.Random(17)
    places = ["10.0.1.2", "10.0.1.3", "10.0.1.4", "10.0.1.5", "10.0.1.6", "192.168.7.9", "192.168.8.9", "192.168.9.9"]
    places += ["172.16.0.5", "10.9.0.5", "8.8.8.8", "127.0.0.1", "224.0.0.1", "169.254.1.1", "255.255.255.255"]
    seen = Counter[str]()
    for _ in range(400):
        sender, source, destination = rng.choice(ONLINE), rng.choice(places), rng.choice(places)
        size = rng.choice((84, 84, 1500, 1501))
        found = told(world, source, destination, member=sender, size=size)
        happened = what_happens(world, sender, probe_packet(ip_address(source), ip_address(destination), size))
        if happened[0] == "pass":
            assert (found["verdict"], found["receiver"]) == ("pass", happened[1])
            assert found["text"].partition(":")[0] == f"goes to {happened[1]}"
            assert found["counter"]["member"] == happened[1]
        else:
            assert (found["verdict"], found["reason"]) == happened
            assert found["counter"] == {
                "member": sender, "counter": f"drops {happened[1]}", "now": world.drops(sender)[happened[1]] - 1
            }  # fmt: skip
        assert found["text"]
        seen[happened[1] if happened[0] == "drop" else "pass"] += 1
    assert seen.keys() == {"pass", "bad-source", "no-route", "to-sender", "offline", "too-big"}


def test_asking_leaves_everything_as_it_was(world: World) -> None:
    """If this fails, a question raises a counter, or leaves something behind for real packets."""
    session = world.session("a")
    before = (dict(session.flows), dict(session.traffic.drops), session.cluster.epoch, session.queue.packets)
    for destination in ("b", "d", "8.8.8.8", "127.0.0.1", "10.0.1.2"):
        told(world, "a", destination)
    assert (dict(session.flows), dict(session.traffic.drops), session.cluster.epoch, session.queue.packets) == before


def steps(found: dict[str, Any]) -> dict[str, str]:
    return {step["step"]: f"{step['text']} {step['entry']}".strip() for step in found["steps"]}


def test_the_entry_that_decides_is_named(world: World, tmp_path: Path) -> None:
    """If this fails, an operator knows that a packet is dropped, and not which line of which file says so."""
    entries = json.loads((tmp_path / "routes.json").read_text())
    lines = "[\n" + ",\n".join(json.dumps(one) for one in entries) + "\n]"
    world.write_routes(lines.encode())
    world.run(2.0)
    found = told(world, "192.168.9.9", "192.168.7.9", cluster="beijing")
    routes = tmp_path / "routes.json"
    assert found["member"] == "a"
    shown = steps(found)
    assert shown["source"] == f"192.168.0.0/16 is a's {routes}:2"
    assert shown["destination"] == f"192.168.7.0/24 is b's {routes}:3"
    assert shown["receiver"].startswith("b is connected by the shared tier for ")
    assert shown["queue"] == "empty: the packet would be sent at once"
    spoofed = told(world, "192.168.7.9", "10.0.1.3", member="a")
    assert spoofed["text"] == "192.168.7.0/24 is b's: a may not send from there"
    assert steps(spoofed)["source"] == f"192.168.7.0/24 is b's {routes}:3"


@pytest.mark.parametrize(
    ("ends", "more", "words"),
    [
        (("a", "d"), {}, "d is not connected: it has not been here since this server started"),
        (("a", "fd00:1::9"), {}, "no address and no prefix of cluster beijing holds fd00:1::9"),
        (("b", "169.254.3.4"), {}, "never belongs inside a tunnel"),
        (("x", "10.0.2.9"), {}, "of cluster shanghai holds 10.0.2.9; it is somebody's in beijing, and clusters never"),
        (("10.9.0.5", "a"), {"member": "b"}, "0.0.0.0/0 is c's: b may not send from there"),
    ],
)
def test_reasons_in_words(world: World, ends: tuple[str, str], more: dict[str, str], words: str) -> None:
    """If this fails, an operator gets a counter's name where a sentence would tell what to mend."""
    found = told(world, *ends, **more)
    assert found["verdict"] == "drop"
    assert words in found["text"]


def test_a_mapping_is_told_from_both_sides(tmp_path: Path) -> None:
    """If this fails, nobody sees that a packet goes to a translated address, or came from an untranslated one."""
    world = World(tmp_path, [one for one in ENTRIES if one["identity"] in ("a", "b")])
    world.online("a", "b")
    assert steps(told(world, "a", "172.16.0.5"))["mapping"].startswith("b translates 172.16.0.5 to 10.9.0.5")
    real = told(world, "10.9.0.5", "a", member="b")
    assert (real["reason"], real["text"]) == (
        "bad-source", "10.9.0.5 is the real side of a mapping: the cluster knows 10.9.0.0/24 as 172.16.0.0/24"
    )  # fmt: skip
    world.finish()


def test_who_is_not_there_is_told_and_why(world: World) -> None:
    """If this fails, a packet of a member that is offline or disabled is said to pass."""
    found = told(world, "d", "a")
    assert (found["verdict"], found["reason"], found["counter"]) == ("not-connected", "", None)
    assert told(world, "e", "a")["text"].startswith("e is not connected: disabled (")
    host(world, "b").client.stop("off", lambda: None)
    world.run(1.0)
    assert told(world, "a", "b")["text"].startswith("b is not connected: goodbye, 1 s ago")


def test_what_another_gets_in_the_place_of_who_is_disabled(world: World) -> None:
    """If this fails, a packet for somebody who is disabled is said to pass, and not that an exit node takes it."""
    found = told(world, "a", "e")
    assert (found["verdict"], found["receiver"]) == ("pass", "c")
    assert found["text"].startswith("goes to c: 10.0.1.6 is e's, which is disabled (")
    assert (told(world, "a", "b")["text"], told(world, "a", "b")["receiver"]) == ("goes to b", "b")
    assert told(world, "a", "d")["receiver"] == ""
    assert told(world, "b", "192.168.8.9")["text"].startswith("goes to a: 192.168.8.9 is e's, which is disabled (")
    assert told(world, "a", "192.168.7.9")["text"] == "goes to b"


def test_counters_that_say_otherwise_are_shown(world: World) -> None:
    """If this fails, an operator believes in a way on which packets are lost."""
    fresh = told(world, "a", "b")["otherwise"]
    assert any("no packet of a has come" in text for text in fresh)
    assert any("no packet was sent to b" in text for text in fresh)
    host(world, "a").send(probe_packet(ip_address("10.0.1.2"), ip_address("10.0.1.3"), 84))
    host(world, "a").send(probe_packet(ip_address("10.0.1.3"), ip_address("10.0.1.3"), 84))
    world.run()
    (lost,) = told(world, "a", "b")["otherwise"]
    assert lost.startswith("1 packets of a were dropped as bad-source since its session began ")
    (never,) = told(world, "a", "d")["otherwise"]
    assert never.startswith("nothing of a was dropped as offline since its session began ")


def test_the_way_back_is_judged_too(world: World) -> None:
    """If this fails, only half of a conversation is asked about."""
    assert told(world, "a", "b")["back"] == {"verdict": "pass", "reason": "", "text": "goes to a", "receiver": "a"}
    assert told(world, "a", "d")["back"]["verdict"] == "not-connected"
    assert told(world, "x", "10.0.2.9")["back"] is None


@pytest.mark.parametrize(
    ("ends", "more", "words"),
    [
        (("aa", "b"), {}, 'no member and no address: "aa"'),
        (("a", "nobody"), {}, 'no member and no address: "nobody"'),
        (("10.0.1.2", "10.0.1.3"), {}, "10.0.1.2 is somebody's in several clusters: beijing, shanghai"),
        (("10.0.1.2", "10.0.1.3"), {"cluster": "peking"}, 'no cluster "peking"'),
        (("a", "b"), {"cluster": "shanghai"}, '"a" is in cluster "beijing"'),
        (("a", "b"), {"member": "10.0.1.2"}, 'no member and no address: "10.0.1.2"'),
        (("fd00:1::2", "10.0.1.3"), {}, "10.0.1.3 is no IPv6 address"),
        (("b", "fd00:1::2"), {}, "b has no IPv6 address"),
        (("fd00:1::2", "fd00:1::2"), {"size": 39}, "an IPv6 packet has 40 to 65535 bytes"),
    ],
)
def test_questions_without_an_answer(world: World, ends: tuple[str, str], more: dict[str, Any], words: str) -> None:
    """If this fails, a slip in a name is answered as if another question had been asked."""
    with pytest.raises(UsageError) as caught:
        trace(world.server, *ends, **more)
    assert words in caught.value.message
    assert caught.value.remedy


def test_an_address_of_nobody(tmp_path: Path) -> None:
    """If this fails, a LAN that is missing in `ciders` is a traceback, or is said to pass."""
    world = World(tmp_path, [entry("a", "10.0.1.2"), entry("b", "10.0.1.3", ciders=["192.168.8.0/24"], enabled=False)])
    world.online("a")
    found = told(world, "192.168.8.9", "10.0.1.2")
    assert (found["verdict"], found["reason"], found["member"]) == ("drop", "bad-source", "")
    assert "it is that of b, disabled" in found["text"]
    assert told(world, "192.168.5.5", "10.0.1.2")["text"] == "no member of any cluster may send from 192.168.5.5"
    world.finish()
