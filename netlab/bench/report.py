"""The bench's tables: figures to reach, what another project claims for itself, and all that was measured.

A table is built once from the samples; `text_lines` and `markdown_lines` only set it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

from netlab.bench.rows import AES, PLAIN, Figure, Row, Values

NOT_MEASURED: Final = "not measured"
CLAIMED: Final = "claims of the seed, the project whose wire rustun speaks, beside what was found here (AES)"
MEGABITS: Final = 1000  # in a gigabit
PERCENT_AT_100_MEGABITS: Final = 1.25  # 1 CPU s/GB at 12.5 MB/s


@dataclass(frozen=True, slots=True)
class Sample:
    """What one measurement found; samples of one `group` were taken next to each other, the reference among them."""

    row: str
    variant: str
    repetition: int
    group: int
    values: Values


@dataclass(frozen=True, slots=True)
class Table:
    """A title, a heading for each column, and rows of cells; the first `left` columns are words, the others numbers."""

    title: str
    heading: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    left: int


def tables(rows: Sequence[Row], samples: Sequence[Sample]) -> list[Table]:
    """Return the whole report."""
    figures = [_figure_cells(row, figure, samples) for row in rows for figure in row.figures]
    found = [Table("figures to reach", ("what", "to reach", "measured", "verdict"), tuple(figures), 1)]
    found.append(Table(CLAIMED, ("what", "claimed", "here"), tuple(_claims(samples)), 1))
    for row in rows:
        heading = ("variant", "metric", "median", "least", "most", f"of {row.reference}")
        own = [sample for sample in samples if sample.row == row.name]
        cells = [line for variant in row.variants for line in _variant_cells(row.reference, variant, own)]
        found.append(Table(f"{row.title} ({row.name})", heading, tuple(cells), 2))
    return found


def _figure_cells(row: Row, figure: Figure, samples: Sequence[Sample]) -> tuple[str, ...]:
    own = [sample for sample in samples if sample.row == row.name]
    if figure.of_reference:
        value = ratio(own, row.reference, figure.variant, figure.metric)
        unit = f" x {row.reference}"
    else:
        value, unit = _median(own, figure.variant, figure.metric), ""
    bound = f"{'at least' if figure.least else 'at most'} {figure.limit:g}{unit}"
    if value is None:
        return figure.what, bound, NOT_MEASURED, "?"
    good = value >= figure.limit if figure.least else value <= figure.limit
    return figure.what, bound, f"{_number(value)}{unit}", "reached" if good else "MISSED"


def ratio(samples: Sequence[Sample], reference: str, variant: str, metric: str) -> float | None:
    """Return the median of the ratios within each group; None where the reference has no such value, or zero."""
    beside = {sample.group: sample.values.get(metric, 0.0) for sample in samples if sample.variant == reference}
    own = [sample for sample in samples if sample.variant == variant and beside.get(sample.group)]
    ratios = [sample.values[metric] / beside[sample.group] for sample in own]
    return median(ratios) if ratios else None


def _median(samples: Sequence[Sample], variant: str, metric: str) -> float | None:
    values = [sample.values[metric] for sample in samples if sample.variant == variant and metric in sample.values]
    return median(values) if values else None


def _claims(samples: Sequence[Sample]) -> Iterator[tuple[str, ...]]:
    def found(row: str, variant: str, metric: str) -> float | None:
        return _median([sample for sample in samples if sample.row == row], variant, metric)

    speed, cost = found("tcp-1", AES, "Gbit/s"), found("tcp-1", AES, "relay CPU s/GB")
    tunnel, plain = found("ping", AES, "median ms"), found("ping", PLAIN, "median ms")
    added = None if tunnel is None or plain is None else tunnel - plain
    percent = None if cost is None else cost * PERCENT_AT_100_MEGABITS
    yield "one TCP connection", "about 900 Mbit/s", _with_unit(None if speed is None else speed * MEGABITS, "Mbit/s")
    yield "added latency, idle ping", "under 1 ms", _with_unit(added, "ms")
    yield "processor per 100 Mbit/s, relay", "5 %", _with_unit(percent, "%")
    yield "memory of a client", "20 MB", _with_unit(found("memory", AES, "client MB"), "MB")


def _with_unit(value: float | None, unit: str) -> str:
    return NOT_MEASURED if value is None else f"{_number(value)} {unit}"


def _variant_cells(reference: str, variant: str, samples: Sequence[Sample]) -> Iterator[tuple[str, ...]]:
    own = [sample for sample in samples if sample.variant == variant]
    for number, metric in enumerate(own[0].values if own else ()):
        values = [sample.values[metric] for sample in own]
        share = None if variant == reference else ratio(samples, reference, variant, metric)
        yield (
            variant if number == 0 else "",
            metric,
            _number(median(values)),
            _number(min(values)),
            _number(max(values)),
            "" if share is None else f"{share:.2f}",
        )


def _number(value: float) -> str:
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
