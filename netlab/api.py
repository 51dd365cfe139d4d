"""What `tasks.py` calls: each function does one task in a process of its own and returns its exit code.

A process of its own, because only one with a single thread may enter a user namespace, and because whatever happens
in there must not happen to the caller.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Final

from netlab import kernel
from netlab.processes import environment

PASSED_ON: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
KILLED: Final = 128  # and the signal's number: as a shell says of a program that one ended


def demo(inventory: Path, *, seconds: float = 2.0, limit: str = "", as_json: bool = False) -> int:
    """Generate, bring up, probe, measure, take down; print it as a page, or as JSON; `limit` as of `up`."""
    options = ["--seconds", str(seconds), f"--limit={limit}", *["--json"] * as_json]
    return _netlab("demo", f"--inventory={inventory}", *options)


def lab_demo(inventory: Path, *, seed: int, out: Path | None = None, as_json: bool = False) -> int:
    """Show the laboratory at work on a slip that a seed stands for; the report goes to `out`."""
    options = ["--seed", str(seed), *["--json"] * as_json, *(["--out", str(out)] if out else [])]
    return _netlab("lab-demo", f"--inventory={inventory}", *options)


def policy(inventory: Path, *, as_json: bool = False) -> int:
    """Try the assertions kept beside an inventory with packets."""
    return _netlab("policy", f"--inventory={inventory}", *["--json"] * as_json)


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
    options = [f"--name={name}", f"--limit={limit}", *["--matrix"] * matrix, *["--machines"] * machines]
    return _netlab("up", f"--inventory={inventory}", *options, *["--json"] * as_json)


def status(*, name: str = "", as_json: bool = False) -> int:
    """Print what a laboratory's nodes are and do."""
    from netlab.control import status

    return status.run(name, as_json=as_json)


def execute(nodes: str, command: Sequence[str], *, name: str = "", as_json: bool = False) -> int:
    """Run a command inside nodes (control/patterns.py); in one, on this terminal; return its exit code."""
    return _netlab("exec", f"--name={name}", *["--json"] * as_json, nodes, "--", *command)


def doctor(*, as_json: bool = False) -> int:
    """Try what of this machine a laboratory needs, and print it; 4 where none can run."""
    return _netlab("doctor", *["--json"] * as_json)


def down(*, name: str = "", as_json: bool = False) -> int:
    """Take a laboratory down."""
    return _netlab("down", f"--name={name}", *["--json"] * as_json)


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
    """Run a command and return its exit code.

    It ends with this process, and what would end this one ends it: whoever stops a bench stops what measures. Ctrl-C
    reaches it by itself, and is its own: a program in a node may live on with it.
    """
    child = subprocess.Popen(
        [sys.executable, "-m", "netlab", *arguments],
        env=environment(),
        preexec_fn=partial(kernel.die_with_parent, signal.SIGTERM),  # noqa: PLW1509  one thread
    )
    heard = [number for number in PASSED_ON if signal.getsignal(number) is not signal.SIG_IGN]  # not those of nohup
    before = {number: signal.signal(number, partial(_pass_on, child)) for number in heard}
    try:
        code = child.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return code if code >= 0 else KILLED - code


def _pass_on(child: subprocess.Popen[bytes], number: int, _frame: object) -> None:
    if number != signal.SIGINT:
        child.send_signal(number)
