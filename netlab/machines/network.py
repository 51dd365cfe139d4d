"""The cables of real machines, as frozen records: an outside for the tunnels, a control network for SSH.

         control 198.19.0.254 (the laboratory's own namespace: tests, ssh, ./invoke)
            | c1         | c2          | c3         eth1 of each machine, 198.19.0.0/24
          server       gateway        laptop
            | o1         | o2 | lan0   | o3         eth0 of each machine, 198.18.0.0/24 and 2001:2::/64
         outside 198.18.0.254 |                     forwards between machines, and leads nowhere else
                           printer                  hosts of a LAN behind a machine

Rules
  1. Both ranges are reserved for benchmarks (RFC 2544, RFC 5180): no inventory uses them by accident.
  2. Machines do not forward by themselves; their default route is the outside.
  3. There is no way out: the namespaces have no cable to the host's.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_interface, ip_network
from itertools import count
from typing import Final

from netlab.errors import BadInput
from netlab.topology import DEFAULTS, FIRST_INDEX, LAN_INDEX, Address, Interface, Node, Port, Route, Topology

CONTROL: Final = "control"
OUTSIDE: Final = "outside"
CONTROL4: Final = IPv4Network("198.19.0.0/24")
OUTSIDE4: Final = IPv4Network("198.18.0.0/24")
OUTSIDE6: Final = IPv6Network("2001:2::/64")
OUTSIDES: Final = (OUTSIDE4, OUTSIDE6)
ROUTER: Final = 254  # the last host of each network: the laboratory's own end
_HOST_NAME: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?")  # RFC 1123, section 2.1
MOST_MACHINES: Final = 100  # memory ends earlier


@dataclass(frozen=True, slots=True)
class LanHost:
    """A host on a machine's LAN: its name and its addresses, which have the LAN's lengths."""

    name: str
    addresses: tuple[Interface, ...]


@dataclass(frozen=True, slots=True)
class MachineSpec:
    """A machine to boot.

    Args:
        name: its host name: 1 to 63 letters, digits and dashes.
        names: what else it is known by; one that is an address is its own on the outside, unless its LAN has it.
        lan: its own addresses on the LAN behind it; none: no LAN.
        lan_hosts: the hosts on that LAN; their default route is the machine.
        disk_bytes: what may be written to its disk beyond what it starts with.
        small: folders that are little file systems of their own, empty at each start: path -> bytes.
    """

    name: str
    names: tuple[str, ...] = ()
    lan: tuple[Interface, ...] = ()
    lan_hosts: tuple[LanHost, ...] = ()
    disk_bytes: int = 1 << 30
    small: tuple[tuple[str, int], ...] = ()


def plan(specs: Sequence[MachineSpec]) -> Topology:
    """Lay out the cables; node names are those of machines and LAN hosts, `names` all words for an outside address.

    Raises:
        BadInput: a name or an address that two have, a bad host name, or too many machines.
    """
    _judge(specs)
    macs = (f"02:00:00:01:{n >> 8 & 255:02x}:{n & 255:02x}" for n in count(1))
    switches = {name: Port(name, "switch", LAN_INDEX, next(macs), _own(name, ROUTER)) for name in (CONTROL, OUTSIDE)}
    further = {spec.name: further_addresses(spec, position) for position, spec in enumerate(specs, start=1)}
    routes = tuple(Route(ip_network(one), LAN_INDEX) for addresses in further.values() for one in addresses)
    nodes = [
        Node(CONTROL, "host", bridges=(switches[CONTROL],)),
        Node(OUTSIDE, "host", forwards=True, bridges=(switches[OUTSIDE],), routes=routes),
    ]
    cables: list[tuple[Port, Port]] = []
    ways = _by_way_of(switches[OUTSIDE].addresses)
    for position, spec in enumerate(specs, start=1):
        for index, (network, prefix) in enumerate(((OUTSIDE, "o"), (CONTROL, "c"))):
            there = Port(network, f"{prefix}{position}", LAN_INDEX + position, next(macs), bridge=LAN_INDEX)
            more = tuple(ip_interface(one) for one in further[spec.name]) if network == OUTSIDE else ()
            here = Port(spec.name, f"eth{index}", FIRST_INDEX + index, next(macs), (*_own(network, position), *more))
            cables.append((there, here))
        bridges = (Port(spec.name, "lan0", LAN_INDEX, next(macs), spec.lan),) if spec.lan else ()
        nodes.append(Node(spec.name, "member", bridges=bridges, routes=ways))
        for place, host in enumerate(spec.lan_hosts, start=1):
            port = Port(spec.name, f"lan0p{place}", LAN_INDEX + place, next(macs), bridge=LAN_INDEX)
            cables.append((port, Port(host.name, "eth0", FIRST_INDEX, next(macs), host.addresses)))
            own = {address.version for address in host.addresses}
            nodes.append(Node(host.name, "host", routes=_by_way_of(a for a in spec.lan if a.version in own)))
    words = [(n, word) for n, spec in enumerate(specs, start=1) for word in (spec.name, *spec.names)]
    named = tuple((word, str(address(OUTSIDE, n))) for n, word in words if _numeric(word) is None)
    return Topology(tuple(nodes), tuple(cables), named)


def further_addresses(spec: MachineSpec, position: int) -> list[Address]:
    """Return the addresses among the names of the machine at `position` that are its own beside the laboratory's."""
    reached = [interface.network for interface in (*spec.lan, *_own(OUTSIDE, position))]
    found = [one for name in spec.names if (one := _numeric(name)) is not None]
    return [one for one in found if not any(one in network for network in reached)]


def address(network: str, position: int) -> Address:
    """Return the IPv4 address of the machine at `position` (from 1) in the control or the outside network."""
    return _own(network, position)[0].ip


def _own(network: str, position: int) -> tuple[Interface, ...]:
    if network == CONTROL:
        return (ip_interface(f"{CONTROL4[position]}/{CONTROL4.prefixlen}"),)
    return tuple(ip_interface(f"{outside[position]}/{outside.prefixlen}") for outside in OUTSIDES)


def _by_way_of(routers: Iterable[Interface]) -> tuple[Route, ...]:
    """Return default routes by way of the first router of each version."""
    first: dict[int, Address] = {}
    for router in routers:
        first.setdefault(router.version, router.ip)
    return tuple(
        Route(default, FIRST_INDEX, first[default.version]) for default in DEFAULTS if default.version in first
    )


def _numeric(name: str) -> Address | None:
    try:
        return ip_address(name)
    except ValueError:
        return None


def _judge(specs: Sequence[MachineSpec]) -> None:
    names = [CONTROL, OUTSIDE, *(word for spec in specs for word in {spec.name, *spec.names})]
    names += [host.name for spec in specs for host in spec.lan_hosts]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise BadInput(f"two machines or LAN hosts are called {', '.join(twice)}", "give each its own name")
    for position, spec in enumerate(specs, start=1):
        own = {interface.ip for interface in _own(OUTSIDE, position)}
        for name in spec.names:
            one = _numeric(name)
            if one is not None and one not in own and any(one in network for network in OUTSIDES):
                raise BadInput(f"{name} is another machine's", f"{spec.name} has {address(OUTSIDE, position)}")
        if not _HOST_NAME.fullmatch(spec.name):
            raise BadInput(f'"{spec.name}" is no host name', "1 to 63 letters, digits and dashes, no dash at the ends")
    if not 0 < len(specs) <= MOST_MACHINES:
        raise BadInput(f"{len(specs)} machines", f"1 to {MOST_MACHINES} can be booted at once")
