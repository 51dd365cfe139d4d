"""A run of the bench as JSON: what was asked, on what machine, every raw sample; written as it grows, read back.

    {"schema": 1, "machine": {...}, "asked": {...}, "date": "...", "took_s": ..., "skipped": {NAME: REASON},
     "rows": [names of those that are complete], "samples": [{"row", "variant", "repetition", "group", "values"}]}

The file is replaced as a whole after each row, so an interrupted run leaves what it had, and `--resume` goes on there.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from math import isfinite
from pathlib import Path
from typing import Any, Final

from netlab.bench.sample import Sample
from netlab.errors import BadInput, EnvironmentLacks

SCHEMA: Final = 1


@dataclass(frozen=True, slots=True)
class Asked:
    """What makes samples of one kind: how often, how long, and the seed of the order."""

    repetitions: int
    seconds: float
    seed: int


@dataclass(slots=True)
class Document:
    """A run, complete or so far; `skipped` has what was asked for and not measured (variants, rows), and why."""

    machine: dict[str, str]
    asked: Asked
    date: str
    took_s: float = 0.0
    skipped: dict[str, str] = field(default_factory=dict)
    rows: list[str] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)


def write(document: Document, file: Path) -> None:
    """Replace a file by the document. Raises EnvironmentLacks: it cannot be written, and is as it was."""
    draft = file.with_name(file.name + ".part")
    try:
        draft.write_text(json.dumps({"schema": SCHEMA, **asdict(document)}, indent=1) + "\n")
        os.replace(draft, file)
    except OSError as error:
        with suppress(OSError):
            draft.unlink()
        raise EnvironmentLacks(f"{file}: {error.strerror}", "make room, then go on: --resume") from error


def read(file: Path) -> Document:
    """Return the document of a file. Raises BadInput where there is none, or another program's."""
    try:
        found: dict[str, Any] = json.loads(file.read_text())
    except OSError as error:
        raise BadInput(f"{file}: {error.strerror}", "name a file that ./invoke bench --json wrote") from error
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{file}: no JSON ({error})", "name a file that ./invoke bench --json wrote") from error
    try:
        if found["schema"] != SCHEMA:
            raise BadInput(f"{file}: schema {found['schema']}, not {SCHEMA}", "measure again with this version")
        return Document(
            machine={str(name): str(words) for name, words in found["machine"].items()},
            asked=_asked(**found["asked"]),
            date=str(found["date"]),
            took_s=float(found["took_s"]),
            skipped={str(name): str(why) for name, why in found["skipped"].items()},
            rows=list(map(_text, found["rows"])),
            samples=[_sample(sample) for sample in found["samples"]],
        )
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        remedy = "name a file that ./invoke bench --json wrote, as it is"
        raise BadInput(f"{file}: not a run of the bench ({type(error).__name__}: {error})", remedy) from error


def _asked(*, repetitions: Any, seconds: Any, seed: Any) -> Asked:
    return Asked(int(repetitions), float(seconds), int(seed))


def _sample(found: dict[str, Any]) -> Sample:
    values = {str(metric): float(value) for metric, value in found["values"].items()}
    if no_numbers := [metric for metric, value in values.items() if not isfinite(value)]:
        raise ValueError(f"{no_numbers[0]} is no number")
    return Sample(_text(found["row"]), _text(found["variant"]), int(found["repetition"]), int(found["group"]), values)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value} is no name")
    return value
