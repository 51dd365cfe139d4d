"""`./invoke bench-compare A B`: what became faster or slower from one run to another, where that can be said at all.

Rules of this module
  1. A difference is one only where the 95 % intervals of the two medians share no value. Everything else is "the same",
     however far apart the medians are; too few samples prove nothing. Six samples and six others part by chance in two
     of a thousand cases, so of some hundred comparisons one may be nothing: that row is measured again.
  2. Speeds are compared as ratios to the row's reference (metrics.py says why), everything else as it is. Runs of two
     machines, or of two Pythons, are compared by ratios alone.
  3. A loss of more than a tenth is what makes the exit code 5. What only one of the runs has measured is named.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from netlab.bench import machine
from netlab.bench.document import Document, read
from netlab.bench.estimates import Estimate, apart, estimate
from netlab.bench.metrics import Better, better, is_speed
from netlab.bench.report import Table, number, text_lines
from netlab.bench.rows.catalogue import ROWS
from netlab.bench.rows.row import Row
from netlab.bench.sample import Sample, ratios, values_of
from netlab.errors import EXIT_OK, EXIT_UNEXPECTED, BadInput

LOSS: Final = 0.10
SAME, GAIN, SMALL_LOSS, LARGE_LOSS, UNKNOWN = "same", "better", "worse", "WORSE", "too few samples"


@dataclass(frozen=True, slots=True)
class Difference:
    """One metric of one variant in two runs; `of` is the variant that both are ratios to, empty for none.

    `change` is by how much the second median is above the first, as a fraction of that; None where the first is zero.
    """

    row: str
    variant: str
    metric: str
    of: str
    before: Estimate
    after: Estimate
    change: float | None
    verdict: str


def run(before_file: Path, after_file: Path, *, everything: bool, as_json: bool) -> int:
    """Compare two files and print it; return the exit code: 5 for a loss of more than a tenth.

    Raises:
        BadInput: a file is not a run of the bench, or the two have nothing in common.
    """
    before, after = read(before_file), read(after_file)
    changed = machine.differences(before.machine, after.machine)
    found = compare(ROWS, before, after, only_ratios=bool(changed))
    if not found:
        raise BadInput(f"{before_file} and {after_file} have nothing in common", "run the same rows for both")
    lost = [one for one in found if one.verdict == LARGE_LOSS]
    missing = alone(before.samples, after.samples)
    if as_json:
        facts = {"schema": 1, "machines_differ": changed, "only_in_one": missing}
        print(json.dumps({**facts, "differences": [asdict(one) for one in found]}, indent=1))
    else:
        print("\n".join(_lines(found, changed, missing, everything)))
    return EXIT_UNEXPECTED if lost else EXIT_OK


def compare(rows: Sequence[Row], before: Document, after: Document, *, only_ratios: bool = False) -> list[Difference]:
    """Return all that both runs measured, in the order of the rows.

    Args:
        only_ratios: leave out what is no ratio, since the two runs are of two machines.
    """
    return [
        difference
        for row in rows
        for variant in row.variants
        for difference in _variant(row, variant, before.samples, after.samples, only_ratios)
    ]


def alone(before: Sequence[Sample], after: Sequence[Sample]) -> list[str]:
    """Return the rows and variants that only one of the runs has."""
    sides = [{(sample.row, sample.variant) for sample in samples} for samples in (before, after)]
    only_before, only_after = sorted(sides[0] - sides[1]), sorted(sides[1] - sides[0])
    return [f"{row} {variant}: only in the first" for row, variant in only_before] + [
        f"{row} {variant}: only in the second" for row, variant in only_after
    ]


def _variant(
    row: Row, variant: str, before: Sequence[Sample], after: Sequence[Sample], only_ratios: bool
) -> Iterator[Difference]:
    sides = [[sample for sample in samples if sample.row == row.name] for samples in (before, after)]
    for metric in dict.fromkeys(one for sample in sides[0] if sample.variant == variant for one in sample.values):
        direction = better(metric)
        if direction is Better.NEITHER or not values_of(sides[1], variant, metric):
            continue
        of = ""
        found = [values_of(side, variant, metric) for side in sides]
        if variant != row.reference and (only_ratios or is_speed(metric)):
            shares = [ratios(side, row.reference, variant, metric) for side in sides]
            if all(shares):
                of, found = row.reference, shares
        if only_ratios and not of:
            continue
        yield _judged(row, variant, metric, of, estimate(found[0]), estimate(found[1]), direction)


def _judged(
    row: Row, variant: str, metric: str, of: str, before: Estimate, after: Estimate, direction: Better
) -> Difference:
    change = (after.median - before.median) / before.median if before.median else None
    if before.interval is None or after.interval is None:
        verdict = UNKNOWN
    elif not apart(before, after):
        verdict = SAME
    elif (after.median > before.median) is (direction is Better.MORE):
        verdict = GAIN
    else:
        verdict = LARGE_LOSS if change is None or abs(change) > LOSS else SMALL_LOSS
    return Difference(row.name, variant, metric, of, before, after, change, verdict)


def _lines(
    found: Sequence[Difference], changed: Sequence[str], missing: Sequence[str], everything: bool
) -> Iterator[str]:
    shown = [one for one in found if everything or one.verdict not in (SAME, UNKNOWN)]
    if shown:
        heading = ("row", "variant", "metric", "first", "second", "change", "verdict")
        yield from text_lines(Table("differences", heading, tuple(map(_cells, shown)), 3))
    if changed:
        yield f"two machines, so only ratios are compared: {'; '.join(changed)}"
    yield from missing
    counted = {verdict: sum(one.verdict == verdict for one in found) for verdict in (LARGE_LOSS, SMALL_LOSS, GAIN)}
    same, unknown = (sum(one.verdict == verdict for one in found) for verdict in (SAME, UNKNOWN))
    yield (
        f"{len(found)} compared: {counted[LARGE_LOSS]} lost more than {LOSS * 100:g} %, "
        f"{counted[SMALL_LOSS]} lost less, {counted[GAIN]} gained, {same} the same"
    )
    if unknown:
        yield f"{unknown} have too few samples to say anything: measure 6 repetitions or more for both"


def _cells(one: Difference) -> tuple[str, ...]:
    change = "" if one.change is None else f"{one.change * 100:+.0f} %"
    metric = f"{one.metric} of {one.of}" if one.of else one.metric
    return one.row, one.variant, metric, number(one.before.median), number(one.after.median), change, one.verdict
