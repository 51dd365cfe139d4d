"""`invoke gen-config`: load, plan, write, and say what happened.

Facts go to standard output (text, diffs or JSON), problems to standard error. Exit codes as in tasks.py.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

from rustun.errors import ConfigError, Problem, RustunError
from rustun.ops.exit_codes import BAD_INPUT, DIFFERS, ENVIRONMENT, FAILED, OK
from rustun.ops.fleet import Inventory
from rustun.ops.generation import PolicyBroken, prepare
from rustun.ops.recorded import lock_file
from rustun.ops.render import PlannedFile, RenderPlan


def run(inventory: Path, out: Path | None, checkout: Path, *, check: bool, diff: bool, as_json: bool) -> int:
    """Generate the files of an inventory, or with `check` only say whether they are current; return the exit code."""
    started = time.monotonic()
    try:
        prepared = prepare(inventory, out, checkout)
        fleet, lock, plan = prepared.fleet, prepared.lock, prepared.plan
        if not check:
            prepared.write()
    except ConfigError as error:
        print(error, file=sys.stderr)
        print(f"{_count(len(error.problems), 'problem')}; nothing was written", file=sys.stderr)
        return BAD_INPUT
    except PolicyBroken as error:
        print(f"{error.message}\ngen-config: nothing was written\n  {error.remedy}", file=sys.stderr)
        return FAILED
    except RustunError as error:
        print(f"gen-config: {error.message}\n  {error.remedy}", file=sys.stderr)
        return ENVIRONMENT
    _print_notes(prepared.notes)
    try:
        if as_json:
            print(json.dumps(_facts(inventory, fleet, plan, lock, written=not check), indent=2))
        else:
            _print_text(inventory, fleet, plan, lock, time.monotonic() - started, check=check, diff=diff)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader, such as `head`, has seen enough; what is left to flush goes nowhere
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return DIFFERS if check and not prepared.current else OK


def _print_notes(notes: tuple[Problem, ...]) -> None:
    for note in notes:
        print(*note.lines(), sep="\n", file=sys.stderr)


def _print_text(
    inventory: Path,
    fleet: Inventory,
    plan: RenderPlan,
    lock: PlannedFile | None,
    seconds: float,
    *,
    check: bool,
    diff: bool,
) -> None:
    clusters, members = _count(len(fleet.clusters), "cluster"), _count(len(fleet.members), "member")
    print(f"inventory   {_short(inventory)}: {clusters}, {members}")
    changes = (lock, *plan.changes) if lock else plan.changes
    if diff:
        print("".join(file.diff() for file in changes), end="")
    for name in plan.new_secrets:
        print(f"  + {name}  {'missing' if check else 'generated, mode 0600'}")
    for file in changes:
        print(f"  {'+' if file.kind == 'new' else '~'} {file.name}")
    for name in plan.unknown:
        print(f"  ? {name}  not generated from this inventory; left alone")
    current = plan.current and not lock
    verdict = "nothing to change" if current else f"{len(changes)} to write" if check else "written"
    files = _count(len(plan.files), "file")
    print(f"gen-config  {_short(plan.folder)}: {files}, {len(changes)} changed, {seconds:.1f} s; {verdict}")


def _facts(
    inventory: Path, fleet: Inventory, plan: RenderPlan, lock: PlannedFile | None, *, written: bool
) -> dict[str, object]:
    return {
        "schema": 1,
        "inventory": str(inventory),
        "fleet": fleet.name,
        "clusters": len(fleet.clusters),
        "members": len(fleet.members),
        "folder": str(plan.folder),
        "current": plan.current and not lock,
        "written": written,
        "lock": {"name": str(lock_file(inventory)), "kind": lock.kind if lock else "same"},
        "files": [{"name": file.name, "kind": file.kind} for file in plan.files],
        "new_secrets": list(plan.new_secrets),
        "unknown": list(plan.unknown),
    }


def _short(path: Path) -> str:
    """Return a path as seen from here, where that is shorter."""
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
