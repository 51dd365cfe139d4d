"""What differs between two states of routes.json: for people who are to confirm it, and for those who come too late.

Rules of this module
  1. Entries are told by identity, which stands once in a file; an entry that moved to another cluster changed.
  2. Values are shown of the fields that everybody may read (SHOWN); of other keys only that they differ.
  3. What is told is bounded: a list of changes by MAX_TOLD, a difference of lines by MAX_LINES.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Final, Literal

Values = Mapping[str, object]
# The seed's first, in its order; then ours. `psk_file` is a name on the server's disk: nobody else's business.
SHOWN: Final = (
    *("cluster", "identity", "name", "private_ip", "mask", "gateway", "ciders", "cider_mapping"),
    *("private_ip6", "public_key", "tier", "enabled", "expires_at"),
)
MAX_TOLD: Final = 100  # more than anybody reads before a click
CONTEXT: Final = 3  # lines around a change, as diff -u has them
MAX_COMPARED: Final = 4_000  # lines; beyond, what lies between the first and the last change is told as one block
MAX_LINES: Final = 2_000


@dataclass(frozen=True, slots=True)
class Change:
    """What happened to one entry; `fields` has (key, before, after) of what differs in one that was there before."""

    cluster: str
    identity: str
    kind: Literal["added", "removed", "changed"]
    fields: tuple[tuple[str, object, object], ...] = ()

    def told(self) -> dict[str, object]:
        """Return it as JSON has it."""
        fields = {key: {"before": before, "after": after} if key in SHOWN else {} for key, before, after in self.fields}
        return {"cluster": self.cluster, "identity": self.identity, "change": self.kind, "fields": fields}

    def __str__(self) -> str:
        keys = ", ".join(key for key, _, _ in self.fields)
        return f"{self.identity} {self.kind}" + (f" ({keys})" if keys else "")


def changes(before: Iterable[Values], after: Iterable[Values]) -> tuple[Change, ...]:
    """Return what leads from one list of entries to another: in the order of `after`, then who went."""
    left = {str(entry.get("identity")): entry for entry in before}
    found = []
    for entry in after:
        identity = str(entry.get("identity"))
        was = left.pop(identity, None)
        if was is None:
            found.append(Change(_cluster(entry), identity, "added"))
        elif was != entry:
            keys = [*was, *(key for key in entry if key not in was)]
            differing = ((key, was.get(key), entry.get(key)) for key in keys if was.get(key) != entry.get(key))
            found.append(Change(_cluster(entry), identity, "changed", tuple(differing)))
    found += [Change(_cluster(entry), identity, "removed") for identity, entry in left.items()]
    return tuple(found)


def _cluster(entry: Values) -> str:
    return str(entry.get("cluster", ""))


def in_words(found: tuple[Change, ...]) -> str:
    """Return changes in a line, the first few by name."""
    named = "; ".join(map(str, found[:3])) or "nothing but its spelling"
    return named + (f" and {len(found) - 3} more" if len(found) > 3 else "")


def line_difference(before: str, after: str, name: str) -> str:
    """Return what `diff -u` would show of two texts, cut after MAX_LINES; empty when they are the same."""
    old, new = before.split("\n"), after.split("\n")
    head = _common(old, new)
    tail = _common(old[head:][::-1], new[head:][::-1])
    if head == len(old) == len(new):
        return ""
    start = max(0, head - CONTEXT)
    old_part = old[start : len(old) - max(0, tail - CONTEXT)]
    new_part = new[start : len(new) - max(0, tail - CONTEXT)]
    lines = [f"--- {name}", f"+++ {name}"]
    for group in _groups(old_part, new_part, head - start):
        lines.append(_place(group, start))
        for tag, old_from, old_to, new_from, new_to in group:
            if tag == "equal":
                lines += [f" {line}" for line in old_part[old_from:old_to]]
                continue
            lines += [f"-{line}" for line in old_part[old_from:old_to]]
            lines += [f"+{line}" for line in new_part[new_from:new_to]]
    if len(lines) > MAX_LINES:
        lines = [*lines[:MAX_LINES], f"... and {len(lines) - MAX_LINES} lines more"]
    return "\n".join(lines) + "\n"


Opcode = tuple[str, int, int, int, int]


def _groups(old: list[str], new: list[str], head: int) -> Iterable[list[Opcode]]:
    """Return the opcodes of difflib, in groups with their context.

    Args:
        head: how many lines both have before the first change.
    """
    if len(old) + len(new) <= MAX_COMPARED:
        return SequenceMatcher(None, old, new).get_grouped_opcodes(CONTEXT)
    tail = _common(old[head:][::-1], new[head:][::-1])
    old_end, new_end = len(old) - tail, len(new) - tail
    equal_before: Opcode = ("equal", 0, head, 0, head)
    equal_behind: Opcode = ("equal", old_end, len(old), new_end, len(new))
    return [[equal_before, ("replace", head, old_end, head, new_end), equal_behind]]


def _place(group: list[Opcode], start: int) -> str:
    old_from, old_to, new_from, new_to = group[0][1], group[-1][2], group[0][3], group[-1][4]
    return f"@@ -{_span(old_from + start, old_to - old_from)} +{_span(new_from + start, new_to - new_from)} @@"


def _span(first: int, length: int) -> str:
    """Return a range of lines as diff -u writes it: an empty one has the line before it."""
    return f"{first + 1 if length else first},{length}"


def _common(one: list[str], other: list[str]) -> int:
    """Return how many lines both begin with."""
    count = 0
    for first, second in zip(one, other, strict=False):
        if first != second:
            break
        count += 1
    return count
