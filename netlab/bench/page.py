"""The bench's report as one HTML file that needs nothing else: tables, plots of every sample, flame graphs.

It reads in a browser without network, in light and in dark, and on paper. The same document gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from statistics import median
from typing import Final

from netlab.bench import plots
from netlab.bench.document import Document
from netlab.bench.flame import flame
from netlab.bench.metrics import is_speed
from netlab.bench.profiling import Profile
from netlab.bench.report import MISSED, Table, facts, figures_table, row_table
from netlab.bench.rows.row import Curve, Row
from netlab.bench.sample import Sample, ratios, values_of
from netlab.bench.variants import TITLES

STYLE: Final = """
:root { color-scheme: light dark; --fg: #1c2126; --soft: #59636e; --bg: #ffffff; --line: #d5dbe1; --mark: #0b62c4;
  --bar: #9cc4f2; --bad: #b3261e; --s0: #59636e; --s1: #0b62c4; --s2: #b45309; --s3: #15803d; --s4: #9333ea;
  --s5: #be185d; }
@media (prefers-color-scheme: dark) { :root { --fg: #e6e9ec; --soft: #9aa5b1; --bg: #15181c; --line: #343b43;
  --mark: #6cb0ff; --bar: #274c77; --bad: #ff8a80; --s0: #9aa5b1; --s1: #6cb0ff; --s2: #f0a04b; --s3: #5fd38a;
  --s4: #c69bff; --s5: #ff8fc0; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--fg); background: var(--bg); margin: 0 auto; padding: 1.5rem;
  max-width: 62rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2.5rem; border-bottom: 1px solid var(--line); }
p, li, figcaption, summary { color: var(--soft); } b, h1, h2 { color: var(--fg); }
table { border-collapse: collapse; font-size: 13px; margin: .5rem 0; }
th, td { padding: .15rem .7rem; border-bottom: 1px solid var(--line); text-align: right; }
th.word, td.word { text-align: left; } td.missed { color: var(--bad); font-weight: 600; }
figure { margin: 1rem 0; } svg { width: 100%; height: auto; font: 12px system-ui, sans-serif; }
text { fill: var(--fg); } .tick { fill: var(--soft); font-size: 11px; } .name { text-anchor: end; }
.grid { stroke: var(--line); stroke-width: 1; } .interval { fill: var(--bar); }
.sample { fill: var(--fg); fill-opacity: .45; } .median { stroke: var(--mark); stroke-width: 2.5; }
.curve { fill: none; stroke: currentColor; stroke-width: 2; } .whisker { stroke: currentColor; stroke-width: 1; }
.point { fill: currentColor; } text.s0, text.s1, text.s2, text.s3, text.s4, text.s5 { fill: currentColor; }
.s0 { color: var(--s0); } .s1 { color: var(--s1); } .s2 { color: var(--s2); } .s3 { color: var(--s3); }
.s4 { color: var(--s4); } .s5 { color: var(--s5); }
polyline.s0 { stroke-dasharray: 2 3; } polyline.s2 { stroke-dasharray: 7 3; } polyline.s3 { stroke-dasharray: 9 3 2 3; }
polyline.s4 { stroke-dasharray: 4 4; } .box text { fill: #1c2126; font: 11px ui-monospace, monospace; }
nav a { color: var(--mark); margin-right: .8rem; display: inline-block; }
"""


def page(rows: Sequence[Row], found: Document, profiles: Sequence[Profile] = ()) -> str:
    """Return the whole file."""
    measured = [row for row in rows if any(sample.row == row.name for sample in found.samples)]
    parts = [
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>rustun: bench</title>',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<style>{STYLE}</style></head><body><h1>rustun: bench</h1>",
        *(f"<p>{escape(line)}</p>" for line in facts(found)),
        "<p>Each dot is one measurement, the line across the median, the bar its 95 % interval (order statistics).</p>",
        "<nav>" + "".join(f'<a href="#{row.name}">{row.name}</a>' for row in measured) + "</nav>",
        "<h2>Figures to reach</h2>",
        _table(figures_table(measured, found.samples)),
        *(_row(row, found.samples, profiles) for row in measured),
        *_appendix(measured, found),
        "</body></html>\n",
    ]
    return "\n".join(parts)


def _row(row: Row, samples: Sequence[Sample], profiles: Sequence[Profile]) -> str:
    own = [sample for sample in samples if sample.row == row.name]
    parts = [f'<h2 id="{row.name}">{escape(row.title[0].upper() + row.title[1:])} ({row.name})</h2>']
    if row.curve is not None:
        parts.append(_curve(row, row.curve, own))
    else:
        metrics = dict.fromkeys(metric for sample in own for metric in sample.values)
        parts += (plot for metric in metrics for plot in _dots(row, metric, own))
    parts.append(f"<details><summary>as a table</summary>{_table(row_table(row, samples))}</details>")
    parts += (
        flame(f"{profile.variant}, {profile.node}, by {profile.tool}", profile.stacks)
        for profile in profiles
        if profile.row == row.name
    )
    return "\n".join(parts)


def _dots(row: Row, metric: str, own: Sequence[Sample]) -> Iterator[str]:
    """Yield what was found, and of speeds what share of the reference that is: the machine's own speed is not in it."""
    found = [plots.Line(variant, tuple(values_of(own, variant, metric))) for variant in row.variants]
    yield plots.dots(metric, [line for line in found if line.values])
    if is_speed(metric):
        others = [variant for variant in row.variants if variant != row.reference]
        shares = [plots.Line(variant, tuple(ratios(own, row.reference, variant, metric))) for variant in others]
        if any(line.values for line in shares):
            yield plots.dots(f"{metric}, of {row.reference}", [line for line in shares if line.values])


def _curve(row: Row, curve: Curve, own: Sequence[Sample]) -> str:
    lines = []
    for variant in row.variants:
        points = [tuple(tuple(values_of(own, variant, metric)) for metric in pair) for pair in curve.points]
        if any(up for _, up in points):
            lines.append((variant, sorted((median(across), up) for across, up in points if up)))
    return plots.curves(curve.up, curve.across, lines)


def _appendix(rows: Sequence[Row], found: Document) -> Iterator[str]:
    yield "<h2>Variants</h2><table>"
    for variant in dict.fromkeys(variant for row in rows for variant in row.variants):
        if variant in TITLES:
            yield f'<tr><td class="word"><b>{variant}</b></td><td class="word">{escape(TITLES[variant])}</td></tr>'
    yield "</table><h2>Machine</h2><table>"
    for name, words in found.machine.items():
        yield f'<tr><td class="word">{escape(name)}</td><td class="word">{escape(words)}</td></tr>'
    yield "</table>"


def _table(table: Table) -> str:
    heads = (_element("th", "word" if place < table.left else "", name) for place, name in enumerate(table.heading))
    lines = ["<table><tr>" + "".join(heads) + "</tr>"]
    for row in table.rows:
        cells = (_element("td", _kind(cell, place < table.left), cell) for place, cell in enumerate(row))
        lines.append("<tr>" + "".join(cells) + "</tr>")
    return "\n".join([*lines, "</table>"])


def _kind(cell: str, is_word: bool) -> str:
    if cell == MISSED:
        return "missed"
    return "word" if is_word else ""


def _element(name: str, kind: str, words: str) -> str:
    attribute = f' class="{kind}"' if kind else ""
    return f"<{name}{attribute}>{escape(words)}</{name}>"
