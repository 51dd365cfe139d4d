"""One page of the handbook, and the few forms of Markdown that generated ones are made of.

Rules of this module
  1. Pages are Markdown as Sphinx reads it (MyST), with definition lists.
  2. Words that come from elsewhere, as help texts do, are text: only what stands in backticks there is code.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

_SPECIAL: Final = re.compile(r"([\\*_\[\]<>|#~$])")


@dataclass(frozen=True, slots=True)
class Page:
    """One generated page.

    Attributes:
        name: of its file, without the suffix.
        text: Markdown; its first line is its title.
        summary: one line about it.
        section: of the man page that is made of it; 0: none is.
        manual: what that man page is called; empty: as the page.
    """

    name: str
    text: str
    summary: str = ""
    section: int = 0
    manual: str = ""

    @property
    def title(self) -> str:
        """What a list of man pages calls it."""
        return self.manual or self.name


def prose(text: str) -> str:
    """Return Markdown that shows a text as it is, on one line; what stands in backticks is code."""
    parts = " ".join(text.split()).split("`")
    if len(parts) % 2 == 0:  # one backtick is without a partner
        return "\\`".join(_SPECIAL.sub(r"\\\1", part) for part in parts)
    return "`".join(part if number % 2 else _SPECIAL.sub(r"\\\1", part) for number, part in enumerate(parts))


def code(text: str) -> str:
    """Return a text as code within a line."""
    fence = "``" if "`" in text else "`"
    return f"{fence}{text}{fence}"


def block(text: str, language: str = "") -> str:
    """Return lines as a block of code."""
    return f"```{language}\n{text.rstrip()}\n```"


def definitions(pairs: Iterable[tuple[str, str]]) -> str:
    """Return a definition list of terms (shown as code) and Markdown about each."""
    return "\n\n".join(f"{code(term)}\n: {about or '(no words)'}" for term, about in pairs)


def document(*parts: str) -> str:
    """Return the parts of a page, those that are not empty, with a blank line between them."""
    return "\n\n".join(part for part in parts if part) + "\n"


def see_also(names: Iterable[tuple[str, str, int]]) -> str:
    """Return the last section of a man page; each name is that of a page, of its man page, and the section."""
    links = ", ".join(f"[{manual}({section})]({name}.md)" for name, manual, section in names)
    return f"## See also\n\n{links}"
