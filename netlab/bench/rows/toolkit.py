"""Rows of the toolkit: whole tasks on a large fleet, the start of a task, and a server that takes a large file."""

from __future__ import annotations

from typing import Final

from netlab.bench import measure_toolkit as tool
from netlab.bench.measure_toolkit import ASSERTIONS, MEMBERS, Toolkit
from netlab.bench.rows.row import Figure, Row
from netlab.bench.sample import Values


def _process(toolkit: Toolkit, _seconds: float) -> Values:
    seconds, of_a_processor = toolkit.take()
    return {"s": seconds, "CPU s": of_a_processor}


def _reload(toolkit: Toolkit, _seconds: float) -> Values:
    found = toolkit.reload()
    return {
        "applied s": found["seconds"],
        "longest step, CPU ms": found["longest_cpu_ms"],
        "longest step, ms": found["longest_ms"],
    }


TOOLKIT: Final = (
    Row("toolkit", f"tasks on a fleet of {MEMBERS:,} members",
        (tool.READ, tool.SAME, tool.NEW, tool.LINT, tool.POLICY), _process,
        (Figure(f"gen-config, {MEMBERS:,} members, nothing new, s", tool.SAME, "s", False, 2.0),
         Figure(f"gen-config, {MEMBERS:,} members, all new, s", tool.NEW, "s", False, 8.0),
         Figure(f"lint, {MEMBERS:,} members, s", tool.LINT, "s", False, 2.0),
         Figure(f"policy-test, {ASSERTIONS:,} assertions on them, s", tool.POLICY, "s", False, 2.0)),
        reference=tool.READ),
    Row("start", "start of a task", (tool.BARE, tool.LIST, tool.SMALL_SAME, tool.SMALL_LINT), _process,
        (Figure("start of a task that only lists, s", tool.LIST, "s", False, 0.4),
         Figure("gen-config of the demo, nothing new, s", tool.SMALL_SAME, "s", False, 0.4),
         Figure("lint of the demo, s", tool.SMALL_LINT, "s", False, 0.4)), reference=tool.BARE),
    Row("reload", f"a server takes a routes.json of {MEMBERS:,} members, one of them gone", (tool.RELOAD,), _reload,
        (Figure("one large routes.json changed: applied after, s", tool.RELOAD, "applied s", False, 2.0),
         Figure("the same: longest step, CPU ms", tool.RELOAD, "longest step, CPU ms", False, 10.0))),
)  # fmt: skip
