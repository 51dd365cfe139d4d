"""Tests against the kernel as scenarios: each file is one, and each of its tests is a step.

Rules of this module
  1. What acts on a host's network by the runtime's own modules stays a test, in tests/netlab; here stands which of
     these files people can run by name. What is shown of them is read from the files; nothing of them is imported.
  2. The first line of a file's docstring says what it shows; lines in it that are drawn are the picture; the name of a
     test is what it does.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from inspect import cleandoc
from pathlib import Path
from typing import Final

from netlab.processes import CHECKOUT

FOLDER: Final = CHECKOUT / "tests" / "netlab"
STEMS: Final = (
    "tun",
    "host_network",
    "network_monitor",
    "gateway",
    "gateway_host",
    "mapping",
    "exit",
    "host_shared",
    "host_mishaps",
    "host_crash",
    "crash_restored",
    "crash_kill_switch",
    "cleanup",
    "dry_run",
    "refusals",
    "strangers",
    "seed_examples",
    "nat",
    "isolation_faults",
)
ROWS: Final = re.compile(r"\bRows? (\d+)(?:(?: and|,) (\d+))*")
DRAWN: Final = "    "  # begins each line of a picture


@dataclass(frozen=True, slots=True)
class KernelTests:
    """The tests of one file; what is not said here is as in Scenario.

    Attributes:
        file: of the tests.
        tests: their names, in the order of the file.
    """

    name: str
    shows: str
    picture: str
    rows: str
    file: Path
    tests: tuple[str, ...]

    @property
    def words(self) -> tuple[str, ...]:
        """All that is done, a line each."""
        return tuple(f"{name.removeprefix('test_').replace('_', ' ').capitalize()}." for name in self.tests)


def read(file: Path) -> KernelTests:
    """Return what a file of tests says of itself."""
    tree = ast.parse(file.read_text())
    tests = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")]
    said = ast.get_docstring(tree, clean=False) or ""
    documented = (said, *(ast.get_docstring(test) or "" for test in tests))
    rows = {int(row) for text in documented for row in _rows(text)}
    return KernelTests(
        name=file.stem.removeprefix("test_").replace("_", "-"),
        shows=said.partition("\n")[0],
        picture=cleandoc("\n" + "\n\n".join(filter(_is_drawn, said.split("\n\n")))),
        rows=", ".join(map(str, sorted(rows))),
        file=file,
        tests=tuple(node.name for node in tests),
    )


def _is_drawn(block: str) -> bool:
    lines = [line for line in block.splitlines() if line]
    return bool(lines) and all(line.startswith(DRAWN) for line in lines)


def _rows(text: str) -> Iterator[str]:
    for found in ROWS.finditer(text):
        yield from re.findall(r"\d+", found[0])
