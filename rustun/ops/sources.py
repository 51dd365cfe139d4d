"""Files of an inventory -> one set of named tables, whichever file each stands in.

Rules of this module
  1. An inventory is one file, or a folder whose *.toml are read as one, in the order of their names.
  2. A table's path says what it is: (fleet), (cluster, C), (cluster, C, member, M), (tag, T), (lab), (lab, host, H).
     Each stands in one file only; the members of a cluster may be spread over files.
  3. Reading goes on after a problem; `Sources.finish` raises them all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar

from rustun.config.files import decode, read_bytes
from rustun.config.findings import Findings, config_error
from rustun.config.toml import Table, parse_toml
from rustun.errors import ConfigError, Problem
from rustun.ops.halves import in_halves

T = TypeVar("T")
MAX_INVENTORY_BYTES: Final = 64 << 20  # of one file; 10,000 members take about 2 MB
US_PER_BYTE: Final = 0.3  # to parse

LAB_TABLES: Final = ("host", "nat", "link", "matrix")  # of [lab]; its other keys are its own

TablePath = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Entry:
    """One table of the inventory and where it stands."""

    path: TablePath
    table: Table

    @property
    def name(self) -> str:
        """The last part of its path: the identity of a member, the name of anything else."""
        return self.path[-1]

    @property
    def place(self) -> str:
        """Its file and line, for messages about another entry."""
        return self.table.place


@dataclass(slots=True)
class Sources:
    """Everything that was read: tables by path, and what was found wrong per file."""

    entries: dict[TablePath, Entry] = field(default_factory=dict)
    findings: list[Findings] = field(default_factory=list)
    unreadable: list[Problem] = field(default_factory=list)

    def of_kind(self, *kind: str) -> Iterator[Entry]:
        """Yield the entries whose path is `kind` and one name."""
        depth = len(kind) + 1
        return (entry for path, entry in self.entries.items() if path[:-1] == kind and len(path) == depth)

    def take(self, read: Callable[[], T], instead: T) -> T:
        """Return what `read` returns; where it raises ConfigError, keep the problems and return `instead`."""
        try:
            return read()
        except ConfigError as error:
            self.unreadable += error.problems
            return instead

    def finish(self) -> tuple[Problem, ...]:
        """Return warnings and notes. Raises ConfigError with everything when one is an error."""
        found = (*self.unreadable, *(problem for findings in self.findings for problem in findings.all()))
        if any(problem.level == "error" for problem in found):
            raise ConfigError(found)
        return found


def read_sources(path: Path) -> Sources:
    """Read all files of an inventory; nothing is raised before `finish`, but OSError: they cannot be seen."""
    sources = Sources()
    files = sorted(file for file in path.iterdir() if file.name.endswith(".toml")) if path.is_dir() else [path]
    if not files:
        sources.unreadable.append(Problem(str(path), 0, "", "holds no *.toml", "start from inventory/demo.toml"))
    for root in in_halves(_read, files, _cost_us):
        if not isinstance(root, Table):
            sources.unreadable += root
            continue
        sources.findings.append(root.findings)
        for entry_path, table in _tables(root):
            _add(sources, Entry(entry_path, table))
    if ("fleet",) not in sources.entries and not sources.unreadable:
        problem = config_error(str(path), "is missing", 'write [fleet] with name = "..." and servers', key="fleet")
        sources.unreadable += problem.problems
    return sources


def _cost_us(file: Path) -> float:
    return US_PER_BYTE * file.stat().st_size if file.is_file() else 0.0


def _read(files: Sequence[Path]) -> list[Table | tuple[Problem, ...]]:
    """Return what each file says, its problems where it cannot be read."""
    found: list[Table | tuple[Problem, ...]] = []
    for file in files:
        try:
            found.append(parse_toml(str(file), decode(str(file), read_bytes(file, MAX_INVENTORY_BYTES))))
        except ConfigError as error:
            found.append(error.problems)
    return found


def _add(sources: Sources, entry: Entry) -> None:
    first = sources.entries.setdefault(entry.path, entry)
    if first is not entry:
        entry.table.report("", f"stands in {first.place} as well", "keep one of the two")


def _tables(root: Table) -> Iterator[tuple[TablePath, Table]]:
    """Yield the tables that one file holds, each with its path."""
    if "fleet" in root:
        yield ("fleet",), root.table("fleet")
    root.known("fleet")
    for name, cluster in _children(root.table("cluster")):
        members = cluster.table("member")
        if cluster.values.keys() - {"member"}:
            yield ("cluster", name), cluster
        for identity, member in _children(members):
            yield ("cluster", name, "member", identity), member
    for name, tag in _children(root.table("tag")):
        yield ("tag", name), tag
    yield from _lab_tables(root.table("lab"))
    root.close()


def _lab_tables(lab: Table) -> Iterator[tuple[TablePath, Table]]:
    for kind in ("host", "nat", "link"):
        named = lab.table(kind)
        for name, table in _children(named):
            if isinstance(named.values[name], dict):
                yield ("lab", kind, name), table
    if "matrix" in lab:
        yield ("lab", "matrix"), lab.table("matrix")
    if lab.values.keys() - LAB_TABLES:
        yield ("lab",), lab


def _children(table: Table) -> Iterator[tuple[str, Table]]:
    return ((name, table.table(name)) for name in table.values)
