"""Captures of real interfaces: what passes is in the file, in order, with its direction, and losses have a number."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from pathlib import Path
from threading import Event
from time import monotonic

from netlab import rtnetlink
from netlab.capture import pcapng
from netlab.capture.process import Capture
from netlab.capture.recorder import Recorder, Tally
from netlab.capture.ring import BLOCK_BYTES
from netlab.capture.taps import MOST_SNAP_BYTES, Wish, open_taps
from netlab.isolation.taps import Tap
from netlab.links.figures import two_nodes
from netlab.namespaces import NetworkNamespace
from tests.netlab.own_world import in_own_world

TAPS = (Tap("left", "eth0"), Tap("right", "eth0"))
HAND_MADE = bytes.fromhex("0800 45000020 00010000 40110000 0a090101 0a090102 00090007 000c0000") + b"hand"


class Talk:
    """Datagrams from left to right; each has come when `say` returns."""

    def __init__(self, spaces: dict[str, NetworkNamespace]) -> None:
        ends = [spaces[node].run(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) for node in spaces]
        self.left, self.right = ends
        self.right.bind(("10.9.0.2", 7))
        self.right.settimeout(5)

    def say(self, words: bytes) -> None:
        self.left.sendto(words, ("10.9.0.2", 7))
        self.right.recv(1 << 16)

    def close(self) -> None:
        self.left.close()
        self.right.close()


@contextmanager
def meanwhile(work: Callable[[], object]) -> Iterator[None]:
    """Do something again and again until the end."""
    over = Event()

    def repeat() -> None:
        while not over.is_set():
            work()

    with ThreadPoolExecutor(1) as thread:
        done = thread.submit(repeat)
        try:
            yield
        finally:
            over.set()
            done.result()


def packets(file: Path) -> list[pcapng.Packet]:
    """Return the packets of a file."""
    return [one for one in pcapng.read(file) if isinstance(one, pcapng.Packet)]


def seen(file: Path) -> list[tuple[str, bool, bytes]]:
    """Return tap, direction and content of each datagram of a file."""
    return [(one.interface.name, one.goes_out, one.data[42:]) for one in packets(file)]


def in_two_nodes(work: Callable[[dict[str, NetworkNamespace], Talk], None]) -> None:
    """Wire two nodes, let them talk, and let go of them."""
    _, spaces = two_nodes()
    with ExitStack() as opened:
        for space in spaces.values():
            opened.callback(space.close)
        work(spaces, opened.enter_context(closing(Talk(spaces))))


@in_own_world
def test_what_passes_is_in_the_file_in_order(tmp_path: Path) -> None:
    """A capture that misses packets, turns them round or mixes them up tells a wrong story of what happened."""

    def work(spaces: dict[str, NetworkNamespace], talk: Talk) -> None:
        talk.say(b"before")
        with closing(Capture(Wish(TAPS, "udp port 7"), spaces, tmp_path / "c.pcapng")) as capture:
            for number in range(50):
                talk.say(b"number %d" % number)
            talk.say(b"x" * 1000)
            tallies = capture.close()
        assert tallies == [Tally("left:eth0", 51, 0), Tally("right:eth0", 51, 0)]
        words = [b"number %d" % number for number in range(50)] + [b"x" * (256 - 28)]
        assert seen(tmp_path / "c.pcapng") == [
            event for word in words for event in (("left:eth0", True, word), ("right:eth0", False, word))
        ]
        assert packets(tmp_path / "c.pcapng")[-1].length == 1042
        last = list(pcapng.read(tmp_path / "c.pcapng"))[-2:]
        assert last == [pcapng.Statistics(p.interface, 51, 0) for p in packets(tmp_path / "c.pcapng")[:2]]

    in_two_nodes(work)


@in_own_world
def test_what_found_no_room_has_a_number(tmp_path: Path) -> None:
    """A capture that loses packets in silence makes people look for a fault that is not there."""

    def work(spaces: dict[str, NetworkNamespace], talk: Talk) -> None:
        wish = Wish((Tap("right", "eth0"),), snap_bytes=0)
        content = os.urandom(60_000)
        with (tmp_path / "c.pcapng").open("wb", buffering=0) as output:
            opened = open_taps(wish, spaces)
            talk.left.connect(("10.9.0.2", 7))
            sent = 2 * wish.ring_bytes // 60_000
            for _ in range(sent):
                talk.say(content)
            with Recorder(opened, output.fileno()) as recorder, meanwhile(lambda: talk.left.send(b"more")):
                (tally,) = recorder.record([], until=monotonic())
        frames = packets(tmp_path / "c.pcapng")
        assert tally.received == len(frames) + tally.dropped
        assert 0 < tally.dropped < tally.received
        assert b"".join(one.data[34:] for one in frames[:1])[8:] == content[: len(frames[0].data) - 42]

    in_two_nodes(work)


@in_own_world
def test_a_capture_of_the_newest_packets_says_how_many_it_forgot(tmp_path: Path) -> None:
    """What is recorded in case that something fails would fill the disk, or keep the beginning and not the end."""

    def work(spaces: dict[str, NetworkNamespace], talk: Talk) -> None:
        capture = Capture(Wish(TAPS, "udp port 7", last_bytes=2_000), spaces, tmp_path / "c.pcapng")
        for number in range(100):
            talk.say(b"%3d" % number)
        tallies = capture.close()
        found = seen(tmp_path / "c.pcapng")
        kept = [b"%3d" % number for number in range(100)][-len(found) // 2 :]
        assert 10 < len(kept) < 20
        assert [words for name, _, words in found if name == "right:eth0"] == kept
        lost = [100 - [name for name, _, _ in found].count(str(tap)) for tap in TAPS]
        assert tallies == [Tally(str(tap), 100, number) for tap, number in zip(TAPS, lost, strict=True)]

    in_two_nodes(work)


@in_own_world
def test_an_interface_that_comes_again_is_listened_at_again(tmp_path: Path) -> None:
    """A member that starts anew has a new TUN device: from then on its capture would be empty."""

    def work(spaces: dict[str, NetworkNamespace], talk: Talk) -> None:
        wish = Wish((Tap("right", "eth0"), Tap("left", "eth1")), "udp port 7")
        capture = Capture(wish, spaces, tmp_path / "c.pcapng")
        talk.say(b"one")
        end = (20, "eth1", "02:00:00:00:00:03", spaces["left"].fileno())
        far = (21, "eth1", "02:00:00:00:00:04", spaces["right"].fileno())
        rtnetlink.send([rtnetlink.veth(end, far)], "a cable")
        spaces["right"].run(partial(rtnetlink.send, [rtnetlink.down(11), rtnetlink.up(11), rtnetlink.up(21)], "right"))
        spaces["left"].run(partial(rtnetlink.send, [rtnetlink.up(20)], "left"))
        talk.say(b"two")
        raw = spaces["left"].run(lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0))
        frame = bytes(12) + HAND_MADE
        with raw:
            while not (tmp_path / "c.pcapng").read_bytes().count(frame):  # until the new one is listened at
                raw.sendto(frame, ("eth1", 0x0800))
        capture.close()
        names = [(name, words) for name, _, words in seen(tmp_path / "c.pcapng")]
        assert names[:2] == [("right:eth0", b"one"), ("right:eth0", b"two")]
        assert set(names[2:]) == {("left:eth1", b"hand")}

    in_two_nodes(work)


def test_a_ring_takes_any_packet_whole() -> None:
    """Packets of a TUN device reach 64 KiB: a block that is smaller would cut them."""
    assert BLOCK_BYTES > 70_000
    assert MOST_SNAP_BYTES > 70_000
    assert Wish(TAPS * 100).ring_bytes >= 2 * BLOCK_BYTES
    assert Wish(TAPS).ring_bytes % BLOCK_BYTES == 0
