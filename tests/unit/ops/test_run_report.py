"""rustun.ops.run_report: what a run of checks came to, as JUnit, JSON and a page."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

from rustun.ops import run_report
from rustun.ops.run_report import Case, Outcome

BEGAN = "2026-11-23T09:00:00+00:00"
LONG = "\n".join([*(f"line {number}" for number in range(100)), "E   assert 1 == 2", "E    +  where 1 = len('\x1b')"])
RED = Case("tests.netlab.test_x", "test_y[2001:db8::1]", "failed", 2.5, LONG, "build/test-report/failures/y")
OUTCOMES = (
    Outcome("lint", "style", 0, 0.5, (Case("lint", "style", "passed", 0.5),)),
    Outcome("netlab", "namespaces", 1, 12.25, (Case("tests.netlab.test_x", "test_z", "passed", 9.0), RED)),
)
JUNIT = """<testsuites><testsuite name="pytest"><testcase classname="tests.a" name="test_1" time="0.5"/>
<testcase classname="tests.a" name="test_2" time="1"><properties><property name="kept" value="/there"/></properties>
<failure message="m">E  why</failure></testcase>{more}</testsuite></testsuites>"""
SKIPPED = '<testcase classname="tests.a" name="test_3" time="0"><skipped message="no root"/></testcase>'


def read(folder: Path, text: str, exit_code: int) -> Outcome:
    """Return the outcome of a part whose pytest has written `text`."""
    file = folder / "junit.xml"
    file.write_text(text)
    return run_report.outcome("unit", "what", exit_code, 3.0, file, "")


def test_cases_are_read_as_pytest_wrote_them(tmp_path: Path) -> None:
    """The report would tell of other tests than those that ran, or lose why they failed and what they left."""
    found = read(tmp_path, JUNIT.format(more=SKIPPED), 1)
    assert found.cases == (
        Case("tests.a", "test_1", "passed", 0.5),
        Case("tests.a", "test_2", "failed", 1.0, "E  why", "/there"),
        Case("tests.a", "test_3", "skipped", 0.0, "no root"),
    )
    assert not found.passed


def test_what_was_red_is_red_in_every_form(tmp_path: Path) -> None:
    """pytest may fail by itself, be killed, or find no test: a reader of the report alone would see green."""
    good = JUNIT.partition('<testcase classname="tests.a" name="test_2"')[0] + "</testsuite></testsuites>"
    assert read(tmp_path, good, 0).passed
    for text, exit_code in ((good, 1), (good, -9), ("", 0), ("<testsuites><test", 3), ("<testsuites/>", 0)):
        found = read(tmp_path, text, exit_code)
        assert not found.passed
        assert [case.outcome for case in found.bad()] == ["error"]
        assert f"exit code {exit_code}" in found.bad()[0].why
        assert b"<error " in run_report.as_junit([found], BEGAN)
    assert not read(tmp_path, good.replace("</testsuite>", f"{SKIPPED}</testsuite>"), 0).passed
    assert not run_report.outcome("types", "mypy", 1, 2.0, None, "a.py:1: error").passed


def test_junit_is_what_its_readers_take(tmp_path: Path) -> None:
    """A CI system would refuse the file, or count other tests than there were."""
    run_report.write(tmp_path, OUTCOMES, BEGAN, 13.0)
    suites = {one.get("name"): one for one in ElementTree.parse(tmp_path / "junit.xml").getroot()}
    assert {name: (one.get("tests"), one.get("failures")) for name, one in suites.items()} == {
        "lint": ("1", "0"),
        "netlab": ("2", "1"),
    }
    red = suites["netlab"][1]
    assert (red.get("classname"), red.get("name")) == ("tests.netlab.test_x", "test_y[2001:db8::1]")
    assert red.find("failure").get("message") == "assert 1 == 2"  # type: ignore[union-attr]
    assert tuple(run_report.read_junit(tmp_path / "junit.xml"))[2].kept == RED.kept


def test_json_has_all_that_is_known(tmp_path: Path) -> None:
    """A program would have to read the page for people."""
    run_report.write(tmp_path, OUTCOMES, BEGAN, 13.0)
    document = json.loads((tmp_path / "report.json").read_text())
    assert (document["schema"], document["passed"], document["began"], document["seconds"]) == (1, False, BEGAN, 13.0)
    assert [(part["name"], part["passed"], part["exit_code"]) for part in document["parts"]] == [
        ("lint", True, 0),
        ("netlab", False, 1),
    ]
    assert document["parts"][1]["tests"][1]["why"] == LONG
    assert document["machine"]["python"]


def test_the_page_says_what_failed_why_and_where_the_rest_is(tmp_path: Path) -> None:
    """Who opens a red run would have to search for the reason."""
    folder = tmp_path / "build" / "test-report"
    kept = folder / "failures" / "y"
    red = Case(RED.place, RED.name, RED.outcome, RED.seconds, RED.why, str(kept))
    run_report.write(folder, (OUTCOMES[0], Outcome("netlab", "namespaces", 1, 12.25, (red,))), BEGAN, 13.0)
    page = (folder / "summary.md").read_text()
    assert page.startswith("# 1 of 2 parts failed: netlab\n")
    assert "| lint | passed | 1 | 0 | 0.5 |\n| netlab | **FAILED** | 1 | 1 | 12.2 |" in page
    assert "## netlab: tests.netlab.test_x::test_y[2001:db8::1]" in page
    assert "... 72 lines more, in report.json\nline 72\n" in page
    assert "kept: [failures/y](failures/y)" in page
    run_report.write(folder, OUTCOMES[:1], BEGAN, 1.0)
    assert (folder / "summary.md").read_text().startswith("# all parts passed\n")
