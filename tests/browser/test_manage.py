"""Changes of members through the pages: shown as a difference, made once confirmed, refused to who comes too late."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Open
from tests.browser.documents import SMALL, status
from tests.browser.pretended_relay import PretendedRelay
from tests.browser.serving import MANAGEMENT, Dashboard

MEMBERS = [
    {
        "cluster": cluster,
        "identity": identity,
        "private_ip": address,
        "mask": "255.255.255.0",
        "gateway": f"{address.rpartition('.')[0]}.254",
        "ciders": list(ciders),
    }
    for cluster, identity, address, ciders, _ in SMALL
]


@pytest.fixture
def routes(relay: PretendedRelay, tmp_path: Path) -> Path:
    """The members' file of the pretended relay."""
    file = tmp_path / "routes.json"
    file.write_text(json.dumps(MEMBERS, indent=4))
    shown = {**status()["routes"], "file": str(file)}
    relay.status = lambda: status(routes=shown)
    return file


def entry(file: Path, identity: str) -> dict[str, Any]:
    """Return a member's entry as the file has it, empty where it is gone."""
    found = [one for one in json.loads(file.read_text()) if one["identity"] == identity]
    return dict(found[0]) if found else {}


def member_page(dashboard: Dashboard, opened: Open, identity: str, *, expects_errors: bool = False) -> Page:
    """Return the page of a member, for who may change it."""
    page = opened(dashboard, token=MANAGEMENT, place=f"#/member/{identity}", expects_errors=expects_errors)
    expect(page.get_by_role("button", name="Edit")).to_be_visible()
    return page


def test_an_edit_is_confirmed_and_then_made(routes: Path, dashboard: Dashboard, opened: Open) -> None:
    """A slip would be in force before anybody has seen what it means."""
    page = member_page(dashboard, opened, "bj-office-gw")
    page.get_by_role("button", name="Edit").click()
    page.get_by_label("LANs").fill("192.168.1.0/24\n192.168.3.0/24")
    page.get_by_role("button", name="Show the difference").click()
    difference = page.get_by_role("region", name="Difference of the members' file")
    expect(difference.locator(".plus", has_text="192.168.3.0/24")).to_be_visible()
    assert entry(routes, "bj-office-gw")["ciders"] == ["192.168.1.0/24"], "nothing is written yet"
    page.get_by_role("button", name="Apply").click()
    expect(page.get_by_text("Done: Edit bj-office-gw")).to_be_visible()
    assert entry(routes, "bj-office-gw")["ciders"] == ["192.168.1.0/24", "192.168.3.0/24"]


def test_what_the_server_would_refuse_is_told_before(routes: Path, dashboard: Dashboard, opened: Open) -> None:
    """A file would be written that the server refuses, and no later change would be in force."""
    before = routes.read_bytes()
    page = member_page(dashboard, opened, "bj-dev", expects_errors=True)
    page.get_by_role("button", name="Edit").click()
    page.get_by_label("LANs").fill("192.168.1.0/24")
    page.get_by_role("button", name="Show the difference").click()
    expect(page.get_by_role("alert")).to_contain_text("bj-office-gw")
    page.get_by_label("LANs").fill("192.168.7.5/24")
    page.get_by_role("button", name="Show the difference").click()
    expect(page.get_by_role("alert")).to_contain_text("192.168.7.0/24")
    assert routes.read_bytes() == before


def test_who_comes_too_late_is_told_what_changed(routes: Path, dashboard: Dashboard, opened: Open) -> None:
    """Of two operators at once, one would undo the other's work without knowing."""
    page = member_page(dashboard, opened, "bj-dev", expects_errors=True)
    page.get_by_role("button", name="Disable").click()
    expect(page.get_by_role("button", name="Apply")).to_be_visible()
    changed = [{**one, "name": "Renamed meanwhile"} if one["identity"] == "sh-db" else one for one in MEMBERS]
    routes.write_text(json.dumps(changed, indent=4))
    page.get_by_role("button", name="Apply").click()
    expect(page.get_by_role("alert")).to_contain_text("was changed meanwhile")
    expect(page.get_by_text("Renamed meanwhile")).to_be_visible()
    assert "enabled" not in entry(routes, "bj-dev")
    page.get_by_role("button", name="Look again").click()
    page.get_by_role("button", name="Apply").click()
    expect(page.get_by_text("Done: Disable bj-dev")).to_be_visible()
    assert entry(routes, "bj-dev")["enabled"] is False
    assert entry(routes, "sh-db")["name"] == "Renamed meanwhile"


def test_members_come_and_go(routes: Path, dashboard: Dashboard, opened: Open) -> None:
    """Half of what management is for would need an editor on the server."""
    page = member_page(dashboard, opened, "bj-old")
    page.get_by_role("button", name="Remove").click()
    expect(page.get_by_role("dialog")).to_contain_text("bj-old is removed")
    page.get_by_role("button", name="Apply").click()
    expect(page.get_by_text("Done: Remove bj-old")).to_be_visible()
    assert entry(routes, "bj-old") == {}
    page.goto(f"{dashboard.url}/#/members")
    page.get_by_role("button", name="Add a member").click()
    page.get_by_label("Cluster", exact=True).and_(page.locator("input")).fill("beijing")
    page.get_by_label("Identity").fill("bj-new")
    page.get_by_role("button", name="Show the difference").click()
    page.get_by_role("button", name="Apply").click()
    expect(page.get_by_text("Done: Add bj-new")).to_be_visible()
    assert entry(routes, "bj-new")["private_ip"] == "10.0.1.3"


def test_what_was_confirmed_is_what_is_made(routes: Path, dashboard: Dashboard, opened: Open) -> None:
    """Whoever copies a new member's identity from the difference would configure a client that nobody knows."""
    page = member_page(dashboard, opened, "bj-dev")
    page.goto(f"{dashboard.url}/#/members")
    page.get_by_role("button", name="Add a member").click()
    page.get_by_label("Cluster", exact=True).and_(page.locator("input")).fill("beijing")
    page.get_by_role("button", name="Show the difference").click()
    difference = page.get_by_role("region", name="Difference of the members' file")
    shown = difference.locator(".plus", has_text="identity").inner_text()
    page.get_by_role("button", name="Apply").click()
    expect(page.get_by_text("Done: Add ")).to_be_visible()
    assert json.loads(routes.read_text())[-1]["identity"] in shown
