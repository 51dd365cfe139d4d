"""Text that somebody else wrote, made safe to show: one line, no terminal codes, no reordering, bounded."""

from __future__ import annotations

from typing import Final

CUT_MARK: Final = "..."


def printable(text: str, limit: int = 64) -> str:
    """Return `text` with everything escaped that is not a visible character or a space.

    Escaped as in Python source: control characters (so newlines and ANSI codes), bidirectional and zero-width format
    characters, lone surrogates, unassigned code points. Applying it twice changes nothing more.

    Args:
        text: anything.
        limit: greatest length of the result in characters, at least 4; longer text is cut and ends in "...".
    """
    if len(text) <= limit and text.isprintable():
        return text
    escaped = "".join(_escape(character) for character in text[: limit + 1])
    return escaped if len(escaped) <= limit else escaped[: limit - len(CUT_MARK)] + CUT_MARK


def _escape(character: str) -> str:
    if character.isprintable():
        return character
    code = ord(character)
    if code <= 0xFF:  # noqa: PLR2004
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"  # noqa: PLR2004
