"""Links of a laboratory in the real kernel: each knob taken, shown by traffic of another kind, and given back."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from functools import partial
from io import StringIO
from ipaddress import ip_interface
from pathlib import Path
from threading import Thread
from time import monotonic
from typing import Any

from netlab.control import keeper
from netlab.control.asking import send
from netlab.errors import BadInput, EnvironmentLacks, ExpectationFailed
from netlab.lab import Files, Laboratory
from netlab.links import requests, shaping
from netlab.links.figures import two_nodes
from netlab.links.impairment import Impairment, Link, from_settings
from netlab.links.links import Links
from netlab.links.shaping import Command, Way
from netlab.namespaces import NetworkNamespace
from netlab.topology import LabSpec, MemberSpec
from tests.netlab.own_world import in_own_world


@contextmanager
def linked() -> Iterator[tuple[Links, dict[str, NetworkNamespace]]]:
    """Wire two nodes and let them go at the end."""
    topology, namespaces = two_nodes()
    links = Links(topology, namespaces)
    yield links, namespaces
    links.close()
    for namespace in namespaces.values():
        namespace.close()


def do(links: Links, name: str, **written: str) -> list[Way]:
    """Set what is written on a link and return the ways by which its directions do it."""
    directions = links.find(name)
    links.set([(direction, from_settings(written)) for direction in directions])
    assert all(finding.holds for direction in directions for finding in direction.findings)
    return [direction.way for direction in directions]


def round_trip(namespaces: dict[str, NetworkNamespace]) -> float:
    """Return the seconds of a datagram from left to right and back by ordinary sockets, the shortest of some."""
    left, right = (namespaces[node].run(datagrams) for node in ("left", "right"))
    trips = []
    with left, right:
        right.bind(("10.9.0.2", 7))
        for _ in range(5):  # the first asks for the hardware address, others may find the processor taken
            began = monotonic()
            left.sendto(b"there", ("10.9.0.2", 7))
            right.sendto(b"back", right.recvfrom(64)[1])
            assert select.select((left,), (), (), 5)[0]
            left.recv(64)
            trips.append(monotonic() - began)
    return min(trips)


def datagrams() -> socket.socket:
    """Return a UDP socket of the calling thread's namespace."""
    return socket.socket(socket.AF_INET, socket.SOCK_DGRAM)


class Idle:
    """A laboratory in which nothing runs, for the keeper."""

    def start(self) -> None:
        """Have nothing to bring up."""

    def close(self) -> list[str]:
        """Leave nothing behind."""
        return []


def connected(folder: Path) -> socket.socket:
    """Return a connection to the keeper of that folder."""
    control = socket.socket(socket.AF_UNIX)
    control.settimeout(20)
    control.connect(str(folder / "control"))
    return control


def ask(folder: Path, request: dict[str, Any]) -> dict[str, Any]:
    """Ask the keeper and return its answer."""
    with connected(folder) as control:
        send(control, request)
        answer: dict[str, Any] = json.loads(b"".join(iter(lambda: control.recv(1 << 16), b"")))
    return answer


def tables(namespace: NetworkNamespace) -> str:
    """Return the nftables rules, taps and queues of a node."""

    def show() -> str:
        wanted = (["nft", "list", "ruleset"], ["ip", "-br", "link", "show", "type", "tun"], ["tc", "qdisc"])
        return "".join(subprocess.run(words, capture_output=True, text=True, check=True).stdout for words in wanted)

    return namespace.run(show)


def stream(namespaces: dict[str, NetworkNamespace], size: int) -> float:
    """Return the seconds that a TCP stream of `size` bytes takes from left to right: large frames, sums to be done."""
    listening = namespaces["right"].run(lambda: socket.create_server(("10.9.0.2", 9)))
    sending = namespaces["left"].run(lambda: socket.create_connection(("10.9.0.2", 9), timeout=10))
    receiving, _ = listening.accept()
    sent = received = 0
    content = bytes(range(256)) * 256
    began = monotonic()
    with listening, sending, receiving:
        for one in (sending, receiving):
            one.setblocking(False)
        while received < size:
            readable, writable, _ = select.select((receiving,), (sending,) if sent < size else (), (), 10)
            assert readable or writable, f"stuck after {received} bytes"
            if writable:
                sent += sending.send(content[sent % 65536 : sent % 65536 + size - sent])
            if readable:
                data = receiving.recv(1 << 16)
                assert data[:1] == content[received % 256 : received % 256 + 1]
                received += len(data)
    return monotonic() - began


@in_own_world
def test_a_delayed_link_delays_every_kind_of_traffic(tmp_path: Path) -> None:
    """A part of the traffic would escape the impairment, or large frames would not survive it."""
    with linked() as (links, namespaces):
        before = {node: tables(namespace) for node, namespace in namespaces.items()}
        assert do(links, "left-right", delay="20ms") in (["wire", "wire"], ["netem", "netem"])
        assert 0.040 <= round_trip(namespaces) < 0.060
        assert do(links, "left->right", delay="5ms", jitter="2ms") == ["wire"]
        assert 0.020 <= round_trip(namespaces) < 0.040
        assert stream(namespaces, 3_000_000) > 0.05
        left, right = (namespaces[node].run(datagrams) for node in ("left", "right"))
        with left, right:
            right.bind(("10.9.0.2", 7))
            for number in range(100):
                left.sendto(bytes((number,)), ("10.9.0.2", 7))
            assert do(links, "right-left") == ["plain", "plain"]
            assert [right.recv(1)[0] for _ in range(100)] == list(range(100)), "lost what was on its way"
        assert round_trip(namespaces) < 0.005
        assert {
            node: tables(namespace).replace("noqueue 1:", "noqueue 0:") for node, namespace in namespaces.items()
        } == before


@in_own_world
def test_each_knob_takes(tmp_path: Path) -> None:
    """A knob would be accepted and do nothing: what the probes find is what each `set` judges."""
    with linked() as (links, namespaces):
        assert do(links, "left-right", loss="20%", burst="3", seed="1") == ["wire", "wire"]
        counts = links.counts()["left->right"]
        assert 0 < counts["lost"] < counts["offered"]
        do(links, "left-right", loss="100%")
        do(links, "left-right", duplicate="30%")
        do(links, "left-right", delay="10ms", reorder="30%")
        assert do(links, "left-right", rate="100mbit") == ["tbf", "tbf"]
        assert stream(namespaces, 2_500_000) > 0.18
        assert do(links, "left-right", rate="100mbit", delay="1ms", seed="1") == ["wire", "wire"]
        assert stream(namespaces, 2_500_000) > 0.18
        do(links, "left-right", rate="1mbit", queue="10")
        assert do(links, "left-right", mtu="1300", black_hole_icmp="on") == ["plain", "plain"]
        do(links, "left-right")


@in_own_world
def test_a_flapping_link_is_down_by_the_clock(tmp_path: Path) -> None:
    """A cable that is unplugged would go on carrying packets."""
    with linked() as (links, namespaces):
        do(links, "left->right", flap="150ms/100ms")
        left, right = (
            namespaces[node].run(lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW)) for node in ("left", "right")
        )
        with left, right:
            left.bind(("eth0", 0))
            right.bind(("eth0", 0x88B6))
            frame = bytes.fromhex("02000000000202000000000188b6") + bytes(46)
            began = last = monotonic()
            longest = 0.0
            while monotonic() - began < 0.5:
                left.send(frame)
                if select.select((right,), (), (), 0.002)[0]:
                    right.recv(64)
                    longest, last = max(longest, monotonic() - last), monotonic()
        assert 0.095 < longest < 0.200


@in_own_world
def test_what_did_not_take_is_replaced_or_told(tmp_path: Path) -> None:
    """A kernel that ignores a setting would give a lab without the impairment, and nobody would know."""
    with linked() as (links, namespaces):
        everything = Impairment(0.05, loss=0.01, burst=3, duplicate=0.01, reorder=0.02, rate_bit_s=10**7)
        for one in (everything, replace(everything, burst=1.0)):
            words = shaping.shape("eth0", one, "netem")[0].words
            done = namespaces["left"].run(partial(subprocess.run, words, capture_output=True, text=True, check=False))
            assert done.returncode == 0 or "kind is unknown" in done.stderr, f"tc does not know these words: {done}"
        honest = shaping.shape

        def deaf(device: str, impairment: Impairment, way: Way) -> tuple[Command, ...]:
            return honest(device, Impairment(rate_bit_s=2 * impairment.rate_bit_s) if way == "tbf" else impairment, way)

        shaping.shape = deaf
        assert do(links, "left-right", rate="20mbit") == ["wire", "wire"]
        shaping.ways = lambda impairment: ("tbf",) if impairment.rate_bit_s == 30_000_000 else ("wire",)
        try:
            do(links, "left->right", rate="30mbit")
        except ExpectationFailed as error:
            assert "left->right: rate=30mbit did not take" in error.message
            assert "rate 30mbit was wanted, found: " in error.message
        else:
            raise AssertionError("nobody noticed")
        assert links.find("left->right")[0].impairment == from_settings({"rate": "20mbit"})
        shaping.rules = lambda device, impairment, tap: Command(("nft", "-f", "-"), "hook")
        try:
            do(links, "left->right", rate="30mbit", black_hole_icmp="on")
        except EnvironmentLacks as error:
            assert error.message.startswith("nft refuses a hook at an egress: ")
        else:
            raise AssertionError("a rule that is not there was taken for one that is")


@in_own_world
def test_a_wire_that_dies_leaves_no_plain_link_and_comes_back(tmp_path: Path) -> None:
    """Packets would pass unimpaired when it dies; and nothing would ever pass again."""
    with linked() as (links, namespaces):
        do(links, "left-right", delay="5ms")
        assert round_trip(namespaces) >= 0.010
        wires = [
            path.parent for path in Path("/proc").glob("[0-9]*/cmdline") if b"netlab.links.wire" in path.read_bytes()
        ]
        (wire,) = (int(path.name) for path in wires)
        watched = os.pidfd_open(wire)
        os.kill(wire, signal.SIGKILL)
        assert select.select((watched,), (), (), 5)[0]
        os.close(watched)
        left, right = (namespaces[node].run(datagrams) for node in ("left", "right"))
        with left, right:
            right.bind(("10.9.0.2", 7))
            left.sendto(b"lost", ("10.9.0.2", 7))
            do(links, "right->left", delay="6ms")
            left.sendto(b"carried", ("10.9.0.2", 7))
            assert right.recv(64) == b"carried"
        assert 0.011 <= round_trip(namespaces) < 0.030


@in_own_world
def test_the_keeper_ends_what_was_for_a_time_and_follows_the_plan(tmp_path: Path) -> None:
    """A rehearsed outage would stay where the command was killed, or take the lasting settings with it."""
    with linked() as (links, namespaces), socket.socket(socket.AF_UNIX) as control:
        control.bind(str(tmp_path / "control"))
        control.listen()
        changes = {"link": lambda request: requests.answer(links, request, monotonic())}
        kept = keeper.Kept(Idle(), dict, "two nodes", lambda: "up", looks={}, changes=changes, links=links)
        keeping = Thread(target=keeper.keep, args=(kept, control, StringIO()), kwargs={"as_user": False})
        keeping.start()
        ask(tmp_path, {"do": "link", "link": "right", "set": {"delay": "5ms"}})
        with connected(tmp_path) as killed:
            outage = {"do": "link", "link": "left->right", "set": {"loss": "100%"}, "for_s": 2}
            send(killed, outage)
            assert select.select((killed,), (), (), 10)[0]  # it is done; whoever asked ends without reading that
        (during, _) = ask(tmp_path, {"do": "link", "link": "right"})["links"]
        assert during["settings"] == {"delay": "5ms", "loss": "100%"}
        assert during["lasting"] == {"delay": "5ms"}
        assert 0 < during["until_s"] <= 2
        left, right = (namespaces[node].run(datagrams) for node in ("left", "right"))
        with left, right:
            right.bind(("10.9.0.2", 7))
            deadline = monotonic() + 10
            while not select.select((right,), (), (), 0.05)[0]:
                assert monotonic() < deadline
                left.sendto(b"again", ("10.9.0.2", 7))
        (after, _) = ask(tmp_path, {"do": "link", "link": "right"})["links"]
        assert (after["settings"], after["until_s"]) == ({"delay": "5ms"}, None)
        assert ask(tmp_path, {"do": "link", "link": "right", "clear": True})["links"][0]["settings"] == {}
        for wrong, message in (
            ({"link": "right", "set": {"dely": "5ms"}}, 'no setting "dely"'),
            ({"link": "right", "set": {"delay": "5"}}, "delay: expected a time"),
            ({"link": "right", "set": {"delay": "5ms"}, "for_s": -1}, "for -1 s"),
            ({"link": "right", "set": [1]}, '"set" of a request'),
            ({"link": 7}, "a request about links"),
            ({"link": "middle"}, 'no link "middle"'),
        ):
            refused = ask(tmp_path, {"do": "link", **wrong})
            assert refused["error"].startswith(message)
            assert refused["exit_code"] == 2
        ask(tmp_path, {"do": "down"})
        keeping.join()


@in_own_world
def test_links_follow_a_changed_plan(tmp_path: Path) -> None:
    """An applied change of the inventory would not reach the cables, or a second one would change them again."""
    topology, namespaces = two_nodes()
    with closing(Links(topology, namespaces)) as links:
        slow = Link(("left", "right"), Impairment(delay_s=0.01), Impairment())
        planned = replace(topology, links={"left-right": slow})
        assert [direction.name for direction in links.follow(planned)] == ["left->right"]
        assert 0.010 <= round_trip(namespaces) < 0.020
        assert links.follow(planned) == []
        assert [direction.name for direction in links.follow(topology)] == ["left->right"]
        links.follow(planned)
        assert "link_eth0" in tables(namespaces["left"])
        assert [direction.name for direction in links.follow(replace(topology, cables=()))] == []
        assert links.impaired() == []
        assert not {"link_eth0", "wire10"} & set(tables(namespaces["left"]).split())
    members = tuple(MemberSpec(one, "pair", (ip_interface(f"10.0.1.{place}/24"),)) for place, one in enumerate("ab", 1))
    uplink = Link(("a", "server"), forth=Impairment(delay_s=0.01), back=Impairment(loss=0.1))
    files = Files(tmp_path, tmp_path, tmp_path)
    lab = Laboratory(LabSpec("pair", ("198.18.0.1",), members, links=(uplink,)), files, plain=True)
    lab.start()
    assert {one.name: one.impairment for one in lab.links.impaired()} == {
        "a->server": uplink.forth,
        "server->a": uplink.back,
    }
    assert lab.close() == []


@in_own_world
def test_names_and_nonsense_are_told_before_anything_changes(tmp_path: Path) -> None:
    """A slip of the pen would change the wrong link, or half of it."""
    with linked() as (links, _):
        assert [direction.name for direction in links.find("right")] == ["left->right", "right->left"]
        for wrong, message, remedy in (
            ("left-rihgt", 'no link "left-rihgt"', "did you mean left-right? links: left-right"),
            ("middle->left", 'no link "middle->left"', "links: left-right"),
            ("left", 'no link "left"', "links: left-right"),
        ):
            try:
                links.find(wrong)
            except BadInput as error:
                assert (error.message, error.remedy[-len(remedy) :]) == (message, remedy)
            else:
                raise AssertionError(wrong)
        try:
            do(links, "left-right", jitter="5ms")
        except BadInput as error:
            assert "left->right: jitter 5ms is more than the delay 0ms" in error.message
        assert links.impaired() == []
