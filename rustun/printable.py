"""Show text that somebody else wrote, so that it can neither forge a line nor steer a terminal.

Rules of this module
  1. What leaves is one line of printable characters; everything else is escaped as in a Python literal.
  2. "Printable" is Unicode's: control characters, ANSI codes, bidirectional marks, zero-width characters and lone
     surrogates are not, and neither is any space but the plain one.
  3. Markup of other layers (rich, HTML) is text here; the layer that renders it escapes it.
  4. A key that somebody wrote in the place of something else is not quoted. Which of its halves it is, nobody can see.
"""

from __future__ import annotations

import re
from typing import Final

SHOWN_CHARACTERS: Final = 64  # enough to recognise an identity, short enough for one line of a log

# 32 bytes in Base64, also where the sign at its end is missing
_KEY: Final = re.compile(r"(?<![A-Za-z0-9+/])[A-Za-z0-9+/]{43}(=|(?![A-Za-z0-9+/]))")


def printable(text: str, limit: int = SHOWN_CHARACTERS) -> str:
    """Return `text` as one safe line.

    Args:
        text: anything, lone surrogates included.
        limit: characters of `text` that are shown, at least 1; the rest becomes "...".

    Returns: printable characters only, at most 10 per character shown (`\\U0001f600`), plus the dots.
    """
    shown, dots = (text, "") if len(text) <= limit else (text[:limit], "...")
    if not shown.isprintable():
        shown = "".join(character if character.isprintable() else _escaped(character) for character in shown)
    return shown + dots


def quoted(text: str, limit: int = SHOWN_CHARACTERS) -> str:
    """Return `text` as one safe line in double quotes; a key in it stays hidden."""
    return f'"{printable(without_keys(text), limit)}"'


def without_keys(text: str) -> str:
    """Return `text` with everything that looks like a key of 32 bytes in Base64 replaced."""
    return _KEY.sub("(a key)", text)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape", "surrogatepass").decode("ascii")
