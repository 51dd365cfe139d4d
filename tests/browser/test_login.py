"""Logging in and out, in a real browser."""

from __future__ import annotations

from playwright.sync_api import expect

from tests.browser.conftest import Open
from tests.browser.serving import MANAGEMENT, TOKEN, Dashboard


def test_a_token_lets_in_and_logging_out_ends_it(dashboard: Dashboard, opened: Open) -> None:
    """An operator could not get in, or whoever comes to the browser after him could go on."""
    page = opened(dashboard)
    page.get_by_label("Token").fill("this-is-not-the-token")
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("alert")).to_contain_text("the token is wrong")
    page.get_by_label("Token").fill(TOKEN)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Topology")).to_be_visible()
    expect(page.get_by_text("reads only")).to_be_visible()
    [cookie] = page.context.cookies()
    assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_label("Token")).to_be_visible()
    assert page.request.get(f"{dashboard.url}/api/snapshot").status == 401


def test_who_reads_only_is_not_offered_changes(dashboard: Dashboard, opened: Open) -> None:
    """An operator without the right would fill in a form for nothing."""
    page = opened(dashboard, token=TOKEN, place="#/member/bj-dev")
    expect(page.get_by_role("heading", name="bj-dev")).to_be_visible()
    expect(page.get_by_role("button", name="Edit")).to_have_count(0)
    page = opened(dashboard, token=MANAGEMENT, place="#/member/bj-dev")
    expect(page.get_by_role("button", name="Edit")).to_be_visible()


def test_a_login_that_has_ended_is_asked_for_again(dashboard: Dashboard, opened: Open) -> None:
    """After a restart of the web process, which forgets logins, a page would wait for ever."""
    page = opened(dashboard, token=TOKEN, expects_errors=True)
    expect(page.get_by_text("3 of 6").first).to_be_visible()
    dashboard.stop()
    expect(page.get_by_text("The connection is lost.")).to_be_visible()
    expect(page.get_by_text("bj-dev").first).to_be_visible()
    dashboard.start()
    expect(page.get_by_label("Token")).to_be_visible()
