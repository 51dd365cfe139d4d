"""Probes as bytes: crafted by scapy, recognised by our own reading."""

from __future__ import annotations

from dataclasses import replace

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import IPv6

from netlab.isolation.probes import craft, recognise
from netlab.isolation.reachability import Probe, plan_probes
from tests.unit.netlab.fleets import two_tenants

PROBES = plan_probes(two_tenants())


@pytest.mark.parametrize("probe", PROBES, ids=lambda probe: f"{probe.number}-{probe.what}")
def test_every_packet_of_a_probe_is_recognised(probe: Probe) -> None:
    """A packet that nobody recognises can leak unseen."""
    for packet in craft(probe):
        assert [seen.number for seen in recognise(packet)] == [probe.number]


@pytest.mark.parametrize("version", [4, 6])
def test_fragments_come_in_several_packets(version: int) -> None:
    """The fragment cells would be whole packets under another name."""
    probe = next(p for p in PROBES if p.kind == "fragments" and (":" in p.destination) == (version == 6))
    assert len(craft(probe)) >= 2


@pytest.mark.parametrize("kind", ["tcp-open", "tcp-closed"])
def test_the_kernels_answers_to_tcp_are_recognised(kind: str) -> None:
    """Reset and acceptance are the proof that the probe arrived."""
    probe = next(p for p in PROBES if p.kind == kind and ":" not in p.destination)
    syn = IP(craft(probe)[0])
    for flags in ("SA", "RA"):
        answer = IP(src=syn.dst, dst=syn.src) / TCP(sport=syn[TCP].dport, dport=syn[TCP].sport, flags=flags)
        answer[TCP].ack = syn[TCP].seq + 1
        assert [seen.number for seen in recognise(bytes(answer))] == [probe.number]


@pytest.mark.parametrize("version", [4, 6])
def test_joined_datagrams_are_cut_into_those_that_were_sent(version: int) -> None:
    """A tunnel with offloads hands over datagrams of one flow as one packet, and only the first would be seen."""
    probe = next(p for p in PROBES if p.kind == "udp" and (":" in p.destination) == (version == 6))
    network = IP if version == 4 else IPv6
    single = [network(craft(replace(probe, number=number))[0]) for number in (7, 8, 9)]
    joined = network(src=probe.source, dst=probe.destination) / UDP(sport=single[0].sport, dport=single[0].dport)
    data = bytes(joined / b"".join(bytes(packet[UDP].payload) for packet in single))
    assert [(seen.number, seen.inside) for seen in recognise(data)] == [
        (number, bytes(packet.payload)) for number, packet in zip((7, 8, 9), single, strict=True)
    ]


def test_what_is_not_ours_is_not_recognised() -> None:
    """Noise of the kernels (router solicitations, errors that quote a probe) would count as arrivals."""
    probe = next(p for p in PROBES if p.kind == "udp" and ":" not in p.destination)
    quoted = bytes(IP(src="10.9.9.9", dst=probe.source) / ICMP(type=3, code=1) / IP(craft(probe)[0]))
    reset = bytes(IP(src=probe.source, dst=probe.destination) / TCP(flags="R", seq=0x5200_0001))
    other = bytes(IP(src="10.0.0.1", dst="10.0.0.2") / UDP(sport=1, dport=2) / b"hello, nobody")
    for data in (quoted, reset, other, b"", b"\x45", bytes(IPv6(dst="ff02::2")), bytes(60)):
        assert recognise(data) == []
