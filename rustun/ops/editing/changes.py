"""A change of one inventory file as data, applied to its text through tomlkit.

Rules of this module
  1. A change names tables and keys by their path. It is applied twice: to the text, whose comments and layout stay, and
     to plain values. Where the two disagree afterwards the text is not what was meant, and `EditError` says so.
  2. A new table follows those of its kind, with a blank line before and behind it. Nothing else of the text changes.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import tomlkit
from tomlkit.exceptions import TOMLKitError
from tomlkit.items import InlineTable, Table

from rustun.ops.ending import InputError
from rustun.printable import quoted

Path = tuple[str, ...]
HEADER: Final = re.compile(
    r"""^[ \t]*\[(?!\[)(?P<path>(?:[^\]"'#\n]|"(?:[^"\\\n]|\\.)*"|'[^'\n]*')+)\]""",  # a name may be quoted
    re.MULTILINE,
)
BLANK_END: Final = re.compile(r"(\r?\n)(?:\r?\n)+\Z")


class EditError(InputError):
    """The file cannot be edited as asked; nothing was written."""


@dataclass(frozen=True, slots=True)
class Put:
    """Set a key, or add a table where `value` is a mapping and `path` ends a table's path."""

    path: Path
    value: Any


@dataclass(frozen=True, slots=True)
class Drop:
    """Remove a key, or a table with all below it."""

    path: Path


@dataclass(frozen=True, slots=True)
class Rename:
    """Give a table another last name; its place in the file stays."""

    path: Path
    name: str


Change = Put | Drop | Rename


def apply(text: str, changes: Sequence[Change]) -> str:
    """Return the text of a file with changes made to it.

    Raises: EditError: a path is not there, or the text is not what was meant afterwards.
    """
    meant = tomllib.loads(text)
    for change in changes:
        _apply_plainly(meant, change)
        text = _renamed(text, change) if isinstance(change, Rename) else _edited(text, change)
    if tomllib.loads(text) != meant:
        remedy = "its tables are written in an order that the editor does not follow: edit it by hand"
        raise EditError("the file would not say what was asked for", remedy)
    return text


def _apply_plainly(values: dict[str, Any], change: Change) -> None:
    parent = values
    for name in change.path[:-1]:
        if name not in parent and isinstance(change, Put):
            parent[name] = {}
        parent = _child(parent, name, change.path)
    last = change.path[-1]
    match change:
        case Put():
            parent[last] = change.value
        case Drop():
            _child(parent, last, change.path)
            del parent[last]
        case Rename():
            _child(parent, last, change.path)
            parent[change.name] = parent.pop(last)


def _child(values: Any, name: str, path: Path) -> Any:
    if not isinstance(values, Mapping) or name not in values:
        raise EditError(f"{'.'.join(path)}: {quoted(name)} is not there", "look for it with ./invoke lint")
    return values[name]


def _edited(text: str, change: Put | Drop) -> str:
    try:
        document = tomlkit.parse(text)
        parent: Any = document
        for name in change.path[:-1]:
            if name not in parent:
                parent.add(name, tomlkit.table(is_super_table=True))
            parent = parent[name]
        last = change.path[-1]
        if isinstance(change, Drop):
            del parent[last]
            if _is_table(change.path):  # the blank line above the last one goes with it
                return BLANK_END.sub(r"\1", tomlkit.dumps(document))
        elif isinstance(change.value, Mapping) and not isinstance(parent.get(last), InlineTable):
            if _is_table(change.path):
                parent.add(last, _table(change.value))
                return _spaced(tomlkit.dumps(document), change.path)
            _put(parent, last, _inline(change.value))
        else:
            _put(parent, last, change.value)
        return tomlkit.dumps(document)
    except TOMLKitError as error:
        raise EditError(f"the editor cannot follow this file: {error}", "edit it by hand") from error


def _is_table(path: Path) -> bool:
    """Tell whether a path is that of a cluster, a member, a tag or a host of the lab, not of a key."""
    depths = {"fleet": (1,), "cluster": (2, 4), "tag": (2,), "lab": (3,)}
    return len(path) in depths.get(path[0], ())


def _put(parent: Any, key: str, value: Any) -> None:
    if key in parent and isinstance(value, list) and isinstance(parent[key], list):
        _change_list(parent[key], value)
    else:
        parent[key] = value


def _change_list(present: Any, wished: Sequence[Any]) -> None:
    """Make one list of another, item by item, so that comments between those that stay are kept."""
    for at in reversed(range(len(present))):
        if present[at] not in wished:
            del present[at]
    for value in wished:
        if value not in present:
            present.append(value)
    if list(present) != list(wished):
        present.clear()
        present.extend(wished)


def _table(values: Mapping[str, Any]) -> Table:
    table = tomlkit.table()
    for key, value in values.items():
        table.add(key, _inline(value) if isinstance(value, Mapping) else value)
    return table


def _inline(values: Mapping[str, Any]) -> InlineTable:
    table = tomlkit.inline_table()
    table.update(values)
    return table


def _spaced(text: str, path: Path) -> str:
    """Put a blank line before a table and behind it, where there is none."""
    headers = [found for found in HEADER.finditer(text) if _path_of(found["path"])]
    at = next((i for i, found in enumerate(headers) if _path_of(found["path"]) == path), None)
    if at is None:
        return text
    for header in reversed(headers[at : at + 2]):
        above = text[: header.start()]
        if above.strip() and not above.endswith(("\n\n", "\n\r\n")):
            text = f"{above}\n{text[header.start() :]}"
    return text


def _renamed(text: str, change: Rename) -> str:
    def header(found: re.Match[str]) -> str:
        path = _path_of(found["path"])
        if path[: len(change.path)] != change.path:
            return found[0]
        names = (*change.path[:-1], change.name, *path[len(change.path) :])
        return found[0].replace(f"[{found['path']}]", f"[{'.'.join(map(_key, names))}]")

    return HEADER.sub(header, text)


def _path_of(written: str) -> Path:
    """Return the names of a dotted header; none where it is no header at all, but a line of a list."""
    names: list[str] = []
    try:
        level: Any = tomllib.loads(f"[{written}]")
    except tomllib.TOMLDecodeError:
        return ()
    while level:
        ((name, level),) = level.items()
        names.append(name)
    return tuple(names)


def _key(name: str) -> str:
    return tomlkit.key(name).as_string() if name else '""'
