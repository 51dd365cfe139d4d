"""A part of a fleet: the members that a limit names, so that a laboratory of it fits on this machine.

    --limit 'beijing,sh-*'         a cluster, and members by pattern
    --limit 'gateway'              a tag
    --limit 2                      two members of each cluster
    --limit 'beijing/*,3'          three members of one cluster

Rules of this module
  1. A pattern is held against identity, cluster/identity, cluster and tags. A number is how many of each cluster remain
     of those that are named: first those with LANs or an exit for others, then in the order of writing. The same limit
     takes the same members.
  2. The exit node of who is taken comes along: without it that member would reach nobody.
  3. Members that are switched off, or whose time is over, count as little as in the laboratory: not at all.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

from netlab.errors import BadInput, EnvironmentLacks
from netlab.spec import takes_part
from rustun.backends.process import allow_descriptors
from rustun.config.findings import nearest
from rustun.ops.fleet import Cluster, Inventory, Member

MEMBER_BYTES: Final = 36 << 20  # of memory that a client shares with nobody: 33 MB, and its namespace
SPARE_BYTES: Final = 512 << 20  # for the relay, the keeper, and whoever else works here
MEMBER_DESCRIPTORS: Final = 4  # of the laboratory: its namespace, its process, an echo, a cable that is impaired
SPARE_DESCRIPTORS: Final = 100
SHOWN_NAMES: Final = 8
MEMORY: Final = Path("/proc/meminfo")


@dataclass(frozen=True, slots=True)
class Sample:
    """What a limit takes of a fleet: an inventory with those members alone, and who was left out."""

    inventory: Inventory
    left_out: tuple[str, ...]

    def words(self) -> str:
        """Return it in a line; empty where nobody was left out."""
        if not self.left_out:
            return ""
        shown = ", ".join(self.left_out[:SHOWN_NAMES])
        more = f" and {len(self.left_out) - SHOWN_NAMES} more" if len(self.left_out) > SHOWN_NAMES else ""
        taken = len(_taking_part(self.inventory))
        return f"{taken} of {taken + len(self.left_out)} members; left out: {shown}{more}"


def sample(inventory: Inventory, limit: str) -> Sample:
    """Return the members that a limit names; all of them where it is empty. Raises BadInput: it names nobody."""
    words = [word.strip() for word in limit.split(",") if word.strip()]
    patterns = [word for word in words if not word.isdigit()]
    numbers = [int(word) for word in words if word.isdigit()]
    if not words:
        return Sample(inventory, ())
    if len(numbers) > 1 or numbers == [0]:
        words_found = f'--limit "{limit}": a number is how many members of each cluster, once, 1 or more'
        raise BadInput(words_found, "as in --limit 'beijing,3'")
    now = dt.datetime.now(dt.UTC)
    everybody = _taking_part(inventory)
    for pattern in patterns:
        if not any(_is_named(member, [pattern]) for member in everybody):
            raise BadInput(f'--limit: nobody who takes part is called "{pattern}"', _remedy(inventory, pattern))
    taken: set[str] = set()
    for cluster in inventory.clusters:
        named = [one for one in cluster.members if takes_part(one, now) and (not patterns or _is_named(one, patterns))]
        taken.update(member.identity for member in _first(named, cluster, numbers[0] if numbers else len(named)))
    taken.update(exit_node for member in everybody if member.identity in taken and (exit_node := _exit_of(member)))
    clusters = tuple(_part(cluster, taken) for cluster in inventory.clusters)
    left_out = tuple(member.identity for member in everybody if member.identity not in taken)
    return Sample(replace(inventory, clusters=tuple(one for one in clusters if one.members)), left_out)


def _taking_part(inventory: Inventory) -> list[Member]:
    now = dt.datetime.now(dt.UTC)
    return [member for member in inventory.members if takes_part(member, now)]


def _is_named(member: Member, patterns: Iterable[str]) -> bool:
    names = (member.identity, f"{member.cluster}/{member.identity}", member.cluster, *member.tags)
    return any(fnmatchcase(name, pattern) for name in names for pattern in patterns)


def _exit_of(member: Member) -> str:
    return member.settings.exit_node or ""


def _first(named: list[Member], cluster: Cluster, most: int) -> list[Member]:
    """Return the members of a cluster that a sample of it should not lack before any other (rule 1)."""
    exits = {_exit_of(member) for member in cluster.members}
    return sorted(named, key=lambda member: not (member.ciders or member.identity in exits))[:most]


def _part(cluster: Cluster, identities: set[str]) -> Cluster:
    return replace(cluster, members=tuple(member for member in cluster.members if member.identity in identities))


def _remedy(inventory: Inventory, pattern: str) -> str:
    if any(_is_named(member, [pattern]) for member in inventory.members):
        return "who is, is switched off, or has no time left"
    known = [name for cluster in inventory.clusters for name in (cluster.name, *(m.identity for m in cluster.members))]
    close = nearest(pattern, known)
    return f'did you mean "{close}"?' if close else "patterns of members, cluster/member, clusters and tags, by comma"


def need_room(inventory: Inventory, laboratories: int = 1) -> None:
    """Let this process hold all members, or raise EnvironmentLacks with a limit that would do.

    Args:
        laboratories: that are to be made of them at once.
    """
    descriptors = (allow_descriptors() - SPARE_DESCRIPTORS) // MEMBER_DESCRIPTORS
    room = min((_available_bytes() - SPARE_BYTES) // (MEMBER_BYTES * laboratories), descriptors)
    members = len(_taking_part(inventory))
    if members <= room:
        return
    remedy = "free some memory"
    if room >= 1:
        remedy = f"take a part of it: --limit {_fitting(inventory, room)}"
    raise EnvironmentLacks(f"this machine carries a laboratory of {max(room, 0)} members, not of {members}", remedy)


def _fitting(inventory: Inventory, room: int) -> str:
    """Return a limit by which at most `room` members remain: the most of each cluster, or some of the first one."""
    sizes = Counter(member.cluster for member in _taking_part(inventory))
    fitting = (most for most in range(1, room + 1) if sum(min(most, size) for size in sizes.values()) <= room)
    for number in range(max(fitting, default=0), 0, -1):  # exits for others come on top
        if len(_taking_part(sample(inventory, str(number)).inventory)) <= room:
            return str(number)
    return f"'{inventory.clusters[0].name}/*,{room}'"


def _available_bytes() -> int:
    lines: Iterator[list[str]] = (line.split() for line in MEMORY.read_text().splitlines())
    return next(int(words[1]) * 1024 for words in lines if words[0] == "MemAvailable:")
