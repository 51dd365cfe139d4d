"""Change the wiring of a laboratory that is up into that of another plan; what both have is not touched.

Rules of this module
  1. What goes, goes first: an interface of the new plan may have the name and the index of one that went.
  2. Routes by an interface that went are gone with it. A route by one that stays is taken away and made again only
     where the plans differ in it.
  3. What is plugged into a bridge that is made anew is plugged in again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial

from netlab import rtnetlink, wiring
from netlab.namespaces import NetworkNamespace, visit
from netlab.topology import Node, Port, Topology


def rewire(before: Topology, after: Topology, namespaces: Mapping[str, NetworkNamespace]) -> None:
    """Make what is wired as `before` into `after`.

    Args:
        namespaces: of the nodes of both plans; those of new nodes are empty. Those of nodes that go lose their cables.

    Raises:
        LabError: the kernel refused a step; the laboratory is then neither the one nor the other.
    """
    old, new = _by_name(before), _by_name(after)
    gone = {name: list(_undone(before, after, name)) for name in old}
    visit((namespaces[name], partial(rtnetlink.send, steps, name)) for name, steps in gone.items() if steps)
    present = set(before.cables)
    wiring.lay([cable for cable in after.cables if cable not in present], namespaces)
    fresh = [(namespaces[name], partial(wiring.furnish, node, after.ports(name))) for name, node in new.items()]
    visit(work for work, name in zip(fresh, new, strict=True) if name not in old)
    steps = {name: list(_done(before, after, name)) for name in new.keys() & old.keys()}
    visit((namespaces[name], partial(rtnetlink.send, steps[name], name)) for name in new if steps.get(name))


def _by_name(topology: Topology) -> dict[str, Node]:
    return {node.name: node for node in topology.nodes}


def _interfaces(topology: Topology, name: str) -> tuple[Port, ...]:
    node = next((node for node in topology.nodes if node.name == name), None)
    return (*node.bridges, *topology.ports(name)) if node is not None else ()


def _laid_anew(before: Topology, after: Topology, name: str) -> set[Port]:
    """Return a node's interfaces that one plan has and the other has not, or at the end of another cable."""
    cables = set(before.cables) ^ set(after.cables)
    ends = {end for cable in cables for end in cable if end.node == name}
    return ends | (set(_interfaces(before, name)) ^ set(_interfaces(after, name)))


def _undone(before: Topology, after: Topology, name: str) -> Iterator[bytes]:
    """Yield what takes away from a node that was there: routes, bridges, and the cables whose near end it has."""
    anew = _laid_anew(before, after, name)
    going = {port.index for port in _interfaces(before, name) if port in anew}
    staying = [node for node in after.nodes if node.name == name]
    for route in reversed(before.node(name).routes):
        if route.index not in going and any(route not in node.routes for node in staying):
            yield rtnetlink.unroute(route.prefix, route.index, route.via)
    nearer = {near for near, _ in before.cables}
    for port in _interfaces(before, name):
        if port in anew and (port in nearer or port in before.node(name).bridges):
            yield rtnetlink.delete(port.index)


def _done(before: Topology, after: Topology, name: str) -> Iterator[bytes]:
    """Yield what a node that stays gets: bridges, cables, addresses, routes."""
    node, anew = after.node(name), _laid_anew(before, after, name)
    new_bridges = [bridge for bridge in node.bridges if bridge in anew]
    for bridge in new_bridges:
        yield rtnetlink.bridge(bridge.index, bridge.name, bridge.mac)
    ports = after.ports(name)
    masters = {bridge.index for bridge in new_bridges}
    for port in ports:
        if port.bridge and (port in anew or port.bridge in masters):
            yield rtnetlink.plug(port.index, port.bridge)
    for port in (*new_bridges, *(port for port in ports if port in anew)):
        yield from wiring.raised(port)
    coming = {port.index for port in (*new_bridges, *ports) if port in anew}
    had = frozenset(before.node(name).routes)
    for route in node.routes:
        if route not in had or route.index in coming:
            yield rtnetlink.route(route.prefix, route.index, route.via)
