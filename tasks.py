"""The project's tasks: each parses its arguments, calls rustun.ops or netlab, and ends with its exit code.

    ./invoke --list              all of them
    ./invoke --help gen-config   one of them, with examples

Exit codes: 0 ok, 2 bad input or nothing run, 3 `--check` found something that is not current, 4 the environment lacks
something, 5 an expectation failed (1 is invoke's own). Nothing heavy is imported before it is needed.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from invoke import Context, Exit, task

ROOT = Path(__file__).resolve().parent
DEMO = str(ROOT / "inventory" / "demo.toml")
INVENTORY_HELP = "inventory to take, a file or a folder (default: inventory/demo.toml)"
LAB_NAME_HELP = "the laboratory's name (default: the fleet's)"
JSON_HELP = "print the same facts as JSON, and nothing else, on standard output"


def _end(code: int) -> None:
    """End the task with an exit code; 0 just returns."""
    if code:
        raise Exit(code=code)


def _number(option: str, text: str, low: float, high: float) -> float:
    """Return what was typed for an option; end the task with 2 where it is no number from `low` to `high`."""
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not low <= value <= high:
        _refuse(f'{option}: "{text}" is not a number from {low:g} to {high:g}', f"as in {option} {max(low, 2):g}")
    return value


def _new_file(option: str, file: str) -> str:
    """Return a file to be written later; end the task with 2 now where that will not be possible."""
    folder = Path(file).absolute().parent
    if file and (not os.access(folder, os.W_OK) or Path(file).is_dir()):
        _refuse(f"{option}: {file} cannot be written", f"name a file in a folder that is there, not in {folder}")
    return file


def _refuse(what: str, remedy: str) -> None:
    print(f"invoke: {what}\n  {remedy}", file=sys.stderr)
    _end(2)


def _after_dashes() -> list[str]:
    """Return the words after `--` exactly as they were typed."""
    return sys.argv[sys.argv.index("--") + 1 :] if "--" in sys.argv else []


@task(
    help={
        "inventory": INVENTORY_HELP,
        "out": "folder for the files (default: build/NAME, NAME being the fleet's)",
        "check": "write nothing; exit 3 when the files are not current",
        "diff": "show what changes, line by line",
        "json": JSON_HELP,
    }
)
def gen_config(
    _context: Context, inventory: str = DEMO, out: str = "", check: bool = False, diff: bool = False, json: bool = False
) -> None:
    """Write server.toml, routes.json and one client file per member from the inventory.

    Only what changed is written; keys are generated once and kept.

    Examples:
        ./invoke gen-config
        ./invoke gen-config --inventory my-fleet.toml --out /etc/rustun --diff
        ./invoke gen-config --check
    """
    from rustun.ops import generate

    _end(generate.run(Path(inventory), Path(out) if out else None, ROOT, check=check, diff=diff, as_json=json))


@task(help={"inventory": INVENTORY_HELP, "seconds": "length of each measurement (2)", "json": JSON_HELP})
def demo(_context: Context, inventory: str = DEMO, seconds: str = "2", json: bool = False) -> None:
    """Show the whole thing: generate, bring up, probe who reaches whom, measure, take down.

    Nothing leaves this machine, and nothing is made in its own network namespace. Needs root, or a kernel that allows
    unprivileged user namespaces.

    Examples:
        ./invoke demo
        ./invoke demo --seconds 5 --json
    """
    length = _number("--seconds", seconds, 0.2, 3600)

    from netlab import api

    _end(api.demo(Path(inventory), seconds=length, as_json=json))


@task(help={"inventory": INVENTORY_HELP, "name": LAB_NAME_HELP})
def lab_up(_context: Context, inventory: str = DEMO, name: str = "") -> None:
    """Bring up a laboratory of network namespaces from an inventory; it stays until lab-down.

    Examples:
        ./invoke lab-up
        ./invoke lab-up --inventory my-fleet.toml --name rehearsal
    """
    from netlab import api

    _end(api.up(Path(inventory), name=name))


@task(help={"name": LAB_NAME_HELP, "json": JSON_HELP})
def lab_status(_context: Context, name: str = "", json: bool = False) -> None:
    """Say what a laboratory's nodes are and do.

    Examples:
        ./invoke lab-status
        ./invoke lab-status --json
    """
    from netlab import api

    _end(api.status(name=name, as_json=json))


@task(positional=["node"], help={"node": "a member, a LAN host, or server", "name": LAB_NAME_HELP})
def lab_exec(_context: Context, node: str, name: str = "") -> None:
    """Run a command inside a node of a laboratory; its exit code becomes ours.

    Examples:
        ./invoke lab-exec bj-dev -- ping -c 3 10.0.1.1
        ./invoke lab-exec sh-office-gw -- sh
    """
    command = _after_dashes()
    if not command:
        _refuse("lab-exec: no command", f"./invoke lab-exec {node} -- COMMAND")

    from netlab import api

    _end(api.execute(node, command, name=name))


@task(help={"name": LAB_NAME_HELP})
def lab_down(_context: Context, name: str = "") -> None:
    """Take a laboratory down, and check that nothing is left of it.

    Examples:
        ./invoke lab-down
    """
    from netlab import api

    _end(api.down(name=name))


@task
def lab_sweep(_context: Context) -> None:
    """Remove what dead laboratories left; those whose owner lives are not touched.

    Examples:
        ./invoke lab-sweep
    """
    from netlab import api

    _end(api.sweep())


@task(
    help={
        "quick": "shorter and fewer runs: a first impression, not a figure to publish",
        "only": "rows to measure, by comma",
        "seconds": "length of each measurement",
        "json": "write all samples to this file as well",
        "markdown": "write the tables to this file as well, as they stand in docs/performance.md",
    }
)
def bench(
    _context: Context, quick: bool = False, only: str = "", seconds: str = "", json: str = "", markdown: str = ""
) -> None:
    """Measure rustun beside plain routing on this machine, in pairs that alternate; print a table with ratios.

    Examples:
        ./invoke bench --quick
        ./invoke bench --only tcp-1,ping --json bench.json
        ./invoke bench --markdown figures.md
    """
    length = _number("--seconds", seconds, 0.2, 3600) if seconds else 0.0
    files = [_new_file("--json", json), _new_file("--markdown", markdown)]

    from netlab import api

    _end(api.bench(quick=quick, only=only, seconds=length, json_file=files[0], markdown=files[1]))


@task(help={"only": "parts to run, by comma: see --parts", "parts": "list the parts and end", "workers": "at once (2)"})
def test(_context: Context, only: str = "", parts: bool = False, workers: str = "2") -> None:
    """Run everything: lint, types, unit, vector, fuzz, simulation, architecture and namespace tests.

    Examples:
        ./invoke test
        ./invoke test --only unit,fuzz
    """
    processes = int(_number("--workers", workers, 1, 64))

    from rustun.ops import checks

    _end(checks.list_parts() if parts else checks.run_parts(ROOT, only, processes))


@task
def lint(_context: Context) -> None:
    """Check style and types (ruff, mypy).

    Examples:
        ./invoke lint
    """
    from rustun.ops import checks

    _end(checks.run_parts(ROOT, "lint,types", 1))


@task(
    help={
        "only": "runs to do, by comma (default: all that have not passed since the code changed)",
        "minutes": "stop starting new runs after this time (60)",
        "again": "forget earlier results",
    }
)
def soak(_context: Context, only: str = "", minutes: str = "60", again: bool = False) -> None:
    """Do the long runs, one after another; what was done before an interruption is not done again.

    The result of each goes to build/soak.json.

    Examples:
        ./invoke soak
        ./invoke soak --minutes 10 --only fuzz
    """
    limit = int(_number("--minutes", minutes, 0, 10_000))

    from rustun.ops import soaking

    _end(soaking.run(ROOT, only, limit, again=again))


@task(help={"upgrade": "take the newest versions instead of those pinned so far"})
def lock(_context: Context, upgrade: bool = False) -> None:
    """Make requirements.lock anew from pyproject.toml (needs a package index).

    Examples:
        ./invoke lock
        ./invoke lock --upgrade
    """
    from rustun.ops import lockfile

    _end(lockfile.run(ROOT, upgrade=upgrade))
