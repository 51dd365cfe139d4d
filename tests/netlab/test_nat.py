"""NAT routers, asked from inside and from outside what they do; rustun takes part in the last test alone.

server 198.18.0.1, 203.0.113.9 --- open, moderate, strict --- a member each
                               \\-- far --- near --- a member behind both
"""

from __future__ import annotations

import select
import socket
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from ipaddress import ip_interface
from pathlib import Path
from time import monotonic

import pytest

from netlab import layout, nat, wiring
from netlab.configuration import Choice, configure, load
from netlab.lab import Files, Laboratory
from netlab.namespaces import new_namespaces, replace_hosts_file
from netlab.topology import SERVER, LabSpec, MemberSpec, Topology
from rustun.ops.lab.records import LabNat, NatKind
from tests.netlab.own_world import in_own_world

EXAMPLE = Path(__file__).parents[2] / "inventory" / "example"
ONE, OTHER = "198.18.0.1", "203.0.113.9"  # two addresses of the server
SIX = "2001:2::1"
KINDS: tuple[NatKind, ...] = ("open", "moderate", "strict")
INSIDE_PORT = 5000
WAIT_S = 5.0  # for what has to come
SILENCE_S = 2  # after which a mapping is gone: longer than a busy machine pauses
Place = tuple[str, int]


class World:
    """Wired nodes and all sockets in them."""

    def __init__(self, *, timeout_s: int = 0) -> None:
        routers = [LabNat(kind, kind, (f"{kind}-m",), timeout_s, timeout_s) for kind in KINDS]
        routers += [LabNat("far", "moderate", ("near",)), LabNat("near", "strict", ("near-m",))]
        names = [f"{one.name}-m" for one in routers if one.name != "far"]
        members = [MemberSpec(name, "c", (ip_interface(f"10.0.0.{at}/24"),)) for at, name in enumerate(names, 1)]
        self.topology: Topology = layout.plan(LabSpec("nat", (ONE, OTHER), tuple(members), (), tuple(routers)))
        self.nodes = new_namespaces(node.name for node in self.topology.nodes)
        self.open = ExitStack()
        wiring.build(self.topology, self.nodes)
        nat.set_up(self.topology, self.nodes)

    def udp(self, node: str, address: str, port: int = 0) -> socket.socket:
        """Open a UDP socket in a node."""
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        made = self.open.enter_context(self.nodes[node].run(partial(socket.socket, family, socket.SOCK_DGRAM)))
        made.bind((address, port))
        return made

    def address(self, node: str, version: int = 4) -> str:
        """Return a node's outside address."""
        addresses = next(port.addresses for port in self.topology.ports(node) if port.name == "eth0")
        return next(str(one.ip) for one in addresses if one.version == version)

    def close(self) -> None:
        """Close all."""
        self.open.close()
        for namespace in self.nodes.values():
            namespace.close()


def received(at: socket.socket) -> tuple[bytes, Place]:
    """Wait for a datagram and return it with who sent it."""
    assert select.select((at,), (), (), WAIT_S)[0], "nothing came"
    data, sender = at.recvfrom(100)
    return data, sender[:2]


def came_in(inside: socket.socket, to: Place, strangers: Sequence[socket.socket], known: socket.socket) -> list[bytes]:
    """Let strangers send to a mapping, then who is known; return what came in of the strangers'."""
    for number, stranger in enumerate(strangers):
        stranger.sendto(b"stranger %d" % number, to)
    known.sendto(b"known", to)
    return [data for data in iter(lambda: received(inside)[0], b"known")]


@in_own_world
def test_each_kind_maps_and_filters_as_it_says(tmp_path: Path) -> None:
    """Who rehearses behind a strict router would be told about an easy one."""
    world = World()
    first, second, third = (world.udp(SERVER, *place) for place in ((ONE, 7001), (ONE, 7002), (OTHER, 7001)))
    strangers = [world.udp(SERVER, ONE), world.udp(SERVER, OTHER, 7002)]
    for kind in KINDS:
        inside = world.udp(f"{kind}-m", "0.0.0.0", INSIDE_PORT)
        seen = []
        for outside in (first, second, third):
            inside.sendto(b"hello", outside.getsockname())
            seen.append(received(outside)[1])
        assert {address for address, _ in seen} == {world.address(kind)}, kind
        assert len(set(seen)) == (3 if kind == "strict" else 1), (kind, seen)
        found = came_in(inside, seen[0], strangers, first)
        assert found == ([b"stranger 0", b"stranger 1"] if kind == "open" else []), kind
        with pytest.raises(OSError, match="unreachable"):
            first.sendto(b"unasked", (world.address(f"{kind}-m"), INSIDE_PORT))
        knocking = world.udp(SERVER, ONE)
        knocking.connect((world.address(kind), INSIDE_PORT + 1))
        knocking.send(b"anybody there?")
        assert came_in(inside, seen[0], (), first) == []  # whatever the router had to say to that came before
        knocking.setblocking(False)
        with pytest.raises(BlockingIOError):
            knocking.recv(100)
    world.close()


@in_own_world
def test_an_open_router_leads_answers_back_to_whoever_came_in(tmp_path: Path) -> None:
    """Two peers behind open routers could not talk to each other, as they can in the world."""
    world = World(timeout_s=SILENCE_S)
    server, stranger = world.udp(SERVER, ONE), world.udp(SERVER, OTHER)
    inside = world.udp("open-m", "0.0.0.0", INSIDE_PORT)
    inside.sendto(b"hello", server.getsockname())
    mapping = received(server)[1]
    deadline = monotonic() + SILENCE_S + 0.3
    while monotonic() < deadline:  # what is answered keeps the mapping
        stranger.sendto(b"let me in", mapping)
        assert received(inside)[0] == b"let me in"
        inside.sendto(b"welcome", stranger.getsockname())
        assert received(stranger) == (b"welcome", mapping)
    server.sendto(b"me too", mapping)
    assert received(inside)[0] == b"me too"
    world.close()


@in_own_world
def test_tcp_is_mapped_alike(tmp_path: Path) -> None:
    """The tunnel itself is TCP: what holds for UDP alone would be no rehearsal of it."""
    world = World()
    listeners = [
        world.open.enter_context(world.nodes[SERVER].run(partial(socket.create_server, (address, 7001))))
        for address in (ONE, OTHER)
    ]
    for kind in KINDS:
        seen = set()
        for listener in listeners:
            inside = world.open.enter_context(world.nodes[f"{kind}-m"].run(socket.socket))
            inside.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            inside.bind(("0.0.0.0", INSIDE_PORT))
            inside.settimeout(WAIT_S)
            inside.connect(listener.getsockname())
            seen.add(world.open.enter_context(listener.accept()[0]).getpeername())
        assert len(seen) == (2 if kind == "strict" else 1), (kind, seen)
    world.close()


@in_own_world
def test_behind_two_routers(tmp_path: Path) -> None:
    """Double NAT would be single, or nothing would come back through it."""
    world = World()
    outside = world.udp(SERVER, ONE)
    inside = world.udp("near-m", "0.0.0.0", INSIDE_PORT)
    inside.sendto(b"hello", outside.getsockname())
    seen = received(outside)[1]
    assert seen[0] == world.address("far")
    outside.sendto(b"back", seen)
    assert received(inside)[0] == b"back"
    world.close()


@in_own_world
def test_ipv6_is_routed_and_filtered(tmp_path: Path) -> None:
    """IPv6 would be translated, which no router does, or the member behind would stand in the open."""
    world = World()
    outside, stranger = world.udp(SERVER, SIX), world.udp(SERVER, SIX)
    insides = {kind: world.udp(f"{kind}-m", world.address(f"{kind}-m", 6)) for kind in KINDS}
    for inside in insides.values():  # all at once: the first packet waits for a neighbour
        inside.sendto(b"hello", outside.getsockname())
    assert {received(outside)[1] for _ in KINDS} == {inside.getsockname()[:2] for inside in insides.values()}
    for kind, inside in insides.items():
        found = came_in(inside, inside.getsockname()[:2], [stranger], outside)
        assert found == ([b"stranger 0"] if kind == "open" else []), kind
    world.close()


@in_own_world
def test_a_mapping_is_gone_after_silence(tmp_path: Path) -> None:
    """Keepalives that come too rarely would look as if they were often enough."""
    world = World(timeout_s=SILENCE_S)
    listener = world.open.enter_context(world.nodes[SERVER].run(partial(socket.create_server, (ONE, 7001))))
    server = world.udp(SERVER, ONE)
    talks: list[tuple[socket.socket, Place, socket.socket, socket.socket]] = []
    for kind in KINDS:
        inside = world.udp(f"{kind}-m", "0.0.0.0", INSIDE_PORT)
        inside.sendto(b"hello", server.getsockname())
        mapping = received(server)[1]
        stream = world.open.enter_context(world.nodes[f"{kind}-m"].run(socket.socket))
        stream.settimeout(WAIT_S)
        stream.connect(listener.getsockname())
        talks.append((inside, mapping, stream, world.open.enter_context(listener.accept()[0])))
    for inside, mapping, stream, accepted in talks:
        server.sendto(b"in time", mapping)
        accepted.sendall(b"in time")
        assert received(inside)[0] == stream.recv(100) == b"in time"
    quiet = [end for inside, _, stream, _ in talks for end in (inside, stream)]
    deadline = monotonic() + SILENCE_S + 0.3  # the kernel counts in ticks
    while (left := deadline - monotonic()) > 0:
        assert not select.select(quiet, (), (), left)[0]
    for inside, mapping, stream, accepted in talks:
        server.sendto(b"late", mapping)
        accepted.sendall(b"late")
        inside.sendto(b"again", server.getsockname())  # what comes later arrives: nothing was held up
        server.sendto(b"marker", received(server)[1])
        assert received(inside)[0] == b"marker", mapping
        assert not select.select((stream,), (), (), 0)[0], "a TCP mapping outlived its time"
    world.close()


@in_own_world
def test_a_fleet_behind_routers_comes_up_through_them(tmp_path: Path) -> None:
    """What the file says of NAT would be laid out, and clients pass it by."""
    inventory = load(EXAMPLE)
    configured = configure(EXAMPLE, inventory, tmp_path / "generated", Choice("road"))
    lab = Laboratory(configured.spec, Files(configured.folder, tmp_path / "logs", Path("/run/nat")))
    replace_hosts_file(dict(lab.topology.names))
    lab.start()
    document = lab.status(SERVER)
    assert document is not None
    remotes = {session["identity"]: session["remote"].rpartition(":")[0] for session in document["sessions"]}
    outside = {node: str(lab.topology.ports(node)[0].addresses[0].ip) for node in ("carrier", "road-exit")}
    assert remotes == {
        "ana-laptop": outside["carrier"],
        "ben-laptop": outside["carrier"],
        "road-exit": outside["road-exit"],
    }
    assert lab.close() == []
