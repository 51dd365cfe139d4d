"""What all SVG pictures of a laboratory share: one file without references to others, in light and dark.

Rules of this module
  1. Colours are classes of one style sheet, which follows the reader's scheme; where no scheme is known it is light.
  2. No colour means anything alone: states have a sign and a word, or a pattern of the line.
  3. Coordinates are whole pixels, so the same input gives the same bytes. Every text is escaped here.
"""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Final

FONT_WIDTH: Final = 7.0  # pixels of a character of 12 pixels, somewhat more than most fonts need

_LIGHT: Final = {
    "paper": "#ffffff",
    "ink": "#1b2430",
    "faint": "#5d6b7c",
    "line": "#aab6c4",
    "panel": "#f3f6fa",
    "card": "#ffffff",
    "edge": "#c3ccd8",
    "good": "#1a7f4b",
    "bad": "#c62f2f",
    "warn": "#9a5b00",
    "sealed": "#3b6fc4",
}
_DARK: Final = {
    "paper": "#12171e",
    "ink": "#e6ebf2",
    "faint": "#9aa7b7",
    "line": "#4b5868",
    "panel": "#1a212b",
    "card": "#222b37",
    "edge": "#3c4858",
    "good": "#4cc38a",
    "bad": "#ff7b72",
    "warn": "#e3a64a",
    "sealed": "#79aaf5",
}
_SHAPES: Final = (
    "text{font:12px system-ui,'Segoe UI',Roboto,'DejaVu Sans',sans-serif}"
    ".name{font-weight:600}.big{font-size:16px;font-weight:600}.small{font-size:11px}"
    ".line{fill:none;stroke-width:1.5}.thick{stroke-width:2.5}"
)
_STATES: Final = ("good", "bad", "warn", "sealed", "faint")


def _colours(scheme: Mapping[str, str]) -> str:
    """Return the rules of a scheme, each colour written out: not every viewer knows variables."""
    rules = [
        f"text{{fill:{scheme['ink']}}}.small{{fill:{scheme['faint']}}}.paper,.ring{{fill:{scheme['paper']}}}",
        *(f".{name}{{fill:{scheme[name]};stroke:{scheme['edge']}}}" for name in ("panel", "card")),
        f".line{{stroke:{scheme['line']}}}",
        *(f".{one}{{stroke:{scheme[one]}}}text.{one},.dot.{one}{{fill:{scheme[one]};stroke:none}}" for one in _STATES),
    ]
    return "".join(rules)


def document(title: str, width: int, height: int, body: list[str]) -> str:
    """Return a whole file; `title` is what is read aloud of it."""
    dark = f"@media(prefers-color-scheme:dark){{{_colours(_DARK)}}}"
    style = f"<style>{_SHAPES}{_colours(_LIGHT)}{dark}</style>"
    box = f'viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {box} role="img">'
    lines = [
        head,
        f"<title>{escape(title)}</title>",
        style,
        rectangle(0, 0, width, height, "paper", 0),
        *body,
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def text(x: int, y: int, words: str, kind: str = "", anchor: str = "") -> str:
    """Return a line of text; `anchor` is "", "middle" or "end"."""
    placed = f' text-anchor="{anchor}"' if anchor else ""
    return f'<text x="{x}" y="{y}"{_class(kind)}{placed}>{escape(words)}</text>'


def rectangle(x: int, y: int, width: int, height: int, kind: str, radius: int = 8, more: str = "") -> str:
    """Return a rectangle; `more` are further attributes."""
    round_ = f' rx="{radius}"' if radius else ""
    return f'<rect x="{x}" y="{y}" width="{width}" height="{height}"{round_}{_class(kind)}{more}/>'


def path(points: str, kind: str, more: str = "") -> str:
    """Return a line; `points` as an SVG path has them."""
    return f'<path d="{points}"{_class(f"line {kind}".strip())}{more}/>'


def dot(x: int, y: int, radius: int, kind: str) -> str:
    """Return a filled circle."""
    return f'<circle cx="{x}" cy="{y}" r="{radius}"{_class(f"dot {kind}".strip())}/>'


def ring(x: int, y: int, radius: int, kind: str) -> str:
    """Return an empty circle."""
    return f'<circle cx="{x}" cy="{y}" r="{radius}"{_class(f"ring {kind}".strip())}/>'


def cut(words: str, most: int) -> str:
    """Return words, the end replaced by an ellipsis where they have more than `most` characters."""
    return words if len(words) <= most else f"{words[: most - 1]}…"


def _class(kind: str) -> str:
    return f' class="{kind}"' if kind else ""
