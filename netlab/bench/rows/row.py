"""What a row of the bench is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from netlab.bench import measure
from netlab.bench.sample import Values
from netlab.bench.variants import PLAIN, RECEIVER
from netlab.lab import Laboratory


@dataclass(frozen=True, slots=True)
class Figure:
    """What has to be reached: `metric` of `variant` at least or at most `limit`, absolute or times that of `of`."""

    what: str
    variant: str
    metric: str
    least: bool
    limit: float
    of: str = ""


@dataclass(frozen=True, slots=True)
class Curve:
    """Metrics of a row that are points of one line: what the axes are, and the metrics (across, up) of each point."""

    across: str
    up: str
    points: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Row:
    """One thing that is measured, for several variants.

    `once` is for what depends on what was before, so that a second time says nothing. `reference` is the variant that
    the others are measured next to and compared with, where it is among them. `take` gets the variant's place: its
    Laboratory, or its Toolkit. `programs`: what it needs beyond the project, and Debian's package of each.
    """

    name: str
    title: str
    variants: tuple[str, ...]
    take: Callable[[Any, float], Values]
    figures: tuple[Figure, ...] = ()
    once: bool = False
    reference: str = PLAIN
    curve: Curve | None = None
    programs: Mapping[str, str] = field(default_factory=dict)


def path_from(lab: Laboratory, sender: str, *, version: int = 4) -> measure.Path:
    """Return the way from a node to the bench's receiver, by IPv4 or IPv6."""
    address = next(one.ip for one in lab.spec.member(RECEIVER).addresses if one.version == version)
    return measure.Path(sender, RECEIVER, str(address))
