"""`lab-diff` and `lab-apply`: how the inventory differs by now from a laboratory that is up, and let it follow."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from netlab.control import runfolder
from netlab.control.asking import demand
from netlab.errors import EXIT_OK, EXIT_UNEXPECTED, in_words

COMPARE_SECONDS: Final = 30.0  # thousands of members' files are generated for it
APPLY_SECONDS: Final = 600.0  # hundreds of clients that start, and packets between all of them
SCHEMA: Final = 1


@in_words("lab-diff")
def diff(name: str, *, as_json: bool) -> int:
    """Print the differences; return the exit code: 5 where there are some."""
    folder = runfolder.find(name)
    answer = demand(folder, {"do": "diff"}, COMPARE_SECONDS)
    if as_json:
        print(json.dumps({"schema": SCHEMA, "laboratory": folder.name, **answer}, indent=2))
    else:
        print("\n".join(table(answer["changes"])) or f"{folder.name} is what {answer['inventory']} says")
    return EXIT_UNEXPECTED if answer["changes"] else EXIT_OK


@in_words("lab-apply")
def apply(name: str, *, as_json: bool) -> int:
    """Let a laboratory follow and print what was done; return the exit code: 5 where it is not as it has to be."""
    folder = runfolder.find(name)
    answer = demand(folder, {"do": "apply"}, APPLY_SECONDS)
    if as_json:
        print(json.dumps({"schema": SCHEMA, "laboratory": folder.name, **answer}, indent=2))
    elif answer["changes"]:
        print("\n".join([*table(answer["changes"]), *_steps(answer["steps"]), *_reachability(answer["reachability"])]))
    else:
        print(f"nothing to do: {folder.name} is what {answer['inventory']} says")
    return EXIT_OK if not answer["changes"] or answer["reachability"]["as_expected"] else EXIT_UNEXPECTED


def table(changes: Sequence[Mapping[str, str]]) -> list[str]:
    """Return a line for each change."""
    width = max((len(one["name"]) for one in changes), default=0)
    return [f"  {one['sign']} {one['what']:<6} {one['name']:<{width}}   {one['text']}".rstrip() for one in changes]


def _steps(steps: Sequence[Mapping[str, Any]]) -> list[str]:
    return [f"{one['seconds']:>8.2f} s  {one['step']}" for one in steps]


def _reachability(found: Mapping[str, Any]) -> list[str]:
    surprises, unproven = found["surprises"], found["unproven"]
    head = f"{found['probes']} probes between all members: {len(surprises)} surprises, {len(unproven)} unproven"
    return [head, *(f"  {line}" for line in (*surprises, *unproven))]
