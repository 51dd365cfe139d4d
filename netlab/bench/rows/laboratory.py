"""Rows of the laboratory itself."""

from __future__ import annotations

from typing import Final

from netlab.bench.capturing import stream_captured
from netlab.bench.measure_lab import REFERENCE, WholeLab
from netlab.bench.rows.row import Figure, Row, path_from
from netlab.bench.sample import Values
from netlab.bench.variants import AES, SENDER
from netlab.lab import Laboratory


def _take(reference: WholeLab, _seconds: float) -> Values:
    return reference.take()


def _captured(lab: Laboratory, seconds: float) -> Values:
    return stream_captured(lab, path_from(lab, SENDER), seconds * 2)


LABORATORIES: Final = (
    Row("lab", "the reference lab, ten rustun processes, comes up and goes down", (REFERENCE,), _take,
        (Figure("reference lab wired, s", REFERENCE, "wired after s", False, 0.5),
         Figure("the same up, an echo through each tunnel, s", REFERENCE, "echoes after s", False, 4.0),
         Figure("the same down again, s", REFERENCE, "down after s", False, 0.5))),
    Row("capture", "one TCP stream, alone and while a capture watches both its ends", (AES,), _captured,
        (Figure("throughput that a capture leaves", AES, "captured/alone", True, 0.9),)),
)  # fmt: skip
