"""What stands behind lab-run: list scenarios, or run them and show how each step goes."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from netlab.errors import EXIT_OK, EXIT_UNEXPECTED
from netlab.scenarios import catalogue
from netlab.scenarios.kernel_tests import KernelTests
from netlab.scenarios.run import Course, run
from netlab.scenarios.scenario import Scenario
from netlab.scenarios.show import SCHEMA, Paper, Terminal, facts, outcome


def show_list(*, as_json: bool) -> int:
    """Print what there is."""
    every = catalogue.ALL
    if as_json:
        print(json.dumps({"schema": SCHEMA, "scenarios": [facts(one) for one in every.values()]}, indent=2))
        return EXIT_OK
    widest = max(map(len, every))
    for name, one in every.items():
        print(f"{name:<{widest}}  {one.shows}")
    return EXIT_OK


def run_all(scenarios: Sequence[Scenario | KernelTests], logs: Path, *, as_json: bool) -> int:
    """Run scenarios one after the other; return 0, or 5 where a step of one failed.

    Args:
        logs: folder for a folder of each one's files.
        as_json: print a document at the end, and nothing else on standard output.
    """
    courses = []
    for one in scenarios:
        folder = logs / one.name
        folder.mkdir()
        courses.append(run(one, folder, _shown(as_json=as_json)))
    failed = [course.scenario.name for course in courses if course.state != "done"]
    if as_json:
        document = {"schema": SCHEMA, "scenarios": [outcome(one) for one in courses], "failed": failed}
        print(json.dumps(document, indent=2))
    else:
        seconds = sum(one.seconds for one in courses)
        ended = f"failed: {', '.join(failed)}" if failed else "all as they should be"
        print(f"\n{len(courses)} of {len(catalogue.ALL)} scenarios in {seconds:.1f} s, {ended}")
    return EXIT_UNEXPECTED if failed else EXIT_OK


def _shown(*, as_json: bool) -> Callable[[Course], None]:
    if as_json:
        return lambda _course: None
    return Terminal() if sys.stdout.isatty() else Paper()
