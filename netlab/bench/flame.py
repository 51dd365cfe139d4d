"""Flame graphs: where a process's samples were, as SVG made of strings.

Each box is a function; what it called stands below it; its width is its share of the samples. Boxes too small to see
are left out, their time still counts in the box above; so are those that all samples begin with, but for the last one.
Hover for the whole name and the share.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Final
from zlib import crc32

WIDTH: Final = 1000.0
BOX_HEIGHT: Final = 17
LEAST_WIDTH: Final = 1.0
LETTER_WIDTH: Final = 6.4  # of the page's 11 px font, about
HUES: Final = 40  # from red to yellow

Stacks = Mapping[tuple[str, ...], int]


@dataclass(slots=True)
class _Box:
    """A function that was called from the one above, how often it was seen, and what it called."""

    samples: int = 0
    called: dict[str, _Box] = field(default_factory=dict)


def flame(title: str, stacks: Stacks) -> str:
    """Return the graph of some stacks, outermost function first; a line of words where there are none."""
    whole = _Box()
    skipped = _common(list(stacks))
    for stack, samples in sorted(stacks.items()):
        box = whole
        box.samples += samples
        for name in stack[skipped:]:
            box = box.called.setdefault(name, _Box())
            box.samples += samples
    if not whole.samples:
        return f"<figure><figcaption>{escape(title)}; samples: none, it had nothing to do</figcaption></figure>"
    depth = max(map(len, stacks)) - skipped
    body = "".join(_boxes(whole, 0.0, 0, whole.samples))
    head = f'<svg viewBox="0 0 {WIDTH:.0f} {depth * BOX_HEIGHT}" role="img" aria-label="{escape(title)}">'
    return f"<figure><figcaption>{escape(title)}; samples: {whole.samples}</figcaption>{head}{body}</svg></figure>"


def _common(stacks: Sequence[tuple[str, ...]]) -> int:
    """Return how many functions all stacks begin with, but the last of them: they say nothing but how it started."""
    same = 0
    for functions in zip(*stacks, strict=False):
        if len(set(functions)) > 1:
            break
        same += 1
    return max(0, same - 1)


def _boxes(above: _Box, left: float, level: int, whole: int) -> Iterator[str]:
    for name, box in above.called.items():
        width = WIDTH * box.samples / whole
        if width >= LEAST_WIDTH:
            yield _one(name, left, level, width, 100 * box.samples / whole)
            yield from _boxes(box, left, level + 1, whole)
        left += width


def _one(name: str, left: float, level: int, width: float, percent: float) -> str:
    hue = crc32(name.encode()) % HUES + 10
    y = level * BOX_HEIGHT
    letters = int((width - 6) / LETTER_WIDTH)
    words = name if len(name) <= letters else name[: letters - 2] + ".." if letters > 4 else ""
    text = f'<text x="{left + 3:.1f}" y="{y + 12}">{escape(words)}</text>' if words else ""
    return (
        f'<g class="box"><title>{escape(name)} {percent:.1f} %</title>'
        f'<rect x="{left:.1f}" y="{y}" width="{width - 0.5:.1f}" height="{BOX_HEIGHT - 1}" fill="hsl({hue} 75% 68%)"/>'
        f"{text}</g>"
    )
