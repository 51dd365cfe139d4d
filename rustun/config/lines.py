"""Find the line of a key in a TOML file; tomllib does not keep it.

Used on the way to an error message only. The scan knows headers, keys and multi-line strings; a key inside an inline
table or an array is found as the first line, from its outermost key on, where the key or the offending value stands.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Final

_HEADER: Final = re.compile(r"\s*\[\[?\s*([^\[\]]+?)\s*\]\]?\s*(#.*)?$")
_KEY: Final = re.compile(
    r"""\s*((?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*'))*)\s*="""
)
_PART: Final = re.compile(r"""[A-Za-z0-9_-]+|"[^"]*"|'[^']*'""")

Path = tuple[str, ...]


def toml_line(text: str, path: Path, value: object = None) -> int:
    """Return the line, from 1, of the key at `path`; 0 when neither it nor a table around it stands in `text`.

    Args:
        text: the whole file.
        path: names from the outermost table to the key.
        value: what is wrong there; a text is looked for behind the key, since a list may span lines.
    """
    best, best_line = 0, 0
    for line, found in _keys(text):
        depth = _common(found, path)
        if depth == len(found) and depth > best:
            best, best_line = depth, line
    if not best_line:
        return 0
    wanted = path[best:][-1:] if best < len(path) else ()
    return _refine(text, best_line, wanted, value)


def _common(found: Path, path: Path) -> int:
    depth = 0
    for left, right in zip(found, path, strict=False):
        if left != right:
            break
        depth += 1
    return depth


def _refine(text: str, first: int, wanted: Path, value: object) -> int:
    spellings = [json.dumps(value, ensure_ascii=False), f"'{value}'"] if isinstance(value, str) else []
    lines = text.split("\n")[first - 1 :]
    for pattern in (spellings, list(wanted)):
        for offset, line in enumerate(lines):
            if offset and (_HEADER.match(line) or (_KEY.match(line) and not wanted)):
                break
            if any(spelling in line for spelling in pattern):
                return first + offset
    return first


def _keys(text: str) -> Iterator[tuple[int, Path]]:
    table: Path = ()
    fence = ""
    for number, line in enumerate(text.split("\n"), start=1):
        if fence:
            fence = "" if fence in line else fence
            continue
        header = _HEADER.match(line)
        if header:
            table = _split(header[1])
            yield number, table
            continue
        key = _KEY.match(line)
        if key:
            yield number, table + _split(key[1])
            rest = line[key.end() :].lstrip()
            fence = next((mark for mark in ('"""', "'''") if rest.startswith(mark) and rest.count(mark) == 1), "")


def _split(dotted: str) -> Path:
    return tuple(part.strip("\"'") for part in _PART.findall(dotted))
