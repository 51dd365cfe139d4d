"""Sequence diagrams: which packet went which way, and where it was seen last."""

from __future__ import annotations

import json
import random
from pathlib import Path
from xml.etree import ElementTree

import pytest

from netlab.capture import pcapng
from netlab.picture import sequence, sequence_svg, sequence_text
from netlab.picture.dissection import dissect, dissect_frame
from netlab.picture.sequence import Sighting, Tap
from tests.unit.netlab.picture.events import BEGAN, MEMBERS, TAPS, datagram, echo, packet, seen, segment, story
from tests.unit.netlab.picture.golden import same

PATH = ["bj-dev:rustun0", "bj-dev:eth0", "server:m2", "server:m1", "bj-office-gw:eth0", "bj-office-gw:rustun0"]

ROOT = Path(__file__).parents[4]


def stops(trail: sequence.Trail) -> list[str]:
    """Return the taps of a trail."""
    return [one.tap.name for one in trail.sightings]


def test_the_story_is_told() -> None:
    """Who reads the diagram has to see each packet's way and the one place where one was lost."""
    diagram = sequence.arrange(list(TAPS.values()), story())
    assert list(diagram.columns) == PATH
    assert diagram.acknowledgements == 1
    assert [stops(trail) for trail in diagram.rows[1:3]] == [[PATH[0], PATH[5]], [PATH[1], PATH[2]]]
    assert [stops(trail) for trail in diagram.rows if trail.vanished] == [[PATH[0]], [PATH[3]]]
    assert same("story.txt", sequence_text.draw(diagram))
    assert sequence_text.draw(diagram) in (ROOT / "docs" / "lab.md").read_text()
    drawn = sequence_svg.draw(diagram, "bj-dev pings bj-office-gw & waits")
    ElementTree.fromstring(drawn)
    assert same("story.svg", drawn)


def test_programs_read_the_same_story() -> None:
    """A program would have to parse the drawing, or be told another story than people."""
    told = sequence.facts(sequence.arrange(list(TAPS.values()), story()))
    assert json.loads(json.dumps(told)) == {**told, "taps": PATH, "left_out": {"acknowledgements": 1, "later": 0}}
    _, first, second, *_ = told["packets"]
    assert (first["what"], first["bytes"]) == ("10.0.1.2 > 10.0.1.1  echo request 1", 84)
    assert [(stop["tap"], stop["at_ms"], stop["direction"]) for stop in first["way"]] == [
        ("bj-dev:rustun0", 1.0, "out"),
        ("bj-office-gw:rustun0", 1.6, "in"),
    ]
    assert [stop["tap"] for stop in second["way"]] == PATH[1:3]
    assert [one["way"][-1]["tap"] for one in told["packets"] if one["vanished"]] == [PATH[0], PATH[3]]


def test_any_order_of_sightings_gives_the_same_bytes() -> None:
    """Taps report when they get to it; a diagram that depends on that cannot be compared with another one."""
    chosen = random.Random(3)
    drawn = set()
    for _ in range(20):
        events = story()
        chosen.shuffle(events)
        diagram = sequence.arrange(list(TAPS.values()), events, acknowledgements=True)
        drawn.add(sequence_text.draw(diagram) + sequence_svg.draw(diagram))
    assert len(drawn) == 1


def test_a_capture_gives_the_diagram(tmp_path: Path) -> None:
    """The diagram of a file has to say what the file says, also one that is cut off because a test hung."""
    taps = [
        pcapng.Interface("bj-dev:rustun0", pcapng.LINKTYPE_RAW),
        pcapng.Interface("bj-office-gw:rustun0", pcapng.LINKTYPE_RAW),
        pcapng.Interface("bj-office-gw:lan0p1", pcapng.LINKTYPE_ETHERNET, peer="bj-printer:eth0"),
        pcapng.Interface("bj-printer:eth0", pcapng.LINKTYPE_ETHERNET, peer="bj-office-gw:lan0p1"),
    ]
    data = echo(MEMBERS, 1)
    content = pcapng.header(taps)
    for number, direction in ((0, pcapng.OUTBOUND), (1, pcapng.INBOUND), (2, pcapng.OUTBOUND)):
        link = b"" if number < 2 else bytes(12) + b"\x08\x00"
        content += pcapng.packet(number, BEGAN + number * 1000, link + data[:80], len(link + data), direction)
    (tmp_path / "c.pcapng").write_bytes(content + b"\x06\0\0\0\xff")
    diagram = sequence.arrange(*sequence.read(tmp_path / "c.pcapng"))
    (trail,) = diagram.rows
    assert stops(trail) == [tap.name for tap in taps[:3]]
    assert trail.vanished
    assert diagram.columns == tuple(tap.name for tap in taps)
    assert {one.length for one in trail.sightings} == {84}


def test_an_unwatched_way_is_no_loss() -> None:
    """Where nobody watches the far end a packet may well have arrived; a cross there would accuse the cable."""
    events = [seen(0, "bj-dev:eth0", True, segment(MEMBERS, 1, b"data"))]
    assert not sequence.arrange([TAPS["bj-dev:eth0"]], events).rows[0].vanished
    assert sequence.arrange([TAPS["bj-dev:eth0"], TAPS["server:m2"]], events).rows[0].vanished


def test_a_second_packet_of_the_same_content_has_its_own_way() -> None:
    """A retransmission that is taken for the first packet hides that the first one was lost."""
    data = datagram(MEMBERS, b"again")
    events = [
        seen(0, "bj-dev:rustun0", True, data),
        seen(100, "bj-dev:rustun0", True, data),
        seen(200, "bj-office-gw:rustun0", False, data),
    ]
    rows = sequence.arrange(list(TAPS.values()), events).rows
    assert len(rows) == 2
    assert [trail.vanished for trail in rows] == [False, True]
    late = seen(6_000_000, "bj-office-gw:rustun0", False, data)
    assert len(sequence.arrange(list(TAPS.values()), [events[0], late]).rows) == 2


def test_no_sightings_are_told() -> None:
    """An empty picture looks like a broken one."""
    diagram = sequence.arrange(list(TAPS.values()), [])
    assert sequence_text.draw(diagram) == "no packet was seen\n"
    assert "no packet was seen" in sequence_svg.draw(diagram)


def test_a_caller_orders_the_columns() -> None:
    """A tap that saw nothing is what a red cell is about; it must not be left out when the way is known."""
    taps = [TAPS[name] for name in PATH]
    diagram = sequence.arrange(taps, [seen(0, PATH[0], True, echo(MEMBERS, 1))], in_order=True)
    assert list(diagram.columns) == PATH
    assert diagram.rows[0].vanished


def test_what_is_too_much_is_counted() -> None:
    """A diagram of a whole stream has no end; what it leaves out has to be said."""
    events = [seen(n * 10, PATH[0], True, echo(MEMBERS, n)) for n in range(sequence.MOST_ROWS + 7)]
    diagram = sequence.arrange(list(TAPS.values()), events)
    assert (len(diagram.rows), diagram.later) == (sequence.MOST_ROWS, 7)
    assert "left out: later packets, 7" in sequence_text.draw(diagram)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (echo(MEMBERS, 3), "10.0.1.2 > 10.0.1.1  echo request 3"),
        (echo(MEMBERS, 3, reply=True), "10.0.1.2 > 10.0.1.1  echo reply 3"),
        (segment(MEMBERS, 1, b"", flags=2), "10.0.1.2 > 10.0.1.1  tcp 40000 > 8080 SYN"),
        (segment(MEMBERS, 1, b"", flags=0x10), "10.0.1.2 > 10.0.1.1  tcp 40000 > 8080 ACK"),
        (segment(MEMBERS, 1, b"x"), "10.0.1.2 > 10.0.1.1  tcp 40000 > 8080"),
        (datagram(("fd00:1::1", "fd00:1::2"), b"x"), "fd00:1::1 > fd00:1::2  udp 53 > 4000"),
        (packet(MEMBERS, 1, b"\x03\x04" + bytes(30)), "10.0.1.2 > 10.0.1.1  too big"),
        (packet(("fe80::1", "ff02::2"), 58, b"\x85" + bytes(15)), "fe80::1 > ff02::2  router solicitation"),
        (packet(MEMBERS, 47, bytes(8)), "10.0.1.2 > 10.0.1.1  protocol 47"),
        (packet(MEMBERS, 1, b"\x08"), "cut off"),
        (packet(MEMBERS, 6, bytes(13)), "cut off"),
        (b"\x45", "cut off"),
        (b"\x00\x01", "no IP packet"),
        (b"", "cut off"),
    ],
)
def test_packets_have_words(data: bytes, words: str) -> None:
    """A row without words, or a traceback over an odd packet, helps nobody who looks for a fault."""
    assert str(dissect(data)) == words


def test_any_bytes_have_words() -> None:
    """A capture holds what was sent, also what somebody sent to break things."""
    chosen = random.Random(9)
    for _ in range(3000):
        data = bytearray(chosen.choice((echo(MEMBERS, 1), segment(MEMBERS, 1, b"abc"), datagram(("::1", "::2"), b"x"))))
        for _ in range(chosen.randint(0, 5)):
            data[chosen.randrange(len(data))] = chosen.randrange(256)
        cut = bytes(data[: chosen.randint(0, len(data))])
        assert dissect(cut).words
        assert dissect_frame(bytes(12) + chosen.choice((b"\x08\x00", b"\x86\xdd", b"\x08\x06")) + cut).words


def test_a_packet_is_known_again_after_nat() -> None:
    """Behind a router a packet has another source, port and time to live; it is the same packet."""
    inside, outside = ("192.168.1.7", "10.0.1.1"), ("10.0.1.2", "10.0.1.1")
    assert dissect(echo(inside, 1)).mark == dissect(echo(outside, 1, identifier=99)).mark
    assert dissect(datagram(inside, b"words")).mark == dissect(datagram(outside, b"words")).mark
    assert dissect(segment(inside, 5, b"words")).mark == dissect(segment(outside, 5, b"words")).mark
    assert dissect(echo(inside, 1)).mark != dissect(echo(inside, 2)).mark
    assert dissect(datagram(inside, b"words")).mark != dissect(datagram(inside, b"swords")).mark
    gateway = Tap("gw:lan0p1", peer="host:eth0")
    data = echo(inside, 1)
    events = [
        Sighting(BEGAN, gateway, False, dissect(data), 84),
        seen(10, "bj-dev:rustun0", True, echo(outside, 1)),
        seen(20, "bj-office-gw:rustun0", False, echo(outside, 1)),
    ]
    (trail,) = sequence.arrange([gateway, *TAPS.values()], events).rows
    assert stops(trail) == ["gw:lan0p1", "bj-dev:rustun0", "bj-office-gw:rustun0"]
