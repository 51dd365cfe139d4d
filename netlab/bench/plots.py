"""The bench's plots: SVG made of strings, the same bytes for the same samples.

Rules of this module
  1. Every sample is a dot, the median a line across, its 95 % interval a bar; without an interval there is no bar.
  2. Colours come from the page's style sheet (classes, for light and dark); each line has its name written beside it,
     so nothing is told by colour alone.
  3. An axis begins at zero. Only where the largest value is more than 30 times the smallest does it count in powers of
     ten instead, and says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from html import escape
from math import ceil, floor, log10
from typing import Final

from netlab.bench.estimates import estimate
from netlab.bench.report import number

WIDTH: Final = 820
NAMES_WIDTH: Final = 190
VALUES_WIDTH: Final = 210
LINE_HEIGHT: Final = 24
AXIS_HEIGHT: Final = 34
CURVES_HEIGHT: Final = 260
LOGARITHMIC_FROM: Final = 30.0
TICKS: Final = 5
MARKS: Final = 6  # classes s0 to s5 of the style sheet
NAME_DISTANCE: Final = 14  # between names at the ends of curves, in pixels


@dataclass(frozen=True, slots=True)
class Line:
    """A variant and what was found of it, in the order of measuring."""

    name: str
    values: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Scale:
    """An axis: where its marks stand, and the place (0 to 1) of a value."""

    ticks: tuple[float, ...]
    place: Callable[[float], float]
    is_logarithmic: bool


def scale(values: Sequence[float]) -> Scale:
    """Return the axis for values of zero or more."""
    most = max(values, default=0.0)
    positive = [value for value in values if value > 0]
    if positive and len(positive) == len(values) and most / min(positive) > LOGARITHMIC_FROM:
        low, high = floor(log10(min(positive))), ceil(log10(most))
        return Scale(tuple(10.0**n for n in range(low, high + 1)), lambda v: (log10(v) - low) / (high - low), True)
    step = _round_step(most / TICKS or 1.0)
    count = max(1, ceil(most / step - 1e-9))
    return Scale(tuple(n * step for n in range(count + 1)), lambda v: v / (count * step), False)


def _round_step(least: float) -> float:
    power = 10.0 ** floor(log10(least))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= least * (1 - 1e-9))


def dots(title: str, lines: Sequence[Line]) -> str:
    """Return a plot with a line of dots for each variant."""
    axis = scale([value for line in lines for value in line.values])
    height = len(lines) * LINE_HEIGHT + AXIS_HEIGHT
    body = [_x_axis(axis, 0, height - AXIS_HEIGHT)]
    for place, line in enumerate(lines):
        body.append(_dots_line(line, axis, place * LINE_HEIGHT + LINE_HEIGHT / 2))
    return _svg(_named(title, axis), height, body)


def _dots_line(line: Line, axis: Scale, y: float) -> str:
    found = estimate(line.values)
    parts = [f'<text class="name" x="{NAMES_WIDTH - 10}" y="{y + 4:.1f}">{escape(line.name)}</text>']
    words = number(found.median)
    if found.interval is not None:
        left, right = (_x(axis, value) for value in found.interval)
        words += f" ({number(found.interval[0])} to {number(found.interval[1])})"
        parts.append(
            f'<rect class="interval" x="{left:.1f}" y="{y - 5:.1f}" width="{max(1.0, right - left):.1f}" height="10"/>'
        )
    parts += [f'<circle class="sample" cx="{_x(axis, value):.1f}" cy="{y:.1f}" r="2.5"/>' for value in line.values]
    middle = _x(axis, found.median)
    parts.append(f'<line class="median" x1="{middle:.1f}" y1="{y - 8:.1f}" x2="{middle:.1f}" y2="{y + 8:.1f}"/>')
    parts.append(f'<text class="value" x="{WIDTH - VALUES_WIDTH + 12}" y="{y + 4:.1f}">{words}</text>')
    return "".join(parts)


def curves(title: str, across: str, lines: Sequence[tuple[str, Sequence[tuple[float, tuple[float, ...]]]]]) -> str:
    """Return a plot with a curve of medians for each variant, and a bar where there is an interval.

    Args:
        across: what the x axis is.
        lines: each variant's name, and for each x, from the left, the values found there.
    """
    horizontal = scale([x for _, points in lines for x, _ in points])
    vertical = scale([value for _, points in lines for _, values in points for value in values])
    height = CURVES_HEIGHT + AXIS_HEIGHT
    body = [_x_axis(horizontal, 0, CURVES_HEIGHT), _y_axis(vertical)]
    body.append(
        f'<text class="tick" x="{WIDTH - VALUES_WIDTH}" y="{height - 4}">{escape(_named(across, horizontal))}</text>'
    )
    ends = []
    for place, (name, points) in enumerate(lines):
        medians = [(x, estimate(values)) for x, values in points]
        spots = [(_x(horizontal, x), _y(vertical, found.median)) for x, found in medians]
        mark = f"s{place % MARKS}"
        body.append(f'<polyline class="curve {mark}" points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in spots)}"/>')
        for (x, y), (_, found) in zip(spots, medians, strict=True):
            body.append(f'<circle class="point {mark}" cx="{x:.1f}" cy="{y:.1f}" r="3"/>')
            if found.interval is not None:
                low, high = (_y(vertical, value) for value in found.interval)
                body.append(f'<line class="whisker {mark}" x1="{x:.1f}" y1="{low:.1f}" x2="{x:.1f}" y2="{high:.1f}"/>')
        ends.append((spots[-1][1], name, mark))
    body += _names_at_ends(ends)
    return _svg(_named(title, vertical), height, body)


def _named(title: str, axis: Scale) -> str:
    return f"{title} (powers of ten)" if axis.is_logarithmic else title


def _names_at_ends(ends: Sequence[tuple[float, str, str]]) -> Iterator[str]:
    """Write names at the right, each as near to the end of its curve as the others allow; the lowest one first."""
    limit = float(CURVES_HEIGHT)
    for y, name, mark in sorted(ends, reverse=True):
        at = min(y, limit)
        limit = at - NAME_DISTANCE
        yield f'<text class="value {mark}" x="{WIDTH - VALUES_WIDTH + 12}" y="{at + 4:.1f}">{escape(name)}</text>'


def _x(axis: Scale, value: float) -> float:
    return NAMES_WIDTH + axis.place(value) * (WIDTH - NAMES_WIDTH - VALUES_WIDTH)


def _y(axis: Scale, value: float) -> float:
    return CURVES_HEIGHT - axis.place(value) * (CURVES_HEIGHT - 10)


def _x_axis(axis: Scale, top: float, bottom: float) -> str:
    parts = []
    for tick in axis.ticks:
        x = _x(axis, tick)
        parts.append(f'<line class="grid" x1="{x:.1f}" y1="{top:.1f}" x2="{x:.1f}" y2="{bottom:.1f}"/>')
        parts.append(f'<text class="tick" x="{x:.1f}" y="{bottom + 16:.1f}" text-anchor="middle">{tick:.4g}</text>')
    return "".join(parts)


def _y_axis(axis: Scale) -> str:
    right = WIDTH - VALUES_WIDTH
    parts = []
    for tick in axis.ticks:
        y = _y(axis, tick)
        parts.append(f'<line class="grid" x1="{NAMES_WIDTH}" y1="{y:.1f}" x2="{right}" y2="{y:.1f}"/>')
        parts.append(f'<text class="name" x="{NAMES_WIDTH - 10}" y="{y + 4:.1f}">{tick:.4g}</text>')
    return "".join(parts)


def _svg(title: str, height: float, body: Sequence[str]) -> str:
    head = f'<svg viewBox="0 0 {WIDTH} {height:.0f}" role="img" aria-label="{escape(title)}">'
    return f"<figure><figcaption>{escape(title)}</figcaption>{head}{''.join(body)}</svg></figure>"
