"""Send crafted packets in every namespace and watch for them in every namespace: one process, scapy's only home.

    lab  --JSON on standard input-->  this process  --JSON on standard output-->  lab

Rules of this module
  1. One packet socket per tap (a member's TUN, a gateway's LAN side, a host's cable), made inside its namespace. It
     sends below the routing table, so a spoofed source or a broadcast leaves as crafted, and it sees whatever comes in,
     also what that kernel would ignore.
  2. Every packet carries its probe's number; what comes in is compared with what was sent, byte for byte behind the
     IP header. Datagrams of one flow may come in joined, as one packet for the kernel to cut; they are cut here too.
  3. A phase ends when everything that has to arrive has arrived, or at its deadline; the next phase's packets are sent
     only then. So whatever a late denial is, it had the time of everything that was sent after it.
"""

from __future__ import annotations

import json
import select
import socket
import struct
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import partial
from time import monotonic
from typing import Any, Final

from scapy.layers.inet import ICMP, IP, TCP, UDP, fragment
from scapy.layers.inet6 import ICMPv6EchoRequest, IPv6, IPv6ExtHdrFragment, fragment6
from scapy.packet import Packet, Raw

from netlab.isolation.reachability import Probe, Sighting
from netlab.namespaces import NetworkNamespace

ECHO_PORT: Final = 7  # open for TCP, answers by UDP, in every namespace
CLOSED_PORT: Final = 9
SOURCE_PORT: Final = 40_000
MARK: Final = b"rust"  # then the probe's number in 4 bytes, repeated: so each fragment of 8 n bytes carries it
MARKS: Final = 4  # in a probe's payload
UDP_HEADER_BYTES: Final = 8
SEQUENCE_BASE: Final = 0x5200_0000  # TCP probes carry 4 x their number in the sequence number
SEQUENCE_NUMBERS: Final = 1 << 22
TCP_SYN: Final = 0x02
TCP_ACK: Final = 0x10
FRAGMENTED_BYTES: Final = 2000
FRAGMENT_BYTES: Final = 1200
PHASE_SECONDS: Final = 5.0
LINGER_SECONDS: Final = 0.2  # after the last phase: for what should not come
ETH_P_ALL: Final = 3
PACKET_RECV_BYTES: Final = 4 << 20
PROTOCOLS: Final = {4: 0x0800, 6: 0x86DD}


@dataclass(frozen=True, slots=True)
class Tap:
    """Where packets are sent and seen: an interface of a node; `gateway` is the MAC address to send to, if any."""

    node: str
    interface: str
    gateway: str = ""
    sends: bool = True


def craft(probe: Probe) -> list[bytes]:
    """Return the packets of a probe, checksums complete."""
    packet = _whole(probe)
    if probe.kind != "fragments":
        return [bytes(packet)]
    if packet.version == 6:
        return [bytes(part) for part in _fragments6(packet, probe)]
    return [bytes(part) for part in fragment(packet, fragsize=FRAGMENT_BYTES)]


def _whole(probe: Probe) -> Packet:
    six = ":" in probe.destination
    payload = (MARK + probe.number.to_bytes(4, "big")) * (FRAGMENTED_BYTES // 8 if probe.kind == "fragments" else MARKS)
    network = _network(probe, six)
    match probe.kind:
        case "icmp" | "fragments" if six:
            packet = network / ICMPv6EchoRequest(id=probe.number & 0xFFFF, data=payload)
        case "icmp" | "fragments":
            packet = network / ICMP(id=probe.number & 0xFFFF) / Raw(payload)
        case "udp":
            packet = network / UDP(sport=SOURCE_PORT, dport=ECHO_PORT) / Raw(payload)
        case _:
            port = ECHO_PORT if probe.kind == "tcp-open" else CLOSED_PORT
            packet = network / TCP(sport=SOURCE_PORT, dport=port, flags="S", seq=SEQUENCE_BASE + probe.number * 4)
    return packet


def _network(probe: Probe, six: bool) -> Packet:
    if six:
        return IPv6(src=probe.source, dst=probe.destination, hlim=64)
    return IP(src=probe.source, dst=probe.destination, ttl=64, id=probe.number & 0xFFFF)


def _fragments6(packet: Packet, probe: Probe) -> list[Packet]:
    whole = IPv6(bytes(packet))  # built once, so that the checksum is that of the whole
    header = IPv6ExtHdrFragment(id=probe.number, nh=whole.nh)
    parts: list[Packet] = fragment6(_network(probe, True) / header / Raw(bytes(whole.payload)), FRAGMENT_BYTES + 48)
    return parts


@dataclass(frozen=True, slots=True)
class Seen:
    """A packet that carries a probe's number: its addresses and its bytes behind the IP header."""

    number: int
    source: bytes
    destination: bytes
    inside: bytes


def recognise(data: bytes) -> list[Seen]:
    """Return what a packet is: none when it is not one of ours (or only quotes one), several when it was joined."""
    if len(data) < 20:
        return []
    if data[0] >> 4 == 4:
        start, end = (data[0] & 15) * 4, int.from_bytes(data[2:4], "big")
        protocol, source, destination = data[9], data[12:16], data[16:20]
    else:
        start, end = 40, 40 + int.from_bytes(data[4:6], "big")
        protocol, source, destination = data[6], data[8:24], data[24:40]
    inside = data[start:end]
    if protocol == socket.IPPROTO_UDP and len(inside) > UDP_HEADER_BYTES + MARKS * 8:
        parts = _cut(inside, source, destination)
    else:
        parts = [inside]
    numbers = [_tcp_number(p) if protocol == socket.IPPROTO_TCP else _marked_number(p, protocol) for p in parts]
    found = zip(numbers, parts, strict=True)
    return [Seen(number, source, destination, part) for number, part in found if number is not None]


def _cut(joined: bytes, source: bytes, destination: bytes) -> list[bytes]:
    """Cut joined datagrams of probes into those that were sent, with headers as the kernel would write them."""
    source_port, destination_port = struct.unpack_from("!HH", joined)
    network = IP if len(source) == 4 else IPv6
    family = socket.AF_INET if len(source) == 4 else socket.AF_INET6
    addresses = network(src=socket.inet_ntop(family, source), dst=socket.inet_ntop(family, destination))
    payloads = (joined[at : at + MARKS * 8] for at in range(UDP_HEADER_BYTES, len(joined), MARKS * 8))
    built = (network(bytes(addresses / UDP(sport=source_port, dport=destination_port) / Raw(p))) for p in payloads)
    return [bytes(packet.payload) for packet in built]


def _marked_number(inside: bytes, protocol: int) -> int | None:
    place = inside.find(MARK)
    error4 = protocol == socket.IPPROTO_ICMP and place > 0 and inside[0] not in (0, 8)
    error6 = protocol == socket.IPPROTO_ICMPV6 and inside[:1] < b"\x80"
    if error4 or error6 or place < 0 or len(inside) < place + 8:
        return None
    return int.from_bytes(inside[place + 4 : place + 8], "big")


def _tcp_number(inside: bytes) -> int | None:
    if len(inside) < 20:
        return None
    sequence, acknowledged = struct.unpack_from("!II", inside, 4)
    flags = inside[13] & (TCP_SYN | TCP_ACK)
    value = sequence if flags == TCP_SYN else acknowledged - 1 if flags & TCP_ACK else -1
    number, rest = divmod(value - SEQUENCE_BASE, 4)
    return number if rest == 0 and 0 < number < SEQUENCE_NUMBERS else None


class Prober:
    """Holds all sockets, sends all probes, collects all sightings."""

    def __init__(
        self,
        taps: Sequence[Tap],
        namespaces: Mapping[str, NetworkNamespace],
        addresses: Mapping[str, Sequence[str]],
        probes: Sequence[Probe],
    ) -> None:
        self._probes = {probe.number: probe for probe in probes}
        self._packets = {probe.number: craft(probe) for probe in probes}
        self._inside = {
            number: {seen.inside for packet in packets for seen in recognise(packet)}
            for number, packets in self._packets.items()
        }
        # a gateway's firewall joins fragments, and its kernel cuts them anew: any piece of the whole is as it was sent
        self._whole = {p.number: bytes(_whole(p).payload) for p in probes if p.kind == "fragments"}
        self._ends = {p.number: (_packed(p.source), _packed(p.destination)) for p in probes}
        self._open = ExitStack()
        self._taps: dict[socket.socket, Tap] = {}
        self._echoes: list[socket.socket] = []
        self.sightings: set[Sighting] = set()
        for tap in taps:
            sock = namespaces[tap.node].run(partial(_packet_socket, tap))
            self._taps[self._open.enter_context(sock)] = tap
        for node, own in addresses.items():
            listener, *echoes = namespaces[node].run(partial(_responders, own))
            self._open.enter_context(listener)
            self._echoes += [self._open.enter_context(echo) for echo in echoes]

    def run(self) -> set[Sighting]:
        """Send phase after phase and return everything that was seen."""
        with self._open:
            for phase in sorted({probe.phase for probe in self._probes.values()}):
                probes = [probe for probe in self._probes.values() if probe.phase == phase]
                for probe in probes:
                    self._send(probe)
                    self._listen(0.0)
                self._await(probes)
            self._linger()
        return self.sightings

    def _send(self, probe: Probe) -> None:
        version = 6 if ":" in probe.destination else 4
        for sock, tap in self._taps.items():
            if tap.node == probe.sender and tap.sends:
                hardware = bytes.fromhex(tap.gateway.replace(":", ""))
                for packet in self._packets[probe.number]:
                    sock.sendto(packet, (tap.interface, PROTOCOLS[version], 0, 0, hardware))

    def _await(self, probes: Sequence[Probe]) -> None:
        wanted = {Sighting(probe.number, probe.receiver, False) for probe in probes if probe.receiver}
        wanted |= {Sighting(probe.number, probe.sender, True) for probe in probes if probe.answered}
        deadline = monotonic() + PHASE_SECONDS
        while not wanted <= self.sightings and (left := deadline - monotonic()) > 0:
            self._listen(left)

    def _linger(self) -> None:
        deadline = monotonic() + LINGER_SECONDS
        while (left := deadline - monotonic()) > 0:
            self._listen(left)

    def _listen(self, seconds: float) -> None:
        for sock in select.select((*self._taps, *self._echoes), (), (), seconds)[0]:
            tap = self._taps.get(sock)
            if tap is None:
                data, sender = sock.recvfrom(1 << 16)
                sock.sendto(data, sender)
            else:
                data, (_, _, direction, *_) = sock.recvfrom(1 << 16)
                if direction != socket.PACKET_OUTGOING:
                    self._note(tap, data)

    def _note(self, tap: Tap, data: bytes) -> None:
        for seen in recognise(data):
            if seen.number in self._probes:
                self._sight(tap, seen)

    def _sight(self, tap: Tap, seen: Seen) -> None:
        source, destination = self._ends[seen.number]
        answer = seen.destination == source and seen.source != source  # whoever gives it: a broadcast asks everybody
        as_sent = seen.inside in self._inside[seen.number] or seen.inside in self._whole.get(seen.number, b"")
        altered = not answer and ((seen.source, seen.destination) != (source, destination) or not as_sent)
        self.sightings.add(Sighting(seen.number, tap.node, answer, altered))


def _packed(address: str) -> bytes:
    return socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, address)


def _packet_socket(tap: Tap) -> socket.socket:
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ETH_P_ALL))
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, PACKET_RECV_BYTES)
    sock.bind((tap.interface, ETH_P_ALL))
    return sock


def _responders(addresses: Sequence[str]) -> list[socket.socket]:
    """Open the TCP port, and a UDP echo on each address: one on all might answer from another than was asked."""
    responders = [socket.create_server(("::", ECHO_PORT), family=socket.AF_INET6, dualstack_ipv6=True)]
    for address in addresses:
        responders.append(socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM))
        responders[-1].bind((address, ECHO_PORT))
    return responders


def main() -> None:
    """Read taps, probes and namespaces' descriptors from standard input; print the sightings."""
    order: dict[str, Any] = json.load(sys.stdin)
    namespaces = {node: NetworkNamespace(descriptor) for node, descriptor in order["namespaces"].items()}
    probes = [Probe(**probe) for probe in order["probes"]]
    prober = Prober([Tap(**tap) for tap in order["taps"]], namespaces, order["addresses"], probes)
    json.dump([asdict(sighting) for sighting in prober.run()], sys.stdout)


if __name__ == "__main__":
    main()
