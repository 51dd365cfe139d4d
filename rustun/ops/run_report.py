"""What a run of checks came to, for machines and for people: JUnit, JSON and a page of Markdown.

    build/test-report/junit.xml     every test, each part as a suite of its own
    build/test-report/report.json   the same, with the machine; schema 1
    build/test-report/summary.md    the verdict, what failed and why, the slowest tests
    build/test-report/failures/     what tests that failed have left (netlab/pytest_plugin.py); outlives a run

Rules of this module
  1. The verdict of a part is its exit code. Where that says more than its tests, as when pytest itself failed or a test
     was skipped, the part gets a failed case of its own: no reader finds green in what was red.
  2. What is not there cannot have passed: a part without a report has failed, whatever its exit code.
"""

from __future__ import annotations

import json
import os
import platform
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final
from xml.etree import ElementTree

from rustun.durable import replace_file

SCHEMA: Final = 1
NOT_XML: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
PASSED: Final = "passed"
KEPT: Final = "kept"  # the property of a test that names the folder of what it left
BAD: Final = ("failed", "error", "skipped")  # a skipped test fails the run
SLOWEST: Final = 10
SLOW_SECONDS: Final = 1.0  # what takes less is not worth a line
MOST_LINES: Final = 30  # of why a test failed, on the page
MOST_SHOWN: Final = 50  # failed tests on the page; the others stand in the JSON


@dataclass(frozen=True, slots=True)
class Case:
    """One test, or a part that is none of pytest's.

    Attributes:
        place: the module or class that it stands in.
        outcome: passed, failed, error or skipped.
        why: what it wrote when it did not pass.
        kept: folder of what it left, as far as it did.
    """

    place: str
    name: str
    outcome: str
    seconds: float
    why: str = ""
    kept: str = ""

    def __str__(self) -> str:
        return f"{self.place}::{self.name}"


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a part went; `seconds` from its start to its end."""

    name: str
    what: str
    exit_code: int
    seconds: float
    cases: tuple[Case, ...]

    @property
    def passed(self) -> bool:
        """Whether all of it is as it should be."""
        return self.exit_code == 0 and all(case.outcome == PASSED for case in self.cases)

    def bad(self) -> list[Case]:
        """Return the cases that did not pass."""
        return [case for case in self.cases if case.outcome != PASSED]


def outcome(name: str, what: str, exit_code: int, seconds: float, junit: Path | None, words: str) -> Outcome:
    """Return how a part went.

    Args:
        junit: what pytest wrote of it; None where it was no run of pytest.
        words: what it said, for a part that is not pytest's.
    """
    if junit is None:
        passed = exit_code == 0
        return Outcome(
            name, what, exit_code, seconds, (Case(name, what, PASSED if passed else "failed", seconds, words),)
        )
    cases = tuple(read_junit(junit))
    if not any(case.outcome in BAD for case in cases) and (exit_code or not cases):
        why = f"pytest ended with exit code {exit_code}; its report has {len(cases)} tests, none of them failed"
        cases += (Case(name, "the whole part", "error", 0.0, why),)
    return Outcome(name, what, exit_code, seconds, cases)


def read_junit(file: Path) -> Iterator[Case]:
    """Yield the cases of a JUnit file; none where there is none or where it is not whole."""
    try:
        tree = ElementTree.parse(file)
    except (OSError, ElementTree.ParseError):
        return
    for found in tree.iter("testcase"):
        told = next((child for child in found if child.tag in ("failure", "error", "skipped")), None)
        result = PASSED if told is None else "failed" if told.tag == "failure" else told.tag
        why = "" if told is None else told.text or told.get("message") or ""
        kept = next((one.get("value", "") for one in found.iter("property") if one.get("name") == KEPT), "")
        place, name = found.get("classname", ""), found.get("name", "")
        yield Case(place, name, result, float(found.get("time", 0)), why, kept)


def write(folder: Path, outcomes: Sequence[Outcome], began: str, seconds: float) -> None:
    """Write the three files; those of an earlier run are replaced.

    Args:
        began: when the run began, RFC 3339.

    Raises: OSError where the folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    document = as_document(outcomes, began, seconds)
    replace_file(folder / "junit.xml", as_junit(outcomes, began))
    replace_file(folder / "report.json", (json.dumps(document, indent=1) + "\n").encode())
    replace_file(folder / "summary.md", "".join(f"{line}\n" for line in as_page(outcomes, document, folder)).encode())


def as_junit(outcomes: Sequence[Outcome], began: str) -> bytes:
    """Return all parts as one JUnit document."""
    root = ElementTree.Element("testsuites", name="rustun")
    for part in outcomes:
        suite = ElementTree.SubElement(root, "testsuite", name=part.name, timestamp=began, time=f"{part.seconds:.3f}")
        suite.set("tests", str(len(part.cases)))
        for tag, result in (("failures", "failed"), ("errors", "error"), ("skipped", "skipped")):
            suite.set(tag, str(sum(case.outcome == result for case in part.cases)))
        for case in part.cases:
            found = ElementTree.SubElement(suite, "testcase", classname=case.place, name=case.name)
            found.set("time", f"{case.seconds:.3f}")
            if case.kept:
                properties = ElementTree.SubElement(found, "properties")
                ElementTree.SubElement(properties, "property", name=KEPT, value=case.kept)
            if case.outcome != PASSED:
                tag = "failure" if case.outcome == "failed" else case.outcome
                told = ElementTree.SubElement(found, tag, message=_fit_for_xml(reason(case.why)))
                told.text = _fit_for_xml(case.why)
    written: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return written


def _fit_for_xml(text: str) -> str:
    """Return a text without what no XML may hold (XML 1.0, 2.2): most control characters."""
    return NOT_XML.sub("?", text)


def as_document(outcomes: Sequence[Outcome], began: str, seconds: float) -> dict[str, Any]:
    """Return all that is known of a run as a document of JSON."""
    return {
        "schema": SCHEMA,
        "passed": all(part.passed for part in outcomes),
        "began": began,
        "seconds": round(seconds, 1),
        "machine": {
            "python": platform.python_version(),
            "kernel": platform.release(),
            "architecture": platform.machine(),
            "processors": os.cpu_count(),
            "root": os.geteuid() == 0,
        },
        "parts": [
            {
                "name": part.name,
                "what": part.what,
                "passed": part.passed,
                "exit_code": part.exit_code,
                "seconds": round(part.seconds, 1),
                "tests": [{key: value for key, value in asdict(case).items() if value != ""} for case in part.cases],
            }
            for part in outcomes
        ],
    }


def as_page(outcomes: Sequence[Outcome], document: dict[str, Any], folder: Path) -> Iterator[str]:
    """Yield the lines of the summary; `folder` is where it will stand, for its links."""
    machine = document["machine"]
    yield f"# {verdict(outcomes)}"
    yield ""
    yield f"{document['began']}, {document['seconds']:.0f} s; Python {machine['python']}, Linux {machine['kernel']},"
    yield f"{machine['processors']} processors, {'root' if machine['root'] else 'an ordinary user'}"
    yield ""
    yield "| part | result | tests | not passed | seconds |"
    yield "|---|---|---:|---:|---:|"
    for part in outcomes:
        result = PASSED if part.passed else "**FAILED**"
        yield f"| {part.name} | {result} | {len(part.cases)} | {len(part.bad())} | {part.seconds:.1f} |"
    bad = [(part, case) for part in outcomes for case in part.bad()]
    for part, case in bad[:MOST_SHOWN]:
        yield from ("", f"## {part.name}: {case}", "", *_told(case, folder))
    if len(bad) > MOST_SHOWN:
        yield from ("", f"... and {len(bad) - MOST_SHOWN} more, in report.json")
    every = ((case.seconds, str(case)) for part in outcomes for case in part.cases)
    slow = sorted((one for one in every if one[0] >= SLOW_SECONDS), reverse=True)[:SLOWEST]
    yield from ("", "## Slowest", "", "| seconds | test |", "|---:|---|")
    yield from (f"| {seconds:.1f} | {name} |" for seconds, name in slow)


def verdict(outcomes: Sequence[Outcome]) -> str:
    """Return what it all comes to, in a line."""
    failed = [part.name for part in outcomes if not part.passed]
    if not failed:
        return "all parts passed"
    return f"{len(failed)} of {len(outcomes)} parts failed: {', '.join(failed)}"


def reason(why: str) -> str:
    """Return the line of a failed test's words that says most: pytest's first "E", else the last line."""
    lines = [line.strip() for line in why.splitlines() if line.strip()]
    told = (line.removeprefix("E").strip() for line in lines if line.startswith("E "))
    return next(told, lines[-1] if lines else "")


def _told(case: Case, folder: Path) -> Iterator[str]:
    lines = _end(case.why.rstrip().splitlines())
    fence = "~~~~" if any("```" in line for line in lines) else "```"
    yield f"{case.outcome} after {case.seconds:.1f} s"
    yield from ("", fence, *lines, fence)
    if case.kept:
        shown = os.path.relpath(case.kept, folder)
        yield from ("", f"kept: [{shown}]({shown})")


def _end(lines: Sequence[str]) -> Iterable[str]:
    left_out = len(lines) - MOST_LINES
    return lines if left_out <= 0 else [f"... {left_out} lines more, in report.json", *lines[-MOST_LINES:]]
