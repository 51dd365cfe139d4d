"""Find the line of a key in a TOML file; tomllib does not keep it.

Used on the way to an error message only. The scan knows headers, keys and multi-line strings; a key inside an inline
table or an array is found as the first line, from its outermost key on, where the key or the offending value stands.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cached_property
from typing import Final

_HEADER: Final = re.compile(r"\s*\[\[?\s*([^\[\]]+?)\s*\]\]?\s*(#.*)?$")
_KEY: Final = re.compile(
    r"""\s*((?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*'))*)\s*="""
)
_PART: Final = re.compile(r"""[A-Za-z0-9_-]+|"[^"]*"|'[^']*'""")

Path = tuple[str, ...]


class TomlLines:
    """Where the keys of a TOML text stand; the text is looked through once, for the first question.

    Args:
        text: the whole file.
    """

    def __init__(self, text: str) -> None:
        self._text = text

    @cached_property
    def _lines(self) -> list[str]:
        return self._text.split("\n")

    @cached_property
    def _first(self) -> dict[Path, int]:
        """The first line of each key and table, from 1."""
        first: dict[Path, int] = {}
        for line, path in _keys(self._lines):
            first.setdefault(path, line)
        return first

    def __contains__(self, path: object) -> bool:
        return path in self._first

    def line(self, path: Path, value: object = None) -> int:
        """Return the line, from 1, of the key at `path`; 0 when neither it nor a table around or in it is there.

        Args:
            path: names from the outermost table to the key.
            value: what is wrong there; a text is looked for behind the key, since a list may span lines.
        """
        depth = next((depth for depth in range(len(path), 0, -1) if path[:depth] in self._first), 0)
        if not depth:  # nothing but a table in it is written: [a.b] makes a as well
            return next((line for known, line in self._first.items() if known[: len(path)] == path), 0)
        return self._refine(self._first[path[:depth]], path[depth:][-1:], value)

    def _refine(self, first: int, wanted: Path, value: object) -> int:
        spellings = [json.dumps(value, ensure_ascii=False), f"'{value}'"] if isinstance(value, str) else []
        for pattern in (spellings, list(wanted)):
            for number in range(first, len(self._lines) + 1):
                line = self._lines[number - 1]
                if number > first and (_HEADER.match(line) or (_KEY.match(line) and not wanted)):
                    break
                if any(spelling in line for spelling in pattern):
                    return number
        return first


def _keys(lines: list[str]) -> Iterator[tuple[int, Path]]:
    table: Path = ()
    fence = ""
    for number, line in enumerate(lines, start=1):
        if fence:
            fence = "" if fence in line else fence
            continue
        header = _HEADER.match(line) if "[" in line else None
        if header:
            table = _split(header[1])
            yield number, table
            continue
        key = _KEY.match(line) if "=" in line else None
        if key:
            yield number, table + _split(key[1])
            rest = line[key.end() :].lstrip()
            fence = next((mark for mark in ('"""', "'''") if rest.startswith(mark) and rest.count(mark) == 1), "")


def _split(dotted: str) -> Path:
    if dotted.isidentifier():  # as most keys are
        return (dotted,)
    return tuple(part.strip("\"'") for part in _PART.findall(dotted))
