"""The way of a packet through the laboratory, as the taps that it passes one after the other.

    host:eth0  gateway:lan0p1  gateway:rustun0 | gateway:eth0  [router ...]  server:m1 |
                                               | server:m4  [router ...]  member:eth0 | member:rustun0  ...

Between the bars it is sealed: taps there cannot tell one packet from another, but a single packet by its size.
"""

from __future__ import annotations

from dataclasses import dataclass

from netlab.isolation.expectation import Site
from netlab.lab import TUN
from netlab.topology import OUTER_INTERFACE, SERVER, LabSpec, Topology


@dataclass(frozen=True, slots=True)
class Station:
    """A tap on the way, and in which direction the packet passes it, as its node sees it."""

    node: str
    interface: str
    goes_out: bool
    sealed: bool

    def __str__(self) -> str:
        return f"{self.node}:{self.interface}"


def stations(spec: LabSpec, topology: Topology, sender: Site, receiver: Site | None) -> tuple[Station, ...]:
    """Return the way from one machine to another in its order; only up to the server when nobody receives."""
    there = _up(spec, topology, sender)
    if receiver is None:
        return there
    back = [Station(one.node, one.interface, not one.goes_out, one.sealed) for one in _up(spec, topology, receiver)]
    return (*there, *reversed(back))


def _up(spec: LabSpec, topology: Topology, site: Site) -> tuple[Station, ...]:
    way = []
    if site.node != site.member:
        port = next(near for near, far in topology.cables if far.node == site.node)
        way += [Station(site.node, OUTER_INTERFACE, True, False), Station(site.member, port.name, False, False)]
    way.append(Station(site.member, TUN, True, False))
    node = site.member
    while node != SERVER:
        outer = spec.outer(node)
        near, far = _cable(topology, node, outer)
        way += [Station(node, near, True, True), Station(outer, far, False, True)]
        node = outer
    return tuple(way)


def _cable(topology: Topology, node: str, outer: str) -> tuple[str, str]:
    """Return the names of the interfaces at both ends of the cable between two nodes."""
    for one, other in topology.cables:
        if {one.node, other.node} == {node, outer}:
            return (one.name, other.name) if one.node == node else (other.name, one.name)
    raise LookupError(f"no cable between {node} and {outer}")
