"""A fleet for people: a Markdown page with tables and a Mermaid picture, and the same picture as SVG.

Rules of this module
  1. The page says what the inventory says, in its order; the same inventory gives the same bytes. No secret is in it.
  2. A cluster is a column under the servers. Of a large one only as many members are drawn as somebody looks at; the
     tables have all of them.
  3. Names are anything: every text is escaped for where it stands (`cell`, `label`, `xml`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from rustun.ops.fleet import Cluster, Inventory, Member
from rustun.ops.templating import render

MOST_DRAWN: Final = 12  # members of one cluster
MOST_CLUSTERS: Final = 8  # in a row
BOX_WIDTH: Final = 230
GAP: Final = 20
LINE: Final = 16
SERVER_FILL: Final = "#d7e8ff"
CLUSTER_FILL: Final = "#f4f6fa"
MEMBER_FILL: Final = "#ffffff"
GATEWAY_FILL: Final = "#e6f6e6"
CHARACTERS: Final = 30  # of 13 pixels that fit into a box


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle with lines of text; pixels from the top left corner."""

    x: int
    y: int
    width: int
    height: int
    texts: tuple[str, ...]
    fill: str
    dashed: bool = False


@dataclass(frozen=True, slots=True)
class Line:
    """A cable from a server's box down, across at `bend`, and down to a cluster's box."""

    x1: int
    y1: int
    bend: int
    x2: int
    y2: int


@dataclass(frozen=True, slots=True)
class Picture:
    """Where everything stands."""

    title: str
    width: int
    height: int
    boxes: tuple[Box, ...]
    lines: tuple[Line, ...]


def render_page(fleet: Inventory) -> bytes:
    """Return fleet.md."""
    columns: dict[str, dict[str, str]] = {  # made here: calls from a template are slow
        "behind": {member.identity: _behind(member) for member in fleet.members},
        "ways": {member.identity: _way_in(fleet, member) for member in fleet.members},
        "notes": {member.identity: _notes(member) for member in fleet.members},
    }
    return render("fleet.md", fleet=fleet, most=MOST_DRAWN, **columns).encode()


def render_picture(fleet: Inventory) -> bytes:
    """Return topology.svg."""
    return render("topology.svg", picture=draw(fleet)).encode()


def _behind(member: Member) -> str:
    real = {seen: f"{seen} (really {actual})" for seen, actual in member.cider_mapping}
    return ", ".join(real.get(prefix, str(prefix)) for prefix in member.ciders)


def _way_in(fleet: Inventory, member: Member) -> str:
    return f"{fleet.tier_of(member)}{' and psk' if fleet.has_psk(member) else ''}"


def _notes(member: Member) -> str:
    settings = member.settings
    notes = [] if settings.enabled else ["switched off"]
    notes += [f"until {settings.expires_at:%Y-%m-%d}"] if settings.expires_at else []
    notes += ["exit node"] if settings.offer_exit else []
    notes += [f"leaves by {settings.exit_node}"] if settings.exit_node else []
    notes += ["kill switch"] if settings.kill_switch else []
    notes += ["masquerades"] if settings.masquerade and member.ciders else []
    notes += [f"tags: {', '.join(member.tags)}"] if member.tags else []
    notes += [] if member.ssh else ["by hand"]
    return "; ".join(notes)


def draw(fleet: Inventory) -> Picture:
    """Return where the boxes of a fleet stand: servers in a row, below them the clusters in rows of columns."""
    servers = [
        Box(
            GAP + i * (BOX_WIDTH + GAP),
            GAP,
            BOX_WIDTH,
            3 * LINE,
            (_cut(one.name), _cut(str(one.endpoint))),
            SERVER_FILL,
        )
        for i, one in enumerate(fleet.servers)
    ]
    boxes, lines = [*servers], []
    bend = GAP + 3 * LINE + GAP
    top = bend + GAP
    for row in range(0, len(fleet.clusters), MOST_CLUSTERS):
        columns = [
            list(_column(cluster, GAP + i * (BOX_WIDTH + GAP), top))
            for i, cluster in enumerate(fleet.clusters[row : row + MOST_CLUSTERS])
        ]
        for frame, *members in columns:
            boxes += [frame, *members]
            if not row:  # the rows below are reached in the same way: more lines would only cover the boxes
                lines += [_cable(server, frame, bend) for server in servers]
        top = max(frame.y + frame.height for frame, *_ in columns) + GAP
    width = max(box.x + box.width for box in boxes) + GAP
    counted = (
        f"{fleet.name}: {len(fleet.servers)} servers, {len(fleet.clusters)} clusters, {len(fleet.members)} members"
    )
    return Picture(counted, width, top if fleet.clusters else bend, tuple(boxes), tuple(lines))


def _column(cluster: Cluster, x: int, top: int) -> Iterator[Box]:
    """Yield the frame of a cluster, then the boxes of its members."""
    members: list[Box] = []
    y = top + 3 * LINE
    for member in cluster.members[:MOST_DRAWN]:
        texts = (_cut(member.identity), str(member.address), *(_cut(str(prefix)) for prefix in member.ciders[:3]))
        texts += (f"and {len(member.ciders) - 3} more",) if len(member.ciders) > 3 else ()
        fill = GATEWAY_FILL if member.ciders else MEMBER_FILL
        height = LINE * len(texts) + 10
        members.append(Box(x + 10, y, BOX_WIDTH - 20, height, texts, fill, dashed=not member.settings.enabled))
        y += height + 8
    if (more := len(cluster.members) - MOST_DRAWN) > 0:
        members.append(Box(x + 10, y, BOX_WIDTH - 20, LINE + 10, (f"and {more} more members",), MEMBER_FILL))
        y += LINE + 18
    yield Box(x, top, BOX_WIDTH, y - top + 4, (_cut(cluster.name), str(cluster.network)), CLUSTER_FILL)
    yield from members


def _cable(server: Box, cluster: Box, bend: int) -> Line:
    return Line(server.x + server.width // 2, server.y + server.height, bend, cluster.x + cluster.width // 2, cluster.y)


def _cut(text: str) -> str:
    return text if len(text) <= CHARACTERS else f"{text[: CHARACTERS - 1]}…"
