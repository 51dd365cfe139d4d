"""What `tasks.py` calls: each function does one task in a process of its own and returns its exit code.

A process of its own, because only one with a single thread may enter a user namespace, and because whatever happens
in there must not happen to the caller.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from netlab.processes import environment


def demo(inventory: Path, *, seconds: float = 2.0, limit: str = "", as_json: bool = False) -> int:
    """Generate, bring up, probe, measure, take down; print it as a page, or as JSON; `limit` as of `up`."""
    options = ["--seconds", str(seconds), f"--limit={limit}", *["--json"] * as_json]
    return _netlab("demo", "--inventory", str(inventory), *options)


def lab_demo(inventory: Path, *, seed: int, out: Path | None = None, as_json: bool = False) -> int:
    """Show the laboratory at work on a slip that a seed stands for; the report goes to `out`."""
    options = ["--seed", str(seed), *["--json"] * as_json, *(["--out", str(out)] if out else [])]
    return _netlab("lab-demo", "--inventory", str(inventory), *options)


def policy(inventory: Path, *, as_json: bool = False) -> int:
    """Try the assertions kept beside an inventory with packets."""
    return _netlab("policy", "--inventory", str(inventory), *["--json"] * as_json)


def up(
    inventory: Path,
    *,
    name: str = "",
    limit: str = "",
    matrix: bool = False,
    machines: bool = False,
    as_json: bool = False,
) -> int:
    """Bring up a laboratory, or real machines, until `down`.

    Args:
        name: tells several from one fleet apart.
        limit: the members that it is made of, as of sampling.py; empty for all.
        matrix: one for each combination that the inventory names.
    """
    options = ["--name", name, f"--limit={limit}", *["--matrix"] * matrix, *["--machines"] * machines]
    return _netlab("up", "--inventory", str(inventory), *options, *["--json"] * as_json)


def status(*, name: str = "", as_json: bool = False) -> int:
    """Print what a laboratory's nodes are and do."""
    from netlab.control import status

    return status.run(name, as_json=as_json)


def execute(nodes: str, command: Sequence[str], *, name: str = "", as_json: bool = False) -> int:
    """Run a command inside nodes (control/patterns.py); in one, on this terminal; return its exit code."""
    return _netlab("exec", "--name", name, *["--json"] * as_json, nodes, "--", *command)


def doctor(*, as_json: bool = False) -> int:
    """Try what of this machine a laboratory needs, and print it; 4 where none can run."""
    return _netlab("doctor", *["--json"] * as_json)


def down(*, name: str = "", as_json: bool = False) -> int:
    """Take a laboratory down."""
    return _netlab("down", "--name", name, *["--json"] * as_json)


def scenarios(names: str, *, listed: bool = False, as_json: bool = False) -> int:
    """Run scenarios by their names (scenarios/catalogue.py), or list all."""
    return _netlab("run", *["--list"] * listed, *["--json"] * as_json, "--", names)


def sweep(*, as_json: bool = False) -> int:
    """Remove what dead laboratories left, and nothing else."""
    return _netlab("sweep", *["--json"] * as_json)


def bench(*options: str) -> int:
    """Measure rustun beside plain routing and others, and print tables; `options` of `python -m netlab bench`."""
    return _netlab("bench", *options)


def bench_compare(before: Path, after: Path, *, everything: bool = False, as_json: bool = False) -> int:
    """Print what became faster or slower from one run to another; 5 for a loss of more than a tenth."""
    return _netlab("bench-compare", str(before), str(after), *["--all"] * everything, *["--json"] * as_json)


def bench_report(file: Path, *options: str) -> int:
    """Print a run's tables again, and write its Markdown and HTML; `options` of `python -m netlab bench-report`."""
    return _netlab("bench-report", str(file), *options)


def _netlab(*arguments: str) -> int:
    try:
        return subprocess.call([sys.executable, "-m", "netlab", *arguments], env=environment())
    except KeyboardInterrupt:  # the child got it as well, and has cleaned up
        return 130
