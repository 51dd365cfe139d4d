"""A laboratory as text: a tree with a line for each node, and as Mermaid."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

from netlab.picture.scene import SIGNS, Figure, Scene
from rustun.ops.templating import label

T = TypeVar("T")


def text(scene: Scene) -> str:
    """Return the tree, its lines ended."""
    rows = [(_name(scene.server), *_columns(scene.server))]
    for last, group in _with_last(scene.groups):
        rows.append((f"{'└─' if last else '├─'} {group.name}", "", "", ""))
        rows += _rows(group.figures, "   " if last else "│  ")
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    lines = ["  ".join([*(f"{cell:<{w}}" for cell, w in zip(row, widths, strict=False)), row[3]]) for row in rows]
    return "\n".join([f"{scene.title}: {scene.summary}", "", *(line.rstrip() for line in lines)]) + "\n"


def _rows(figures: tuple[Figure, ...], before: str) -> Iterator[tuple[str, str, str, str]]:
    for last, one in _with_last(figures):
        yield f"{before}{'└─' if last else '├─'} {_name(one)}", *_columns(one)
        yield from _rows(one.below, f"{before}{'   ' if last else '│  '}")


def _with_last(items: tuple[T, ...]) -> Iterator[tuple[bool, T]]:
    return ((number == len(items), one) for number, one in enumerate(items, start=1))


def _name(figure: Figure) -> str:
    return f"{figure.name} ({figure.details[0]})" if figure.role == "nat" else figure.name


def _columns(figure: Figure) -> tuple[str, str, str]:
    details = "" if figure.role == "nat" else ", ".join(figure.details)
    state = str(figure.state) if figure.state.words else ""
    cable = " · ".join(figure.cable_words)
    return details, state, f"{SIGNS[figure.cable]} {cable}" if cable else ""


def mermaid(scene: Scene) -> str:
    """Return a flow chart in Mermaid's language: states are classes and words, cables have labels."""
    lines = ["flowchart LR", f"  %% {scene.title}: {scene.summary}", f"  {_box('server', scene.server)}"]
    number = 0
    cables: list[str] = []
    for place, group in enumerate(scene.groups):
        lines.append(f'  subgraph c{place}["{label(group.name)}"]')
        waiting = [(figure, "server") for figure in group.figures]
        while waiting:
            figure, above = waiting.pop(0)
            number += 1
            lines.append(f"    {_box(f'n{number}', figure)}")
            words = label(" · ".join(figure.cable_words))
            cables.append(f"  {above} {f'---|{chr(34)}{words}{chr(34)}|' if words else '---'} n{number}")
            waiting = [(one, f"n{number}") for one in figure.below] + waiting
        lines.append("  end")
    styles = (("good", "#1a7f4b"), ("warn", "#9a5b00"), ("bad", "#c62f2f"))
    lines += cables + [f"  classDef {mood} stroke:{colour},stroke-width:2px" for mood, colour in styles]
    lines.append("  classDef planned stroke-dasharray:4 3")
    return "\n".join(lines) + "\n"


def _box(identifier: str, figure: Figure) -> str:
    state = [str(figure.state)] if figure.state.words else []
    words = "<br>".join(label(line) for line in (figure.name, *figure.details, *state))
    kind = f":::{figure.state.mood}" if figure.state.mood != "plain" else ""
    return f'{identifier}["{words}"]{kind}'
