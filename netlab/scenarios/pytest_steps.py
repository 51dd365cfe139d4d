"""Run a file of tests by pytest, in this process, and tell each test as a step of a scenario.

Rules of this module
  1. Tests run in the order of their file, and none after one that failed: as steps do.
  2. A test with several parameters is one step, done when all of them are.
"""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from pathlib import Path

import pytest

from netlab.errors import EXIT_ENVIRONMENT, EXIT_OK, EXIT_UNEXPECTED
from netlab.processes import CHECKOUT
from netlab.scenarios.kernel_tests import KernelTests
from netlab.scenarios.play import News, Tell

ENDINGS = {pytest.ExitCode.OK: EXIT_OK, pytest.ExitCode.USAGE_ERROR: EXIT_ENVIRONMENT}  # a program is missing


def play(tests: KernelTests, tell: Tell) -> int:
    """Run the tests; return 0, 5 where one failed, or 4 where the machine lacks what they need.

    Args:
        tell: is told of each test when it begins and when it has ended.
    """
    os.chdir(CHECKOUT)
    options = ["-q", "-x", "-p", "no:cacheprovider"]
    return ENDINGS.get(pytest.main([*options, str(tests.file)], plugins=[_Telling(tests, tell)]), EXIT_UNEXPECTED)  # type: ignore[call-overload]


class _Telling:
    """What pytest calls."""

    def __init__(self, tests: KernelTests, tell: Tell) -> None:
        self._tests, self._tell = tests.tests, tell
        self._left: Counter[int] = Counter()
        self._seconds: defaultdict[int, float] = defaultdict(float)

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Put the tests back into the order of their file, which others have changed."""
        items.sort(key=lambda item: self._step(item.nodeid))
        self._left.update(self._step(item.nodeid) for item in items)

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """A test begins."""
        step = self._step(nodeid)
        self._tell(News(step, "running", self._seconds[step]))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """A part of a test has ended: setting up, the test itself, taking down."""
        step = self._step(report.nodeid)
        self._seconds[step] += report.duration
        if report.failed:
            self._left[step] = 0  # what is taken down afterwards is not the end of a step any more
            self._tell(News(step, "failed", self._seconds[step], *_explained(report)))
        elif report.when == "teardown":
            self._left[step] -= 1
            if self._left[step] == 0:
                self._tell(News(step, "done", self._seconds[step]))

    def _step(self, nodeid: str) -> int:
        return self._tests.index(nodeid.rpartition("::")[2].partition("[")[0])


def _explained(report: pytest.TestReport) -> tuple[str, str]:
    """Return why a test failed, and where."""
    crash = getattr(report.longrepr, "reprcrash", None)
    if crash is None:
        return report.longreprtext, report.nodeid
    path = Path(crash.path)
    where = path.relative_to(CHECKOUT) if path.is_relative_to(CHECKOUT) else path
    return crash.message, f"{where}:{crash.lineno}, {report.nodeid}"
