"""Cut the text of a JSON list into its objects, one by one, with their lines.

One entry at a time, because a list of 10,000 members takes json.loads longer than a running relay can pause. The
messages are our own: those of the json module change with its version and do not know what an operator did wrong.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, NoReturn

from rustun.config.findings import Complaint, describe
from rustun.printable import quoted

_SPACE: Final = re.compile(r"[ \t\r\n]*")
_WORD: Final = re.compile(r'"[^"\n]{0,40}"?|[\w.+-]+|\S')


class JsonError(Complaint):
    """The text is not a JSON list from `line` on; nothing behind it can be read."""

    def __init__(self, line: int, reason: str, remedy: str = "") -> None:
        super().__init__(reason, remedy)
        self.line = line


@dataclass(frozen=True, slots=True)
class Span:
    """Where an element of the list stands: its first line, from 1, and its offsets in characters."""

    line: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Entry:
    """One element of the list, and the keys that stand in one of its objects more than once."""

    value: object
    span: Span
    duplicates: tuple[str, ...] = ()


@dataclass(slots=True)
class EntryCutter:
    """Iterates over the elements of a JSON list.

    Args:
        text: the whole file.
    """

    text: str
    _duplicates: list[str] = field(default_factory=list)

    def __iter__(self) -> Iterator[Entry]:
        """Yield every element. Raises: JsonError where the text stops being a JSON list; the iterator is over then."""
        decoder = json.JSONDecoder(object_pairs_hook=self._pairs, parse_constant=_no_constant)
        position, line = self._skip(0, 1)
        self._open_list(position, line)
        position, line = self._skip(position + 1, line)
        while not self.text.startswith("]", position):
            entry = self._entry(decoder, position, line)
            yield entry
            position, line = self._skip(entry.span.end, line + self.text.count("\n", position, entry.span.end))
            if self.text.startswith(",", position):
                comma = line
                position, line = self._skip(position + 1, line)
                if self.text.startswith("]", position):
                    raise JsonError(comma, "a comma stands before the closing ]", "take the comma out")
            elif not self.text.startswith("]", position):
                self._refuse(position, line, "Expecting ',' delimiter", "this list")
        position, line = self._skip(position + 1, line)
        if position < len(self.text):
            raise JsonError(line, f"{self._word(position)} stands behind the end of the list", "take it out")

    def line_in(self, span: Span, key: str, value: str | None = None) -> int:
        """Return the line of a key of an element, or of a text behind it; the element's own when it is not found."""
        spellings = "|".join(re.escape(spelling) for spelling in _spellings(key))
        found = re.compile(rf"({spellings})\s*:").search(self.text, span.start, span.end)
        if not found:
            return span.line
        offset = found.start()
        if value is not None:
            places = [self.text.find(spelling, offset, span.end) for spelling in _spellings(value)]
            offset = max(offset, *places)
        return span.line + self.text.count("\n", span.start, offset)

    def _open_list(self, position: int, line: int) -> None:
        if self.text.startswith("[", position):
            return
        if position == len(self.text):
            raise JsonError(0, "is empty", "write [] where there are no members")
        if self.text.startswith("{", position):
            raise JsonError(line, "is one object, not a list of members", "put [ and ] around the members")
        self._refuse(position, line, "", "the list of members")

    def _entry(self, decoder: json.JSONDecoder, position: int, line: int) -> Entry:
        self._duplicates.clear()
        try:
            value, end = decoder.raw_decode(self.text, position)
        except json.JSONDecodeError as error:
            at = line + self.text.count("\n", position, error.pos)
            self._refuse(error.pos, at, error.msg, f"the member that begins at line {line}")
        except RecursionError:
            raise JsonError(line, "the member is nested too deeply", "is this the right file?") from None
        except ValueError:  # NaN and its like, or a number of thousands of digits
            raise JsonError(line, "the member holds a number that JSON does not have", "take it out") from None
        return Entry(value, Span(line, position, end), tuple(self._duplicates))

    def _pairs(self, pairs: list[tuple[str, object]]) -> dict[str, object]:
        made = dict(pairs)
        if len(made) < len(pairs):
            counts = Counter(key for key, _ in pairs)
            self._duplicates += [key for key, count in counts.items() if count > 1]
        return made

    def _skip(self, position: int, line: int) -> tuple[int, int]:
        match = _SPACE.match(self.text, position)
        end = match.end() if match else position
        return end, line + self.text.count("\n", position, end)

    def _word(self, position: int) -> str:
        word = _WORD.match(self.text, position)
        found = word[0] if word else ""
        return f"the text {quoted(found.strip(chr(34)))}" if found.startswith('"') else describe(found)

    def _refuse(self, position: int, line: int, words: str, inside: str) -> NoReturn:
        """Raise JsonError for what stands at `position`, in an operator's words."""
        text = self.text
        before = text[max(0, position - 4096) : position].rstrip()[-1:]
        rest = text[position : position + 8]
        if not rest or words.startswith("Unterminated string"):
            raise JsonError(line, f"ends inside {inside}", "half written or cut off? write it again")
        if text[text.rfind("\n", 0, position) + 1 :].startswith(("<<<<<<<", "=======", ">>>>>>>")):
            raise JsonError(line, "holds a merge conflict mark", "settle the conflict")
        if rest[0] in "}]" and before == "," or words.startswith("Illegal trailing comma"):
            comma = text.rfind(",", 0, position + 1)  # Python 3.13 names the comma's place, 3.11 the bracket's
            line -= text.count("\n", comma, position)
            raise JsonError(line, "a comma stands before a closing bracket", "take the comma out")
        if words.startswith("Invalid control character"):
            raise JsonError(line, "a text holds a line break or control character", "is its closing quote missing?")
        if words.startswith("Invalid \\"):
            raise JsonError(line, "a text holds an unknown escape", "write a backslash as \\\\")
        if rest[0] == "'":
            raise JsonError(line, "a text stands in single quotes", 'write "..."')
        if rest[0] == "#" or rest.startswith("//"):
            raise JsonError(line, "holds a comment", "JSON has no comments: take it out")
        if words.startswith("Expecting ',' delimiter"):
            raise JsonError(line, f"a comma is missing before {self._word(position)}", "put one there")
        if words.startswith("Expecting ':' delimiter"):
            raise JsonError(line, f"a colon is missing before {self._word(position)}", "put one there")
        raise JsonError(line, f"is not JSON at {self._word(position)} in {inside}", "texts stand in double quotes")


def _spellings(text: str) -> tuple[str, str]:
    return json.dumps(text, ensure_ascii=False), json.dumps(text)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)
