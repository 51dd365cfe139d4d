"""What an operator asks for, as changes of the inventory's files: members and clusters come, change, and go.

Rules of this module
  1. Each function takes the files and returns them changed; nothing is written here.
  2. A member stands in one table of one file. A new one goes where its cluster's last member stands.
  3. Who is renamed keeps addresses and keys, and whoever names it (`exit_node`, `[lab]`) is told the new name.
"""

from __future__ import annotations

import shlex
import tomllib
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rustun.config.findings import suggestion
from rustun.config.lines import TomlLines
from rustun.errors import Problem
from rustun.ops.editing.changes import Change, Drop, EditError, Put, Rename
from rustun.ops.editing.files import InventoryFiles
from rustun.ops.lab import naming
from rustun.ops.recorded import lock_file
from rustun.printable import quoted

LISTS: Final = frozenset(("ciders", "tags", "accept_routes"))
MAPPINGS: Final = frozenset(("cider_mapping",))
TEXTS: Final = frozenset(("name", "address", "address6", "ssh", "exit_node", "names", "tier"))


@dataclass(frozen=True, slots=True)
class Assignment:
    """One `KEY=VALUE`: set a key, or add values to a list, or take some out of it."""

    key: str
    values: tuple[str, ...]
    how: str = "set"  # set, add or remove


def assignment(text: str, how: str = "set") -> Assignment:
    """Return what `KEY=VALUE` says; lists and mappings are written with commas. Raises: EditError: no such form."""
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise EditError(f"{quoted(text)} is not KEY=VALUE", "as in --set ciders=192.168.1.0/24,192.168.2.0/24")
    return Assignment(key.strip(), tuple(part.strip() for part in value.split(",") if part.strip()), how)


def add_cluster(files: InventoryFiles, name: str, keys: Sequence[Assignment]) -> InventoryFiles:
    """Add a cluster: to the file, or as a file of its own in the folder."""
    if files.holders("cluster", name):
        raise EditError(f"cluster {quoted(name)} is there already", "edit-member and add-member change what is in it")
    if not any(one.key == "network" for one in keys):  # reading would take the empty table for none at all
        raise EditError(f"cluster {quoted(name)} has no network", "as in --set network=10.0.3.0/24")
    file = files.path
    if files.path.is_dir():
        file = files.path / f"{name}.toml"
        if file in files.before or "/" in name or name.startswith("."):
            raise EditError(f"{file} cannot be made for cluster {quoted(name)}", "write the cluster by hand")
    return files.changed(file, [Put(("cluster", name), _with({}, keys))])


def add_member(files: InventoryFiles, cluster: str, identity: str, keys: Sequence[Assignment]) -> InventoryFiles:
    """Add a member behind the others of its cluster."""
    if found := _find(files, identity):
        raise EditError(
            f"member {quoted(identity)} is there already, in {found[0]}", "identities are unique: choose another"
        )
    holders = files.holders("cluster", cluster, "member") or files.holders("cluster", cluster)
    if not holders:
        names = {name for file in files.tables() for name in files.values(file).get("cluster", {})}
        remedy = suggestion(cluster, names) if names else "add it: ./invoke add-cluster"
        raise EditError(f"there is no cluster {quoted(cluster)}", remedy)
    return files.changed(holders[-1], [Put(("cluster", cluster, "member", identity), _with({}, keys))])


def edit_member(
    files: InventoryFiles, identity: str, keys: Sequence[Assignment], unset: Sequence[str] = ()
) -> InventoryFiles:
    """Change keys of a member; those in `unset` are taken out."""
    file, path = find_member(files, identity)
    present = _at(files.values(file), path)
    changes: list[Change] = []
    for key in unset:
        if key not in present:
            raise EditError(f"member {quoted(identity)} has no {key}", suggestion(key, present))
        changes.append(Drop((*path, key)))
    wished = _with(present, keys)
    changes += [Put((*path, key), value) for key, value in wished.items() if present.get(key) != value]
    return files.changed(file, changes)


def remove_member(files: InventoryFiles, identity: str) -> InventoryFiles:
    """Take a member out."""
    file, path = find_member(files, identity)
    return files.changed(file, [Drop(path)])


def rename_member(files: InventoryFiles, identity: str, name: str) -> InventoryFiles:
    """Give a member another identity; the lock file keeps its addresses under the new one."""
    file, path = find_member(files, identity)
    if found := _find(files, name):
        raise EditError(f"member {quoted(name)} is there already, in {found[0]}", "choose another identity")
    lock = lock_file(files.path)  # first: who is cut off behind it can do the same again
    for cluster, given in files.values(lock).get("given", {}).items() if lock in files.before else ():
        if identity in given:
            addresses = Put(("given", cluster, name), given[identity])
            files = files.changed(lock, [Drop(("given", cluster, identity)), addresses])
    nodes = naming.nodes(map(files.values, files.tables()))
    files = files.changed(file, [Rename(path, name)])
    for one in files.tables():
        values = files.values(one)
        if changes := [_told(values, place, identity, name) for place in _references(values, identity, nodes)]:
            files = files.changed(one, changes)
    return files


def _told(values: Mapping[str, Any], place: tuple[str, ...], identity: str, name: str) -> Change:
    """Return the change by which what names a member names it by its new name."""
    present = _at(values, place)
    if isinstance(present, dict):
        return Rename(place, naming.renamed(place[-1], identity, name))
    if isinstance(present, list):
        return Put(place, [name if one == identity else one for one in present])
    return Put(place, name)


def references(files: InventoryFiles, identity: str) -> Iterator[Problem]:
    """Yield every place of the inventory that names a member, its own table apart, and the edit that ends it."""
    nodes = naming.nodes(map(files.values, files.tables()))
    for file in files.tables():
        values, lines = files.values(file), TomlLines(files.text(file))
        for path in _references(values, identity, nodes):
            if path[2:4] != ("member", identity):
                remedy = _freed(path, _at(values, path[:-1]))
                yield Problem(str(file), lines.line(path, identity), ".".join(path), f"is {quoted(identity)}", remedy)


def _freed(path: tuple[str, ...], table: Mapping[str, Any]) -> str:
    """Return what to do with a key that names a member, so that it does so no more."""
    if path[0] == "lab":
        return naming.freed(path)
    if "member" not in path[2:3]:
        return "name another exit node, or take the line out"
    with_it = " --unset kill_switch" if table.get("kill_switch") else ""
    return f"./invoke edit-member {shlex.quote(path[3])} --unset exit_node{with_it}, or --set exit_node=ANOTHER"


def _references(values: Mapping[str, Any], identity: str, nodes: Container[str]) -> Iterator[tuple[str, ...]]:
    """Yield the paths of keys that name a member; `nodes` are those that a laboratory makes of all files."""
    yield from naming.references(values, identity, nodes)
    levels: list[tuple[tuple[str, ...], Mapping[str, Any]]] = [(("fleet",), values.get("fleet", {}))]
    levels += [(("tag", tag), table) for tag, table in values.get("tag", {}).items()]
    for cluster, table in values.get("cluster", {}).items():
        levels.append((("cluster", cluster), table))
        levels += [(("cluster", cluster, "member", one), keys) for one, keys in table.get("member", {}).items()]
    yield from ((*path, "exit_node") for path, keys in levels if keys.get("exit_node") == identity)


def _find(files: InventoryFiles, identity: str) -> tuple[Path, tuple[str, ...]] | None:
    for file in files.tables():
        for cluster, table in files.values(file).get("cluster", {}).items():
            if identity in table.get("member", {}):
                return file, ("cluster", cluster, "member", identity)
    return None


def find_member(files: InventoryFiles, identity: str) -> tuple[Path, tuple[str, ...]]:
    """Return the file and the path of a member's table. Raises: EditError: there is no such member."""
    found = _find(files, identity)
    if found is None:
        clusters = [table for file in files.tables() for table in files.values(file).get("cluster", {}).values()]
        names = {name for table in clusters for name in table.get("member", {})}
        raise EditError(f"there is no member {quoted(identity)}", suggestion(identity, names) if names else "")
    return found


def _at(values: Mapping[str, Any], path: Sequence[str]) -> Any:
    for name in path:
        values = values[name]
    return values


def _with(present: Mapping[str, Any], keys: Sequence[Assignment]) -> dict[str, Any]:
    """Return the keys of a table with assignments carried out."""
    wished = dict(present)
    for one in keys:
        if one.how == "set":
            wished[one.key] = _value(one)
            continue
        if one.key in MAPPINGS:
            wished[one.key] = _changed_mapping(wished.get(one.key, {}), one)
        else:
            wished[one.key] = _changed_list(wished.get(one.key, []), one)
    return wished


def _changed_list(present: Any, one: Assignment) -> list[Any]:
    values = list(present) if isinstance(present, list) else [present]
    if one.how == "add":
        return values + [value for value in one.values if value not in values]
    if missing := next((value for value in one.values if value not in values), ""):
        raise EditError(
            f"{one.key} does not hold {quoted(missing)}", f"it holds {', '.join(map(str, values)) or 'nothing'}"
        )
    return [value for value in values if value not in one.values]


def _changed_mapping(present: Mapping[str, Any], one: Assignment) -> dict[str, Any]:
    if one.how == "add":
        return {**present, **_mapping(one)}
    keys = {value.partition("=")[0] for value in one.values}
    return {seen: real for seen, real in present.items() if seen not in keys}


def _mapping(one: Assignment) -> dict[str, str]:
    pairs = [value.partition("=") for value in one.values]
    if not all(equals for _, equals, _ in pairs):
        raise EditError(f"{one.key}: a mapping is SEEN=REAL", f"as in {one.key}=192.168.11.0/24=192.168.10.0/24")
    return {seen: real for seen, _, real in pairs}


def _value(one: Assignment) -> Any:
    """Return what a key is set to: a list or a mapping where it is one, else what TOML reads, else the text itself."""
    if one.key in LISTS:
        return list(one.values)
    if one.key in MAPPINGS:
        return _mapping(one)
    text = ",".join(one.values)
    if one.key in TEXTS:
        return text
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
