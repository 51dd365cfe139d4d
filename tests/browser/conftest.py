"""What tests of the pages need: Debian's browser with a font for Chinese, a dashboard, and a page in it.

Rules of this module
  1. The web process is the real one, in a process of its own at a port of loopback that the kernel chooses.
  2. A page that logs an error fails its test, unless the test says that it expects some: what the policy (CSP) refuses
     is told there, and so is a defect of a script.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Route, expect, sync_playwright

from netlab.packages import lacking
from tests.browser.pretended_relay import PretendedRelay
from tests.browser.serving import Dashboard

PROGRAMS = {
    "chromium": "chromium",
    "/usr/share/fonts/truetype/droid/DroidSansFallbackFull.ttf": "fonts-droid-fallback",
}
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
WIDTH, HEIGHT = 1280, 860
PATIENCE_MS = 20_000  # only reached where something hangs
FIGURES = "figures of the dashboard"
Open = Callable[..., Page]


def pytest_configure(config: pytest.Config) -> None:
    """Install what is missing, once; say in one line what cannot be."""
    expect.set_options(timeout=PATIENCE_MS)
    if packages := lacking(PROGRAMS):
        raise pytest.UsageError(f"browser tests need: apt-get install {' '.join(packages)}")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what was measured."""
    reports = terminalreporter.stats.get("passed", []) + terminalreporter.stats.get("failed", [])
    figures = [words for report in reports for name, words in report.user_properties if name == FIGURES]
    if figures:
        terminalreporter.section(FIGURES)
        for words in figures:
            terminalreporter.write_line(words)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """The browser, with a profile that is thrown away."""
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=list(FLAGS))
        yield running
        running.close()


@pytest.fixture
def relay(tmp_path: Path) -> Iterator[PretendedRelay]:
    """What answers as a relay with a small fleet."""
    one = PretendedRelay(tmp_path / "control.sock")
    yield one
    one.close()


@pytest.fixture
def dashboard(relay: PretendedRelay, tmp_path: Path) -> Iterator[Dashboard]:
    """The web process of that relay."""
    one = Dashboard(relay.path, tmp_path)
    one.start()
    yield one
    one.stop()


@pytest.fixture
def opened(browser: Browser) -> Iterator[Open]:
    """Open pages: call it with a dashboard, and `token` to be logged in, `place`, what a context takes,
    and `hour`, which answers in the place of the last hour."""
    contexts = []
    errors: list[str] = []

    def note(kind: str, text: str) -> None:
        if kind == "error" and "status of 401" not in text:  # which is how a page finds out that nobody is logged in
            errors.append(text)

    def open_page(
        dashboard: Dashboard,
        *,
        token: str = "",
        place: str = "#/topology",
        size: tuple[int, int] = (WIDTH, HEIGHT),
        scheme: str = "light",
        locale: str = "en-GB",
        hour: Callable[[Route], None] | None = None,
        expects_errors: bool = False,
    ) -> Page:
        width, height = size
        context = browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme="dark" if scheme == "dark" else "light",
            locale=locale,
            timezone_id="Asia/Shanghai",
            reduced_motion="reduce",
        )
        contexts.append(context)
        context.set_default_timeout(PATIENCE_MS)
        page = context.new_page()
        if hour is not None:
            page.route("**/dashboard/history?*", hour)
        if not expects_errors:
            page.on("console", lambda message: note(message.type, message.text))
            page.on("pageerror", lambda error: note("error", str(error)))
        if token:
            logged_in = page.request.post(f"{dashboard.url}/api/login", data={"token": token})
            assert logged_in.ok, logged_in.text()
        page.goto(f"{dashboard.url}/{place}")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert errors == []
