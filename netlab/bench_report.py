"""The bench's table: each metric's median and spread, its ratio to plain routing, and the figure to reach."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import median
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from netlab.bench import Figure, Row, Sample

PLAIN: Final = "plain"
CLAIMS: Final = (
    "what the project that this one speaks the wire of claims for itself: about 900 Mbit/s over one connection,",
    "  under 1 ms of added latency, 5 % CPU per 100 Mbit/s (4 CPU s/GB), 20 MB per client",
)


def report_lines(rows: Sequence[Row], samples: Sequence[Sample]) -> Iterator[str]:
    """Yield the whole report, at most 100 columns wide."""
    yield f"{'':<13}{'':<14}{'median':>9}  {'(least to most)':<22}{'of plain':>9}   figure to reach"
    for row in rows:
        yield row.title
        found = [sample for sample in samples if sample.row == row.name]
        for variant in row.variants:
            yield from _variant_lines(row, variant, found)
    yield from CLAIMS


def _variant_lines(row: Row, variant: str, samples: Sequence[Sample]) -> Iterator[str]:
    own = [sample for sample in samples if sample.variant == variant]
    for number, metric in enumerate(own[0].values if own else ()):
        values = [sample.values[metric] for sample in own]
        ratio = ratio_to_plain(samples, variant, metric) if variant != PLAIN else None
        spread = f"({_number(min(values))} to {_number(max(values))})" if len(values) > 1 else ""
        figure = next((f for f in row.figures if (f.variant, f.metric) == (variant, metric)), None)
        yield (
            f"  {variant if number == 0 else '':<11}{metric:<14}{_number(median(values)):>9}  {spread:<22}"
            f"{'' if ratio is None else f'{ratio:.2f}':>9}   {_verdict(figure, median(values), ratio)}"
        ).rstrip()


def ratio_to_plain(samples: Sequence[Sample], variant: str, metric: str) -> float | None:
    """Return the median of the ratios within each repetition; None where plain routing has no such value, or zero."""
    plain = {sample.repetition: sample.values.get(metric, 0.0) for sample in samples if sample.variant == PLAIN}
    own = [sample for sample in samples if sample.variant == variant and plain.get(sample.repetition)]
    ratios = [sample.values[metric] / plain[sample.repetition] for sample in own]
    return median(ratios) if ratios else None


def _verdict(figure: Figure | None, value: float, ratio: float | None) -> str:
    if figure is None:
        return ""
    reached = ratio if figure.of_plain else value
    if reached is None:
        return "?"
    good = reached >= figure.limit if figure.least else reached <= figure.limit
    bound = "at least" if figure.least else "at most"
    return f"{'reached' if good else 'MISSED':<8}{bound} {figure.limit:g}{' x plain' if figure.of_plain else ''}"


def _number(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
