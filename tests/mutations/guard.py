"""A guard: a piece of text of the program that something leans on, and the test that misses it.

A guard is taken out by exact text, so whoever changes the line changes the guard as well: a text that is not found, or
found twice, fails. A replacement is valid code that only fails to guard.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

SIMULATION: Final = "tests/simulation"


@dataclass(frozen=True)
class Guard:
    """One guard.

    Attributes:
        what: it keeps, in words.
        file: below rustun/.
        text: of the guard, exactly once in the file.
        without: what stands there when it is gone.
        test: what has to fail then, and to pass with the guard.
        also: a second text of the same file that changes with it, and what stands there then.
    """

    what: str
    file: str
    text: str
    without: str
    test: str
    also: tuple[str, str] = ("", "")

    def taken_out_of(self, source: str) -> str:
        """Return the file without the guard."""
        for text, without in ((self.text, self.without), self.also):
            assert not text or source.count(text) == 1, f"{self.file} does not have it exactly once: {text}"
            source = source.replace(text, without) if text else source
        return source
