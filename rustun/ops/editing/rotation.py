"""Exchange key pairs without cutting anybody off: which step each owner of keys is at, and what the next one edits.

    step      in the inventory       who uses which key
    settled   key = 1                the old one
    prepared  key = [1, 2]           everybody knows both, the old one is in use
    switched  key = [2, 1]           everybody knows both, the new one is in use
    settled   key = 2                the new one; the old one is worth nothing

Rules of this module
  1. The inventory is the only record: where it says two numbers a rotation is under way, and the next call goes on with
     it, whoever calls.
  2. Between two steps every host has to get the files of the first (deploy): within a step the order of hosts does not
     matter. So a step is only taken when nothing is left to deploy of the one before.
  3. Those that are furthest behind take the next step; the others wait for them.
  4. Who brought a public key exchanges it by hand: public_key = ["OLD", "NEW"].
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from rustun.ops.editing.changes import Change, EditError, Put
from rustun.ops.editing.edits import find_member
from rustun.ops.editing.files import InventoryFiles
from rustun.ops.fleet import Inventory

Stage = Literal["settled", "prepared", "switched"]
STAGES: Final[tuple[Stage, ...]] = ("settled", "prepared", "switched")
STEPS: Final[Mapping[Stage, str]] = {"settled": "prepare", "prepared": "switch", "switched": "retire"}
Numbers = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Stand:
    """Where one owner of keys stands.

    Attributes:
        owner: identity of a member, or "servers".
        keys: numbers of its key pairs, the one in use first; none: it brought its own.
    """

    owner: str
    keys: Numbers

    @property
    def stage(self) -> Stage | None:
        """Its place in a rotation; None for who brought its own key."""
        return stage_of(self.keys) if self.keys else None


def stage_of(keys: Numbers) -> Stage:
    """Return where a pair of numbers stands in a rotation."""
    if len(keys) == 1:
        return "settled"
    return "prepared" if keys[0] < keys[1] else "switched"


def next_keys(keys: Numbers) -> Numbers:
    """Return the numbers after the next step."""
    match stage_of(keys):
        case "settled":
            return (keys[0], keys[0] + 1)
        case "prepared":
            return (keys[1], keys[0])
        case "switched":
            return (keys[0],)


def stands(inventory: Inventory) -> tuple[Stand, ...]:
    """Return where everybody stands: the servers first, then all members of the key tier."""
    own_servers = all(server.public_keys for server in inventory.servers)
    servers = Stand("servers", () if own_servers else inventory.server_key)
    keyed = (member for member in inventory.members if str(inventory.tier_of(member)) == "key")
    members = (Stand(one.identity, () if one.public_keys else one.settings.key or ()) for one in keyed)
    return (servers, *members)


def chosen(inventory: Inventory, members: Sequence[str]) -> tuple[Stand, ...]:
    """Return the stands that a rotation is about: those members, or everybody. Raises: EditError: no such member."""
    found = stands(inventory)
    if not members:
        return found
    by_owner = {stand.owner: stand for stand in found[1:]}
    for identity in members:
        if identity not in by_owner:
            raise EditError(
                f"{identity} has no key pair here", "name a member of the key tier: ./invoke rotate-keys --show"
            )
        if not by_owner[identity].keys:
            remedy = 'its owner adds the new one: public_key = ["OLD", "NEW"]'
            raise EditError(f"{identity} brought its own public key", remedy)
    return tuple(by_owner[identity] for identity in members)


def due(found: Sequence[Stand]) -> Stage | None:
    """Return the stage that is furthest behind; None where nobody has generated keys."""
    stages = {stand.stage for stand in found}
    return next((stage for stage in STAGES if stage in stages), None)


def step(files: InventoryFiles, inventory: Inventory, members: Sequence[str]) -> InventoryFiles:
    """Return the inventory's files after the next step of those members, or of everybody.

    Raises: EditError: there is nothing to exchange, or a member is not there.
    """
    stage = due(chosen(inventory, members))
    if stage is None:
        raise EditError("nobody here has a key pair that gen-config made", "those who brought one exchange it by hand")
    if members:
        for stand in chosen(inventory, members):
            if stand.stage == stage:
                file, path = find_member(files, stand.owner)
                files = files.changed(file, [Put((*path, "key"), _written(next_keys(stand.keys)))])
        return files
    for file in files.tables():
        files = files.changed(file, list(_fleet_changes(files.values(file), inventory, stage)))
    return files


def _fleet_changes(values: Mapping[str, Any], inventory: Inventory, stage: Stage) -> Iterator[Change]:
    """Yield the changes of one file: each table that says `key`, and the fleet's own, which may leave it out."""
    if "fleet" in values:
        own_servers = all(server.public_keys for server in inventory.servers)
        if not own_servers and stage_of(inventory.server_key) == stage:
            yield Put(("fleet", "server_key"), _written(next_keys(inventory.server_key)))
        yield from _table_change(("fleet",), values["fleet"], stage, (1,))
    for tag, table in values.get("tag", {}).items():
        yield from _table_change(("tag", tag), table, stage)
    for cluster, table in values.get("cluster", {}).items():
        yield from _table_change(("cluster", cluster), table, stage)
        for identity, keys in table.get("member", {}).items():
            yield from _table_change(("cluster", cluster, "member", identity), keys, stage)


def _table_change(
    path: tuple[str, ...], table: Mapping[str, Any], stage: Stage, default: Numbers | None = None
) -> Iterator[Change]:
    written = table.get("key", default)
    if written is None:
        return
    keys = tuple(written) if isinstance(written, list | tuple) else (written,)
    if stage_of(keys) == stage:
        yield Put((*path, "key"), _written(next_keys(keys)))


def _written(keys: Numbers) -> int | list[int]:
    return keys[0] if len(keys) == 1 else list(keys)
