"""Files of an inventory -> one set of named tables, whichever file each stands in.

Rules of this module
  1. An inventory is one file, or a folder whose *.toml are read as one, in the order of their names.
  2. A table's path says what it is: (fleet), (cluster, C), (cluster, C, member, M), (tag, T), (lab, host, H). Each
     stands in one file only; the members of a cluster may be spread over files.
  3. Nothing is raised: what cannot be read is a problem, the rest is read.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from rustun.errors import Problem
from rustun.ops.fields import Problems, Table, TableReader, TomlFile, expected, nearest

MAX_FILE_BYTES: Final = 64 << 20  # of one inventory file; 10,000 members take about 2 MB
SECTIONS: Final = ("fleet", "cluster", "tag", "lab")

TablePath = tuple[str, ...]


def read_tables(path: Path, problems: Problems) -> dict[TablePath, TableReader]:
    """Return every table of an inventory by its path; empty when nothing could be read."""
    tables: dict[TablePath, TableReader] = {}
    for file, document in _documents(path, problems):
        for table_path, table in _tables(file, document, problems):
            if (first := tables.get(table_path)) is not None:
                reason = f"stands in {first.file.name}:{first.file.line_of(table_path)} as well"
                problems.add(file, table_path, reason, "keep one of the two")
            else:
                tables[table_path] = TableReader(file, table_path, table, problems)
    return tables


def _documents(path: Path, problems: Problems) -> Iterator[tuple[TomlFile, Table]]:
    """Yield every readable file with what tomllib makes of it."""
    files = sorted(path.glob("*.toml")) if path.is_dir() else [path]
    if not files:
        problems.found.append(Problem(str(path), 0, "", "no *.toml in this folder", "start from inventory/demo.toml"))
    for file in files:
        try:
            text = _read_text(file)
        except (OSError, ValueError) as error:
            problems.found.append(Problem(str(file), 0, "", f"cannot be read: {_reason(error)}"))
            continue
        try:
            yield TomlFile(str(file), text), tomllib.loads(text)
        except (ValueError, RecursionError) as error:
            problems.found.append(_syntax_problem(str(file), text, error))


def _read_text(file: Path) -> str:
    if (size := file.stat().st_size) > MAX_FILE_BYTES:
        raise ValueError(f"it has {size} bytes, at most {MAX_FILE_BYTES} are read")
    return file.read_bytes().decode()


def _reason(error: OSError | ValueError) -> str:
    if isinstance(error, UnicodeDecodeError):
        line = error.object[: error.start].count(b"\n") + 1
        return f"line {line} is no UTF-8 text"
    return error.strerror or str(error) if isinstance(error, OSError) else str(error)


def _syntax_problem(file: str, text: str, error: ValueError | RecursionError) -> Problem:
    """Name the line where TOML ends; a merge conflict is the likeliest cause and has its own words."""
    for number, line in enumerate(text.splitlines(), start=1):
        if line.startswith(("<<<<<<< ", ">>>>>>> ")):
            return Problem(file, number, "", "a merge conflict is left here", "keep one side and remove the marks")
    message, _, place = str(error).partition(" (at line ")
    line_number = int(place.partition(",")[0]) if place else 0
    return Problem(file, line_number, "", f"no TOML: {message}", "mend the line, or the one before it")


def _tables(file: TomlFile, document: Table, problems: Problems) -> Iterator[tuple[TablePath, Table]]:
    """Yield the tables that one document holds, each with its path."""
    for section, value in document.items():
        if section == "fleet":
            yield from _table(file, ("fleet",), value, problems)
        elif section == "cluster":
            for path, cluster in _children(file, ("cluster",), value, problems):
                if own := {key: entry for key, entry in cluster.items() if key != "member"}:
                    yield path, own
                yield from _children(file, (*path, "member"), cluster.get("member", {}), problems)
        elif section == "tag":
            yield from _children(file, ("tag",), value, problems)
        elif section == "lab":
            for _, lab in _table(file, ("lab",), value, problems):
                for key in lab.keys() - {"host"}:
                    problems.add(file, ("lab", key), "unknown key", nearest(key, ["host"]))
                yield from _children(file, ("lab", "host"), lab.get("host", {}), problems)
        else:
            problems.add(file, (section,), "unknown table", nearest(section, SECTIONS))


def _table(file: TomlFile, path: TablePath, value: object, problems: Problems) -> Iterator[tuple[TablePath, Table]]:
    if isinstance(value, dict):
        yield path, value
    else:
        problems.add(file, path, expected(value, "a table"), f"write it as [{'.'.join(path)}]")


def _children(file: TomlFile, path: TablePath, value: object, problems: Problems) -> Iterator[tuple[TablePath, Table]]:
    """Yield each table of a table of named tables."""
    for _, tables in _table(file, path, value, problems):
        for name, table in tables.items():
            yield from _table(file, (*path, name), table, problems)
