"""For everybody: without a mouse, on a phone, in Chinese, in both themes, with a screen reader; and the pictures."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.browser.conftest import Open
from tests.browser.documents import large, status
from tests.browser.office import flowing, hour
from tests.browser.pretended_relay import PretendedRelay
from tests.browser.serving import MANAGEMENT, TOKEN, Dashboard

IMAGES = Path(__file__).parents[2] / "docs" / "images"
PLACES = ("topology", "cluster/beijing", "members", "member/sh-office-gw", "reach", "events", "expiring")
PHONE = (375, 812)
SERIOUS = ("serious", "critical")


def settled(page: Page) -> None:
    """Wait until a page shows what it was opened for."""
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    expect(page.locator(".loading")).to_have_count(0)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_serious_stands_in_the_way(
    relay: PretendedRelay, dashboard: Dashboard, opened: Open, scheme: str
) -> None:
    """Who cannot see colours, or uses a screen reader, would be left out."""
    flowing(relay)
    axe, found = Axe(), []

    def look(page: Page, name: str) -> None:
        settled(page)
        for violation in axe.run(page).response["violations"]:
            if violation["impact"] in SERIOUS:
                found.append((name, violation["id"], [node["html"] for node in violation["nodes"]][:3]))

    look(opened(dashboard, scheme=scheme), "login")
    page = opened(dashboard, token=MANAGEMENT, scheme=scheme)
    for place in PLACES:
        page.goto(f"{dashboard.url}/#/{place}")
        look(page, place)
    page.goto(f"{dashboard.url}/#/members")
    page.get_by_role("button", name="Add a member").click()
    expect(page.get_by_role("dialog")).to_be_visible()
    look(page, "form")
    assert found == []


def test_the_keyboard_is_enough(dashboard: Dashboard, opened: Open) -> None:
    """Who has no mouse could not get past the first page."""
    page = opened(dashboard, token=MANAGEMENT, place="#/topology")
    settled(page)
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="To the content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    page.get_by_role("link", name="Members", exact=True).focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Members", level=1)).to_be_visible()
    page.get_by_role("button", name="Add a member").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(page.get_by_role("button", name="Add a member")).to_be_focused()


def test_a_choice_of_theme_and_language_stays(dashboard: Dashboard, opened: Open) -> None:
    """Whoever chose dark or Chinese would have to choose it again on every page."""
    page = opened(dashboard, token=TOKEN)
    page.get_by_label("Theme").select_option("dark")
    page.get_by_label("Language").select_option("zh")
    expect(page.get_by_role("heading", name="拓扑")).to_be_visible()
    page.reload()
    expect(page.get_by_role("heading", name="拓扑")).to_be_visible()
    assert page.evaluate("document.documentElement.lang") == "zh"
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(14, 20, 25)"


def test_a_browsers_language_is_spoken(dashboard: Dashboard, opened: Open) -> None:
    """Most of the seed's users would have to find the switch in a language that they do not read."""
    expect(opened(dashboard, token=TOKEN, locale="zh-CN").get_by_role("heading", name="拓扑")).to_be_visible()


def test_a_phone_is_wide_enough(relay: PretendedRelay, dashboard: Dashboard, opened: Open) -> None:
    """Half of a page would lie beside the screen."""
    flowing(relay)
    page = opened(dashboard, token=MANAGEMENT, size=PHONE)
    for place in PLACES:
        page.goto(f"{dashboard.url}/#/{place}")
        settled(page)
        assert page.evaluate("document.scrollingElement.scrollWidth") <= PHONE[0], place


def shoot(page: Page, picture: Path) -> None:
    """Make a picture of a page that shows what it was opened for, rates among it."""
    settled(page)
    expect(page.locator(".light.link-live")).to_be_visible()
    if page.locator(".tiles").count():
        expect(page.locator(".tile", has_text="bit/s").first).to_be_visible()
    page.mouse.move(0, 0)
    page.screenshot(path=picture)


@pytest.fixture
def pictures(tmp_path: Path) -> Iterator[Path]:
    """Where screenshots go; those that docs/images lacks, or all where RUSTUN_SCREENSHOTS is set, are put there."""
    yield tmp_path
    IMAGES.mkdir(exist_ok=True)
    for picture in tmp_path.glob("*.png"):
        if "RUSTUN_SCREENSHOTS" in os.environ or not (IMAGES / picture.name).exists():
            shutil.copy(picture, IMAGES / picture.name)


def test_pictures_for_the_documents(relay: PretendedRelay, dashboard: Dashboard, opened: Open, pictures: Path) -> None:
    """The documents would show pages that are not there any more."""
    flowing(relay)
    page = opened(dashboard, token=MANAGEMENT, hour=hour)
    for name in PLACES:
        page.goto(f"{dashboard.url}/#/{name}")
        if name == "reach":
            page.get_by_role("button", name="bj-dev → bj-office-gw").click()
            expect(page.get_by_role("heading", name="bj-dev → bj-office-gw")).to_be_visible()
        shoot(page, pictures / f"dashboard-{name.partition('/')[0]}.png")
    for name, how in (
        ("topology-dark", {"scheme": "dark"}),
        ("topology-zh", {"locale": "zh-CN"}),
        ("phone", {"size": PHONE, "scheme": "dark"}),
    ):
        shoot(opened(dashboard, token=MANAGEMENT, hour=hour, **how), pictures / f"dashboard-{name}.png")
    page = opened(dashboard)
    expect(page.get_by_label("Token")).to_be_visible()
    page.screenshot(path=pictures / "dashboard-login.png")
    seconds = count(9000)
    relay.status = lambda: status(large(1000), uptime_s=(now := next(seconds)), flow=now * 24_000)
    page = opened(dashboard, token=TOKEN, hour=hour)
    expect(page.locator(".tile", has_text="In (from members)")).to_contain_text("187 Mbit/s")
    shoot(page, pictures / "dashboard-1000.png")
    assert all(picture.stat().st_size > 5_000 for picture in pictures.glob("*.png"))
    made = {picture.name for picture in pictures.glob("*.png")}
    assert {picture.name for picture in IMAGES.glob("*.png")} <= made, "one is of a page that is not there any more"
