"""What one measurement found, and how samples are put together.

A ratio is taken between neighbours: within one group where the other variant is part of it, within one repetition
otherwise. So a machine that slows down in between changes both sides of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

Values = dict[str, float]


@dataclass(frozen=True, slots=True)
class Sample:
    """What one measurement found; samples of one `group` were taken next to each other, the reference among them."""

    row: str
    variant: str
    repetition: int
    group: int
    values: Values


def values_of(samples: Sequence[Sample], variant: str, metric: str) -> list[float]:
    """Return what was found of one metric of one variant, in the order of measuring."""
    return [sample.values[metric] for sample in samples if sample.variant == variant and metric in sample.values]


def ratios(samples: Sequence[Sample], reference: str, variant: str, metric: str) -> list[float]:
    """Return a row's ratios of a variant to another; none where the other has no such value, or zero.

    Args:
        samples: of one row.
        reference: the variant that is divided by.
    """
    beside = {sample.group: sample.values.get(metric, 0.0) for sample in samples if sample.variant == reference}
    meanwhile = {sample.repetition: sample.values.get(metric, 0.0) for sample in samples if sample.variant == reference}
    found = []
    for sample in samples:
        if sample.variant == variant and metric in sample.values:
            other = beside.get(sample.group, meanwhile.get(sample.repetition, 0.0))
            if other:
                found.append(sample.values[metric] / other)
    return found
