"""`invoke lint`: judge an inventory (judging.py), and say what was found.

Where an earlier run found nothing to remark and all that it looked at is as it was, it is said again (unchanged.py).
Exit codes as in tasks.py: 2 an error, 3 warnings with `--strict`, 0 else.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import sys
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from rustun.errors import ConfigError, RustunError
from rustun.ops.exit_codes import BAD_INPUT, DIFFERS, ENVIRONMENT, OK
from rustun.ops.unchanged import recall, remember

if TYPE_CHECKING:
    from rustun.ops.linting.judging import Judgement


def run(path: Path, build: Path, *, strict: bool, accepting: bool, as_json: bool) -> int:
    """Judge an inventory and print what was found; return the exit code.

    Args:
        build: folder in which each fleet has its folder of generated files.
        strict: warnings are a failure.
        accepting: what is found now is accepted from now on.
    """
    known = None if accepting else recall(sorted(build.glob("*")), _question(path))
    if known is not None:
        print(json.dumps(known["facts"], indent=2) if as_json else known["text"])
        return OK
    try:
        judgement = _judged(path, build, accepting=accepting)
    except RustunError as error:
        print(f"lint: {error}\n  {error.remedy}", file=sys.stderr)
        return ENVIRONMENT
    print(json.dumps(_facts(path, judgement), indent=2) if as_json else "\n".join(_lines(path, judgement)))
    if judgement.worst == "error":
        return BAD_INPUT
    return DIFFERS if strict and judgement.worst == "warning" else OK


def _question(path: Path) -> tuple[str, ...]:
    return ("lint", str(path))


def _judged(path: Path, build: Path, *, accepting: bool) -> Judgement:
    """Load an inventory and judge it; keep that there is nothing to remark. Raises: HostError."""
    from rustun.ops.editing.files import editing  # slow to load, all of them
    from rustun.ops.inventory import load_inventory
    from rustun.ops.linting.judging import Judgement, accept, baseline_file, findings, judge
    from rustun.ops.looked_at import linted

    since, now = time.time(), dt.datetime.now(dt.UTC)
    try:
        inventory = load_inventory(path)
        folder = build / inventory.name
        if accepting:
            with editing(path):
                count = accept(path, list(findings(inventory, folder, now)))
            print(f"lint: {baseline_file(path)} accepts {count} findings", file=sys.stderr)
        judgement = judge(path, inventory, folder, now)
    except ConfigError as error:
        return Judgement(tuple(("inventory", problem) for problem in error.problems), 0, ())
    if not judgement.problems and not judgement.unused:
        found = {"facts": _facts(path, judgement), "text": "\n".join(_lines(path, judgement))}
        with contextlib.suppress(OSError):  # where nothing can be kept, the next run finds out again
            if answer := linted(path, inventory, folder, _question(path), found, since):
                remember(folder, answer)
    return judgement


def _lines(path: Path, judgement: Judgement) -> list[str]:
    from rustun.ops.linting.judging import LEVELS, baseline_file

    lines = []
    for rule, problem in judgement.problems:
        first, *more = problem.lines()
        lines += [first + (f"  [{rule}]" if rule != "inventory" else ""), *more]
    for line in judgement.unused:
        lines += [f"{baseline_file(path)}: note: accepts what is not found any more: {line}", "  take the line out"]
    count = Counter(problem.level for _, problem in judgement.problems)
    parts = [f"{count[level]} {level}{'s' * (count[level] != 1)}" for level in LEVELS if count[level]]
    accepted = f", {judgement.accepted} accepted" if judgement.accepted else ""
    return [*lines, f"lint {path}: {', '.join(parts) or 'nothing to remark'}{accepted}"]


def _facts(path: Path, judgement: Judgement) -> dict[str, object]:
    return {
        "schema": 1,
        "inventory": str(path),
        "findings": [
            {
                "rule": rule,
                "level": problem.level,
                "file": problem.file,
                "line": problem.line,
                "key": problem.key,
                "reason": problem.reason,
                "remedy": problem.remedy,
            }
            for rule, problem in judgement.problems
        ],
        "accepted": judgement.accepted,
        "unused": list(judgement.unused),
    }
