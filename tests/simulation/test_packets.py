"""What members may not send: rows 14 to 21 of the faults, inside a session."""

from __future__ import annotations

import io
import json
import struct
from itertools import count

import pytest

from netlab.worlds.ip_packets import ip_packet, tcp_packet, udp_packet
from rustun.logs import LineWriter, Log
from rustun.protocol.control import Ping, Pong
from rustun.protocol.handshake import Refusal
from tests.simulation.conftest import MakeWorld
from tests.simulation.kernel import fragment, on_the_wire, unfinished
from tests.simulation.peers import NoisePeer, hello, item
from tests.simulation.seed_peer import DATA, KEEPALIVE, SeedClient
from tests.simulation.world import KEY, World, entry, office

LEGACY = {"minimum_tier": "legacy"}
DEEP = b"[" * 10_000
HOSTILE_JSON = {
    "64 KiB": b'{"type":"ping","id":1,"x":"' + b"x" * 65_000 + b'"}',
    "very deep": b'{"type":"ping","id":' + DEEP + b"}",
    "a 5,000-digit number": b'{"type":"ping","id":' + b"9" * 5000 + b"}",
    "NaN": b'{"type":"ping","id":NaN}',
    "Infinity": b'{"type":"ping","id":-Infinity}',
    "duplicate keys": b'{"type":"ping","type":"ping","id":1}',
    "a lone surrogate": b'{"type":"ping","id":1,"x":"\\ud800"}',
    "UTF-16": '{"type":"ping","id":1}'.encode("utf-16"),
    "not UTF-8": b'{"type":"ping","id":1,"x":"\xff"}',
    "no object": b"[1]",
    "nothing": b"",
    "many items": b'{"type":"ping","id":[' + b"1," * 9000 + b"1]}",
}


@pytest.mark.parametrize("text", HOSTILE_JSON.values(), ids=HOSTILE_JSON.keys())
def test_row_14_hostile_json_in_a_session(make_world: MakeWorld, text: bytes) -> None:
    """Row 14. If this fails, one message of a member stops the relay, or is read in two ways."""
    world = make_world(office(2), security=LEGACY)
    peer = NoisePeer(world, "m0")
    peer.send(peer.codec.seal_control(text))
    assert peer.ended
    seed = SeedClient(world, "m1", world.method, KEY)
    seed.shake_hands()
    seed.send(KEEPALIVE, text)
    assert seed.ended or text == HOSTILE_JSON["64 KiB"]  # a KeepAlive of that size is legal, only useless
    assert world.core.closes["protocol-error"] >= 1


HOSTILE_NAMES = [
    "a\0b", "two\nlines", "\x1b[31mred\x1b[0m", "x" * 250, "pa\u0443pal", "\u202egnp.exe", "a[/b]",
    "[link=http://example.org]m0[/link]", "<script>alert(1)</script>", "m0\u200b",
]  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_row_15_hostile_names_are_refused_and_leave_the_log_clean(make_world: MakeWorld, name: str) -> None:
    """Row 15. If this fails, a stranger writes lines of his own into the operator's log."""
    world = make_world(office(1), security=LEGACY)
    answer = NoisePeer(world, hello(name), connected=False).shake_hands()
    assert isinstance(answer, Refusal)
    assert answer.code == "unknown-identity"
    seed = SeedClient(world, name, world.method, KEY)
    assert seed.shake_hands() is None
    assert world.present == set()
    stream = io.StringIO()
    log = Log(world.reactor.wall_clock, LineWriter(stream, "text", "debug"))
    for level, event, message, fields in world.log.events:
        log.event(level, event, message, **fields)
    lines = stream.getvalue().splitlines()
    assert len(lines) == len(world.log.events)
    assert all(line.isprintable() for line in lines)


@pytest.mark.parametrize("name", ["x" * 10_000, "\ud800"])
def test_row_15_names_that_no_frame_takes(make_world: MakeWorld, name: str) -> None:
    """Row 15. If this fails, a name of any length or of no text at all is taken in."""
    world = make_world(office(1), security=LEGACY)
    seed = SeedClient(world, name, world.method, KEY)
    assert seed.shake_hands() is None
    assert seed.ended


def test_row_15_names_inside_a_session_are_passed_over_or_shown_as_text(make_world: MakeWorld) -> None:
    """Row 15. If this fails, a KeepAlive renames a member for everybody."""
    world = make_world(office(2), security=LEGACY)
    one, other = (SeedClient(world, identity, world.method, KEY) for identity in ("m0", "m1"))
    one.shake_hands()
    other.shake_hands()
    one.keep_alive(name="[red]owned[/red]\x1b[31m")
    (detail,) = other.keep_alive()["peer_details"]
    assert detail["name"] == ""
    assert "owned" not in json.dumps(world.status())


@pytest.mark.parametrize("named", ["m1", "b0", "nobody", ""])
def test_row_16_a_keepalive_that_names_another_is_passed_over(make_world: MakeWorld, named: str) -> None:
    """Row 16. If this fails, a member reads the directory of another cluster, or speaks for another member."""
    world = make_world([*office(2), entry("b0", "10.8.0.1", "elsewhere")], security=LEGACY)
    seed = SeedClient(world, "m0", world.method, KEY)
    seed.shake_hands()
    seed.send(KEEPALIVE, {"identity": named, "ipv6": "2001:db8::bad"})
    assert seed.bodies(KEEPALIVE) == []
    assert world.drops("m0") == {"foreign-identity": 1}
    told = seed.keep_alive()
    assert [peer["identity"] for peer in told["peer_details"]] == ["m1"]


CLUSTERS = [
    entry("gw", "10.0.1.1", ciders=["192.168.0.0/16", "10.44.0.0/16"], cider_mapping={"10.44.0.0/16": "10.55.0.0/16"}),
    entry("inner", "192.168.7.7", ciders=["192.168.9.0/24"]),
    entry("dev", "10.0.1.2", private_ip6="fd00:1::2/64"),
    entry("other", "10.0.2.1", "shanghai", ciders=["172.16.0.0/16"]),
]
FORGED = ["10.0.1.2", "192.168.7.7", "192.168.9.1", "10.0.2.1", "172.16.0.1", "0.0.0.0", "0.1.2.3", "127.0.0.1",
          "224.0.0.1", "255.255.255.255", "169.254.1.1", "10.55.0.1", "8.8.8.8"]  # fmt: skip


def two_members(make_world: MakeWorld) -> tuple[World, NoisePeer, NoisePeer]:
    world = make_world(CLUSTERS)
    return world, NoisePeer(world, "gw"), NoisePeer(world, "dev")


def test_row_17_forged_sources_are_dropped_and_counted(make_world: MakeWorld) -> None:
    """Row 17. If this fails, a member speaks for its neighbour, inside its own wide prefix too."""
    world, gateway, dev = two_members(make_world)
    for number, source in enumerate(FORGED, start=1):
        gateway.send_packets(udp_packet(source, "10.0.1.2", (1, 2), b"forged"))
        assert world.drops("gw") == {"bad-source": number}, source
    for source in ("::1", "::", "ff02::1", "fe80::1", "fd00:1::2", "::ffff:10.0.1.1", "2001:db8::1"):
        gateway.send_packets(udp_packet(source, "fd00:1::2", (1, 2), b"forged"))
    assert world.drops("gw") == {"bad-source": len(FORGED) + 7}
    honest = ["10.0.1.1", "192.168.0.1", "192.168.255.255", "10.44.0.9"]
    gateway.send_packets(*(udp_packet(source, "10.0.1.2", (1, 2), b"honest") for source in honest))
    dev.messages()
    assert len(dev.items) == 1
    assert dev.items[0].count(b"honest") == len(honest)


@pytest.mark.parametrize("to", ["10.0.1.1", "192.168.3.3", "10.44.1.1"])
def test_row_18_packets_to_oneself_do_not_come_back(make_world: MakeWorld, to: str) -> None:
    """Row 18. If this fails, one packet circles between a member and the relay."""
    world, gateway, _ = two_members(make_world)
    gateway.send_packets(udp_packet("10.0.1.1", to, (1, 2), b"to myself"))
    assert world.drops("gw") == {"to-sender": 1}
    gateway.messages()
    assert gateway.items == []


@pytest.mark.parametrize(
    "to", ["10.0.1.254", "192.0.2.1", "10.0.1.255", "255.255.255.255", "224.0.0.251", "127.0.0.1", "0.0.0.0"]
)
def test_row_18_gateway_server_broadcast_and_multicast_lead_nowhere(make_world: MakeWorld, to: str) -> None:
    """Row 18. If this fails, a broadcast reaches members, or the relay talks to itself."""
    world, gateway, dev = two_members(make_world)
    gateway.send_packets(udp_packet("10.0.1.1", to, (1, 2), b"?"))
    assert world.drops("gw") == {"no-route": 1}
    dev.messages()
    assert dev.items == []


GOOD = udp_packet("10.0.1.1", "10.0.1.2", (1, 2), b"twenty bytes of data")
MALFORMED = {
    "version 0": b"\x05" + GOOD[1:],
    "version 5": b"\x55" + GOOD[1:],
    "version 15": b"\xf5" + GOOD[1:],
    "no header words": b"\x44" + GOOD[1:],
    "header beyond the end": b"\x4f" + GOOD[1:21],
    "length too small": GOOD[:2] + b"\0\x14" + GOOD[4:],
    "length too large": GOOD[:2] + b"\xff\xff" + GOOD[4:],
    "19 bytes": GOOD[:19],
    "1 byte": b"E",
    "0 bytes": b"",
    "IPv6 cut off": udp_packet("fd00:1::1", "fd00:1::2", (1, 2), b"")[:39],
    "IPv6 length wrong": udp_packet("fd00:1::1", "fd00:1::2", (1, 2), b"x") + b"x",
    "fragment over the end": fragment("10.0.1.1", "10.0.1.2", 65_528, bytes(16), more=False),
    "IPv6 fragment over the end": fragment("fd00:1::1", "fd00:1::2", 65_528, bytes(16), more=False),
}


@pytest.mark.parametrize("packet", MALFORMED.values(), ids=MALFORMED.keys())
def test_row_19_malformed_packets_are_dropped(make_world: MakeWorld, packet: bytes) -> None:
    """Row 19. If this fails, a member crashes the kernel or the client of another one."""
    world = make_world(office(2), security=LEGACY)
    peer = NoisePeer(world, "m0")
    (receiver,) = world.online("m1")
    peer.send(peer.data(item(GOOD), item(packet), item(GOOD)))
    assert receiver.packets == [GOOD, GOOD]
    assert world.drops("m0") == {"bad-packet": 1}


@pytest.mark.parametrize("packet", MALFORMED.values(), ids=MALFORMED.keys())
def test_row_19_malformed_packets_on_the_seeds_wire(make_world: MakeWorld, packet: bytes) -> None:
    """Row 19. If this fails, the weaker wire is the way around the checks."""
    world = make_world(office(2), security=LEGACY)
    (receiver,) = world.online("m1")
    seed = SeedClient(world, "m0", world.method, KEY)
    seed.shake_hands()
    seed.send(DATA, packet)
    seed.send(DATA, GOOD)
    assert receiver.packets == [GOOD]
    assert world.drops("m0") == {"bad-packet": 1}


@pytest.mark.parametrize("run", [b"", b"\0", item(GOOD)[:-1], item(GOOD) + b"\0\0", struct.pack("!BHH", 0, 0, 9)])
def test_row_19_records_whose_items_do_not_add_up(make_world: MakeWorld, run: bytes) -> None:
    """Row 19. If this fails, a record is read beyond its end."""
    world = make_world(office(2))
    peer = NoisePeer(world, "m0")
    peer.send(peer.data(run))
    assert peer.ended
    assert world.core.closes == {"protocol-error": 1}


@pytest.mark.parametrize("version", [4, 6])
def test_row_19a_fragments_pass_by_their_addresses_alone(make_world: MakeWorld, version: int) -> None:
    """Row 19a. If this fails, large datagrams of applications vanish, or the relay puts them together."""
    world = make_world(office(2))
    sender, receiver = world.online("m0", "m1")
    source, destination = ("10.0.1.1", "10.0.1.2") if version == 4 else ("fd00:1::1", "fd00:1::2")
    parts = [
        fragment(source, destination, 0, bytes(1400), more=True),
        fragment(source, destination, 1400, b"later", more=False),
        fragment(source, destination, 0, bytes(8), more=True),
        fragment(source, destination, 8, b"tiny", more=False),
        fragment(source, destination, 0, b"overlaps", more=True),
        fragment(source, destination, 65_000, b"nobody has the first", more=False),
    ]
    sender.send(*parts)
    world.run()
    assert receiver.packets == parts


TCP_LARGE = tcp_packet("10.0.1.1", "10.0.1.2", (1, 2), bytes(4000))
BAD_OFFLOADS = {
    "checksum bit on a fragment": item(fragment("10.0.1.1", "10.0.1.2", 0, GOOD[20:], more=True), 1),
    "checksum bit behind an extension header": item(
        ip_packet("fd00:1::1", "fd00:1::2", 60, b"\x11\0\1\4\0\0\0\0" + GOOD[20:]), 1
    ),
    "checksum bit on ICMP": item(ip_packet("10.0.1.1", "10.0.1.2", 1, b"\x08\0\xf7\xff\0\0\0\0"), 1),
    "segment size 1": item(TCP_LARGE, 1, 1),
    "segment size 499": item(TCP_LARGE, 1, 499),
    "segment size over the MTU": item(TCP_LARGE, 1, 1461),
    "segment size without the checksum bit": item(TCP_LARGE, 0, 1000),
    "unknown flags": item(GOOD, 0x82),
    "TCP header beyond the end": item(ip_packet("10.0.1.1", "10.0.1.2", 6, bytes(12) + b"\xf0" + bytes(9)), 1),
}


@pytest.mark.parametrize("bad", BAD_OFFLOADS.values(), ids=BAD_OFFLOADS.keys())
def test_row_20_offload_requests_that_nobody_may_make(make_world: MakeWorld, bad: bytes) -> None:
    """Row 20. If this fails, a member makes another one's kernel write where nobody checked."""
    world = make_world(office(2))
    peer = NoisePeer(world, "m0")
    (receiver,) = world.online("m1")
    peer.send(peer.data(bad, item(GOOD)))
    assert receiver.packets == [GOOD]
    assert world.drops("m0") == {"bad-offload": 1}


def test_row_20_a_large_packet_over_the_mtu_is_dropped(make_world: MakeWorld) -> None:
    """Row 20. If this fails, a packet that fits no device reaches one."""
    world = make_world(office(2))
    peer = NoisePeer(world, "m0")
    peer.send(peer.data(item(TCP_LARGE), item(TCP_LARGE, 1)))
    assert world.drops("m0") == {"too-big": 2}


def test_row_20_a_packet_that_the_kernel_refuses_is_counted(make_world: MakeWorld) -> None:
    """Row 20. If this fails, one packet that the kernel does not like ends a session."""
    world = make_world(office(2))
    sender, receiver = world.online("m0", "m1")
    receiver.tun.refuses = True
    sender.send(GOOD)
    world.run()
    receiver.tun.refuses = False
    sender.send(GOOD)
    world.run()
    assert receiver.packets == [GOOD]
    assert receiver.drops == {"kernel-refused": 1}
    assert receiver.client.reconnects == 0


def test_row_20_the_addresses_that_leave_are_those_that_were_checked(make_world: MakeWorld) -> None:
    """Row 20. If this fails, an offload header rewrites addresses behind the check."""
    world = make_world(office(2))
    peer = NoisePeer(world, "m0")
    (receiver,) = world.online("m1")
    packet, header = unfinished(TCP_LARGE, 1000)
    peer.send(peer.data(item(packet, 1, 1000), item(packet, 1), item(GOOD)))
    derived = [struct.unpack("=BBHHHH", head) for head, _ in receiver.tun.received]
    assert derived == [struct.unpack("=BBHHHH", header), (0, 0, 0, 0, 0, 0)]
    seen = [part for head, raw in receiver.tun.received for part in on_the_wire(raw, head)]
    assert seen == [*on_the_wire(packet, header), GOOD]


def test_row_21_destinations_that_are_not_there(make_world: MakeWorld) -> None:
    """Row 21. If this fails, somebody waits for a member that is off, or its packets are kept for later."""
    world = make_world(office(3))
    peer = NoisePeer(world, "m0")
    numbers = count()
    for to, reason in (("10.0.1.2", "offline"), ("10.0.99.99", "no-route")):
        peer.send_packets(*(udp_packet("10.0.1.1", to, (next(numbers), 2), b"?") for _ in range(50)))
        assert world.drops("m0")[reason] == 50
    (late,) = world.online("m1")
    assert late.packets == []
    peer.say(Ping(3))
    assert Pong(3) in peer.messages()


def test_row_37_too_many_control_messages_end_the_session(make_world: MakeWorld) -> None:
    """Row 37. If this fails, one member makes the relay read JSON all day."""
    world = make_world(office(2))
    (other,) = world.online("m1")
    peer = NoisePeer(world, "m0")
    for number in range(60):
        world.run(0.06)
        peer.say(Ping(number))
    assert world.present == {"m0", "m1"}, "17 a second are allowed"
    for number in range(30):
        peer.stream.send(peer.codec.seal_control(b'{"type":"ping","id":%d,"rtt_ms":null}' % number))
    world.run()
    assert peer.ended
    assert other.client.reconnects == 0
