"""What a tunnel carries, with real processes, at four sizes of packets, over IPv4 and IPv6 outside."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from netlab.lab import TUN
from netlab.namespaces import NetworkNamespace
from netlab.scenarios.scenario import scenario
from netlab.topology import SERVER
from netlab.worlds.carrying import datagrams, ping, streams
from netlab.worlds.keyed_lab import KeyedLab, KeyedMember

ECHOES = 10
ROUNDS = 50  # a kernel speaks of its multicast groups a few times after an address was set, then no more
STREAM_BYTES = 500_000
STREAMS = 4
LONGEST_DATAGRAM = 65_000
ETH_P_ALL = 3


@dataclass(frozen=True)
class Pair:
    """Two members of a cluster of their own, the size of their packets, and what they reach the server by."""

    name: str
    number: int
    mtu: int
    outside: tuple[int, int] = (4, 4)

    @property
    def members(self) -> tuple[KeyedMember, KeyedMember]:
        """Their entries."""
        first, second = (KeyedMember(f"{self.name}-{n}", self.name, f"10.0.{self.number}.{n}") for n in (1, 2))
        return first, second

    def addresses(self, place: int) -> tuple[str, str]:
        """Return the addresses of the first (0) or the second (1)."""
        return f"10.0.{self.number}.{place + 1}", f"fd00:{self.number}::{place + 1}"


PAIRS = (
    Pair("usual", 1, 1500),
    Pair("small", 2, 1280, outside=(6, 6)),
    Pair("large", 3, 9000),
    Pair("largest", 4, 65_000, outside=(4, 6)),
)


class Witness(ExitStack):
    """Sees every packet that a member's kernel sends into the tunnel, or gets out of it.

    Attributes:
        into, out: bytes of each packet that went into the tunnel, or came out of it, until the last look.
    """

    def __init__(self, namespace: NetworkNamespace) -> None:
        super().__init__()
        self.into: list[int] = []
        self.out: list[int] = []

        def open_tap() -> socket.socket:
            tap = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ETH_P_ALL))
            tap.bind((TUN, ETH_P_ALL))
            return tap

        self._tap = self.enter_context(namespace.run(open_tap))
        self._tap.setblocking(False)

    def look(self) -> None:
        """Take note of what came and went; a kernel keeps only a few large packets for who does not look."""
        while True:
            try:
                packet, (_, _, direction, *_) = self._tap.recvfrom(1 << 17)
            except BlockingIOError:
                return
            (self.into if direction == socket.PACKET_OUTGOING else self.out).append(len(packet))


Counters = dict[str, tuple[int, ...]]


def counters(site: KeyedLab, pair: Pair) -> Counters:
    """Return received and sent bytes and packets of both ends, as both ends and the server tell them."""
    names = ("received_bytes", "received_packets", "sent_bytes", "sent_packets")
    sessions = {one["identity"]: one for one in site.status(SERVER)["sessions"]}
    told = {}
    for member in pair.members:
        for who, document in ((member.identity, site.status(member.identity)), (SERVER, sessions[member.identity])):
            told[f"{member.identity} at {who}"] = tuple(int(document[name]) for name in names)
    return told


def _count(site: KeyedLab, pair: Pair, address: str, packet_bytes: int) -> None:
    """Send echoes of this size, and compare the counters of all with them, once nothing else was under way."""
    spaces = [site.lab.namespaces[member.identity] for member in pair.members]
    wanted = [packet_bytes] * ECHOES
    for _ in range(ROUNDS):
        with Witness(spaces[0]) as near, Witness(spaces[1]) as far:
            before = counters(site, pair)
            for _ in range(ECHOES):
                ping(spaces[0], address, packet_bytes)
                near.look()
                far.look()
            after = counters(site, pair)
            near.look()
            far.look()
        seen = [near.into, near.out, far.into, far.out]
        assert all([one for one in sizes if one == packet_bytes] == wanted for sizes in seen), seen
        if seen == [wanted] * 4:
            break
    else:
        raise AssertionError(f"something else is always under way: {seen}")
    once = (ECHOES * packet_bytes, ECHOES)
    for who, numbers in after.items():
        grown = tuple(new - old for new, old in zip(numbers, before[who], strict=True))
        assert grown == once * 2, f"{who}: {grown}"


def _carry(site: KeyedLab, pair: Pair) -> None:
    """Send everything both ways, over IPv4 and IPv6."""
    spaces = [site.lab.namespaces[member.identity] for member in pair.members]
    for here, there in ((0, 1), (1, 0)):
        for address in pair.addresses(there):
            for size in (100, pair.mtu):
                ping(spaces[here], address, size)
            datagrams(spaces[here], spaces[there], address, (0, 1, pair.mtu - 60, pair.mtu, LONGEST_DATAGRAM))
            streams(spaces[here], spaces[there], address, 1, STREAM_BYTES)
    for address in pair.addresses(1):
        streams(spaces[0], spaces[1], address, STREAMS, STREAM_BYTES)


def by_both_versions_outside(site: KeyedLab) -> None:
    """See that each member reaches the server by the version of IP that it was told."""
    outside = _outside(site)
    for pair in PAIRS:
        for member, version in zip(pair.members, pair.outside, strict=True):
            remote = site.status(member.identity)["remote"]
            assert outside[version] in remote, remote


def counted_to_the_byte(site: KeyedLab) -> None:
    """Send ten echoes of the smallest and of the largest size, and compare all counters with them to the byte."""
    for pair in PAIRS:
        for address in pair.addresses(1):
            for size in (84, pair.mtu):
                _count(site, pair, address, size)


def everything_both_ways(site: KeyedLab) -> None:
    """Send echoes, datagrams whole and in fragments, and one and four streams, both ways, over IPv4 and IPv6."""
    for pair in PAIRS:
        _carry(site, pair)


def nothing_was_dropped(site: KeyedLab) -> None:
    """See that no session ended and no packet was dropped meanwhile."""
    for pair in PAIRS:
        for member in pair.members:
            status = site.status(member.identity)
            assert (status["reconnects"], status["drops"]) == (0, {}), status


@scenario(by_both_versions_outside, counted_to_the_byte, everything_both_ways, nothing_was_dropped)
def carrying(folder: Path) -> Iterator[KeyedLab]:
    """Packets of all sizes and protocols are carried as they are, and counted to the byte.

    usual-1, usual-2      1500 bytes, IPv4                       ----.
    small-1, small-2      1280 bytes, IPv6                       ----+
    large-1, large-2      9000 bytes, IPv4                       ----+---- server
    largest-1, largest-2  65000 bytes, one over IPv4, one over 6 ----'
    """
    members = [member for pair in PAIRS for member in pair.members]
    with KeyedLab(folder, members) as site:
        outside = _outside(site)
        for pair in PAIRS:
            for member, version in zip(pair.members, pair.outside, strict=True):
                address = outside[version] if version == 4 else f"[{outside[version]}]"
                site.write_client(member.identity, address=address, more=f"[tunnel_config]\nmtu = {pair.mtu}")
        site.start(*(member.identity for member in members))
        yield site


def _outside(site: KeyedLab) -> dict[int, str]:
    """Return the server's address of each version."""
    return dict(zip((4, 6), site.servers[SERVER], strict=True))
