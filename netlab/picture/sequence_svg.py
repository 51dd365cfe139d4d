"""A diagram of packets as SVG: time from top to bottom, a line for each tap, an arrow for each packet."""

from __future__ import annotations

from itertools import groupby
from typing import Final

from netlab.picture import svg
from netlab.picture.sequence import Diagram, Trail
from netlab.picture.sequence_text import NANOSECONDS, notes

LEFT: Final = 84  # the column of times
COLUMN: Final = 116
ROW: Final = 30
TOP: Final = 92
GAP: Final = 16
HEAD: Final = 5  # of an arrow
VANISHED_AFTER: Final = 34
MOST_TITLE: Final = 90


def draw(diagram: Diagram, title: str = "What packets did") -> str:
    """Return the picture as a file; `title` stands above it."""
    places = {tap: LEFT + COLUMN * number + COLUMN // 2 for number, tap in enumerate(diagram.columns)}
    said = notes(diagram, vanished="✕", appeared="○")
    bottom = TOP + ROW * len(diagram.rows)
    widest = max((len(_label(trail)) for trail in diagram.rows), default=0)
    labels = LEFT + COLUMN * len(diagram.columns) + GAP
    width = labels + int(widest * svg.FONT_WIDTH) + GAP
    height = bottom + GAP * (2 + len(said))
    body = [svg.text(GAP, 28, svg.cut(title, MOST_TITLE), "big"), *_heads(diagram.columns, places, bottom)]
    if not diagram.rows:
        body.append(svg.text(GAP, TOP, "no packet was seen", "small"))
    for number, trail in enumerate(diagram.rows):
        y = TOP + ROW * number + ROW // 2
        since = (trail.first.at_ns - diagram.began_ns) / NANOSECONDS
        body.append(svg.text(LEFT - 8, y + 4, f"{since:.2f} ms", "small", "end"))
        body += _arrow(trail, places, y)
        body.append(svg.text(labels, y + 4, _label(trail), "" if trail.first.tap.inner else "small"))
    body += [svg.text(GAP, bottom + GAP * (n + 2) - 8, line, "small") for n, line in enumerate(said)]
    return svg.document(title, max(width, 480), height, body)


def _heads(columns: tuple[str, ...], places: dict[str, int], bottom: int) -> list[str]:
    drawn = []
    for node, group in groupby(columns, key=lambda tap: tap.rpartition(":")[0]):
        own = list(group)
        left, span = places[own[0]] - COLUMN // 2 + 4, COLUMN * len(own) - 8
        drawn.append(svg.rectangle(left, 44, span, 40, "panel"))
        middle = left + span // 2
        drawn.append(svg.text(middle, 60, svg.cut(node, span // 8), "name", "middle"))
        for tap in own:
            drawn.append(svg.text(places[tap], 77, svg.cut(tap.rpartition(":")[2], 15), "small", "middle"))
            drawn.append(svg.path(f"M{places[tap]} 84V{bottom}", "", ' stroke-dasharray="2 4"'))
    return drawn


def _arrow(trail: Trail, places: dict[str, int], y: int) -> list[str]:
    """Draw what is inside a tunnel thick and green, what is outside thin and blue, what vanished with a cross."""
    stops = [places[one.tap.name] for one in trail.sightings]
    begin, end = stops[0], stops[-1]
    kind = "bad" if trail.vanished else "good" if trail.first.tap.inner else "sealed"
    line = f"thick {kind}" if trail.first.tap.inner else kind
    far = max(stops, key=lambda place: abs(place - begin))
    drawn = [svg.path(f"M{begin} {y}H{far}", line)] if far != begin else []
    drawn += [svg.dot(place, y, 3, kind) for place in stops[1:] if place != far]
    drawn.append((svg.ring if trail.appeared else svg.dot)(begin, y, 4, kind))
    if far != begin and not trail.vanished:
        back = far - HEAD * 2 if far > begin else far + HEAD * 2
        drawn.append(svg.path(f"M{back} {y - HEAD}L{far} {y}L{back} {y + HEAD}", line))
    if trail.vanished:
        last = end + VANISHED_AFTER
        cross = f"M{last - 4} {y - 4}l8 8m0 -8l-8 8"
        drawn += [svg.path(f"M{end} {y}H{last}", line, ' stroke-dasharray="4 3"'), svg.path(cross, line)]
    return drawn


def _label(trail: Trail) -> str:
    took = (trail.last.at_ns - trail.first.at_ns) / NANOSECONDS
    end = f" · {took:.2f} ms" if len(trail.sightings) > 1 else " · vanished" if trail.vanished else ""
    return f"{trail.first.what}, {trail.first.length} B{end}"
