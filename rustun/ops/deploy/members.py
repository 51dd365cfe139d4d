"""Two routes.json side by side: whose membership changes, and who notices."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from rustun.ops.deploy.records import Json

Kind = Literal["+", "~", "-"]
ENDED: Final = "its session ends"
MAY_COME: Final = "it may come"


@dataclass(frozen=True, slots=True)
class MemberChange:
    """One member that comes, changes or goes.

    Attributes:
        kind: + comes, ~ changes, - goes.
        what: changes about it.
        effect: who notices.
    """

    kind: Kind
    cluster: str
    identity: str
    what: str
    effect: str


def compare_routes(old: bytes | None, new: bytes) -> tuple[MemberChange, ...]:
    """Return how members change from one routes.json to another.

    Args:
        old: what is in force; None, or what nobody can read, for nothing.
        new: what will be, as generated.
    """
    before, after = _entries(old), _entries(new)
    sizes = Counter(entry["cluster"] for entry in after.values())
    gone = (entry for identity, entry in before.items() if identity not in after)
    return (*_changes(before, after, sizes), *(_removal(entry) for entry in gone))


def _entries(text: bytes | None) -> dict[str, Json]:
    try:
        found = json.loads(text or b"[]")
        return {entry["identity"]: entry for entry in found}
    except (ValueError, TypeError, KeyError, RecursionError):
        return {}


def _changes(before: Mapping[str, Json], after: Mapping[str, Json], sizes: Counter[str]) -> Iterator[MemberChange]:
    for identity, entry in after.items():
        peers = sizes[entry["cluster"]] - 1
        known = before.get(identity)
        if known is None:
            what = f"new, address {entry['private_ip']}"
            yield MemberChange("+", entry["cluster"], identity, what, f"{_count(peers, 'peer')} may reach it")
        elif known != entry:
            what, effects = _differences(known, entry, peers)
            yield MemberChange("~", entry["cluster"], identity, what, "; ".join(dict.fromkeys(effects)))


def _removal(entry: Json) -> MemberChange:
    key = ", key retired" if "public_key" in entry else ""
    return MemberChange("-", entry.get("cluster", ""), entry["identity"], "removed", f"{ENDED}{key}")


def _differences(old: Json, new: Json, peers: int) -> tuple[str, list[str]]:
    """Return what differs in words, and who notices."""
    what, effects = [], []
    for key in sorted({*old, *new}):
        before, after = old.get(key), new.get(key)
        if before == after:
            continue
        if key == "ciders":
            more, fewer = _only(after, before), _only(before, after)
            what += [f"{key} {sign} {' '.join(some)}" for sign, some in (("+", more), ("-", fewer)) if some]
            effects += ["session stays", *_route_effects(len(more), len(fewer), peers)]
        elif key == "public_key":
            kept = set(_listed(before)) & set(_listed(after))
            what.append(_keys_change(_listed(before), _listed(after)))
            effects.append("session stays" if kept else f"{ENDED} until it has the new key")
        elif key == "psk_file":
            what.append("another pre-shared key" if before and after else f"{'a' if after else 'no'} pre-shared key")
            effects.append(f"{ENDED} until its host has the same")
        elif key == "enabled":
            what.append("switched off" if after is False else "switched on")
            effects.append(ENDED if after is False else MAY_COME)
        elif key == "cluster":
            what.append(f"from cluster {before}")
            effects.append("its session begins anew")
        else:
            what.append(f"{key} {_shown(before)} -> {_shown(after)}")
            effects.append("session stays")
    return ", ".join(what), effects


def _keys_change(before: list[str], after: list[str]) -> str:
    if len(after) != len(before) and set(before) & set(after):
        return "a second key" if len(after) > len(before) else "the old key retired"
    return "the other key first" if set(before) == set(after) else "another key"


def _route_effects(more: int, fewer: int, peers: int) -> Iterator[str]:
    if peers and more:
        yield f"{_count(peers, 'peer')} {'gets' if peers == 1 else 'get'} {_count(more, 'route')}"
    if peers and fewer:
        yield f"{_count(peers, 'peer')} {'loses' if peers == 1 else 'lose'} {_count(fewer, 'route')}"


def _listed(value: object) -> list[str]:
    return [str(item) for item in value] if isinstance(value, list) else [] if value is None else [str(value)]


def _only(some: object, others: object) -> list[str]:
    return [item for item in _listed(some) if item not in _listed(others)]


def _shown(value: object) -> str:
    return "-" if value is None else str(value) if isinstance(value, (str, int)) else json.dumps(value)


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def summary(changes: Iterable[MemberChange]) -> str:
    """Return in one line how many members come, change and go."""
    kinds = Counter(change.kind for change in changes)
    words: tuple[tuple[Kind, str], ...] = (("+", "new"), ("~", "changed"), ("-", "removed"))
    return ", ".join(f"{kinds[kind]} {word}" for kind, word in words if kinds[kind]) or "no member changes"
