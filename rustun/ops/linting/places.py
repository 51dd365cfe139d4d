"""Where the tables of an inventory stand: looked up for findings only, since most inventories have few."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

from rustun.config.files import decode, read_bytes
from rustun.config.lines import TomlLines
from rustun.errors import Problem
from rustun.ops.linting.finding import Finding
from rustun.ops.sources import MAX_INVENTORY_BYTES


class Places:
    """Finds the file and line of a table and of what stands in it.

    Args:
        path: of the inventory, a file or a folder that was read without an error.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    @cached_property
    def _files(self) -> list[tuple[str, TomlLines]]:
        files = sorted(self._path.glob("*.toml")) if self._path.is_dir() else [self._path]
        texts = ((str(file), decode(str(file), read_bytes(file, MAX_INVENTORY_BYTES))) for file in files)
        return [(file, TomlLines(text)) for file, text in texts]

    def problem(self, finding: Finding) -> Problem:
        """Return a finding with its place, for a screen."""
        path = (*finding.table, *((finding.key,) if finding.key else ()))
        file, lines = next(((file, lines) for file, lines in self._files if finding.table in lines), self._files[0])
        line = lines.line(path, finding.value or None)
        return Problem(file, line, ".".join(path), finding.reason, finding.remedy, finding.level)
