"""A routes.json as it stands on the disk: its bytes, its entries as they are written, and where each of them stands.

Rules of this module
  1. Nothing is judged but what an edit needs: a list of objects, none of which says a key twice. Whether its members
     can be in force is for `rustun.config.parse_routes` to say.
  2. A state of the file is named by the digest of its bytes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rustun.config.files import MAX_ROUTES_BYTES, decode, read_bytes, too_long
from rustun.config.findings import config_error, describe
from rustun.config.json_entries import EntryCutter, JsonError, Span
from rustun.printable import quoted

BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class WrittenEntry:
    """One entry: its values as the file has them, and its place in the text."""

    values: dict[str, object]
    span: Span


@dataclass(frozen=True, slots=True)
class RoutesText:
    """One state of a routes.json.

    Attributes:
        path: what messages call it, and what `psk_file` is relative to.
        digest: SHA-256 of the bytes, in hex.
        text: without the byte order mark.
    """

    path: Path
    data: bytes
    digest: str
    text: str
    entries: tuple[WrittenEntry, ...]

    def __iter__(self) -> Iterator[dict[str, object]]:
        """Yield the values of each entry, in the file's order."""
        return (entry.values for entry in self.entries)

    def with_text(self, text: str) -> RoutesText:
        """Return the state that has another text. Raises: ConfigError: it is no list of members."""
        mark = BYTE_ORDER_MARK if self.data.startswith(BYTE_ORDER_MARK) else b""
        return cut_routes(self.path, mark + text.encode())


def cut_routes(path: Path, data: bytes) -> RoutesText:
    """Return the state of a file that has these bytes. Raises: ConfigError: it is no list of members."""
    file = str(path)
    if len(data) > MAX_ROUTES_BYTES:
        raise too_long(file, len(data), MAX_ROUTES_BYTES)
    text = decode(file, data)
    entries = []
    try:
        for entry in EntryCutter(text):
            if not isinstance(entry.value, dict):
                raise config_error(file, f"holds {describe(entry.value)}, not a member", "", entry.span.line)
            if entry.duplicates:
                twice = f"{quoted(entry.duplicates[0])} stands there more than once"
                raise config_error(file, twice, "keep one of them", entry.span.line)
            entries.append(WrittenEntry(entry.value, entry.span))
    except JsonError as error:
        raise config_error(file, error.reason, error.remedy, error.line) from None
    return RoutesText(path, data, hashlib.sha256(data).hexdigest(), text, tuple(entries))


def read_routes_text(path: Path) -> RoutesText:
    """Return a file's present state. Raises: ConfigError: not readable, or no list of members."""
    return cut_routes(path, read_bytes(path, MAX_ROUTES_BYTES))
