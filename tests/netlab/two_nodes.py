"""The smallest laboratory with a link: two nodes, one cable, no rustun."""

from __future__ import annotations

from ipaddress import ip_interface

from netlab import wiring
from netlab.namespaces import NetworkNamespace
from netlab.topology import Node, Port, Topology


def wired() -> tuple[Topology, dict[str, NetworkNamespace]]:
    """Return the nodes "left" (10.9.0.1) and "right" (10.9.0.2), wired, with their namespaces."""
    left = Port("left", "eth0", 10, "02:00:00:00:00:01", (ip_interface("10.9.0.1/24"),))
    right = Port("right", "eth0", 11, "02:00:00:00:00:02", (ip_interface("10.9.0.2/24"),))
    topology = Topology((Node("left", "host"), Node("right", "host")), ((left, right),), ())
    namespaces = {node.name: NetworkNamespace() for node in topology.nodes}
    wiring.build(topology, namespaces)
    return topology, namespaces
