"""Read a TOML file through tables that know what they were asked for.

Every key that is asked for becomes known; `Table.close` reports the others, with the table that knows them, or the
nearest known one. So the code that reads a key is the only place that lists it.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

from rustun.config.files import MAX_TOML_BYTES, decode, read_bytes
from rustun.config.findings import Complaint, Findings, config_error, describe, suggestion
from rustun.config.lines import TomlLines
from rustun.errors import Level
from rustun.printable import printable

T = TypeVar("T")
# A dotted key at the beginning of a line, in a header or in an inline table: tomllib's time is quadratic in its parts.
MAX_KEY_PARTS: Final = 32
_LONG_KEY: Final = re.compile(
    r"""(?:^|[\[{,])[ \t]*+(?:(?:[\w-]++|"[^"\n]*+"|'[^'\n]*+')[ \t]*+\.[ \t]*+)"""
    rf"{{{MAX_KEY_PARTS}}}",
    re.MULTILINE,
)
_PLACE: Final = re.compile(r" ?\(at (?:line (\d+), column \d+|end of document)\)$")


class Table:
    """One table of a TOML file; problems go into `findings`, reading goes on with defaults.

    Args:
        lines: of the whole file.
        path: names from the outermost table to this one, empty for the file itself.
        values: what tomllib read there; None where something else than a table stands (reported already).
    """

    def __init__(
        self, findings: Findings, lines: TomlLines, path: tuple[str, ...], values: dict[str, object] | None
    ) -> None:
        self.findings = findings
        self.values = values or {}
        self._usable = values is not None
        self._in_list = False
        self._lines = lines
        self._path = path
        self._known: set[str] = set()
        # Paths and known keys of this table and of those that stand beside it, or in it if it is the file itself. Not
        # the tables: one that leads to itself stays in memory until somebody looks for such rings.
        self._outermost = [(path, self._known)]

    def __contains__(self, key: str) -> bool:
        return key in self.values

    @property
    def place(self) -> str:
        """Its file and line, for messages about something else."""
        return f"{self.findings.file}:{self._lines.line(self._path)}"

    def dotted(self, key: str) -> str:
        """Return `key` of this table as messages name it."""
        return _dotted((*self._path, key))

    def report(self, key: str, reason: str, remedy: str = "", level: Level = "error", value: object = None) -> None:
        """Add a problem with `key` of this table; an empty key means the table itself."""
        if self.findings.leaves_out(level):
            return  # its line need not be looked for
        path = (*self._path, key) if key else self._path
        if self._in_list and key not in self.values:  # show which of the tables lacks it, by a text that it has
            value = next((other for other in self.values.values() if isinstance(other, str)), None)
        line = 0 if self.findings.full(level) else self._lines.line(path, value)
        self.findings.add(line, _dotted(path), reason, remedy, level)

    def blame(
        self, key: str, value: object, option: str, reason: str, remedy: str = "", level: Level = "error"
    ) -> None:
        """Add a problem with `value`: of `key` where the file says so, else of the option that was typed over it."""
        if self.values.get(key) == value:
            self.report(key, reason, remedy, level)
        else:
            self.findings.add(0, option, reason, remedy, level)

    def missing(self, key: str, remedy: str) -> None:
        """Report `key` as missing, unless it is there or the table itself was reported."""
        if key not in self.values and self._usable:
            self.report(key, "is missing", remedy)

    def known(self, *keys: str) -> None:
        """Declare keys that are read elsewhere."""
        self._known.update(keys)

    def table(self, key: str) -> Table:
        """Return the table below `key`, an empty one when it is missing or not a table (reported)."""
        self._known.add(key)
        value = self.values.get(key, {})
        if not isinstance(value, dict):
            self.report(key, f"is {describe(value)}, not a table", f"write [{_dotted((*self._path, key))}]")
            value = None
        table = Table(self.findings, self._lines, (*self._path, key), value)
        if not self._path:
            self._outermost.append((table._path, table._known))
            table._outermost = self._outermost
        return table

    def tables(self, key: str, example: str) -> list[Table]:
        """Return the tables of the list below `key`; `example` shows one of them, for the remedy."""
        self._known.add(key)
        value = self.values.get(key, [])
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            self.report(key, "is not a list of tables", f"write {key} = [{example}]")
            return []
        found = [Table(self.findings, self._lines, (*self._path, key), item) for item in value]
        for table in found:
            table._in_list = True
        return found

    def text(self, key: str, convert: Callable[[str], T], default: T) -> T:
        """Return the text below `key`, converted; `convert` raises Complaint for what it does not take."""
        self._known.add(key)
        if key not in self.values:
            return default
        return self._converted(key, self.values[key], convert, default)

    def texts(self, key: str, convert: Callable[[str], T], most: int = 0) -> tuple[T, ...]:
        """Return the converted texts below `key`, one or a list; what cannot be converted is reported and left out.

        Args:
            most: how many there may be, 0 for any number.
        """
        self._known.add(key)
        value = self.values.get(key, [])
        items = value if isinstance(value, list) else [value]
        if most and len(items) > most:
            self.report(key, f"has {len(items)} entries, at most {most} are possible", "take the oldest out")
        converted = (self._converted(key, item, convert, None) for item in items)
        return tuple(item for item in converted if item is not None)

    def _converted(self, key: str, value: object, convert: Callable[[str], T], default: T) -> T:
        if not isinstance(value, str):
            self.report(key, f"is {describe(value)}, not a text", f'write a text in quotes: {key} = "..."', value=value)
            return default
        try:
            return convert(value)
        except Complaint as complaint:
            self.report(key, complaint.reason, complaint.remedy, value=value)
            return default

    def choice(self, key: str, options: tuple[str, ...], default: str) -> str:
        """Return the text below `key`, one of `options`."""
        if not isinstance(self.values.get(key, default), str):
            self._known.add(key)
            self.report(key, f"is {describe(self.values[key])}, not a text", f"one of {', '.join(options)}, in quotes")
            return default

        def convert(text: str) -> str:
            if text in options:
                return text
            raise Complaint(f"is {describe(text)}", f"one of {', '.join(options)}")

        return self.text(key, convert, default)

    def flag(self, key: str, default: bool = False) -> bool:
        """Return true or false."""
        self._known.add(key)
        value = self.values.get(key, default)
        if isinstance(value, bool):
            return value
        self.report(key, f"is {describe(value)}, not true or false", "write true or false, without quotes")
        return default

    def whole(self, key: str, default: int, low: int, high: int) -> int:
        """Return a whole number, `low` to `high`."""
        return int(self._number(key, default, low, high, whole=True))

    def number(self, key: str, default: float, low: float, high: float) -> float:
        """Return a number, `low` to `high`; whole ones are taken too."""
        return float(self._number(key, default, low, high, whole=False))

    def _number(self, key: str, default: float, low: float, high: float, *, whole: bool) -> float:
        self._known.add(key)
        value = self.values.get(key, default)
        kinds = (int,) if whole else (int, float)
        name = "a whole number" if whole else "a number"
        if not isinstance(value, kinds) or isinstance(value, bool):
            self.report(key, f"is {describe(value)}, not {name}", f"write {key} = {default:g}")
            return default
        if not low <= value <= high:  # false for NaN as well
            remedy = f"{low:,} to {high:,}; the default is {default:,}"
            self.report(key, f"is {describe(value)}, out of its range", remedy)
            return default
        return value

    def close(self) -> None:
        """Report every key that nobody asked for."""
        for key in [key for key in self.values if key not in self._known]:
            remedy = "" if self.findings.full("error") else self._place_of(key) or suggestion(key, self._known)
            self.report(key, "is not a known key", remedy)

    def _place_of(self, key: str) -> str:
        """Return where a key belongs that another table knows."""
        others = (path for path, known in self._outermost if known is not self._known and key in known)
        path = next(others, None)
        if path is None:
            return ""
        return f"it belongs into [{_dotted(path)}]" if path else "it belongs above the first [table]"


def _dotted(path: tuple[str, ...]) -> str:
    return ".".join(printable(part) for part in path)


def read_toml(path: Path) -> Table:
    """Return the outermost table of a TOML file, with new findings.

    Raises: ConfigError: not readable, over 1 MiB, or not TOML.
    """
    file = str(path)
    return parse_toml(file, decode(file, read_bytes(path, MAX_TOML_BYTES)))


def parse_toml(file: str, text: str) -> Table:
    """Return the outermost table of TOML text. Raises: ConfigError: not TOML, or nested without need."""
    long_key = _LONG_KEY.search(text)
    if long_key:
        line = text.count("\n", 0, long_key.end()) + 1
        raise config_error(file, f"a key has more than {MAX_KEY_PARTS} parts", "is this the right file?", line)
    try:
        values = tomllib.loads(text)
    except RecursionError:
        raise config_error(file, "is nested too deeply", "is this the right file?") from None
    except ValueError as error:  # TOMLDecodeError, and int's refusal of numbers of thousands of digits
        raise _syntax_error(file, text, str(error)) from None
    return Table(Findings(file), TomlLines(text), (), values)


def _syntax_error(file: str, text: str, words: str) -> Exception:
    place = _PLACE.search(words)
    line = int(place[1]) if place and place[1] else text.count("\n") + 1
    found = text.split("\n")[line - 1].strip() if place else ""
    reason, remedy = _syntax_words(words[: place.start()] if place else words, found)
    return config_error(file, reason, remedy, line if place else 0)


def _syntax_words(words: str, found: str) -> tuple[str, str]:
    """Return reason and remedy for tomllib's words about the line `found`."""
    if found.startswith(("<<<<<<<", "=======", ">>>>>>>")):
        return "holds a merge conflict mark", "settle the conflict"
    if words.startswith(("Cannot overwrite", "Cannot declare")):
        return "the same key or table stands there twice", "keep one of them"
    if words.startswith("Illegal character '\\n'"):
        return "a text is not closed on its line", "close its quote"
    if re.match(r"[\w.-]+\s*:", found):
        return "a key is followed by a colon", 'TOML has = there, as in: name = "value"'
    if re.search(r"(^|[{,])\s*[\w.:]+/\d+\s*=", found):
        return "a prefix stands before = without quotes", 'write it as in: "192.168.11.0/24" = "192.168.10.0/24"'
    if re.match(r"[\w.-]+\s*=\s*[^\s\"'\[{]", found):
        return "is not TOML after the =", 'texts stand in quotes, as in: name = "value"'
    # The line has a number and is not shown: it may hold a key, and the = or quote that would tell is what is wrong.
    return f"is not TOML: {printable(words)}", "look at this line" if found else "the file ends too early"
