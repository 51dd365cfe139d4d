"""Laboratories in tests of any project that uses pytest: `pytest -p netlab.pytest_plugin`, or named in a conftest.

    def test_ping(lab):
        assert lab.run("bj-dev", "ping", "-c", "1", "10.0.1.1").code == 0

    @pytest.mark.lab(inventory="fleet.toml", limit="beijing", timeout=30)
    def test_mine(lab): ...

    def test_two(lab_from):
        one, other = lab_from("a.toml"), lab_from("b.toml")

Rules of this module
  1. What a test gets is a handle (handle.py): the laboratory has processes of its own, this one enters nothing.
  2. A laboratory ends with its test, whatever becomes of that, and a test fails that leaves something: a namespace, a
     process, or a laboratory that it has brought up by itself.
  3. A test that hangs in a laboratory fails after its timeout, from within, so that the rules hold for it as well.
  4. Of a test that fails, logs, configuration, status, picture, the newest packets and their diagram are kept
     (keeping.py): of each that uses a laboratory, and of each that is marked `kept`.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Generator, Iterator
from itertools import count
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, Final

import pytest

from netlab.control.runfolder import TESTS, RunFolder, all_folders

if TYPE_CHECKING:
    from netlab.handle import RunningLab

DEMO: Final = Path(__file__).resolve().parent.parent / "inventory" / "demo.toml"
TIMEOUT_SECONDS: Final = 120.0
NEWEST_BYTES: Final = 4 << 20  # of packets, that are kept for the case that a test fails
KEPT: Final = "kept"
REPORTS: Final = pytest.StashKey[list[pytest.TestReport]]()
BEFORE: Final = pytest.StashKey[set[str]]()
FromInventory = Callable[..., "RunningLab"]
_numbers: Final = count(1)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Say where failures go, and what laboratories are made from."""
    group = parser.getgroup("lab", "laboratories of network namespaces")
    where = "folder for what failed tests leave (build/test-report/failures)"
    group.addoption("--lab-failures", metavar="FOLDER", default="build/test-report/failures", help=where)
    parser.addini("lab_inventory", "what the fixture `lab` is made from (the demo's fleet)", default=str(DEMO))
    parser.addini("lab_timeout", f"seconds that a test may take in a laboratory ({TIMEOUT_SECONDS:.0f})", default="")


def pytest_configure(config: pytest.Config) -> None:
    """Describe the marks, and mark what this process's tests will start."""
    config.addinivalue_line("markers", "lab(inventory, limit, timeout): what `lab` is made from; seconds for the test")
    config.addinivalue_line("markers", "kept: keep the words and the tmp_path of this test if it fails")
    os.environ[TESTS] = f"{os.getpid()}-{time.time_ns()}"


@pytest.fixture
def lab_from(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[FromInventory]:
    """Bring up laboratories: call it with an inventory, and `limit`, for a RunningLab that ends with the test."""
    from netlab import handle

    labs: list[RunningLab] = []

    def bring_up(inventory: str | os.PathLike[str], *, limit: str = "") -> RunningLab:
        name = f"test-{os.getpid()}-{next(_numbers)}"
        file = request.config.rootpath / inventory
        lab = handle.bring_up(file, name, tmp_path / name / "build", limit=limit)
        labs.append(lab)
        lab.record(tmp_path / name / "capture.pcapng", last_bytes=NEWEST_BYTES)
        return lab

    yield bring_up
    failed = _failed(request.node)
    left = [f"{lab.name}: {words}" for lab in reversed(labs) for words in _end(lab, tmp_path / lab.name, failed)]
    if left:
        pytest.fail(f"something was left of a laboratory: {'; '.join(left)}", pytrace=False)


@pytest.fixture
def lab(request: pytest.FixtureRequest, lab_from: FromInventory) -> RunningLab:
    """A laboratory of the mark's inventory, or of `lab_inventory`; it ends with the test."""
    marked = _marked(request.node)
    return lab_from(marked.get("inventory") or request.config.getini("lab_inventory"), limit=marked.get("limit", ""))


def _marked(item: pytest.Item) -> dict[str, Any]:
    marker = item.get_closest_marker("lab")
    return dict(marker.kwargs) if marker is not None else {}


def _end(lab: RunningLab, folder: Path, failed: bool) -> list[str]:
    """Write down how a laboratory is if the test has failed, take it down, and return what was left of it, in words."""
    from netlab import keeping
    from netlab.errors import LabError

    is_there = lab.folder.path.exists()  # else the test has taken it down
    wrong: list[str] = []
    try:
        if failed and is_there:
            keeping.describe(lab.status(), folder)
    except LabError as error:  # then its logs have to do
        wrong.append(str(error))
    try:
        if is_there:
            wrong += lab.down()
        lab.stop_recording()
        if failed:
            keeping.draw(folder)
    except LabError as error:
        wrong.append(str(error))
    return wrong


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, Any]:
    """Let a test in a laboratory run for so long and no longer; remember what was up before."""
    if not _concerned(item):
        return (yield)
    item.stash[BEFORE] = {folder.name for folder in _ours()}
    seconds = float(_marked(item).get("timeout") or item.config.getini("lab_timeout") or TIMEOUT_SECONDS)

    def late(_signal: int, _frame: FrameType | None) -> None:
        pytest.fail(f"the test is not done after {seconds:g} s")

    handler = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        return (yield)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, Any, Any]:
    """Fail a test that has brought up a laboratory by itself and left it; it is taken down."""
    result = yield
    before = item.stash.get(BEFORE, None)
    if before is not None and (left := [folder for folder in _ours() if folder.name not in before]):
        from netlab.control.commands import take_down

        for folder in left:
            take_down(folder)
        pytest.fail(f"left a laboratory: {', '.join(folder.name for folder in left)}", pytrace=False)
    return result


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Keep the files of a test that has failed, once it is torn down, and say in its report where."""
    report = yield
    item.stash.setdefault(REPORTS, []).append(report)
    files = getattr(item, "funcargs", {}).get("tmp_path")
    if report.when == "teardown" and _failed(item) and _concerned(item):
        from netlab import keeping

        words = "\n".join(_words(one) for one in item.stash[REPORTS] if one.failed)
        failures = item.config.rootpath / item.config.getoption("--lab-failures")
        report.user_properties.append((KEPT, str(keeping.keep(files, failures, item.nodeid, words))))
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what was kept of which test."""
    reports = [one for found in terminalreporter.stats.values() for one in found if isinstance(one, pytest.TestReport)]
    lines = [f"{one.nodeid}: {folder}" for one in reports for name, folder in one.user_properties if name == KEPT]
    if lines:
        terminalreporter.section("kept of tests that failed")
        for line in lines:
            terminalreporter.write_line(line)


def _words(report: pytest.TestReport) -> str:
    captured = [f"{title}\n{text}" for title, text in report.sections]
    return "\n".join([report.longreprtext, *captured, ""])


def _concerned(item: pytest.Item) -> bool:
    return "lab_from" in getattr(item, "fixturenames", ()) or item.get_closest_marker("kept") is not None


def _failed(item: pytest.Item) -> bool:
    return any(report.failed for report in item.stash.get(REPORTS, []))


def _ours() -> list[RunFolder]:
    """Return the laboratories that this process's tests have brought up and that are up."""
    owned = [(folder, folder.owner()) for folder in all_folders()]
    return [one for one, owner in owned if owner is not None and owner.tests == os.environ[TESTS] and one.alive]
