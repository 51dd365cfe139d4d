"""A laboratory as SVG: the server on top, a panel for each cluster, in it a tree of cards, one for each node.

Rules of this module
  1. Panels stand in up to MOST_COLUMNS columns, each below the shortest so far; a trunk leads down beside each column.
  2. Where a cable comes to its card it has the colour of its mood and a pattern of its own: whole, dashed where packets
     are lost, dotted where it is planned or dead. What it does stands in the card.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from netlab.picture import svg
from netlab.picture.scene import SIGNS, Figure, Group, Mood, Scene

MARGIN: Final = 24
PANEL: Final = 344
GUTTER: Final = 40  # between columns; the trunk runs in it
MOST_COLUMNS: Final = 4
HEADER: Final = 40  # of a panel
LINE: Final = 17
INDENT: Final = 28  # of what hangs below a card
STUB: Final = 18  # of a cable, where it comes to its card
GAP: Final = 10  # between cards
BUS: Final = 24  # from the server down to the line across, and from there to the panels
SERVER_WIDTH: Final = 300
TOP: Final = 76  # of the server's card
CHARACTERS: Final = 7.4  # pixels of one, at most, in a bold line
DASHES: Final[dict[Mood, str]] = {
    "planned": ' stroke-dasharray="2 4"',
    "warn": ' stroke-dasharray="7 4"',
    "bad": ' stroke-dasharray="2 4"',
}


def draw(scene: Scene) -> str:
    """Return the picture as a file."""
    below = TOP + _height(scene.server)
    columns, places, bottom = _places(scene.groups, below + BUS * 2)
    width = max(MARGIN * 2 + columns * (PANEL + GUTTER), SERVER_WIDTH + MARGIN * 2)
    middle = (width + GUTTER) // 2
    body = [svg.text(MARGIN, 34, scene.title, "big"), svg.text(MARGIN, 54, scene.summary, "small")]
    body += _trunks(places, middle, below)
    body += _card(scene.server, middle - SERVER_WIDTH // 2, TOP, SERVER_WIDTH)
    for (x, y), group in zip(places, scene.groups, strict=True):
        body += _panel(group, x, y)
    body += _legend(scene, bottom)
    return svg.document(f"{scene.title}: {scene.summary}", width, bottom + MARGIN, body)


def _places(groups: tuple[Group, ...], top: int) -> tuple[int, list[tuple[int, int]], int]:
    """Return how many columns there are, where each panel stands, and the lowest end."""
    columns = max(1, min(len(groups), 3 if len(groups) in (5, 6) else MOST_COLUMNS))
    ends = [top] * columns
    places = []
    for group in groups:
        column = ends.index(min(ends))
        places.append((MARGIN + GUTTER + column * (PANEL + GUTTER), ends[column]))
        ends[column] += _panel_height(group) + MARGIN
    return columns, places, max(ends)


def _trunks(places: list[tuple[int, int]], middle: int, server: int) -> Iterator[str]:
    """Draw the way from below the server to each panel."""
    if not places:
        return
    across = server + BUS
    trunks = sorted({x - GUTTER // 2 for x, _ in places})
    yield svg.path(f"M{middle} {server}V{across}M{min(trunks[0], middle)} {across}H{max(trunks[-1], middle)}", "")
    for trunk in trunks:
        lowest = max(y for x, y in places if x - GUTTER // 2 == trunk) + HEADER // 2
        yield svg.path(f"M{trunk} {across}V{lowest}", "")
    for x, y in places:
        yield svg.path(f"M{x - GUTTER // 2} {y + HEADER // 2}H{x}", "")


def _panel_height(group: Group) -> int:
    return HEADER + sum(_tree_height(figure) for figure in group.figures) + GAP


def _tree_height(figure: Figure) -> int:
    return _height(figure) + GAP + sum(_tree_height(one) for one in figure.below)


def _height(figure: Figure) -> int:
    return 12 + LINE * len(_lines(figure)) + LINE


def _lines(figure: Figure) -> list[str]:
    """Return what stands below a node's name."""
    details = [", ".join(figure.details)] if figure.details else []
    first = f"cable {SIGNS[figure.cable]}"
    return details + [f"{first if not n else '     '} {words}".strip() for n, words in enumerate(figure.cable_words)]


def _panel(group: Group, x: int, y: int) -> Iterator[str]:
    yield svg.rectangle(x, y, PANEL, _panel_height(group), "panel", 10)
    yield svg.text(x + 16, y + 25, svg.cut(group.name, 40), "name")
    yield from _branches(group.figures, x + 14, y + HEADER, x + PANEL - 12, y + HEADER - 8)


def _branches(figures: tuple[Figure, ...], x: int, y: int, right: int, top: int) -> Iterator[str]:
    """Draw trees below each other, and a line from `top` that leads along them to each."""
    for figure in figures:
        height = _height(figure)
        middle = y + height // 2
        kind = "" if figure.cable in ("plain", "planned") else f"thick {figure.cable}"
        yield svg.path(f"M{x} {top}V{middle}", "")
        yield svg.path(f"M{x} {middle}H{x + STUB}", kind, DASHES.get(figure.cable, ""))
        yield from _card(figure, x + STUB, y, right - x - STUB)
        yield from _branches(figure.below, x + INDENT, y + height + GAP, right, y + height)
        top = middle
        y += _tree_height(figure)


def _card(figure: Figure, x: int, y: int, width: int) -> Iterator[str]:
    dashed = ' stroke-dasharray="5 4"' if figure.role == "nat" or figure.state.mood == "planned" else ""
    yield svg.rectangle(x, y, width, _height(figure), "card", 7, dashed)
    state = str(figure.state) if figure.state.words else ""
    mood = figure.state.mood if figure.state.mood in ("good", "warn", "bad") else "faint"
    room = int((width - 24 - len(state) * svg.FONT_WIDTH) / CHARACTERS)
    yield svg.text(x + 10, y + 20, svg.cut(figure.name, max(room, 8)), "name")
    if state:
        yield svg.text(x + width - 10, y + 20, state, mood, "end")
    for number, line in enumerate(_lines(figure)):
        yield svg.text(x + 10, y + 20 + LINE * (number + 1), svg.cut(line, int((width - 16) / 5.6)), "small")


def _legend(scene: Scene, y: int) -> Iterator[str]:
    """Say what signs mean, of those that are there."""
    found = {scene.server.state.mood}
    waiting = [figure for group in scene.groups for figure in group.figures]
    while waiting:
        figure = waiting.pop()
        found |= {figure.state.mood, figure.cable}
        waiting += figure.below
    words: dict[Mood, str] = {
        "good": "as it should be",
        "warn": "packets are lost, or not online",
        "bad": "dead",
        "planned": "planned, with dashes",
    }
    said = [f"{SIGNS[mood]} {text}" for mood, text in words.items() if mood in found]
    yield svg.text(MARGIN, y, "   ·   ".join(said), "small")
