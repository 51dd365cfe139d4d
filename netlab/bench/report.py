"""The bench's tables: figures to reach, what another project claims for itself, and all that was measured.

A table is built once from the samples; `text_lines` and `markdown_lines` only set it. Beside each median stands its
95 % interval, where there are enough samples for one (estimates.py); a figure is judged by its median.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

from netlab.bench.document import Document
from netlab.bench.estimates import estimate
from netlab.bench.rows.row import Figure, Row
from netlab.bench.sample import Sample, ratios, values_of
from netlab.bench.variants import AES, PLAIN

NOT_MEASURED: Final = "not measured"
CLAIMED: Final = "claims of the seed, the project whose wire rustun speaks, beside what was found here (AES)"
MEGABITS: Final = 1000  # in a gigabit
PERCENT_AT_100_MEGABITS: Final = 1.25  # 1 CPU s/GB at 12.5 MB/s
REACHED, MISSED, UNKNOWN = "reached", "MISSED", "?"


@dataclass(frozen=True, slots=True)
class Table:
    """A title, a heading for each column, and rows of cells; the first `left` columns are words, the others numbers."""

    title: str
    heading: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    left: int


def tables(rows: Sequence[Row], samples: Sequence[Sample]) -> list[Table]:
    """Return the whole report."""
    found = [figures_table(rows, samples)]
    found.append(Table(CLAIMED, ("what", "claimed", "here"), tuple(_claims(samples)), 1))
    return [*found, *(row_table(row, samples) for row in rows)]


def figures_table(rows: Sequence[Row], samples: Sequence[Sample]) -> Table:
    """Return what has to be reached, and what was."""
    figures = [_figure_cells(row, figure, samples) for row in rows for figure in row.figures]
    return Table("figures to reach", ("what", "to reach", "measured", "verdict"), tuple(figures), 1)


def row_table(row: Row, samples: Sequence[Sample]) -> Table:
    """Return all that was measured of one row."""
    heading = ("variant", "metric", "median", "95 % interval", f"of {row.reference}")
    own = [sample for sample in samples if sample.row == row.name]
    cells = [line for variant in row.variants for line in _variant_cells(row.reference, variant, own)]
    return Table(f"{row.title} ({row.name})", heading, tuple(cells), 2)


def facts(found: Document) -> list[str]:
    """Return in sentences how and where a run was made, and what it left out."""
    told = found.machine
    how = (
        f"{found.asked.repetitions} x {found.asked.seconds:g} s, {found.took_s:.0f} s in all, {found.date}; "
        f"{told.get('cpu', '?')}, Linux {told.get('kernel', '?')}, Python {told.get('python', '?')}; "
        f"TCP of the load: {told.get('congestion', '?')}."
    )
    return [how, *(f"Skipped: {name} ({reason})." for name, reason in sorted(found.skipped.items()))]


def _figure_cells(row: Row, figure: Figure, samples: Sequence[Sample]) -> tuple[str, ...]:
    own = [sample for sample in samples if sample.row == row.name]
    if figure.of:
        values, unit = ratios(own, figure.of, figure.variant, figure.metric), " x"
    else:
        values, unit = values_of(own, figure.variant, figure.metric), ""
    bound = f"{'at least' if figure.least else 'at most'} {number(figure.limit)}{unit} {figure.of}".rstrip()
    if not values:
        return figure.what, bound, NOT_MEASURED, UNKNOWN
    value = median(values)
    good = value >= figure.limit if figure.least else value <= figure.limit
    return figure.what, bound, f"{number(value)}{unit}", REACHED if good else MISSED


def _claims(samples: Sequence[Sample]) -> Iterator[tuple[str, ...]]:
    def found(row: str, variant: str, metric: str) -> float | None:
        values = values_of([sample for sample in samples if sample.row == row], variant, metric)
        return median(values) if values else None

    speed, cost = found("tcp-1", AES, "Gbit/s"), found("tcp-1", AES, "relay CPU s/GB")
    tunnel, plain = found("ping", AES, "median ms"), found("ping", PLAIN, "median ms")
    added = None if tunnel is None or plain is None else tunnel - plain
    percent = None if cost is None else cost * PERCENT_AT_100_MEGABITS
    yield "one TCP connection", "about 900 Mbit/s", _with_unit(None if speed is None else speed * MEGABITS, "Mbit/s")
    yield "added latency, idle ping", "under 1 ms", _with_unit(added, "ms")
    yield "processor per 100 Mbit/s, relay", "5 %", _with_unit(percent, "%")
    yield "memory of a client", "20 MB", _with_unit(found("memory", AES, "client MB"), "MB")


def _with_unit(value: float | None, unit: str) -> str:
    return NOT_MEASURED if value is None else f"{number(value)} {unit}"


def _variant_cells(reference: str, variant: str, samples: Sequence[Sample]) -> Iterator[tuple[str, ...]]:
    own = [sample for sample in samples if sample.variant == variant]
    for place, metric in enumerate(dict.fromkeys(metric for sample in own for metric in sample.values)):
        found = estimate(values_of(own, variant, metric))
        shares = [] if variant == reference else ratios(samples, reference, variant, metric)
        yield (
            variant if place == 0 else "",
            metric,
            number(found.median),
            "-" if found.interval is None else f"{number(found.interval[0])} to {number(found.interval[1])}",
            number(median(shares)) if shares else "",
        )


def number(value: float) -> str:
    """Return a number with three digits that count, or all of those before the point."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def text_lines(table: Table) -> Iterator[str]:
    """Yield a table for a terminal."""
    widths = [max(map(len, column)) for column in zip(table.heading, *table.rows, strict=True)]
    yield table.title
    for row in (table.heading, *table.rows):
        cells = (
            _set(cell, width, place < table.left) for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        yield ("  " + "  ".join(cells)).rstrip()
    yield ""


def _set(cell: str, width: int, is_word: bool) -> str:
    return cell.ljust(width) if is_word else cell.rjust(width)


def markdown_lines(table: Table) -> Iterator[str]:
    """Yield a table as Markdown."""
    yield f"### {table.title[0].upper()}{table.title[1:]}"
    yield ""
    yield "| " + " | ".join(table.heading) + " |"
    yield "|" + "|".join("---" if place < table.left else "---:" for place in range(len(table.heading))) + "|"
    for row in table.rows:
        yield "| " + " | ".join(row) + " |"
    yield ""
