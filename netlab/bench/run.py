"""`./invoke bench`: rustun beside plain routing and other tunnels in the same run; every sample kept.

Rules of this module
  1. The variants of a row stand side by side in laboratories of their own, with equal addresses; only the one that is
     being measured has anything to do. A laboratory comes up before the first row that needs it, and goes after the
     last one.
  2. Absolute speeds differ by two between machines and by a tenth between minutes. So each tunnel is measured next to
     plain routing: tunnel, plain, tunnel; or plain, tunnel, plain, tunnel where there is one. These neighbours are a
     group, and a ratio is taken within one group. Which tunnels are neighbours is shuffled from a seed.
  3. What cannot be measured here is skipped by name, with the reason, in every report; rustun's own variants only
     where the machine is at fault.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from math import isfinite
from pathlib import Path
from time import monotonic
from typing import Final

from netlab.bench import document, machine, page, profiling, report
from netlab.bench.document import Asked, Document
from netlab.bench.peers import catalogue
from netlab.bench.peers.catalogue import PEERS
from netlab.bench.rows.catalogue import QUICK, ROWS
from netlab.bench.rows.row import Row
from netlab.bench.sample import Sample, Values
from netlab.bench.variants import Place, place
from netlab.errors import EXIT_OK, BadInput, EnvironmentLacks, ExpectationFailed, LabError
from netlab.packages import lacking

SEED: Final = 1
REPETITIONS, QUICK_REPETITIONS = 6, 1  # the fewest that a 95 % interval can be made of
SECONDS, QUICK_SECONDS = 2.0, 1.0


@dataclass(frozen=True, slots=True)
class Order:
    """What was asked for; `resume`: go on where the JSON file ends; `profile`: flame graphs for the HTML report."""

    rows: tuple[Row, ...]
    asked: Asked
    json_file: Path | None = None
    markdown_file: Path | None = None
    html_file: Path | None = None
    resume: bool = False
    profile: bool = False


def rows_named(only: str, *, quick: bool = False) -> tuple[Row, ...]:
    """Return the rows of these names (by comma); for none all, or those of a first impression.

    Raises:
        BadInput: there is no row of a name.
    """
    names = [name.strip() for name in only.split(",") if name.strip()] or list(QUICK if quick else ())
    known = [row.name for row in ROWS]
    if wrong := [name for name in names if name not in known]:
        raise BadInput(f"no row {', '.join(wrong)}", f"rows: {', '.join(known)}")
    return tuple(row for row in ROWS if not names or row.name in names)


def asked(*, quick: bool, repetitions: int, seconds: float) -> Asked:
    """Return how often and how long to measure; 0 stands for the usual."""
    usual = (QUICK_REPETITIONS, QUICK_SECONDS) if quick else (REPETITIONS, SECONDS)
    return Asked(repetitions or usual[0], seconds or usual[1], SEED)


def equip(rows: Sequence[Row]) -> dict[str, str]:
    """Install what rows and peers need, where that can be; return what is to be skipped, and why.

    To be called outside of the laboratory's own world: in there is no way to any package.
    """
    wanted = {variant for row in rows for variant in row.variants}
    skipped = catalogue.missing([name for name in PEERS if name in wanted])
    for row in rows:
        if packages := lacking(row.programs):
            skipped[row.name] = f"not installed; apt-get install {' '.join(packages)}"
    return skipped


def begin(order: Order, skipped: Mapping[str, str]) -> Document:
    """Return the document that a run fills: a new one, or the one to go on with.

    Raises:
        BadInput: options that need another one; what is to be gone on with was asked for differently, or measured on
            another machine.
    """
    if order.resume and order.json_file is None:
        raise BadInput("--resume: nothing to go on with", "name the file of the interrupted run: --json FILE")
    if order.profile and order.html_file is None:
        raise BadInput("--profile: flame graphs are drawn into the page", "name it: --html FILE")
    now = machine.describe()
    new = Document(now, order.asked, datetime.now(UTC).date().isoformat(), skipped=dict(skipped))
    if order.json_file is None or not order.resume or not order.json_file.exists():
        return new
    before = document.read(order.json_file)
    changed = machine.differences(before.machine, now)
    if before.asked != order.asked:
        changed.append(f"{before.asked} and {order.asked}")
    if changed:
        raise BadInput(f"{order.json_file} cannot be gone on with: {'; '.join(changed)}", "begin a new file")
    before.samples = [sample for sample in before.samples if sample.row in before.rows]
    places = {*PEERS, *(row.name for row in ROWS)}  # what is to be had of these is known anew
    before.skipped = {name: why for name, why in before.skipped.items() if name not in places} | dict(skipped)
    return before


def run(order: Order, begun: Document, build: Path, logs: Path) -> int:
    """Measure what is missing, print the tables and write the files asked for; return the exit code.

    Raises:
        BadInput: all that was asked for had to be skipped.
        ExpectationFailed: a variant of rustun's does not come up, or carries nothing; complete rows are in the file.
    """
    stage = Stage(build, logs, begun.skipped)
    started, took_before = monotonic(), begun.took_s
    groups = count(1 + max((sample.group for sample in begun.samples), default=-1))
    profiles: list[profiling.Profile] = []
    missing = [row for row in order.rows if row.name not in begun.rows and row.name not in begun.skipped]
    try:
        for number, row in enumerate(missing):
            _note(f"{monotonic() - started:4.0f} s  row {number + 1} of {len(missing)}: {row.title} ({row.name})")
            places = stage.set(row.variants)
            shuffle = random.Random(f"{order.asked.seed} {row.name}")
            begun.samples += _measure(row, places, order.asked, groups, shuffle, begun.skipped)
            if order.profile:
                profiles += profiling.take(row, places, order.asked.seconds, begun.skipped)
            begun.rows.append(row.name)
            begun.took_s = took_before + monotonic() - started
            if order.json_file is not None:
                document.write(begun, order.json_file)
            stage.keep({variant for later in missing[number + 1 :] for variant in later.variants})
    finally:
        stage.keep(())
    if not begun.samples:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in sorted(begun.skipped.items()))
        raise BadInput("nothing was measured", reasons)
    tell(order.rows, begun, order.markdown_file, order.html_file, profiles)
    return EXIT_OK


def tell(
    rows: Sequence[Row],
    found: Document,
    markdown_file: Path | None,
    html_file: Path | None,
    profiles: Sequence[profiling.Profile] = (),
) -> None:
    """Print the tables, and write the Markdown and the page to their files."""
    shown = report.tables(rows, found.samples)
    for table in shown:
        print("\n".join(report.text_lines(table)))
    for line in report.facts(found):
        print(line)
    if markdown_file is not None:
        lines = [*report.facts(found), "", *(line for table in shown for line in report.markdown_lines(table))]
        markdown_file.write_text("\n".join(lines))
    if html_file is not None:
        html_file.write_text(page.page(rows, found, profiles))


class Stage:
    """The places that stand.

    Args:
        build: folder for generated files.
        logs: folder for what programs say.
        skipped: variants that are not to be had, and why; a peer that does not come up is added.
    """

    def __init__(self, build: Path, logs: Path, skipped: dict[str, str]) -> None:
        self._build, self._logs, self._skipped = build, logs, skipped
        self._places: dict[str, Place] = {}

    def set(self, variants: Sequence[str]) -> dict[str, Place]:
        """Return the places of these variants, those that are not skipped, all up."""
        for variant in variants:
            if variant not in self._places and variant not in self._skipped:
                self._raise(variant)
        return {variant: self._places[variant] for variant in variants if variant in self._places}

    def _raise(self, variant: str) -> None:
        self._places[variant] = place(variant, self._build, self._logs)
        try:
            self._places[variant].start()
        except LabError as error:
            if variant not in PEERS:
                raise
            self._places.pop(variant).close()
            self._skipped[variant] = f"does not come up here: {error.message}"
            _note(f"{variant}: {error}")
            return
        _note(f"{variant}: up")

    def keep(self, wanted: Collection[str]) -> None:
        """Take down all but these."""
        for variant in [variant for variant in self._places if variant not in wanted]:
            self._places.pop(variant).close()


def _measure(
    row: Row,
    places: Mapping[str, Place],
    asked_for: Asked,
    groups: Iterator[int],
    shuffle: random.Random,
    skipped: dict[str, str],
) -> Iterator[Sample]:
    here = tuple(variant for variant in row.variants if variant in places)
    for repetition in range(1 if row.once else asked_for.repetitions):
        for neighbours in neighbourhoods(here, row.reference, shuffle):
            group = next(groups)
            for variant in neighbours:
                try:
                    values = _finite(row.take(places[variant], asked_for.seconds))
                except (EnvironmentLacks, ExpectationFailed) as error:
                    if isinstance(error, ExpectationFailed) and variant not in PEERS:
                        raise
                    skipped[f"{row.name} {repetition + 1} {variant}"] = error.message
                    continue
                words = ", ".join(f"{name} {value:.3g}" for name, value in values.items())
                _note(f"{row.name} {repetition + 1}  {variant}: {words}")
                yield Sample(row.name, variant, repetition, group, values)


def _finite(values: Values) -> Values:
    """Return values that are numbers. Raises ExpectationFailed where no answer came, which is no measurement."""
    if silent := [metric for metric, value in values.items() if not isfinite(value)]:
        raise ExpectationFailed(f"no answer came: {', '.join(silent)}")
    return values


def neighbourhoods(variants: tuple[str, ...], reference: str, shuffle: random.Random) -> list[tuple[str, ...]]:
    """Return what to measure in one repetition, in order: each variant next to the row's reference."""
    others = [variant for variant in variants if variant != reference]
    shuffle.shuffle(others)
    if reference not in variants:
        return [(other,) for other in others]
    if not others:
        return [(reference,)]
    pairs = [others[start : start + 2] for start in range(0, len(others), 2)]
    return [(pair[0], reference, pair[1]) if len(pair) > 1 else (reference, pair[0]) for pair in pairs]


def _note(text: str) -> None:
    print(f"  {text}", file=sys.stderr, flush=True)
