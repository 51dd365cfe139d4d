"""What a laboratory consists of, as documents of JSON: what its status and its pictures begin with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from netlab.links.impairment import settings
from netlab.topology import LabSpec, Topology

Document = dict[str, Any]


def nodes(spec: LabSpec, topology: Topology) -> list[Document]:
    """Return of each node its role, and for members and routers what the inventory says of them."""
    members = {member.identity: member for member in spec.members}
    found = []
    for node in topology.nodes:
        member = members.get(node.name)
        addresses = [str(a) for port in (*node.bridges, *topology.ports(node.name)) for a in port.addresses]
        found.append(
            {
                "node": node.name,
                "role": node.role,
                "cluster": member.cluster if member else "",
                "addresses": list(dict.fromkeys(addresses)),
                "tunnel": [str(address.ip) for address in member.addresses] if member else [],
                "ciders": [str(cider) for cider in member.ciders] if member else [],
                "nat": node.nat.kind if node.nat else "",
            }
        )
    return found


def cables(topology: Topology, impaired: Mapping[str, Mapping[str, str]]) -> list[Document]:
    """Return each cable's two ends, the outer one first, and what its directions do that is not plain.

    Args:
        impaired: settings by direction, "A->B".
    """
    return [
        {
            "ends": [f"{near.node}:{near.name}", f"{far.node}:{far.name}"],
            "forth": dict(impaired.get(f"{near.node}->{far.node}", {})),
            "back": dict(impaired.get(f"{far.node}->{near.node}", {})),
        }
        for near, far in topology.cables
    ]


def planned(spec: LabSpec, topology: Topology) -> Document:
    """Return the document of a laboratory that is not up."""
    links = {f"{link.ends[0]}->{link.ends[1]}": settings(link.forth) for link in topology.links.values()}
    links |= {f"{link.ends[1]}->{link.ends[0]}": settings(link.back) for link in topology.links.values()}
    return {"name": spec.name, "nodes": nodes(spec, topology), "cables": cables(topology, links)}
