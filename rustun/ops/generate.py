"""`invoke gen-config`: load, plan, write, and say what happened.

Where an earlier run found nothing to change and all that it looked at is as it was, it is said again (unchanged.py):
then nothing is loaded, which takes most of the time. Facts go to standard output (text, diffs or JSON), problems to
standard error. Exit codes as in tasks.py.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rustun.ops.ending import guarded
from rustun.ops.exit_codes import DIFFERS, OK
from rustun.ops.unchanged import recall, remember

if TYPE_CHECKING:
    from rustun.ops.generation import Prepared

Facts = dict[str, Any]


def run(inventory: Path, out: Path | None, checkout: Path, *, check: bool, diff: bool, as_json: bool) -> int:
    """Generate the files of an inventory, or with `check` only say whether they are current; return the exit code."""
    started = time.monotonic()

    def work() -> int:
        known = recall([out] if out else sorted((checkout / "build").glob("*")), _question(inventory, out))
        facts, diffs = (known, "") if known else _found(inventory, out, checkout, check=check, diff=diff)
        print(*facts["notes"], sep="\n", end="\n" if facts["notes"] else "", file=sys.stderr)
        _show(facts, diffs, time.monotonic() - started, check=check, as_json=as_json)
        return DIFFERS if check and not facts["current"] else OK

    return guarded("gen-config", work)


def _question(inventory: Path, out: Path | None) -> tuple[str, ...]:
    return ("gen-config", str(inventory), str(out or ""))


def _found(inventory: Path, out: Path | None, checkout: Path, *, check: bool, diff: bool) -> tuple[Facts, str]:
    """Load the inventory and generate its files; return the facts, and what changed line by line."""
    from rustun.ops.generation import prepare  # slow to load
    from rustun.ops.looked_at import generated

    since = time.time()
    prepared = prepare(inventory, out, checkout)
    if not check:
        prepared.write()
    facts = _facts(prepared, written=not check)
    if prepared.current and not check:
        with contextlib.suppress(OSError):  # where nothing can be kept, the next run finds out again
            if answer := generated(prepared, _question(inventory, out), facts, since):
                remember(prepared.plan.folder, answer)
    return facts, "".join(file.diff() for file in prepared.changes) if diff else ""


def _show(facts: Facts, diffs: str, seconds: float, *, check: bool, as_json: bool) -> None:
    try:
        if as_json:
            shown = {key: value for key, value in (facts | {"written": not check}).items() if key != "notes"}
            print(json.dumps(shown, indent=2))
        else:
            _print_text(facts, diffs, seconds, check=check)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader, such as `head`, has seen enough; what is left to flush goes nowhere
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _facts(prepared: Prepared, *, written: bool) -> Facts:
    from rustun.ops.recorded import lock_file  # slow to load

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
        "notes": [line for note in prepared.notes for line in note.lines()],
    }


def _print_text(facts: Facts, diffs: str, seconds: float, *, check: bool) -> None:
    changes = [file for file in (facts["lock"], *facts["files"]) if file["kind"] != "same"]
    clusters, members = _count(facts["clusters"], "cluster"), _count(facts["members"], "member")
    print(f"inventory   {_short(facts['inventory'])}: {clusters}, {members}")
    print(diffs, end="")
    for name in facts["new_secrets"]:
        print(f"  + {name}  {'missing' if check else 'generated, mode 0600'}")
    for file in changes:
        print(f"  {'+' if file['kind'] == 'new' else '~'} {file['name']}")
    for name in facts["unknown"]:
        print(f"  ? {name}  not generated from this inventory; left alone")
    verdict = "nothing to change" if facts["current"] else f"{len(changes)} to write" if check else "written"
    files = _count(len(facts["files"]), "file")
    print(f"gen-config  {_short(facts['folder'])}: {files}, {len(changes)} changed, {seconds:.1f} s; {verdict}")


def _short(text: str) -> str:
    """Return a path as seen from here, where that is shorter."""
    try:
        return str(Path(text).resolve().relative_to(Path.cwd()))
    except ValueError:
        return text


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
