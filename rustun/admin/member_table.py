"""Members and peers as rows of text: which columns there are, what stands in their cells, how they become lines.

Rules of this module
  1. Cells are `printable`: names come from peers and files. In rich's tables they are `Text`, which reads no markup.
  2. Up to MANY_ROWS rows make a table that folds long names; more become plain lines, each printed as it is made: rich
     takes a millisecond for each row of a table.
  3. A key that an older or newer process does not send is shown as "-".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from rustun.admin.units import NOTHING, age, duration, rate, round_trip, size
from rustun.printable import printable

Document = Mapping[str, Any]

MANY_ROWS: Final = 200
GAP: Final = 2  # blanks between columns
USUAL_WIDTH: Final = 100  # that the usual columns are made for
STYLES: Final = {  # colour repeats the word, never replaces it
    **{"online": "green", "serving": "green", "refused": "red", "unproven": "yellow"},
    **dict.fromkeys(("offline", "disabled", "expired"), "dim"),
}


@dataclass(frozen=True, slots=True)
class Column:
    """A column.

    Attributes:
        name: its head.
        cell: makes the text of one object.
        folds: the width, in characters, below which it does not fold; 0: it is short by nature, and never does.
        width: what a line needs beyond the usual to have room for it, 0 for a usual column.
        spare: whether a line that is shorter than usual does without.
    """

    name: str
    cell: Callable[[Document], str]
    folds: int = 0
    width: int = 0
    spare: bool = False


def word(value: object) -> str:
    """Return a value of a document as one safe line."""
    return NOTHING if value is None or value == "" else printable(str(value))


def listed(values: Iterable[object] | None) -> str:
    """Return values of a document, comma between them."""
    return ", ".join(word(value) for value in values or ()) or NOTHING


def reasons(counts: Mapping[str, object] | None) -> str:
    """Return counts by reason: "12 queue-full, 1 no-route"."""
    found = ", ".join(f"{word(count)} {printable(reason)}" for reason, count in (counts or {}).items() if count)
    return found or NOTHING


def _proof(member: Document) -> str:
    return age(member["proof_age_s"] if "proof_age_s" in member else member.get("last_seen_age_s"))


def _bytes(key: str) -> Callable[[Document], str]:
    return lambda member: NOTHING if member.get("state") != "online" else size(member.get(key) or 0)


def _rate(key: str) -> Callable[[Document], str]:
    return lambda member: NOTHING if member.get(key) is None else rate(member[key])


def _age(member: Document) -> str:
    return NOTHING if member.get("age_s") is None else duration(member["age_s"])


MEMBERS: Final = (
    Column("cluster", lambda member: word(member.get("cluster")), 8),
    Column("member", lambda member: word(member.get("identity")), 12),
    Column("address", lambda member: word(member.get("address") or member.get("address6")), 10),
    Column("state", lambda member: word(member.get("state") or "offline")),
    Column("age", _age, width=8),
    Column("proof", _proof, spare=True),
    Column("rtt", lambda member: round_trip(member.get("rtt_ms"))),
    Column("tier", lambda member: word(member.get("tier")), spare=True),
    Column("cipher", lambda member: word(member.get("cipher")), width=10),
    Column("version", lambda member: word(member.get("version")), width=10),
    Column("in", _bytes("received_bytes")),
    Column("out", _bytes("sent_bytes")),
    Column("drops", lambda member: reasons(member.get("drops")), 14),
)
IN_NOW: Final = Column("in now", _rate("received_bytes_per_s"))
OUT_NOW: Final = Column("out now", _rate("sent_bytes_per_s"))
SERVERS: Final = (
    Column("server", lambda server: word(server.get("server")), 18),
    Column("at", lambda server: word(server.get("remote"))),
    Column("state", lambda server: word(server.get("state"))),
    Column("proof", _proof),
    Column("rtt", lambda server: round_trip(server.get("rtt_ms"))),
    Column("last error", lambda server: printable(str(server.get("last_error") or NOTHING), 300), 24),
)
PEERS: Final = (
    Column("peer", lambda peer: word(peer.get("identity")), 12),
    Column("name", lambda peer: word(peer.get("name")), 12),
    Column("address", lambda peer: word(peer.get("address") or peer.get("address6")), 10),
    Column("state", lambda peer: presence(peer.get("online"))),
    Column("prefixes", lambda peer: listed(peer.get("ciders")), 18),
)


def presence(online: object) -> str:
    """Return "online", "offline", or "-" where nobody has told."""
    return NOTHING if online is None else "online" if online else "offline"


def columns_for(width: int, *, now: bool = False) -> tuple[Column, ...]:
    """Return the columns of members that a line has room for.

    Args:
        width: of a line, characters.
        now: rates in the place of sums.
    """
    room = width - USUAL_WIDTH
    chosen = []
    for column in MEMBERS:
        if column.width > max(room, 0) or (column.spare and room < 0):
            continue
        room -= column.width
        chosen.append({"in": IN_NOW, "out": OUT_NOW}.get(column.name, column) if now else column)
    return tuple(chosen)


def rows_of(columns: Sequence[Column], objects: Iterable[Document]) -> list[list[str]]:
    """Return the cells of each object."""
    return [[column.cell(one) for column in columns] for one in objects]


def show_rows(columns: Sequence[Column], rows: list[list[str]], console: Console) -> None:
    """Print rows below their heads."""
    if len(rows) <= MANY_ROWS:
        console.print(_table(columns, rows))
        return
    for line in aligned([[column.name for column in columns], *rows]):
        console.file.write(f"{line}\n")


def aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Yield rows as lines whose columns begin at the same place, however wide their characters are."""
    widths = [max(map(cell_len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (cell + " " * (width - cell_len(cell) + GAP) for cell, width in zip(row, widths, strict=True))
        yield "".join(cells).rstrip()


def _table(columns: Sequence[Column], rows: list[list[str]]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="bold")
    for column in columns:
        if column.folds:
            table.add_column(column.name, overflow="fold", min_width=column.folds)
        else:
            table.add_column(column.name, no_wrap=True)
    for row in rows:
        table.add_row(*(Text(cell, style=STYLES.get(cell, "")) for cell in row))
    return table
