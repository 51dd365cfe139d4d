"""What a rule finds, before it has a line."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from rustun.errors import Level

_NOT_PLAIN: Final = re.compile(r"[\s#\\]")


@dataclass(frozen=True, slots=True)
class Finding:
    """One remark on an inventory.

    Attributes:
        rule: its name, by which a baseline knows it; never changes.
        level: error, warning or note.
        table: path of the table that it is about, such as ("cluster", "red", "member", "alice").
        key: of that table, empty for the table itself.
        reason: what was found.
        remedy: what to do about it.
        value: the text in question, to find its line in a list.
    """

    rule: str
    level: Level
    table: tuple[str, ...]
    key: str
    reason: str
    remedy: str
    value: str = ""

    @property
    def signature(self) -> str:
        """The line that stands for it in a baseline: what, where, and about which value.

        A name may hold what ends a word or begins a comment there: that is written as in \\x20.
        """
        names = (_NOT_PLAIN.sub(lambda found: f"\\x{ord(found[0]):02x}", name) for name in (*self.table, self.key))
        return " ".join((self.rule, ".".join(filter(None, names)), self.value)).strip()
