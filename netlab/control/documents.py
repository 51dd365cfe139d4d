"""What the keeper of a laboratory tells of it: documents for `lab-status --json` and for other commands."""

from __future__ import annotations

from typing import Any, Final

from netlab import facts
from netlab.lab import Laboratory
from netlab.links.impairment import settings
from netlab.processes import NodeProcess
from netlab.statuses import read_statuses

SCHEMA: Final = 1
Document = dict[str, Any]


def status(lab: Laboratory) -> Document:
    """Return what `lab-status --json` prints: every node with its addresses and its rustun process's own words."""
    processes = dict(lab.processes)
    words = read_statuses({name: lab.control(name) for name in processes})
    found = [
        {**node, **_process(processes.get(node["node"])), "rustun": words.get(node["node"])} for node in _known(lab)
    ]
    impaired = {direction.name: settings(direction.impairment) for direction in lab.links.impaired()}
    phases = {phase: round(seconds, 3) for phase, seconds in lab.phases.items()}
    cables = facts.cables(lab.topology, impaired)
    return {"schema": SCHEMA, "name": lab.spec.name, "phases": phases, "nodes": found, "cables": cables}


def _known(lab: Laboratory) -> list[Document]:
    return facts.nodes(lab.spec, lab.topology)


def _process(process: NodeProcess | None) -> Document:
    return {"pid": process.pid if process else None, "ended": process.ended() if process else None}


def nodes(lab: Laboratory) -> Document:
    """Return what nodes there are."""
    return {"nodes": [{key: node[key] for key in ("node", "role", "cluster")} for node in _known(lab)]}
