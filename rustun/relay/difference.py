"""What a new set of members changes, for log and audit: who, and in which keys of the entry; never in what values."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, fields
from typing import Final

from rustun.config.member import Member
from rustun.config.routes import RoutesFile

NAMED: Final = 50  # of each kind: what one looks at; a fleet of thousands has its files under version control
KEYS: Final = {  # attributes of Member that routes.json calls otherwise
    "public_keys": "public_key",
    "psk": "psk_file",  # another key in the same file
}


@dataclass(frozen=True, slots=True)
class Difference:
    """Identities that are members now, or are no more, and what has changed of the others, the first NAMED of each.

    Attributes:
        changed: keys of routes.json, by identity.
        unnamed: how many more there are of all three.
    """

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    changed: dict[str, tuple[str, ...]] = field(default_factory=dict)
    unnamed: int = 0


def difference(before: RoutesFile, after: RoutesFile, maybe: Collection[str]) -> Difference:
    """Return what differs between two sets, in the order of their files.

    Args:
        maybe: identities; of all others the entry is the same in both. Those behind the named ones are counted as they
            are, without a second look: to compare 10,000 entries would stop every packet for 20 ms.
    """
    old = {member.identity: member for member in before.members if member.identity in maybe}
    new = {member.identity: member for member in after.members if member.identity in maybe}
    added = [identity for identity in new if identity not in old]
    removed = [identity for identity in old if identity not in new]
    both = iter([identity for identity in new if identity in old])
    changed: dict[str, tuple[str, ...]] = {}
    for identity in both:
        if keys := changed_keys(old[identity], new[identity]):
            changed[identity] = keys
        if len(changed) == NAMED:
            break
    unnamed = sum(max(0, len(found) - NAMED) for found in (added, removed)) + sum(1 for _ in both)
    return Difference(tuple(added[:NAMED]), tuple(removed[:NAMED]), changed, unnamed)


def changed_keys(before: Member, after: Member) -> tuple[str, ...]:
    """Return the keys of routes.json in which two entries differ."""
    names = [one.name for one in fields(Member) if one.compare]
    found = [name for name in names if getattr(before, name) != getattr(after, name)]
    return tuple(dict.fromkeys(KEYS.get(name, name) for name in found))
