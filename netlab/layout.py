"""What to build, as records of topology.py: from the members alone, so the same input gives the same laboratory.

                             server 198.18.0.1
                     m0 |        m1 |          m2 |          the outside: one cable to each member,
                        |           |             |          no addresses but 198.18.0.0/15 and 2001:2::/48
            bj-office-gw .2    bj-dev .3    sh-office-gw .4  members behind a NAT router have their cable to that
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
  5. A NAT router stands between its members (or other routers) and the outside. Who is behind one has an IPv4 address
     of 198.19.0.0/16, to which no route leads from the outside: nat.py translates. IPv6 is routed, not translated.
  6. A laboratory that is changed while it is up keeps what it has: nodes that stay have the place they had, and with it
     their addresses, indexes and MAC addresses, wherever in the inventory the others come and go.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from ipaddress import ip_address, ip_interface, ip_network
from itertools import count

from netlab.errors import BadInput
from netlab.links.impairment import Link
from netlab.topology import (
    DEFAULTS,
    FIRST_INDEX,
    LAN_INDEX,
    LAN_INDEX_STEP,
    OUTER_INTERFACE,
    OUTSIDE4,
    SERVER,
    Address,
    Cable,
    HostSpec,
    LabSpec,
    MemberSpec,
    Node,
    Port,
    Prefix,
    Route,
    Topology,
    alone,
    lan_of,
    lowest_free,
    outside_addresses,
)

_Lan = tuple[tuple[Prefix, ...], list[HostSpec]]  # its networks, the hosts in it
_INNER, _OUTER, _BRIDGE, _PLUG, _HOST = range(5)  # what an interface is, second byte of its MAC address


def plan(spec: LabSpec, *, plain: bool = False, kept: Topology | None = None) -> Topology:
    """Lay out the laboratory for `spec`; with `plain`, kernels route in place of rustun and NAT.

    Args:
        kept: what there is already, which stays where it is as far as it is still wanted.

    Raises:
        BadInput: names that clash, hosts or routers without a member, LANs too small for a gateway; all in one message.
    """
    _judge(spec)
    places = _places(kept)
    outside = _Outside(spec, places)
    nodes: list[Node] = []
    cables: list[Cable] = []
    routes: dict[str, list[Route]] = {SERVER: []}
    routes |= {router.name: list(outside.routes_out(router.name)) for router in spec.routers}
    for name in (*(member.identity for member in spec.members), *routes):
        for at, route in outside.routes_to(name, plain=plain):
            routes[at].append(route)
    for known in routes.values():
        known.sort(key=lambda route: route.via is not None)  # a kernel takes a router only once it knows the way to it
    for member in spec.members:
        cables.append(outside.cable(member.identity))
        bridges, lan_nodes, lan_cables = _site(spec, member, outside.position(member.identity), places)
        node = Node(member.identity, "member", bridges=bridges, routes=tuple(outside.routes_out(member.identity)))
        bare = replace(node, loopback=alone(member.addresses), forwards=bool(bridges)) if plain else node
        nodes += [bare, *lan_nodes]
        cables += lan_cables
    for router in spec.routers:
        cables.append(outside.cable(router.name))
        own = tuple(routes[router.name])
        nodes.append(Node(router.name, "nat", forwards=True, routes=own, nat=None if plain else router))
    server = Node(SERVER, "server", forwards=plain, routes=tuple(routes[SERVER]))
    links = {f"{near.node}-{far.node}": _link(spec, near.node, far.node) for near, far in cables}
    return Topology((server, *nodes), tuple(cables), outside.names, links)


def _numeric(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _link(spec: LabSpec, near: str, far: str) -> Link:
    """Return what the cable between two nodes does; `forth` is what comes from the near one."""
    for link in spec.links:
        if link.ends == (near, far):
            return link
        if link.ends == (far, near):
            return Link((near, far), link.back, link.forth)
    return Link((near, far))


class _Outside:
    """The cables and routes between the server and everybody's outside addresses, through routers."""

    def __init__(self, spec: LabSpec, places: Mapping[str, int]) -> None:
        self._spec = spec
        numeric = (ip_interface(server) for server in spec.servers if _numeric(server))
        names = (*(member.identity for member in spec.members), *(router.name for router in spec.routers))
        self._positions = _numbered(names, {name: at - FIRST_INDEX for name, at in places.items() if at < LAN_INDEX})
        self._addresses = {
            SERVER: tuple(dict.fromkeys((*outside_addresses(0), *numeric))),
            **{
                name: outside_addresses(position, behind=spec.outer(name) != SERVER)
                for name, position in self._positions.items()
            },
        }
        own = str(self._addresses[SERVER][0].ip)
        self.names = tuple((server, own) for server in spec.servers if not _numeric(server))

    def position(self, name: str) -> int:
        """Return the number of a member or router, from 1."""
        return self._positions[name]

    def cable(self, name: str) -> Cable:
        """Return the cable of a member or router to the outside, the outer end first."""
        outer, position = self._spec.outer(name), self._positions[name]
        letter = "r" if any(router.name == name for router in self._spec.routers) else "m"
        addresses, index = self._addresses[outer], FIRST_INDEX + position
        inner = Port(outer, f"{letter}{position}", index, _mac(_INNER, position, index), addresses)
        outer_mac = _mac(_OUTER, position, FIRST_INDEX)
        return inner, Port(name, OUTER_INTERFACE, FIRST_INDEX, outer_mac, self._addresses[name])

    def _ways(self, node: str) -> dict[int, Address]:
        return {address.version: address.ip for address in self._addresses[node][:2]}

    def routes_out(self, name: str) -> Iterator[Route]:
        """Yield the routes of a member or router to where its cable ends, and by that to everywhere."""
        ways = self._ways(self._spec.outer(name))
        yield from (Route(ip_network(address), FIRST_INDEX) for address in ways.values())
        yield from (Route(default, FIRST_INDEX, ways[default.version]) for default in DEFAULTS)

    def routes_to(self, name: str, *, plain: bool) -> Iterator[tuple[str, Route]]:
        """Yield each node on the way from the server to a member or router, and its routes to that.

        Who is behind a NAT router has no IPv4 route beyond that. In a plain topology there is no NAT, and the way to a
        member leads to its inside addresses and LANs as well.
        """
        member = next((member for member in self._spec.members if member.identity == name), None)
        inside = [*alone(member.addresses), *member.ciders] if member and plain else []
        hop = name
        while hop != SERVER:
            outer, index, ways = self._spec.outer(hop), FIRST_INDEX + self._positions[hop], self._ways(hop)
            for own in map(ip_network, self._ways(name).values()):
                if hop == name:
                    yield outer, Route(own, index)
                elif plain or own.version == 6:
                    yield outer, Route(own, index, ways[own.version])
            for prefix in map(ip_network, inside):
                yield outer, Route(prefix, index, ways[prefix.version])
            hop = outer


def _site(
    spec: LabSpec, member: MemberSpec, position: int, places: Mapping[str, int]
) -> tuple[tuple[Port, ...], list[Node], list[Cable]]:
    """Lay out what is behind a member: one bridge for each LAN that has hosts, the hosts, and their cables."""
    bridges: list[Port] = []
    nodes: list[Node] = []
    cables: list[Cable] = []
    for number, (networks, hosts) in _numbered_lans(_lans(spec, member), places):
        index = LAN_INDEX + number * LAN_INDEX_STEP
        kept = {name: at - index for name, at in places.items() if index < at < index + LAN_INDEX_STEP}
        taken = {address for host in hosts for address in host.addresses}
        gateway = tuple(lowest_free(network, taken) for network in networks)
        bridges.append(Port(member.identity, f"lan{number}", index, _mac(_BRIDGE, position, index), gateway))
        numbers = _numbered([host.name for host in hosts], kept)
        for host in hosts:
            place = numbers[host.name]
            macs = [_mac(kind, position, index + place) for kind in (_PLUG, _HOST)]
            port = Port(member.identity, f"lan{number}p{place}", index + place, macs[0], bridge=index)
            own = tuple(ip_interface(f"{a}/{n.prefixlen}") for a in host.addresses for n in networks if a in n)
            cables.append((port, Port(host.name, OUTER_INTERFACE, FIRST_INDEX, macs[1], own)))
            ways = {address.version: address.ip for address in gateway}
            defaults = tuple(Route(d, FIRST_INDEX, ways[d.version]) for d in DEFAULTS if d.version in ways)
            nodes.append(Node(host.name, "host", routes=defaults))
    return tuple(bridges), nodes, cables


def _lans(spec: LabSpec, member: MemberSpec) -> list[_Lan]:
    """Group the hosts behind a member by the networks that their addresses lie in, in the inventory's order."""
    lans: dict[tuple[Prefix, ...], list[HostSpec]] = {}
    for host in spec.hosts:
        if host.behind == member.identity:
            networks = tuple(lan_of(member, address) for address in host.addresses)
            lans.setdefault(networks, []).append(host)
    return list(lans.items())


def _places(kept: Topology | None) -> dict[str, int]:
    """Return the index of the interface that each node's cable is plugged into, nearer to the server."""
    return {far.node: near.index for near, far in kept.cables} if kept is not None else {}


def _numbered(names: Iterable[str], kept: Mapping[str, int]) -> dict[str, int]:
    """Number names from 1: those that have a number keep it, the others get the lowest that are free."""
    wanted = list(names)
    numbers = {name: kept[name] for name in wanted if name in kept}
    taken = frozenset(numbers.values())
    free = (number for number in count(1) if number not in taken)
    return {name: numbers[name] if name in numbers else next(free) for name in wanted}


def _numbered_lans(lans: Iterable[_Lan], places: Mapping[str, int]) -> list[tuple[int, _Lan]]:
    """Number LANs from 0: one that has a host which is plugged in already keeps its number."""
    found: dict[int, _Lan] = {}
    new: list[_Lan] = []
    for lan in lans:
        plugged = (places[host.name] // LAN_INDEX_STEP - 1 for host in lan[1] if host.name in places)
        number = next((number for number in plugged if number not in found), None)
        if number is None:
            new.append(lan)
        else:
            found[number] = lan
    free = (number for number in count() if number not in found)
    return sorted([*found.items(), *((next(free), lan) for lan in new)], key=lambda one: one[0])


def _mac(kind: int, position: int, index: int) -> str:
    """Return the address of an interface: of the node at a position of the outside, or in a LAN behind it."""
    low = index & 0xFFFF
    return f"02:{kind:02x}:{position >> 8:02x}:{position & 255:02x}:{low >> 8:02x}:{low & 255:02x}"


def _judge(spec: LabSpec) -> None:
    problems = []
    members, routers = [member.identity for member in spec.members], [router.name for router in spec.routers]
    names = [SERVER, *members, *routers, *(host.name for host in spec.hosts)]
    problems += [f'two nodes are called "{name}"' for name in sorted(set(names)) if names.count(name) > 1]
    problems += [
        f'host "{host.name}" is behind "{host.behind}", which is no member'
        for host in spec.hosts
        if host.behind not in members
    ]
    problems += list(_nat_problems(spec))
    if not spec.members:
        problems.append("there are no members")
    if len(members) + len(routers) > OUTSIDE4.num_addresses - 3:
        problems.append(f"{len(members)} members do not fit into {OUTSIDE4}")
    if problems:
        raise BadInput(f"{spec.name}: " + "; ".join(problems), "mend the inventory, then try again")


def _nat_problems(spec: LabSpec) -> Iterator[str]:
    """Yield what is wrong with the routers: each leads to somebody, nobody is behind two, none is behind itself."""
    behind = [name for router in spec.routers for name in router.before]
    known = {*(member.identity for member in spec.members), *(router.name for router in spec.routers)}
    yield from (f'"{name}" is behind two NAT routers' for name in sorted(set(behind)) if behind.count(name) > 1)
    for router in spec.routers:
        if not router.before:
            yield f'NAT router "{router.name}" is before nobody'
        for name in router.before:
            if name not in known:
                yield f'NAT router "{router.name}" is before "{name}", which is neither member nor router'
        way = [router.name]
        while way[-1] != SERVER and len(way) <= len(spec.routers):
            way.append(spec.outer(way[-1]))
        if way[-1] != SERVER:
            yield f'NAT router "{router.name}" is behind itself'
