"""The part `[lab]` of an inventory as frozen records. Nothing that is generated for real hosts depends on them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv6Address
from typing import Final, Literal

from netlab.links.impairment import PLAIN, PRESETS, Impairment, Link

NatKind = Literal["open", "moderate", "strict"]
Fields = tuple[tuple[str, object], ...]  # of an Impairment, and what they are

SERVER_NODE: Final = "server"  # how the laboratory calls the relay
KINDS: Final[tuple[NatKind, ...]] = ("open", "moderate", "strict")
NO_PRESET: Final = "lan"


@dataclass(frozen=True, slots=True)
class LabHost:
    """A host without rustun in the LAN behind a member."""

    name: str
    behind: str
    address: IPv4Address
    address6: IPv6Address | None = None


@dataclass(frozen=True, slots=True)
class LabNat:
    """A NAT router between the nodes that it stands `before`, members or other routers, and the outside.

    Attributes:
        kind: what it does to addresses and ports; see netlab/nat.py.
        udp_timeout_s: silence after which a UDP mapping is gone; 0: the kernel's own.
        tcp_timeout_s: the same of an established TCP connection.
    """

    name: str
    kind: NatKind
    before: tuple[str, ...]
    udp_timeout_s: int = 0
    tcp_timeout_s: int = 0


@dataclass(frozen=True, slots=True)
class LabLink:
    """What is written about one cable.

    Attributes:
        ends: the two nodes; `forth` is what holds from the first to the second, `back` the other way.
        preset: what it starts from; empty: what holds for a cable that is not written.
    """

    ends: tuple[str, str]
    preset: str = ""
    forth: Fields = ()
    back: Fields = ()


@dataclass(frozen=True, slots=True)
class Lab:
    """All of it.

    Attributes:
        preset: of the cables that end at the server.
        matrix: axes and the values that each is tried with.
    """

    preset: str = NO_PRESET
    hosts: tuple[LabHost, ...] = ()
    nats: tuple[LabNat, ...] = ()
    links: tuple[LabLink, ...] = ()
    matrix: tuple[tuple[str, tuple[object, ...]], ...] = ()

    def outer(self, node: str) -> str:
        """Return where the cable of a member or router leads to on its way outside: a router, or the server."""
        return next((nat.name for nat in self.nats if node in nat.before), SERVER_NODE)

    def cables(self, members: Iterable[str]) -> Iterator[tuple[str, str]]:
        """Yield the ends of every cable, the one nearer to the server first."""
        for name in (*members, *(nat.name for nat in self.nats)):
            yield self.outer(name), name
        for host in self.hosts:
            yield host.behind, host.name

    def impaired(self, members: Iterable[str]) -> Iterator[Link]:
        """Yield every cable that does anything to packets, with what it does each way."""
        written = {frozenset(link.ends): link for link in self.links}
        for ends in self.cables(members):
            preset = self.preset if SERVER_NODE in ends else NO_PRESET
            link = made(written.get(frozenset(ends), LabLink(ends)), preset)
            if (link.forth, link.back) != (PLAIN, PLAIN):
                yield link


def made(link: LabLink, preset: str = NO_PRESET) -> Link:
    """Return what a cable does each way; `preset` counts where the link has none."""
    base = PRESETS[link.preset or preset]
    return Link(link.ends, _changed(base, link.forth), _changed(base, link.back))


def _changed(base: Impairment, fields: Fields) -> Impairment:
    return replace(base, **dict(fields))  # type: ignore[arg-type]
