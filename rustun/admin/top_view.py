"""`rustun top`: who is busy, in as many lines as a screen has.

Rule of this module
  A line is as wide as the screen and no wider: what does not fit is cut, nothing wraps, nothing scrolls.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from rich.text import Text

from rustun.admin.explain import explain_client
from rustun.admin.member_table import (
    IN_NOW,
    MEMBERS,
    OUT_NOW,
    PEERS,
    SERVERS,
    STYLES,
    Column,
    aligned,
    rows_of,
    word,
)
from rustun.admin.order import Order, drop_count
from rustun.admin.units import NOTHING, duration, rate
from rustun.printable import printable

Document = Mapping[str, Any]

NAME_CHARACTERS: Final = 20  # of a member: what stands behind it shall stay on the screen
KEYS_LINE: Final = "sort by: n now  m member  r rtt  d drops  a age   same key: turn round   q end"


def _drops_cell(member: Document) -> str:
    count = drop_count(member)
    return NOTHING if not count else f"{count:,}"


_BY_NAME: Final = {column.name: column for column in MEMBERS}
COLUMNS: Final = (
    Column("member", lambda member: printable(str(member.get("identity") or NOTHING), NAME_CHARACTERS)),
    _BY_NAME["state"],
    _BY_NAME["rtt"],
    IN_NOW,
    OUT_NOW,
    Column("drops", _drops_cell),
    _BY_NAME["age"],
    _BY_NAME["cluster"],
    _BY_NAME["address"],
)


def top_lines(document: Document, order: Order, width: int, height: int, trouble: str = "") -> list[Text]:
    """Return the lines of one screen.

    Args:
        document: with rates.
        width, height: of the screen, characters; 0 for a height without end.
        trouble: why the document is not a new one; empty where it is.
    """
    is_server = document.get("role") == "server"
    head = _server_head(document) if is_server else _client_head(document)
    lines = [Text(line, style="bold") for line in head]
    if trouble:
        lines.append(Text(printable(trouble, 300), style="bold red"))
    foot = [Text(KEYS_LINE if is_server else "q end", style="dim")] if height else []
    room = max(height - len(lines) - len(foot), 0) if height else None
    lines += (_server_body(document, order, room) if is_server else _client_body(document))[:room]
    if height:
        lines += [Text("")] * max(height - len(lines) - len(foot), 0) + foot
    for line in lines:
        line.truncate(width)
    return lines[:height] if height else lines


def _server_body(document: Document, order: Order, room: int | None) -> list[Text]:
    members = [*(document.get("sessions") or ()), *(document.get("offline") or ())]
    return _table(COLUMNS, order.sorted(members)[:room])


def _server_head(document: Document) -> list[str]:
    loop = (document.get("loop") or {}).get("longest_step_ms")
    queued = document.get("queued_bytes") or 0
    return [
        f"rustun server {word(document.get('version'))}   up {duration(document.get('uptime_s') or 0, units=2)}"
        f"   {word(document.get('online'))} of {word(document.get('members'))} members online",
        f"{rate(document.get('sent_bytes_per_s') or 0)} now   {queued:,} B wait   longest step {word(loop)} ms"
        f"   {len(document.get('alarms') or ())} alarms",
    ]


def _client_head(document: Document) -> list[str]:
    now = [rate(document.get(f"{way}_bytes_per_s") or 0) for way in ("received", "sent")]
    return [
        f"rustun client {word(document.get('version'))}   up {duration(document.get('uptime_s') or 0, units=2)}"
        f"   {word(document.get('identity'))} {word(document.get('state'))}",
        f"received {now[0]}   sent {now[1]}   drops {_drops_cell(document)}",
    ]


def _client_body(document: Document) -> list[Text]:
    why = [Text(printable(line, 300), style="bold") for line in explain_client(document)]
    peers = sorted(document.get("peers") or [], key=lambda peer: str(peer.get("identity", "")))
    return [*why, *_table(SERVERS, document.get("servers") or []), Text(""), *_table(PEERS, peers)]


def _table(columns: tuple[Column, ...], objects: Sequence[Document]) -> list[Text]:
    rows = rows_of(columns, objects)
    state = next((at for at, column in enumerate(columns) if column.name == "state"), None)
    head, *lines = aligned([[column.name for column in columns], *rows])
    styles = [STYLES.get(row[state], "") if state is not None else "" for row in rows]
    return [Text(head, style="bold"), *(Text(line, style=style) for line, style in zip(lines, styles, strict=True))]
