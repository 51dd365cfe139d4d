"""`lab-status`: what the nodes of a laboratory are and do, as a table or as a document."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from netlab.control import runfolder
from netlab.control.asking import demand
from netlab.errors import EXIT_OK, EXIT_UNEXPECTED, in_words
from netlab.phases import phases_text

GAP: Final = 2


@in_words("lab-status")
def run(name: str, *, as_json: bool) -> int:
    """Print a laboratory's status; return the exit code: 5 where a process of it has ended."""
    document = demand(runfolder.find(name), {"do": "status"})
    print(json.dumps(document, indent=2) if as_json else "\n".join(table(document)))
    return EXIT_UNEXPECTED if any(node["ended"] is not None for node in document["nodes"]) else EXIT_OK


def table(document: Mapping[str, Any]) -> list[str]:
    """Return the lines of a table for people, and below it what the start took."""
    rows = [(node["node"], node["role"], _state(node), ", ".join(node["addresses"])) for node in document["nodes"]]
    rows.insert(0, ("node", "role", "state", "addresses"))
    widths = [max(len(row[column]) for row in rows) + GAP for column in range(3)]
    lines = ["".join(f"{cell:<{width}}" for cell, width in zip(row, [*widths, 0], strict=True)) for row in rows]
    if phases := document.get("phases"):
        lines.append(f"{document['name']} came up: {phases_text(phases)}")
    return lines


def _state(node: Mapping[str, Any]) -> str:
    if "state" in node:  # a real machine's
        return str(node["state"])
    if node["pid"] is None:
        return "-"
    if node["ended"] is not None:
        return f"ended, exit code {node['ended']}"
    words = node["rustun"]
    if words is None:
        return "does not answer"
    if words["role"] == "server":
        return f"{words['online']} of {words['members']} online"
    return f"{words['state']}, {words['tier']} tier"
