"""Every rule over an inventory, what was accepted earlier left out.

Rules of this module
  1. Errors of reading come first: what contradicts itself is not judged further.
  2. A baseline holds accepted findings, a line each: rule, table and key, value. Errors cannot be accepted. A line that
     no finding needs any more is said, so that the baseline does not rot.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rustun.config.files import decode, read_bytes
from rustun.config.findings import config_error
from rustun.durable import replace_file
from rustun.errors import Level, Problem
from rustun.ops.fleet import Inventory
from rustun.ops.linting import prefixes, trust
from rustun.ops.linting.finding import Finding
from rustun.ops.linting.places import Places

MAX_BASELINE_BYTES: Final = 4 << 20
LEVELS: Final[tuple[Level, ...]] = ("error", "warning", "note")
HEADER: Final = "# Findings of ./invoke lint that were looked at and accepted. One a line; # begins a comment.\n"


@dataclass(frozen=True, slots=True)
class Judgement:
    """What came of all rules: findings that count, how many were accepted, and lines of the baseline without a use."""

    problems: tuple[tuple[str, Problem], ...]
    accepted: int
    unused: tuple[str, ...]

    @property
    def worst(self) -> Level | None:
        """The worst level that was found."""
        found = {problem.level for _, problem in self.problems}
        return next((level for level in LEVELS if level in found), None)


def baseline_file(path: Path) -> Path:
    """Return where the baseline of an inventory is: in its folder, or beside its file."""
    return path / "lint.baseline" if path.is_dir() else path.with_suffix(".baseline")


def findings(inventory: Inventory, folder: Path, now: dt.datetime) -> Iterator[Finding]:
    """Yield what every rule finds.

    Args:
        folder: of the generated files; keys are judged where there are some.
        now: in UTC.
    """
    yield from prefixes.nested_prefixes(inventory)
    yield from prefixes.cluster_network_covered(inventory)
    yield from prefixes.server_covered(inventory)
    yield from prefixes.connected_lans(inventory)
    yield from prefixes.refused_networks(inventory)
    yield from prefixes.public_prefixes(inventory)
    yield from trust.low_tiers(inventory)
    yield from trust.expiring(inventory, now)
    yield from trust.keys(inventory, folder, now)
    yield from trust.pre_shared_keys(inventory, folder)
    yield from trust.leftovers(inventory)


def judge(path: Path, inventory: Inventory, folder: Path, now: dt.datetime) -> Judgement:
    """Judge an inventory. Raises: ConfigError: its baseline cannot be read."""
    places, accepted = Places(path), _read_baseline(baseline_file(path))
    problems: list[tuple[str, Problem]] = [("inventory", note) for note in inventory.notes]
    used: set[str] = set()
    for finding in findings(inventory, folder, now):
        if finding.level != "error" and finding.signature in accepted:
            used.add(finding.signature)
        else:
            problems.append((finding.rule, places.problem(finding)))
    problems.sort(key=lambda found: (found[1].file, found[1].line))
    return Judgement(tuple(problems), len(used), tuple(sorted(accepted - used)))


def _read_baseline(path: Path) -> frozenset[str]:
    if not path.exists():
        return frozenset()
    lines = decode(str(path), read_bytes(path, MAX_BASELINE_BYTES)).splitlines()
    if marks := [number for number, line in enumerate(lines, 1) if line.startswith(("<<<<<<<", "=======", ">>>>>>>"))]:
        raise config_error(str(path), "holds the marks of a merge", "keep the lines of both sides", marks[0])
    return frozenset(words for line in lines if (words := " ".join(line.partition("#")[0].split())))


def accept(path: Path, found: Sequence[Finding]) -> int:
    """Write a baseline with all findings but errors; return how many. Raises: OSError."""
    lines = sorted({finding.signature for finding in found if finding.level != "error"})
    replace_file(baseline_file(path), (HEADER + "".join(f"{line}\n" for line in lines)).encode())
    return len(lines)
