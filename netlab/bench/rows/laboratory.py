"""The row of the laboratory itself."""

from __future__ import annotations

from typing import Final

from netlab.bench.measure_lab import REFERENCE, ReferenceLab
from netlab.bench.rows.row import Figure, Row
from netlab.bench.sample import Values


def _take(reference: ReferenceLab, _seconds: float) -> Values:
    return {f"{phase} after s": seconds for phase, seconds in reference.take().items()}


LABORATORIES: Final = (
    Row("lab", "the reference lab, ten rustun processes, comes up and goes down", (REFERENCE,), _take,
        (Figure("reference lab wired, s", REFERENCE, "wired after s", False, 0.5),
         Figure("the same up, an echo through each tunnel, s", REFERENCE, "echoes after s", False, 4.0),
         Figure("the same down again, s", REFERENCE, "down after s", False, 0.5))),
)  # fmt: skip
