"""Collect everything that is wrong with a file, so that its reader mends it in one go.

Rules of this package
  1. A loader returns a frozen record or raises ConfigError with every problem of the file, never only the first.
  2. A converter (text to address, prefix, key ...) raises Complaint: what is wrong and what to do. It knows neither
     file nor line; whoever called it adds them.
  3. Every reason names what was found; every remedy is something that can be typed.
  4. What a file says is shown through `printable`; a key or any other secret is never shown at all.
"""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterable
from itertools import chain
from typing import Final

from rustun.errors import ConfigError, Level, Problem
from rustun.printable import SHOWN_CHARACTERS, quoted

MIN_BEGINNING: Final = 3  # characters that tell which word was begun
MAX_PROBLEMS: Final = 1000  # per file and level: more than anybody reads, little enough to keep


class Complaint(Exception):
    """One value cannot be used; `reason` and `remedy` as in errors.Problem."""

    def __init__(self, reason: str, remedy: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.remedy = remedy


class Findings:
    """The problems of one file, in the order of their lines once they are handed out.

    Attributes:
        file: how the file is called in messages.
        errors_only: warnings and notes are left out; for who would not look at them.
    """

    def __init__(self, file: str) -> None:
        self.file = file
        self.errors_only = False
        self._kept: dict[Level, list[Problem]] = {"error": [], "warning": [], "note": []}
        self._left_out: Counter[Level] = Counter()

    def add(self, line: int, key: str, reason: str, remedy: str = "", level: Level = "error") -> None:
        """Remember one problem; of each level at most MAX_PROBLEMS are kept, of the others their number."""
        if self.leaves_out(level):
            return
        if self.full(level):
            self._left_out[level] += 1
        else:
            self._kept[level].append(Problem(self.file, line, key, reason, remedy, level))

    def leaves_out(self, level: Level) -> bool:
        """Whether problems of this level are not wanted."""
        return self.errors_only and level != "error"

    def full(self, level: Level) -> bool:
        """Whether another problem of this level is only counted; then no line need be looked for."""
        return len(self._kept[level]) >= MAX_PROBLEMS

    def take(self, other: Findings) -> None:
        """Add the problems of another place, under that place's name."""
        for level, problems in other._kept.items():
            self._kept[level] += problems

    @property
    def failed(self) -> bool:
        """Whether an error is among them."""
        return bool(self._kept["error"])

    def all(self) -> tuple[Problem, ...]:
        """Return every problem, first lines first; the whole file's (line 0) lead."""
        found = sorted(chain.from_iterable(self._kept.values()), key=lambda problem: problem.line)
        for level, count in self._left_out.items():
            found.append(Problem(self.file, 0, "", f"{count} more of these", "mend the others first", level))
        return tuple(found)

    def finish(self) -> tuple[Problem, ...]:
        """Return the warnings and notes. Raises ConfigError with everything when an error is among them."""
        if self.failed:
            raise ConfigError(self.all())
        return self.all()


def config_error(file: str, reason: str, remedy: str = "", line: int = 0, key: str = "") -> ConfigError:
    """Return the error for a file with one problem that hides all others."""
    return ConfigError((Problem(file, line, key, reason, remedy),))


def nearest(word: str, known: Iterable[str], likeness: float = 0.6) -> str | None:
    """Return the known word that `word` most likely was meant to be, or None when none is as like it (0 to 1)."""
    close = difflib.get_close_matches(word[:SHOWN_CHARACTERS].lower(), sorted(known), n=1, cutoff=likeness)
    return close[0] if close else None


def suggestion(word: str, known: Iterable[str]) -> str:
    """Return the remedy for an unknown word: the nearest known one, else the one that it begins, else all of them."""
    names = sorted(known)
    longer = [name for name in names if len(word) >= MIN_BEGINNING and name.startswith(word)]
    close = nearest(word, names) or (longer[0] if len(longer) == 1 else None)
    return f"did you mean {close}?" if close else f"known here: {', '.join(names)}"


def describe(value: object) -> str:
    """Return a value of a TOML or JSON file in words, for "found ..."; texts are quoted, cut and escaped."""
    match value:
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case str():
            return quoted(value)
        case int():
            return str(value) if abs(value) < 10**18 else "a very large number"
        case float():
            return f"{value:g}"
        case list():
            return f"a list of {len(value)}"
        case dict():
            return "a table"
        case _:
            return f"the {type(value).__name__} {value}"
