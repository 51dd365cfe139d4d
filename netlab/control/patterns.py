"""Which nodes of a laboratory somebody means.

    bj-dev            that node
    'bj-*'            those whose name matches
    'beijing/*'       members by cluster and name
    role:host         those of a role: server, member, host, nat, machine
    all               every node
Several are separated by commas; a node is taken once, in the order of the laboratory.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Final

from netlab.errors import BadInput

ALL: Final = "all"
ROLE: Final = "role:"
Node = Mapping[str, str]  # "node", "role", "cluster"


def choose(nodes: Sequence[Node], wanted: str) -> list[str]:
    """Return the names of the nodes that are meant. Raises BadInput for a part that means none."""
    parts = [part.strip() for part in wanted.split(",") if part.strip()]
    if not parts:
        raise BadInput("no node is named", "a node, a pattern such as 'beijing/*', role:host, or all")
    for part in parts:
        if not any(_means(part, node) for node in nodes):
            raise _nobody(part, nodes)
    return [node["node"] for node in nodes if any(_means(part, node) for part in parts)]


def is_exact(nodes: Sequence[Node], wanted: str) -> bool:
    """Return whether this is simply the name of one node."""
    return any(node["node"] == wanted for node in nodes)


def _means(part: str, node: Node) -> bool:
    if part == ALL or part == node["node"]:
        return True
    if part.startswith(ROLE):
        return part.removeprefix(ROLE) == node["role"]
    return fnmatchcase(node["node"], part) or fnmatchcase(f"{node['cluster']}/{node['node']}", part)


def _nobody(part: str, nodes: Sequence[Node]) -> BadInput:
    if part.startswith(ROLE):
        known = [ROLE + role for role in dict.fromkeys(node["role"] for node in nodes)]
    else:
        known = [node["node"] for node in nodes] + [f"{n['cluster']}/{n['node']}" for n in nodes if n["cluster"]]
    near = get_close_matches(part, known, n=1)
    remedy = f"did you mean {near[0]}?" if near else f"there are {', '.join(known[: len(nodes)])}"
    return BadInput(f'no node "{part}"', remedy)
