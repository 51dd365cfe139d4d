"""Settings that every test shares."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests.simulation.model_coverage import PROPERTY, table
from tests.simulation.stretched import stretched_once

pytest_plugins = ["netlab.pytest_plugin"]

# The same examples in every run, and no deadline: on a busy machine a slow example says nothing about the code.
settings.register_profile("house", derandomize=True, deadline=None)
# `./invoke soak`: other examples each time, many of them; a failure prints the blob that repeats it.
settings.register_profile("soak", max_examples=4000, deadline=None, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "house"))


# Of the session: one of each test would make `monkeypatch` the first fixture of all, which is then undone behind those
# that rely on what it changed.
@pytest.fixture(scope="session", autouse=True)
def _stretch_keys_once() -> Iterator[None]:
    with stretched_once():
        yield


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail a run in which a test was skipped: what this machine cannot do has to be said, not passed over."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None and reporter.stats.get("skipped") and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what the model-based tests have covered, whichever processes they ran in."""
    reports = [report for outcome in ("passed", "failed") for report in terminalreporter.stats.get(outcome, [])]
    found = [value for report in reports for name, value in report.user_properties if name == PROPERTY]
    if found:
        terminalreporter.section(PROPERTY)
        for line in table(found):
            terminalreporter.write_line(line)
