"""`invoke gen-config`: load, plan, write, and say what happened.

Facts go to standard output (text, diffs or JSON), problems to standard error. Exit codes as in tasks.py.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

from rustun.errors import Problem
from rustun.ops.ending import guarded
from rustun.ops.exit_codes import DIFFERS, OK
from rustun.ops.generation import Prepared, prepare
from rustun.ops.recorded import lock_file


def run(inventory: Path, out: Path | None, checkout: Path, *, check: bool, diff: bool, as_json: bool) -> int:
    """Generate the files of an inventory, or with `check` only say whether they are current; return the exit code."""
    started = time.monotonic()

    def work() -> int:
        prepared = prepare(inventory, out, checkout)
        if not check:
            prepared.write()
        _print_notes(prepared.notes)
        _show(prepared, time.monotonic() - started, check=check, diff=diff, as_json=as_json)
        return DIFFERS if check and not prepared.current else OK

    return guarded("gen-config", work)


def _show(prepared: Prepared, seconds: float, *, check: bool, diff: bool, as_json: bool) -> None:
    try:
        if as_json:
            print(json.dumps(_facts(prepared, written=not check), indent=2))
        else:
            _print_text(prepared, seconds, check=check, diff=diff)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader, such as `head`, has seen enough; what is left to flush goes nowhere
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _print_notes(notes: tuple[Problem, ...]) -> None:
    for note in notes:
        print(*note.lines(), sep="\n", file=sys.stderr)


def _print_text(prepared: Prepared, seconds: float, *, check: bool, diff: bool) -> None:
    fleet, plan, changes = prepared.fleet, prepared.plan, prepared.changes
    clusters, members = _count(len(fleet.clusters), "cluster"), _count(len(fleet.members), "member")
    print(f"inventory   {_short(prepared.inventory)}: {clusters}, {members}")
    if diff:
        print("".join(file.diff() for file in changes), end="")
    for name in plan.new_secrets:
        print(f"  + {name}  {'missing' if check else 'generated, mode 0600'}")
    for file in changes:
        print(f"  {'+' if file.kind == 'new' else '~'} {file.name}")
    for name in plan.unknown:
        print(f"  ? {name}  not generated from this inventory; left alone")
    verdict = "nothing to change" if prepared.current else f"{len(changes)} to write" if check else "written"
    files = _count(len(plan.files), "file")
    print(f"gen-config  {_short(plan.folder)}: {files}, {len(changes)} changed, {seconds:.1f} s; {verdict}")


def _facts(prepared: Prepared, *, written: bool) -> dict[str, object]:
    fleet, plan, lock = prepared.fleet, prepared.plan, prepared.lock
    return {
        "schema": 1,
        "inventory": str(prepared.inventory),
        "fleet": fleet.name,
        "clusters": len(fleet.clusters),
        "members": len(fleet.members),
        "folder": str(plan.folder),
        "current": prepared.current,
        "written": written,
        "lock": {"name": str(lock_file(prepared.inventory)), "kind": lock.kind if lock else "same"},
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
