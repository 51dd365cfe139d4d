"""`lab-link`: ask a running laboratory to change a link, or what its links do, and print the answer."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from netlab.control import runfolder
from netlab.control.asking import demand
from netlab.errors import EXIT_OK, BadInput, in_words
from netlab.links.impairment import parse_duration

ANSWER_SECONDS: Final = 120.0  # a link of ten seconds' delay, probed several times
SCHEMA: Final = 1


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to happen to a link: settings as typed ("delay=50ms"), all others away first, for a time ("10s")."""

    changes: Sequence[str] = ()
    clear: bool = False
    time: str = ""


@in_words("lab-link")
def run(laboratory: str, link: str, wish: Wish, *, as_json: bool) -> int:
    """Do it, or only show where the wish is empty; return the exit code."""
    folder = runfolder.find(laboratory)
    request = {"do": "link", "link": link, "set": _changes(wish.changes), "clear": wish.clear, "for_s": _time(wish)}
    answer = demand(folder, request, ANSWER_SECONDS)
    if as_json:
        print(json.dumps({"schema": SCHEMA, "laboratory": folder.name, **answer}, indent=2))
    else:
        print("\n".join(table(answer["links"])))
    return EXIT_OK


def _changes(words: Sequence[str]) -> dict[str, str]:
    changes = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals:
            raise BadInput(f'--set "{word}": expected NAME=VALUE', "as in --set delay=50ms")
        changes[name.strip()] = value.strip()
    return changes


def _time(wish: Wish) -> float | None:
    if not wish.time:
        return None
    if not wish.changes and not wish.clear:
        raise BadInput("--for without --set or --clear: nothing to be undone", "as in --set loss=100% --for 10s")
    try:
        return parse_duration(wish.time)
    except ValueError as error:
        raise BadInput(f"--for: {error}") from error


def table(links: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the lines of a table for people."""
    width = max((len(one["direction"]) for one in links), default=0) + 2
    lines = []
    for one in links:
        does = " ".join(f"{name}={value}" for name, value in one["settings"].items()) or "plain"
        line = f"{one['direction']:<{width}}{does}"
        if one["way"] != "plain":
            line += f"  by {one['way']}"
        if one["until_s"] is not None:
            then = " ".join(f"{name}={value}" for name, value in one["lasting"].items()) or "plain"
            line += f"  for {one['until_s']:.0f} s more, then {then}"
        lines.append(line)
        found = [f"{finding['setting']} {finding['found']}" for finding in one["found"] if _telling(finding, one)]
        if found:
            lines.append(f"{'':<{width}}  found: {', '.join(found)}")
    return lines


def _telling(finding: Mapping[str, str], link: Mapping[str, Any]) -> bool:
    return finding["setting"] in link["settings"]
