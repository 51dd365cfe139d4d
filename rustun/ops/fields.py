"""Read typed values out of parsed TOML tables and collect every problem on the way.

Rules of this module
  1. Nothing is raised for a wrong value: a Problem is noted, a harmless default comes back, reading goes on. Whoever
     reads a file to its end looks at the problems then, so that the operator sees all of them at once.
  2. A problem says what was found and what was expected; an unknown key names the nearest known one.
  3. tomllib gives no line numbers. They are looked for in the text when the first problem is noted, so that the good
     path, where 10,000 members have to load within a second, does not pay for them.
"""

from __future__ import annotations

import datetime as dt
import difflib
import ipaddress
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final, TypeVar

from rustun.backends.base import Prefix
from rustun.errors import Level, Problem
from rustun.printable import printable

T = TypeVar("T")
Table = dict[str, object]

HEADER: Final = re.compile(r"^\s*\[\[?\s*(?P<key>[^\[\]]+?)\s*\]\]?\s*(#.*)?$")
ASSIGNMENT: Final = re.compile(r"^\s*(?P<key>(?:[A-Za-z0-9_.\- \t]|\"[^\"]*\"|'[^']*')+?)=")
KEY_PART: Final = re.compile(r"[A-Za-z0-9_-]+|\"[^\"]*\"|'[^']*'")
TYPE_NAMES: Final = {
    str: "text", bool: "true or false", int: "a whole number", float: "a number", list: "a list", dict: "a table",
    dt.date: "a date", dt.datetime: "a date and time", dt.time: "a time",
}  # fmt: skip


class TomlFile:
    """A file's name as messages show it, and its text."""

    def __init__(self, name: str, text: str) -> None:
        self.name = name
        self.text = text

    def line_of(self, path: tuple[str, ...]) -> int:
        """Return the line, from 1, of the key at `path`; its table's line, or 0, where the key does not stand there."""
        for length in range(len(path), 0, -1):
            if (line := self._lines.get(path[:length])) is not None:
                return line
        return 0

    @cached_property
    def _lines(self) -> dict[tuple[str, ...], int]:
        """Line by key. Multi-line strings that look like TOML may mislead it; only messages depend on it."""
        lines: dict[tuple[str, ...], int] = {}
        table: tuple[str, ...] = ()
        for number, line in enumerate(self.text.splitlines(), start=1):
            if (header := HEADER.match(line)) is not None:
                table = here = _key_parts(header["key"])
            elif (assignment := ASSIGNMENT.match(line)) is not None:
                here = table + _key_parts(assignment["key"])
            else:
                continue
            lines.setdefault(here, number)
        return lines


@dataclass(slots=True)
class Problems:
    """Everything found wrong so far, in the order in which it was found."""

    found: list[Problem] = field(default_factory=list)

    def add(
        self, file: TomlFile, path: tuple[str, ...], reason: str, remedy: str = "", *, level: Level = "error"
    ) -> None:
        """Note one problem of the key at `path`, a sequence of table names and the key."""
        self.found.append(Problem(file.name, file.line_of(path), ".".join(path), reason, remedy, level))

    @property
    def errors(self) -> tuple[Problem, ...]:
        """Those that make the input unusable, by file and line."""
        wrong = (problem for problem in self.found if problem.level == "error")
        return tuple(sorted(wrong, key=lambda problem: (problem.file, problem.line)))

    @property
    def notes(self) -> tuple[Problem, ...]:
        """Warnings and notes: worth knowing, no reason to stop."""
        return tuple(problem for problem in self.found if problem.level != "error")


def nearest(word: str, known: Iterable[str]) -> str:
    """Return the remedy that names the word's nearest known neighbour, or all of them where none is near."""
    choices = sorted(known)
    close = difflib.get_close_matches(word, choices, n=1, cutoff=0.6)
    return f"did you mean {close[0]}?" if close else f"known here: {', '.join(choices)}"


def type_name(value: object) -> str:
    """Return what a person calls the type of a TOML value."""
    return TYPE_NAMES.get(type(value), type(value).__name__)


def show(value: object) -> str:
    """Return a found value, short and safe to print."""
    return f'"{printable(value)}"' if isinstance(value, str) else printable(str(value))


def expected(value: object, wanted: str) -> str:
    """Return the sentence that names a found value, its type, and what should stand there."""
    return f"found {show(value)} ({type_name(value)}), expected {wanted}"


def parse_prefix(text: str) -> Prefix:
    """Return an IPv4 or IPv6 prefix in CIDR form. Raises ValueError whose text is the reason, a newline, the remedy."""
    try:
        return ipaddress.ip_network(text)
    except ValueError:
        pass
    try:
        interface = ipaddress.ip_interface(text)
    except ValueError:
        raise ValueError(f"{show(text)} is no address prefix\nwrite it like 192.168.1.0/24 or fd00:1::/64") from None
    host = f"{interface.ip}/{interface.max_prefixlen}"
    raise ValueError(f"{show(text)} has host bits set\ndid you mean {interface.network}, or {host}?")


class TableReader:
    """Reads one table key by key; `finish` names the keys that nobody asked for.

    Args:
        file: where the table stands.
        path: its dotted name, as a tuple.
        table: what tomllib made of it.
        problems: where problems go.
    """

    def __init__(self, file: TomlFile, path: tuple[str, ...], table: Table, problems: Problems) -> None:
        self.file = file
        self.path = path
        self.table = table
        self._problems = problems
        self._known: set[str] = set()

    def problem(self, key: str, reason: str, remedy: str = "", *, level: Level = "error") -> None:
        """Note a problem of one key; an empty key means the table itself."""
        self._problems.add(self.file, (*self.path, key) if key else self.path, reason, remedy, level=level)

    def text(self, key: str, *, required: bool = False) -> str:
        """Return a text without control characters; empty where it is missing or wrong."""
        value = self._get(key, str, required=required)
        if value is not None and not value.isprintable():
            self.problem(key, f"found {show(value)}, expected text without control characters")
            return ""
        return value or ""

    def choice(self, key: str, allowed: Iterable[str]) -> str | None:
        """Return one of the allowed words, or None."""
        value = self._get(key, str)
        if value is not None and value not in (words := sorted(allowed)):
            self.problem(key, f"found {show(value)}, expected one of {', '.join(words)}", nearest(value, words))
            return None
        return value

    def flag(self, key: str) -> bool | None:
        """Return true, false, or None."""
        return self._get(key, bool)

    def integer(self, key: str, lowest: int, highest: int) -> int | None:
        """Return a whole number within the bounds, both included, or None."""
        value = self._get(key, int)
        if value is not None and not lowest <= value <= highest:
            self.problem(key, f"found {value}, expected {lowest} to {highest}")
            return None
        return value

    def items(self, key: str) -> list[object] | None:
        """Return a list of anything, or None."""
        return self._get(key, list)

    def parsed(self, key: str, parse: Callable[[str], T], *, required: bool = False) -> T | None:
        """Return what `parse` makes of a text, or None; its ValueError holds the reason, a newline and the remedy."""
        value = self._get(key, str, required=required)
        return None if value is None else self._parse(key, value, parse)

    def parsed_list(self, key: str, parse: Callable[[str], T]) -> tuple[T, ...] | None:
        """Return what `parse` makes of every text of a list, leaving out the wrong ones, or None."""
        values = self.items(key)
        if values is None:
            return None
        found = (self._parse(key, value, parse) for value in values)
        return tuple(value for value in found if value is not None)

    def parsed_table(self, key: str, parse: Callable[[str], T]) -> tuple[tuple[T, T], ...]:
        """Return a table of texts as pairs, both sides parsed, leaving out the wrong ones."""
        pairs: list[tuple[T, T]] = []
        for left, right in (self._get(key, dict) or {}).items():
            parsed = self._parse(key, left, parse), self._parse(key, right, parse)
            if parsed[0] is not None and parsed[1] is not None:
                pairs.append((parsed[0], parsed[1]))
        return tuple(pairs)

    def moment(self, key: str) -> dt.datetime | None:
        """Return a point in time in UTC; a bare date means its first moment."""
        self._known.add(key)
        value = self.table.get(key)
        if value is None:
            return None
        if isinstance(value, dt.datetime):
            if value.tzinfo is not None:
                return value.astimezone(dt.UTC)
            self.problem(key, f"found {value}, a time without a zone", f"write {value.isoformat()}Z for UTC")
        elif isinstance(value, dt.date):
            return dt.datetime(value.year, value.month, value.day, tzinfo=dt.UTC)
        else:
            self.problem(key, expected(value, "a date"), "write it like 2027-06-30, without quotes")
        return None

    def finish(self) -> None:
        """Note every key of the table that was not asked for."""
        for key in self.table.keys() - self._known:
            self.problem(key, "unknown key", nearest(key, self._known))

    def _get(self, key: str, kind: type[T], *, required: bool = False) -> T | None:
        self._known.add(key)
        value = self.table.get(key)
        if value is None:
            if required:
                self.problem(key, "missing", f"add {key} = ... here")
            return None
        if type(value) is kind:  # not isinstance: true is an int to Python
            return value
        self.problem(key, expected(value, TYPE_NAMES[kind]))
        return None

    def _parse(self, key: str, value: object, parse: Callable[[str], T]) -> T | None:
        if not isinstance(value, str):
            self.problem(key, expected(value, "text"))
            return None
        try:
            return parse(value)
        except ValueError as error:
            reason, _, remedy = str(error).partition("\n")
            self.problem(key, reason, remedy)
            return None


def _key_parts(dotted: str) -> tuple[str, ...]:
    return tuple(part.strip("\"'") for part in KEY_PART.findall(dotted))
