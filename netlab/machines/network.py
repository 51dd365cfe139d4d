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

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_interface
from itertools import count
from typing import Final

from netlab.errors import BadInput
from netlab.topology import DEFAULTS, FIRST_INDEX, LAN_INDEX, Address, Interface, Node, Port, Route, Topology

CONTROL: Final = "control"
OUTSIDE: Final = "outside"
CONTROL4: Final = IPv4Network("198.19.0.0/24")
OUTSIDE4: Final = IPv4Network("198.18.0.0/24")
OUTSIDE6: Final = IPv6Network("2001:2::/64")
ROUTER: Final = 254  # the last host of each network: the laboratory's own end
MOST_MACHINES: Final = 100  # memory ends earlier


@dataclass(frozen=True, slots=True)
class LanHost:
    """A host on a machine's LAN: its name and its address, which has the LAN's length."""

    name: str
    address: Interface


@dataclass(frozen=True, slots=True)
class MachineSpec:
    """A machine to boot.

    Args:
        name: its host name: letters, digits and dashes.
        lan: its own addresses on the LAN behind it; none: no LAN.
        lan_hosts: the hosts on that LAN; their default route is the machine.
        disk_bytes: what may be written to its disk beyond what it starts with.
        small: folders that are little file systems of their own, empty at each start: path -> bytes.
    """

    name: str
    lan: tuple[Interface, ...] = ()
    lan_hosts: tuple[LanHost, ...] = ()
    disk_bytes: int = 1 << 30
    small: tuple[tuple[str, int], ...] = ()


def plan(specs: Sequence[MachineSpec]) -> Topology:
    """Lay out the cables; node names are those of machines and LAN hosts, `names` their outside addresses.

    Raises:
        BadInput: two nodes of one name, or too many machines.
    """
    _judge(specs)
    macs = (f"02:00:00:01:{n >> 8 & 255:02x}:{n & 255:02x}" for n in count(1))
    switches = {name: Port(name, "switch", LAN_INDEX, next(macs), _own(name, ROUTER)) for name in (CONTROL, OUTSIDE)}
    nodes = [
        Node(CONTROL, "host", bridges=(switches[CONTROL],)),
        Node(OUTSIDE, "host", forwards=True, bridges=(switches[OUTSIDE],)),
    ]
    cables: list[tuple[Port, Port]] = []
    for position, spec in enumerate(specs, start=1):
        for index, (name, prefix) in enumerate(((OUTSIDE, "o"), (CONTROL, "c"))):
            there = Port(name, f"{prefix}{position}", LAN_INDEX + position, next(macs), bridge=LAN_INDEX)
            here = Port(spec.name, f"eth{index}", FIRST_INDEX + index, next(macs), _own(name, position))
            cables.append((there, here))
        routers = {a.version: a.ip for a in switches[OUTSIDE].addresses}
        routes = tuple(Route(default, FIRST_INDEX, routers[default.version]) for default in DEFAULTS)
        bridges = (Port(spec.name, "lan0", LAN_INDEX, next(macs), spec.lan),) if spec.lan else ()
        nodes.append(Node(spec.name, "member", bridges=bridges, routes=routes))
        for place, host in enumerate(spec.lan_hosts, start=1):
            port = Port(spec.name, f"lan0p{place}", LAN_INDEX + place, next(macs), bridge=LAN_INDEX)
            cables.append((port, Port(host.name, "eth0", FIRST_INDEX, next(macs), (host.address,))))
            nodes.append(Node(host.name, "host", routes=_by_way_of(spec.lan, host)))
    named = tuple((spec.name, str(address(OUTSIDE, n))) for n, spec in enumerate(specs, start=1))
    return Topology(tuple(nodes), tuple(cables), named)


def address(network: str, position: int) -> Address:
    """Return the IPv4 address of the machine at `position` (from 1) in the control or the outside network."""
    return _own(network, position)[0].ip


def _own(network: str, position: int) -> tuple[Interface, ...]:
    if network == CONTROL:
        return (ip_interface(f"{CONTROL4[position]}/{CONTROL4.prefixlen}"),)
    return tuple(ip_interface(f"{outside[position]}/{outside.prefixlen}") for outside in (OUTSIDE4, OUTSIDE6))


def _by_way_of(lan: Sequence[Interface], host: LanHost) -> tuple[Route, ...]:
    gateways = (a.ip for a in lan if a.version == host.address.version)
    return tuple(
        Route(default, FIRST_INDEX, via) for via in gateways for default in DEFAULTS if default.version == via.version
    )


def _judge(specs: Sequence[MachineSpec]) -> None:
    names = [CONTROL, OUTSIDE, *(s.name for s in specs), *(host.name for s in specs for host in s.lan_hosts)]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise BadInput(f"two nodes are called {', '.join(twice)}", "give each machine and each LAN host its own name")
    if not 0 < len(specs) <= MOST_MACHINES:
        raise BadInput(f"{len(specs)} machines", f"1 to {MOST_MACHINES} can be booted at once")
