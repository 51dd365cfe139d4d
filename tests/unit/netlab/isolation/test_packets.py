"""Probes as bytes: written by hand, compared with scapy, recognised by our own reading."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP, fragment
from scapy.layers.inet6 import ICMPv6EchoRequest, IPv6, IPv6ExtHdrFragment
from scapy.packet import Packet, Raw

from netlab.isolation.expectation import Expectation
from netlab.isolation.packets import (
    CLOSED_PORT,
    ECHO_PORT,
    FRAGMENT_BYTES,
    FRAGMENTED_MARKS,
    MARK,
    MARKS,
    SEQUENCE_BASE,
    SOURCE_PORT,
    checksum,
    craft,
    recognise,
)
from netlab.isolation.plan import Probe, cells
from tests.unit.netlab.fleets import two_tenants

PROBES = [probe for probes in cells(Expectation(two_tenants())).values() for probe in probes]
NUMBER = 70_001  # more than the 16 bits of an identifier hold


def scapys(probe: Probe) -> list[bytes]:
    """Build a probe with scapy."""
    source, destination = str(probe.source), str(probe.destination)
    six = probe.source.version == 6
    marks = (MARK + NUMBER.to_bytes(4, "big")) * (FRAGMENTED_MARKS if probe.kind == "fragments" else MARKS)
    ends = {"src": source, "dst": destination}
    network: Packet = IPv6(**ends, hlim=64) if six else IP(**ends, ttl=64, id=NUMBER & 0xFFFF)
    if probe.kind == "udp":
        packet = network / UDP(sport=SOURCE_PORT, dport=ECHO_PORT) / Raw(marks)
    elif probe.kind.startswith("tcp"):
        port = ECHO_PORT if probe.kind == "tcp-open" else CLOSED_PORT
        packet = network / TCP(sport=SOURCE_PORT, dport=port, flags="S", seq=SEQUENCE_BASE + NUMBER * 4)
    elif six:
        packet = network / ICMPv6EchoRequest(id=NUMBER & 0xFFFF, data=marks)
    else:
        packet = network / ICMP(id=NUMBER & 0xFFFF) / Raw(marks)
    if probe.kind != "fragments":
        return [bytes(packet)]
    if not six:
        return [bytes(part) for part in fragment(packet, fragsize=FRAGMENT_BYTES)]
    inside = bytes(packet)[40:]
    return [
        bytes(
            network / IPv6ExtHdrFragment(nh=58, offset=at // 8, m=int(at == 0), id=NUMBER) / Raw(inside[at : at + 1200])
        )
        for at in (0, 1200)
    ]


def test_packets_are_those_that_scapy_writes() -> None:
    """A kernel would drop what is malformed, and a denial would be shown by our own mistake."""
    for probe in PROBES:
        assert craft(probe, NUMBER) == scapys(probe), probe


def test_every_packet_of_a_probe_is_recognised() -> None:
    """A packet that nobody recognises can leak unseen."""
    for number, probe in enumerate(PROBES, start=1):
        for packet in craft(probe, number):
            assert [seen.number for seen in recognise(packet)] == [number]


@pytest.mark.parametrize("version", [4, 6])
def test_fragments_come_in_several_packets(version: int) -> None:
    """The fragment cells would be whole packets under another name."""
    probe = next(p for p in PROBES if p.kind == "fragments" and p.destination.version == version)
    assert len(craft(probe, 1)) == 2


@pytest.mark.parametrize("kind", ["tcp-open", "tcp-closed"])
def test_the_kernels_answers_to_tcp_are_recognised(kind: str) -> None:
    """Reset and acceptance are the proof that the probe arrived."""
    probe = next(p for p in PROBES if p.kind == kind and p.destination.version == 4)
    syn = IP(craft(probe, 12)[0])
    for flags in ("SA", "RA"):
        answer = IP(src=syn.dst, dst=syn.src) / TCP(sport=syn[TCP].dport, dport=syn[TCP].sport, flags=flags)
        answer[TCP].ack = syn[TCP].seq + 1
        assert [seen.number for seen in recognise(bytes(answer))] == [12]


@pytest.mark.parametrize("version", [4, 6])
def test_joined_datagrams_are_cut_into_those_that_were_sent(version: int) -> None:
    """A tunnel with offloads hands over datagrams of one flow as one packet, and only the first would be seen."""
    probe = next(p for p in PROBES if p.kind == "udp" and p.destination.version == version)
    network = IP if version == 4 else IPv6
    single = [network(craft(probe, number)[0]) for number in (7, 8, 9)]
    joined = network(src=str(probe.source), dst=str(probe.destination)) / UDP(sport=SOURCE_PORT, dport=ECHO_PORT)
    data = bytes(joined / b"".join(bytes(packet[UDP].payload) for packet in single))
    assert [(seen.number, seen.inside) for seen in recognise(data)] == [
        (number, bytes(packet.payload)) for number, packet in zip((7, 8, 9), single, strict=True)
    ]


def test_what_is_not_ours_has_no_number() -> None:
    """Noise of the kernels (router solicitations, errors that quote a probe) would count as arrivals."""
    probe = next(p for p in PROBES if p.kind == "udp" and p.destination.version == 4)
    quoted = bytes(IP(src="10.9.9.9", dst=str(probe.source)) / ICMP(type=3, code=1) / IP(craft(probe, 3)[0]))
    reset = bytes(IP(src=str(probe.source), dst=str(probe.destination)) / TCP(flags="R", seq=0x5200_0001))
    other = bytes(IP(src="10.0.0.1", dst="10.0.0.2") / UDP(sport=1, dport=2) / b"hello, nobody")
    for data in (quoted, reset, other, bytes(IPv6(dst="ff02::2"))):
        assert [seen.number for seen in recognise(data)] == [0]
    for data in (b"", b"\x45", bytes(60), b"\x60" * 30):
        assert recognise(data) == []


def test_a_checksum_of_an_odd_number_of_bytes() -> None:
    """Answers of foreign programs could not be compared."""
    assert checksum(b"\x01\x02\x03") == ~(0x0102 + 0x0300) & 0xFFFF


def test_a_datagram_whose_checksum_is_zero_says_ffff() -> None:
    """Zero means that there is none, and IPv6 kernels drop such a datagram (RFC 8200, section 8.1)."""
    probe = next(p for p in PROBES if p.kind == "udp" and p.destination.version == 6)
    sources = (replace(probe, source=ip_address(int(probe.source) + extra)) for extra in range(1, 0x10000))
    written = {craft(one, 1)[0][46:48] for one in sources}
    assert bytes(2) not in written
    assert b"\xff\xff" in written
