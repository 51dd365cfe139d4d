"""A diagram of packets as text: a row for each packet, a column for each tap, time from top to bottom.

o--+-->  from a tap past others to the last one that saw it
o--x     it left a node, and did not come in where a tap waited for it
*-->     it came from where nobody watched
"""

from __future__ import annotations

from itertools import groupby
from typing import Final

from netlab.picture.sequence import Diagram, Trail

START: Final = "o"
PASSED: Final = "+"
APPEARED: Final = "*"
VANISHED: Final = "x"
LEAST_WIDTH: Final = 8  # of a column
MOST_LABEL: Final = 60
NANOSECONDS: Final = 1e6  # in a millisecond


def draw(diagram: Diagram) -> str:
    """Return the diagram, its lines ended."""
    if not diagram.rows:
        return "no packet was seen\n"
    places, width, heads = _columns(diagram.columns)
    labels = [_label(trail) for trail in diagram.rows]
    room = max(map(len, labels))
    width += 3  # for what vanishes at the last column
    lines = [f"{'':>10}  {'':<{room}}  {head}".rstrip() for head in heads]
    for trail, label in zip(diagram.rows, labels, strict=True):
        since = (trail.first.at_ns - diagram.began_ns) / NANOSECONDS
        took = (trail.last.at_ns - trail.first.at_ns) / NANOSECONDS
        end = f"{took:.2f} ms" if len(trail.sightings) > 1 else ""
        lines.append(f"{since:>7.2f} ms  {label:<{room}}  {_way(trail, places, width)}  {end}".rstrip())
    return "\n".join([*lines, *notes(diagram)]) + "\n"


def notes(diagram: Diagram, *, vanished: str = VANISHED, appeared: str = APPEARED) -> list[str]:
    """Return what has to be said below a diagram: what its signs mean, and what was left out."""
    said = []
    if any(trail.vanished for trail in diagram.rows):
        said.append(f"{vanished}  it left its node and did not come in where a tap waited for it")
    if any(trail.appeared for trail in diagram.rows):
        said.append(f"{appeared}  it came from where no tap watches")
    if diagram.acknowledgements:
        said.append(f"left out: acknowledgements that carry nothing, {diagram.acknowledgements}")
    if diagram.later:
        said.append(f"left out: later packets, {diagram.later}")
    return said


def _label(trail: Trail) -> str:
    text = f"{trail.first.what}, {trail.first.length} B"
    return text if len(text) <= MOST_LABEL else f"{text[: MOST_LABEL - 3]}..."


def _columns(taps: tuple[str, ...]) -> tuple[dict[str, int], int, list[str]]:
    """Return the middle of each column, the width of all, and the lines above them: nodes, interfaces."""
    places: dict[str, int] = {}
    nodes = interfaces = ""
    for node, group in groupby(taps, key=lambda tap: tap.rpartition(":")[0]):
        own = list(group)
        names = [tap.rpartition(":")[2] for tap in own]
        each = max(LEAST_WIDTH, -(-(len(node) + 2) // len(own)), *(len(name) + 2 for name in names))
        for tap, name in zip(own, names, strict=True):
            places[tap] = len(interfaces) + each // 2
            interfaces += f"{name:^{each}}"
        nodes += f"{node:^{each * len(own)}}"
    return places, len(interfaces), [nodes, interfaces]


def _way(trail: Trail, places: dict[str, int], width: int) -> str:
    """Return the arrow of a trail."""
    stops = [places[one.tap.name] for one in trail.sightings]
    begin, end, left, right = stops[0], stops[-1], min(stops), max(stops)
    line = [" "] * width
    line[left : right + 1] = "-" * (right - left + 1)
    for place in stops:
        line[place] = PASSED
    if right != begin:
        line[right] = ">"
    if left != begin:
        line[left] = "<"
    line[begin] = APPEARED if trail.appeared else START
    if trail.vanished:
        line[end] = line[end] if end == begin else PASSED
        line[end + 1 : end + 4] = f"--{VANISHED}"
    return "".join(line)
