"""docs/troubleshooting.md: what it says that one sees is what the programs say."""

from __future__ import annotations

import ast
import errno
import os
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = ROOT / "docs" / "troubleshooting.md"
ANYTHING = "\0"  # what stands for a value in a message
VALUE = re.compile(r'\.\.\.|rustun0|/dev/net/tun|ip tuntap add|\b\d+\b|[":()]')


@cache
def messages() -> str:
    """Return all texts of the programs, one in a line, values replaced."""
    found = []
    for folder in ("rustun", "netlab"):
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.JoinedStr):
                    found.append("".join(_part(part) for part in node.values))
                elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                    found.append(node.value)
    found += [os.strerror(number) for number in errno.errorcode]
    return "\n".join(text.replace("\n", " ") for text in found)


def _part(part: ast.expr) -> str:
    return str(part.value) if isinstance(part, ast.Constant) else ANYTHING


def symptoms() -> Iterator[str]:
    """Yield what stands in backquotes in the first column of the table."""
    for line in DOCUMENT.read_text().splitlines():
        if line.startswith("| ") and not line.startswith("| what"):
            yield from re.findall(r"`([^`]+)`", line.split(" | ")[0])


@pytest.mark.parametrize("symptom", [one for one in symptoms() if not one.startswith(("./invoke", "rustun"))])
def test_what_one_sees_is_what_is_said(symptom: str) -> None:
    """Somebody looks up the message that he sees, and does not find it."""
    parts = [part.strip() for part in VALUE.split(symptom)]
    assert [part for part in parts if part not in messages()] == []
