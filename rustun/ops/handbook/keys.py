"""Every key of the configuration files -> pages, of which man pages are made too.

Rules of this module
  1. Which keys there are, what kind of value each takes, its range and what it is without being written: the readers of
     the files tell, by what they ask a table for. What a key means, and when a change takes effect, people wrote:
     docs/configuration.md, and section 8 of docs/protocol.md for limits.
  2. A key that is asked for and not explained, or explained and not asked for, ends the making of the pages.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from rustun.config.client import read_client_config
from rustun.config.findings import Findings
from rustun.config.lines import TomlLines
from rustun.config.member import KNOWN_KEYS
from rustun.config.server import read_server_config
from rustun.config.toml import Table, parse_toml
from rustun.errors import ConfigError
from rustun.ops.handbook.pages import Page, block, definitions, document, see_also

SECTION: Final = 5  # of the manual: files
LIST: Final = "list of tables"
# Read only where they are written: a reader asks for them no other way.
WRITTEN: Final = {"server.toml": "", "client.toml": "[tunnel_config]\nmtu = 1500\n[host_config]\naccept_routes = []\n"}
READERS: Final[dict[str, Callable[[Table], object]]] = {
    "server.toml": lambda top: read_server_config(top, Path("server.toml")),
    "client.toml": lambda top: read_client_config(top, Path()),
}
OPENINGS: Final = {
    "server.toml": "The configuration of a server, in TOML: [rustun serve](rustun-serve.md) reads it. Without a "
    "name it is looked for as server.toml and etc/server.toml in the working directory, then in /etc/rustun.",
    "client.toml": "The configuration of a member, in TOML: [rustun connect](rustun-connect.md) reads the one that "
    "`--config` names. Options of the command win over it.",
    "routes.json": "Who is a member, and of which cluster: a JSON list with an object for each. "
    "The server reads the one that `routes_file` of its server.toml names, and sees within a second that it changed.",
}
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Ask:
    """What a reader asked a table for: the kind of value as people write it, and what it is unless written."""

    kind: str
    default: str = ""


NOTHING: Final = Ask("")  # known, and asked for elsewhere


@dataclass(frozen=True, slots=True)
class Words:
    """What a document says of a key; `change` is empty where it says nothing about that."""

    kind: str
    default: str
    meaning: str
    change: str = ""


class Listening(Table):
    """A table that remembers what it is asked for: by dotted key, in `asked`, which all tables of a file share."""

    def __init__(
        self, findings: Findings, lines: TomlLines, path: tuple[str, ...], values: dict[str, object] | None
    ) -> None:
        super().__init__(findings, lines, path, values)
        self.asked: dict[str, Ask] = {}
        self._name = ".".join(path)

    def _note(self, key: str, kind: str, default: object = "") -> None:
        name = f"{self._name}.{key}" if self._name else key
        if self.asked.get(name, NOTHING) == NOTHING:
            self.asked[name] = Ask(kind, _written(default))

    def known(self, *keys: str) -> None:
        """Remember keys that are read elsewhere."""
        for key in keys:
            self._note(key, "")
        super().known(*keys)

    def table(self, key: str) -> Table:
        """Return a table below, which listens too."""
        self._note(key, "table")
        below = super().table(key)
        listening = Listening(below.findings, self._lines, (*self._path, key), below.values)
        listening.asked = self.asked
        return listening

    def tables(self, key: str, example: str) -> list[Table]:
        """Return one table that listens, for what each of the list may hold."""
        self._note(key, LIST)
        super().tables(key, example)
        listening = Listening(self.findings, self._lines, (*self._path, key), {})
        listening.asked = self.asked
        return [listening]

    def text(self, key: str, convert: Callable[[str], T], default: T) -> T:
        """Remember a text."""
        self._note(key, "", default)
        return super().text(key, convert, default)

    def texts(self, key: str, convert: Callable[[str], T], most: int = 0) -> tuple[T, ...]:
        """Remember one or more texts."""
        self._note(key, "")
        return super().texts(key, convert, most)

    def choice(self, key: str, options: tuple[str, ...], default: str) -> str:
        """Remember one of some words."""
        self._note(key, ", ".join(f"`{option}`" for option in options), default)
        return super().choice(key, options, default)

    def flag(self, key: str, default: bool = False) -> bool:
        """Remember true or false."""
        self._note(key, "true, false", default)
        return super().flag(key, default)

    def whole(self, key: str, default: int, low: int, high: int) -> int:
        """Remember a whole number."""
        self._note(key, f"{low} to {high}", default)
        return super().whole(key, default, low, high)

    def number(self, key: str, default: float, low: float, high: float) -> float:
        """Remember a number."""
        self._note(key, f"{low} to {high}", default)
        return super().number(key, default, low, high)


def _written(default: object) -> str:
    if isinstance(default, bool):
        return "true" if default else "false"
    return str(default) if isinstance(default, int | float | str) else ""


def asked_for(file: str) -> dict[str, Ask]:
    """Return every key that the reader of server.toml or client.toml asks for, by dotted name; tables are no keys."""
    parsed = parse_toml(file, WRITTEN[file])
    top = Listening(parsed.findings, TomlLines(WRITTEN[file]), (), parsed.values)
    try:
        READERS[file](top)
    except ConfigError:
        pass  # a file that says nothing is not complete; it was read all the same
    tables = {key.rpartition(".")[0] for key in top.asked}
    return {key: ask for key, ask in top.asked.items() if key not in tables or ask.kind == LIST}


def explained(docs: Path, file: str) -> dict[str, Words]:
    """Return what the documents say of each key of a file, by dotted name, in their order."""
    section = (docs / "configuration.md").read_text().split(f"\n## {file}\n")[1].split("\n## ")[0]
    found = dict(_rows(section))
    if file == "server.toml":
        limits = (docs / "protocol.md").read_text().split("\n## 8. Limits\n")[1].split("\n## ")[0]
        for key, words in _rows(limits):
            found[key] = Words(words.default, words.kind, words.meaning, "restart")  # there the default comes first
    return found


def _rows(section: str) -> Iterator[tuple[str, Words]]:
    table = ""
    for line in section.split("\n"):
        if heading := re.match(r"Before all |Each of `(\w+)`|`\[(\w+)\]`", line):
            table = heading[1] or heading[2] or ""
        elif row := re.match(r"\| `(\w+)` \| (.*) \|$", line):
            yield f"{table}.{row[1]}".lstrip("."), Words(*row[2].split(" | "))


def key_pages(docs: Path) -> list[Page]:
    """Return the pages of the three files. Raises: ValueError: the documents and the readers differ in their keys."""
    return [_page(docs, file) for file in OPENINGS]


def _page(docs: Path, file: str) -> Page:
    asks, words = _joined(docs, file)
    tables = dict.fromkeys(map(_table, words))
    of_table = {name: {key: (asks[key], words[key]) for key in words if _table(key) == name} for name in tables}
    written = (docs / "configuration.md").read_text()
    example = re.search(rf"^```(\w+) {re.escape(file)}\n(.*?)^```$", written, re.DOTALL | re.MULTILINE)
    return Page(
        file.replace(".", "-"),
        document(
            f"# {file}",
            f"## Description\n\n{OPENINGS[file]}",
            "`rustun check` finds what is wrong with it. *File* is a path relative to the folder of this file.",
            *(_section(_title(file, name), keys) for name, keys in of_table.items()),
            f"## Example\n\n{block(example[2], example[1])}" if example else "",
            see_also(_related(file)),
        ),
        f"{'members' if file == 'routes.json' else 'configuration'} of rustun, every key",
        SECTION,
        file,
    )


def _joined(docs: Path, file: str) -> tuple[dict[str, Ask], dict[str, Words]]:
    """Return what the reader of a file asks for, and what the documents say of the same keys."""
    words = explained(docs, file)
    if file not in READERS:
        asks = dict.fromkeys(KNOWN_KEYS, Ask(""))
    else:
        asks = asked_for(file)
        shared = explained(docs, "server.toml")  # [crypto_config] is explained there
        words |= {key: shared[key] for key in asks.keys() & shared.keys() if _table(key) == "crypto_config"}
    if differing := words.keys() ^ asks.keys():
        raise ValueError(f"{file}: asked for and not explained, or the other way round: {', '.join(sorted(differing))}")
    return asks, words


def _table(key: str) -> str:
    return key.rpartition(".")[0]


def _title(file: str, table: str) -> str:
    if not table:
        return "Before all tables" if file.endswith(".toml") else "Each entry"
    return f"Each of {table}" if table == "servers" else f"The table {table}"


def _section(title: str, keys: dict[str, tuple[Ask, Words]]) -> str:
    pairs = ((key.rpartition(".")[2], _about(ask, words)) for key, (ask, words) in keys.items())
    return f"## {title}\n\n{definitions(pairs)}"


def _about(ask: Ask, words: Words) -> str:
    meaning = words.meaning[:1].upper() + words.meaning[1:]
    facts = [f"Type: {ask.kind or words.kind}", f"without it: {words.default}"]
    facts += [f"a change takes a {words.change}"] if words.change else []
    return f"{meaning}.\n\n  {'; '.join(facts)}."


def _related(file: str) -> Iterable[tuple[str, str, int]]:
    commands = {"client.toml": ("connect", "check")}.get(file, ("serve", "check"))
    yield from ((f"rustun-{name}", f"rustun-{name}", 1) for name in commands)
    yield from ((other.replace(".", "-"), other, SECTION) for other in OPENINGS if other != file)
