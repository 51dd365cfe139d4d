"""What a laboratory is made of, as frozen records: what is asked for (`LabSpec`), and what to build (`Topology`).

layout.py makes the one from the other, wiring.py builds it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
    ip_interface,
    ip_network,
)
from itertools import islice
from typing import Final, Literal

from netlab.errors import BadInput
from netlab.links.impairment import Link
from rustun.ops.lab.records import LabNat

Address = IPv4Address | IPv6Address
Interface = IPv4Interface | IPv6Interface
Prefix = IPv4Network | IPv6Network
Cable = tuple["Port", "Port"]
Role = Literal["server", "member", "host", "nat"]

SERVER: Final = "server"
OUTSIDE4: Final = IPv4Network("198.18.0.0/16")
BEHIND4: Final = IPv4Network("198.19.0.0/16")  # of who is behind a NAT router
OUTSIDE6: Final = IPv6Network("2001:2::/48")
DEFAULTS: Final = (ip_network("0.0.0.0/0"), ip_network("::/0"))
OUTER_INTERFACE: Final = "eth0"  # towards the outside, in every node but the server
LOOPBACK_INDEX: Final = 1
FIRST_INDEX: Final = 10  # of interfaces made here; low numbers are left to the kernel and to TUN devices
LAN_INDEX: Final = 1000  # of bridges; a bridge's ports follow it
LAN_INDEX_STEP: Final = 1000


@dataclass(frozen=True, slots=True)
class MemberSpec:
    """A member as the inventory has it: tunnel addresses with their network's length, and the LANs behind it.

    Attributes:
        stem: begins the names of its files: configuration, log, control socket.
        masquerade: its LANs see members behind its own address.
        mapping: prefixes as the cluster sees them, and the real ones.
    """

    identity: str
    cluster: str
    addresses: tuple[Interface, ...]
    ciders: tuple[Prefix, ...] = ()
    stem: str = ""
    masquerade: bool = False
    mapping: tuple[tuple[Prefix, Prefix], ...] = ()


@dataclass(frozen=True, slots=True)
class HostSpec:
    """A machine on the LAN behind a member; only the laboratory knows it."""

    name: str
    behind: str
    addresses: tuple[Address, ...]


@dataclass(frozen=True, slots=True)
class LabSpec:
    """All that a laboratory is made from.

    Attributes:
        servers: the names or numeric addresses that clients connect to.
        links: what cables do to packets; those that are not named are plain.
    """

    name: str
    servers: tuple[str, ...]
    members: tuple[MemberSpec, ...]
    hosts: tuple[HostSpec, ...] = ()
    routers: tuple[LabNat, ...] = ()
    links: tuple[Link, ...] = ()

    def member(self, identity: str) -> MemberSpec:
        """Return the member of that identity. Raises BadInput when there is none."""
        for member in self.members:
            if member.identity == identity:
                return member
        known = ", ".join(member.identity for member in self.members)
        raise BadInput(f'no member "{identity}" in {self.name}', f"members: {known}")

    def outer(self, node: str) -> str:
        """Return where the cable of a member or router leads to on its way outside: a router, or the server."""
        return next((router.name for router in self.routers if node in router.before), SERVER)

    def part(self, identities: Iterable[str]) -> LabSpec:
        """Return what is left with these members alone: their hosts, routers that lead to them, links between those."""
        present = set(identities)
        members = tuple(member for member in self.members if member.identity in present)
        hosts = tuple(host for host in self.hosts if host.behind in present)
        present.update((SERVER, *(host.name for host in hosts)))
        for _ in self.routers:  # one behind another: each round finds those that lead to who was found so far
            present.update(router.name for router in self.routers if present.intersection(router.before))
        kept = (router for router in self.routers if router.name in present)
        routers = tuple(replace(one, before=tuple(name for name in one.before if name in present)) for one in kept)
        links = tuple(link for link in self.links if present.issuperset(link.ends))
        return replace(self, members=members, hosts=hosts, routers=routers, links=links)


@dataclass(frozen=True, slots=True)
class Route:
    """A prefix that leaves by the interface `index`, by way of `via` where that is a router."""

    prefix: Prefix
    index: int
    via: Address | None = None


@dataclass(frozen=True, slots=True)
class Port:
    """One end of a cable, or a bridge (which has no cable)."""

    node: str
    name: str
    index: int
    mac: str
    addresses: tuple[Interface, ...] = ()
    bridge: int = 0  # index of the bridge that this end is plugged into, 0 for none


@dataclass(frozen=True, slots=True)
class Node:
    """One network namespace: a machine of the laboratory."""

    name: str
    role: Role
    forwards: bool = False
    loopback: tuple[Interface, ...] = ()
    bridges: tuple[Port, ...] = ()
    routes: tuple[Route, ...] = ()
    nat: LabNat | None = None


@dataclass(frozen=True, slots=True)
class Topology:
    """Nodes and cables.

    Attributes:
        cables: the end that is nearer to the server first.
        names: let the servers' names resolve.
        links: by name "A-B" what each cable does to packets; A is the node of the cable's first end.
    """

    nodes: tuple[Node, ...]
    cables: tuple[Cable, ...]
    names: tuple[tuple[str, str], ...]
    links: Mapping[str, Link] = field(default_factory=dict)

    def node(self, name: str) -> Node:
        """Return the node of that name. Raises BadInput when there is none."""
        for node in self.nodes:
            if node.name == name:
                return node
        raise BadInput(f'no node "{name}"', "nodes: " + ", ".join(node.name for node in self.nodes))

    def ports(self, node: str) -> tuple[Port, ...]:
        """Return all cable ends at a node, in the order of their indexes."""
        ends = (end for cable in self.cables for end in cable)
        return tuple(sorted((end for end in ends if end.node == node), key=lambda end: end.index))


def outside_addresses(position: int, *, behind: bool = False) -> tuple[Interface, ...]:
    """Return the outside addresses of the server (position 0), or of a member or router (from 1).

    Args:
        behind: it is behind a NAT router.
    """
    network = BEHIND4 if behind else OUTSIDE4
    return alone((ip_interface(network[position + 1]), ip_interface(OUTSIDE6[position + 1])))


def alone(addresses: Iterable[Interface]) -> tuple[Interface, ...]:
    """Return addresses as their owner has them outside: without a network around them."""
    return tuple(ip_interface(address.ip) for address in addresses)


def lan_of(member: MemberSpec, address: Address) -> Prefix:
    """Return the longest of the member's ciders that holds `address`, else a usual LAN around it (/24, /64)."""
    holding = [cider for cider in member.ciders if cider.prefixlen and address in cider]  # an exit's is no LAN
    if holding:
        return max(holding, key=lambda cider: cider.prefixlen)
    return ip_network(f"{address}/{24 if address.version == 4 else 64}", strict=False)


def lowest_free(network: Prefix, taken: set[Address]) -> Interface:
    """Return the lowest host address of a network that is not taken, with its length. Raises BadInput when none is."""
    for address in islice(network.hosts(), len(taken) + 1):
        if address not in taken:
            return ip_interface(f"{address}/{network.prefixlen}")
    raise BadInput(f"the LAN {network} has no room for a gateway and its hosts", "give it a shorter prefix")
