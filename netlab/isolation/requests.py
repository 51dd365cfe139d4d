"""What a running laboratory answers to `lab-probe`: a request as a document in, what came of each probe out.

{"from": NODE, "to": NODE, "kind": "udp"}       `to` may be broadcast or multicast; a `kind` may begin several names
{"probes": [{"kind": ..., "from": ..., "to": ..., "as_expected": true, "capture": FILE, "lines": [...]}]}
{"error": ..., "remedy": ..., "exit_code": 2}   nothing was sent
"""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from netlab.errors import BadInput
from netlab.isolation.evidence import Evidence, Witness
from netlab.isolation.expectation import BROADCAST, MULTICAST, Expectation
from netlab.isolation.plan import Probe, cells
from netlab.isolation.why import ROUTES, explain
from netlab.lab import Laboratory

ALL = "all"
Document = dict[str, Any]


def answer(lab: Laboratory, request: Mapping[str, Any]) -> Document:
    """Send what a request asks for, each probe by itself, and return the answer. Raises LabError: it is refused."""
    expectation = Expectation(lab.spec)
    probes = choose(expectation, *(_text(request, key) for key in ("from", "to", "kind")))
    with Witness(lab, expectation, lab.files.logs / "probes") as witness:
        found = [witness.keep(witness.send(probe)) for probe in probes]
    return {"probes": [_document(expectation, one, lab.files.configuration / ROUTES) for one in found]}


def choose(expectation: Expectation, sender: str, target: str, kind: str) -> tuple[Probe, ...]:
    """Return the probes from one node to another of a kind; icmp where none is named, to groups all.

    Raises: BadInput: no such node, nothing of the tunnel between them, no such kind.
    """
    target = {"broadcast": BROADCAST, "multicast": MULTICAST}.get(target, target)
    nodes = [*expectation.site_of]
    for name in (sender, target):
        if name not in (*nodes, BROADCAST, MULTICAST):
            near = get_close_matches(name, nodes, n=1)
            raise BadInput(
                f'no machine "{name}"', f"did you mean {near[0]}?" if near else f"there are {', '.join(nodes)}"
            )
    probes = cells(expectation).get((sender, target), ())
    if not probes:
        raise BadInput(f"nothing goes from {sender} to {target} by the tunnel", "choose machines behind two members")
    kind = kind or (ALL if target in (BROADCAST, MULTICAST) else "icmp")
    exact = tuple(probe for probe in probes if probe.what == kind)
    chosen = exact or tuple(probe for probe in probes if kind == ALL or probe.what.startswith(kind))
    if not chosen:
        names = ", ".join(probe.what for probe in probes)
        raise BadInput(f'no probe of the kind "{kind}" from {sender} to {target}', f"kinds: {names}, or all")
    return chosen


def _text(request: Mapping[str, Any], key: str) -> str:
    value = request.get(key)
    if not isinstance(value, str):
        raise BadInput(f'a request for probes has no text "{key}"')
    return value


def _document(expectation: Expectation, evidence: Evidence, routes: Path) -> Document:
    probe = evidence.probe
    return {
        "kind": probe.what,
        "from": probe.sender,
        "to": probe.target,
        "as_expected": not evidence.wrong,
        "capture": str(evidence.capture),
        "lines": explain(expectation, evidence, routes, was_red=False).lines,
    }
