"""What to build, as frozen records: computed from the members alone, so the same input gives the same laboratory.

                             server 198.18.0.1
                     m0 |        m1 |          m2 |          the outside: one cable to each member,
                        |           |             |          no addresses but 198.18.0.0/15 and 2001:2::/48
            bj-office-gw .2    bj-dev .3    sh-office-gw .4
                                              lan0 |         a bridge for each LAN that has hosts
                                           sh-printer

Rules
  1. Outside addresses stand alone (/32, /128): the cable's far end is reached by a route, so any number of members
     fits. The ranges are those reserved for benchmarks (RFC 2544, RFC 5180): no inventory uses them by accident.
  2. Interface indexes and MAC addresses are chosen here, so everything can be wired in one batch without asking back.
  3. The server is the router of the outside as well: members have a default route by way of it, and its other addresses
     (those that the inventory gives it) are reached by that route alone, as on the internet.
  4. Nobody forwards by itself: what passes between members passed through rustun, and what reaches a LAN goes by a
     gateway that rustun made one. In a *plain* topology there is no rustun: the kernels of the server and of the
     gateways route between the same addresses, and that is the measure for speed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
    ip_address,
    ip_interface,
    ip_network,
)
from itertools import count, islice
from typing import Final, Literal

from netlab.errors import BadInput

Address = IPv4Address | IPv6Address
Interface = IPv4Interface | IPv6Interface
Prefix = IPv4Network | IPv6Network
Role = Literal["server", "member", "host"]

SERVER: Final = "server"
OUTSIDE4: Final = IPv4Network("198.18.0.0/15")
OUTSIDE6: Final = IPv6Network("2001:2::/48")
DEFAULTS: Final = (ip_network("0.0.0.0/0"), ip_network("::/0"))
LOOPBACK_INDEX: Final = 1
FIRST_INDEX: Final = 10  # of interfaces made here; low numbers are left to the kernel and to TUN devices
LAN_INDEX: Final = 1000  # of bridges; a bridge's ports follow it
LAN_INDEX_STEP: Final = 1000


@dataclass(frozen=True, slots=True)
class MemberSpec:
    """A member as the inventory has it: tunnel addresses with their network's length, and the LANs behind it.

    `stem` begins the names of its files: configuration, log, control socket.
    """

    identity: str
    cluster: str
    addresses: tuple[Interface, ...]
    ciders: tuple[Prefix, ...] = ()
    stem: str = ""


@dataclass(frozen=True, slots=True)
class HostSpec:
    """A machine on the LAN behind a member; only the laboratory knows it."""

    name: str
    behind: str
    addresses: tuple[Address, ...]


@dataclass(frozen=True, slots=True)
class LabSpec:
    """All that a laboratory is made from; `servers` are the names or numeric addresses that clients connect to."""

    name: str
    servers: tuple[str, ...]
    members: tuple[MemberSpec, ...]
    hosts: tuple[HostSpec, ...] = ()

    def member(self, identity: str) -> MemberSpec:
        """Return the member of that identity. Raises BadInput when there is none."""
        for member in self.members:
            if member.identity == identity:
                return member
        known = ", ".join(member.identity for member in self.members)
        raise BadInput(f'no member "{identity}" in {self.name}', f"members: {known}")


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


@dataclass(frozen=True, slots=True)
class Topology:
    """Nodes and cables; `names` lets the servers' names resolve, `hosts` are (node, its inside addresses)."""

    nodes: tuple[Node, ...]
    cables: tuple[tuple[Port, Port], ...]
    names: tuple[tuple[str, str], ...]

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


def plan(spec: LabSpec, *, plain: bool = False) -> Topology:
    """Lay out the laboratory for `spec`; with `plain`, the server's kernel routes in place of rustun.

    Raises:
        BadInput: names that clash, hosts behind nobody, LANs too small for a gateway; all in one message.
    """
    _judge(spec)
    macs = (f"02:00:00:{n >> 16 & 255:02x}:{n >> 8 & 255:02x}:{n & 255:02x}" for n in count(1))
    nodes: list[Node] = []
    cables: list[tuple[Port, Port]] = []
    named = tuple((server, str(outside_addresses(0)[0].ip)) for server in spec.servers if not _numeric(server))
    numeric = tuple(ip_interface(server) for server in spec.servers if _numeric(server))
    server_addresses = tuple(dict.fromkeys(outside_addresses(0) + numeric))
    server_routes: list[Route] = []
    for position, member in enumerate(spec.members, start=1):
        outside = outside_addresses(position)
        inner = Port(SERVER, f"m{position}", FIRST_INDEX + position, next(macs), server_addresses)
        outer = Port(member.identity, "eth0", FIRST_INDEX, next(macs), outside)
        cables.append((inner, outer))
        server_routes += [Route(ip_network(address.ip), inner.index) for address in outside]
        if plain:
            server_routes += _plain_routes(member, inner.index, outside)
        node, lan_nodes, lan_cables = _site(spec, member, outside_addresses(0), macs)
        bare = replace(node, loopback=_alone(member.addresses), forwards=bool(node.bridges)) if plain else node
        nodes += [bare, *lan_nodes]
        cables += lan_cables
    server = Node(SERVER, "server", forwards=plain, routes=tuple(server_routes))
    return Topology((server, *nodes), tuple(cables), named)


def outside_addresses(position: int) -> tuple[Interface, ...]:
    """Return the outside addresses of the server (position 0) or of a member (from 1)."""
    return _alone((ip_interface(OUTSIDE4[position + 1]), ip_interface(OUTSIDE6[position + 1])))


def _alone(addresses: Iterable[Interface]) -> tuple[Interface, ...]:
    return tuple(ip_interface(address.ip) for address in addresses)


def _numeric(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _plain_routes(member: MemberSpec, index: int, outside: Sequence[Interface]) -> list[Route]:
    inside = [*(ip_network(address.ip) for address in member.addresses), *member.ciders]
    via = {address.version: address.ip for address in outside}
    return [Route(prefix, index, via[prefix.version]) for prefix in inside]


def _site(
    spec: LabSpec, member: MemberSpec, router: Sequence[Interface], macs: Iterable[str]
) -> tuple[Node, list[Node], list[tuple[Port, Port]]]:
    """Lay out a member's namespace and, behind it, one bridge for each LAN that has hosts."""
    via = {address.version: address.ip for address in router}
    routes = [Route(ip_network(address.ip), FIRST_INDEX) for address in router]
    routes += [Route(default, FIRST_INDEX, via[default.version]) for default in DEFAULTS]
    bridges: list[Port] = []
    nodes: list[Node] = []
    cables: list[tuple[Port, Port]] = []
    for number, (networks, hosts) in enumerate(_lans(spec, member)):
        index = LAN_INDEX + number * LAN_INDEX_STEP
        taken = {address for host in hosts for address in host.addresses}
        gateway = tuple(lowest_free(network, taken) for network in networks)
        bridges.append(Port(member.identity, f"lan{number}", index, next(iter(macs)), gateway))
        for place, host in enumerate(hosts, start=1):
            port = Port(member.identity, f"lan{number}p{place}", index + place, next(iter(macs)), bridge=index)
            own = tuple(ip_interface(f"{a}/{n.prefixlen}") for a in host.addresses for n in networks if a in n)
            cables.append((port, Port(host.name, "eth0", FIRST_INDEX, next(iter(macs)), own)))
            ways = {address.version: address.ip for address in gateway}
            defaults = tuple(Route(d, FIRST_INDEX, ways[d.version]) for d in DEFAULTS if d.version in ways)
            nodes.append(Node(host.name, "host", routes=defaults))
    node = Node(member.identity, "member", bridges=tuple(bridges), routes=tuple(routes))
    return node, nodes, cables


def _lans(spec: LabSpec, member: MemberSpec) -> list[tuple[tuple[Prefix, ...], list[HostSpec]]]:
    """Group the hosts behind a member by the networks that their addresses lie in, in the inventory's order."""
    lans: dict[tuple[Prefix, ...], list[HostSpec]] = {}
    for host in spec.hosts:
        if host.behind == member.identity:
            networks = tuple(lan_of(member, address) for address in host.addresses)
            lans.setdefault(networks, []).append(host)
    return list(lans.items())


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


def _judge(spec: LabSpec) -> None:
    problems = []
    names = [SERVER, *(member.identity for member in spec.members), *(host.name for host in spec.hosts)]
    problems += [f'two nodes are called "{name}"' for name in sorted(set(names)) if names.count(name) > 1]
    identities = {member.identity for member in spec.members}
    problems += [
        f'host "{host.name}" is behind "{host.behind}", which is no member'
        for host in spec.hosts
        if host.behind not in identities
    ]
    if not spec.members:
        problems.append("there are no members")
    if len(spec.members) > OUTSIDE4.num_addresses - 3:
        problems.append(f"{len(spec.members)} members do not fit into {OUTSIDE4}")
    if problems:
        raise BadInput(f"{spec.name}: " + "; ".join(problems), "mend the inventory, then try again")
