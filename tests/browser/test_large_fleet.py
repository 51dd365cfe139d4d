"""A thousand members: how soon the page is there, and what a page that is open costs."""

from __future__ import annotations

import re
from itertools import count
from time import monotonic

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import FIGURES, Open
from tests.browser.documents import large, status
from tests.browser.pretended_relay import PretendedRelay
from tests.browser.serving import TOKEN, Dashboard

MEMBERS, CLUSTERS = 1000, 8
WANTED = "host-00500"
BUSY = 6  # times slower than a quiet machine may be
FIRST_PAINT_MS = 1000
UPDATE_PART = 0.03  # of a core
LOOKS = 5  # at the relay, one a second

# What the browser says of itself: when it first painted content, and when the members were there.
PAINTED = """() => new Promise((resolve) => {
  const done = () => resolve([
    performance.getEntriesByName("first-contentful-paint")[0]?.startTime ?? 0, performance.now(),
  ]);
  const look = () => (document.querySelectorAll(".dot, .node").length >= 1000 ? done() : requestAnimationFrame(look));
  look();
})"""


def test_the_page_is_there_soon(
    relay: PretendedRelay, dashboard: Dashboard, opened: Open, request: pytest.FixtureRequest
) -> None:
    """An operator with a large fleet would wait for each page."""
    relay.status = lambda: status(large(MEMBERS))
    page = opened(dashboard, token=TOKEN)
    expect(page.locator(".dot")).to_have_count(MEMBERS)
    page.reload()
    paint_ms, members_ms = page.evaluate(PAINTED)
    words = f"{MEMBERS} members: first paint after {paint_ms:.0f} ms, all members after {members_ms:.0f} ms"
    request.node.user_properties.append((FIGURES, words))
    assert 0 < paint_ms < FIRST_PAINT_MS * BUSY
    assert members_ms < FIRST_PAINT_MS * BUSY


def test_one_of_a_thousand_is_found(relay: PretendedRelay, dashboard: Dashboard, opened: Open) -> None:
    """An operator with a large fleet would see a thousand marks, and not the one that he looks for."""
    relay.status = lambda: status(large(MEMBERS))
    page = opened(dashboard, token=TOKEN)
    expect(page.locator(".dot")).to_have_count(MEMBERS)
    expect(page.get_by_role("link", name=re.compile("^site-0"))).to_have_count(CLUSTERS)
    page.get_by_role("searchbox").fill(WANTED)
    expect(page.get_by_text("Found: 1")).to_be_visible()
    expect(page.locator(".dot:visible")).to_have_count(1)
    page.locator(".dot:visible").click()
    expect(page.get_by_role("heading", name=WANTED, level=1)).to_be_visible()
    page.goto(f"{dashboard.url}/#/members")
    page.get_by_role("searchbox").fill(WANTED)
    expect(page.locator("tbody tr")).to_have_count(1)
    expect(page.locator("tbody tr")).to_contain_text(WANTED)


def test_an_open_page_costs_little(
    relay: PretendedRelay, dashboard: Dashboard, opened: Open, request: pytest.FixtureRequest
) -> None:
    """A dashboard that somebody forgot in a tab would take the processor from the tunnel."""
    uptimes = count(100)
    relay.status = lambda: status(large(MEMBERS), uptime_s=(now := next(uptimes)), flow=now * 1_000_000)
    pages = [opened(dashboard, token=TOKEN) for _ in range(2)]
    for page in pages:
        expect(page.locator(".dot")).to_have_count(MEMBERS)
    before, began = dashboard.processor_seconds(), monotonic()
    relay.wait_asked("status", LOOKS)
    seconds = monotonic() - began
    part = (dashboard.processor_seconds() - before) / seconds
    words = f"{MEMBERS} members, 2 pages: the web process takes {part:.1%} of a core"
    request.node.user_properties.append((FIGURES, words))
    assert seconds > LOOKS - 1.5, "once a second, however many pages"
    assert part < UPDATE_PART * BUSY
