"""What the keeper of a laboratory tells of it: documents for `lab-status --json` and for other commands."""

from __future__ import annotations

from typing import Any, Final

from netlab.lab import Laboratory
from netlab.links.impairment import settings
from netlab.statuses import read_statuses

SCHEMA: Final = 1
Document = dict[str, Any]


def status(lab: Laboratory) -> Document:
    """Return what `lab-status --json` prints: every node with its addresses and its rustun process's own words."""
    processes, topology = dict(lab.processes), lab.topology
    clusters = {member.identity: member.cluster for member in lab.spec.members}
    words = read_statuses({name: lab.control(name) for name in processes})
    found = []
    for node in topology.nodes:
        process = processes.get(node.name)
        addresses = [str(a) for port in (*node.bridges, *topology.ports(node.name)) for a in port.addresses]
        found.append(
            {
                "node": node.name,
                "role": node.role,
                "cluster": clusters.get(node.name, ""),
                "addresses": list(dict.fromkeys(addresses)),
                "pid": process.pid if process else None,
                "ended": process.ended() if process else None,
                "rustun": words.get(node.name),
            }
        )
    phases = {phase: round(seconds, 3) for phase, seconds in lab.phases.items()}
    return {"schema": SCHEMA, "name": lab.spec.name, "phases": phases, "nodes": found, "cables": _cables(lab)}


def _cables(lab: Laboratory) -> list[Document]:
    """Return each cable's two ends, and what its directions do that is not plain."""
    impaired = {direction.name: settings(direction.impairment) for direction in lab.links.impaired()}
    return [
        {
            "ends": [f"{near.node}:{near.name}", f"{far.node}:{far.name}"],
            "forth": impaired.get(f"{near.node}->{far.node}", {}),
            "back": impaired.get(f"{far.node}->{near.node}", {}),
        }
        for near, far in lab.topology.cables
    ]


def nodes(lab: Laboratory) -> Document:
    """Return what nodes there are."""
    clusters = {member.identity: member.cluster for member in lab.spec.members}
    found = [
        {"node": node.name, "role": node.role, "cluster": clusters.get(node.name, "")} for node in lab.topology.nodes
    ]
    return {"nodes": found}
