"""The pages, in a real browser, beside a relay that says what the test wants."""

from __future__ import annotations

import re
from itertools import count
from typing import Any

from playwright.sync_api import Dialog, Route, expect

from rustun.web.history import STEPS
from tests.browser.conftest import Open
from tests.browser.documents import HOSTILE, MARKUP, SMALL, status
from tests.browser.office import hour
from tests.browser.pretended_relay import PretendedRelay, passes
from tests.browser.serving import TOKEN, Dashboard

ADDRESS = "203.0.113.9"


def test_a_relay_that_is_gone_is_shown_and_comes_back(
    relay: PretendedRelay, dashboard: Dashboard, opened: Open
) -> None:
    """An operator would look at green members of a relay that has crashed."""
    page = opened(dashboard, token=TOKEN)
    expect(page.get_by_text("3 of 6").first).to_be_visible()
    relay.close()
    expect(page.get_by_text("the tunnel's process cannot be asked")).to_be_visible()
    expect(page.get_by_role("link", name="bj-dev")).to_be_visible()
    relay.open()
    expect(page.get_by_text("the tunnel's process cannot be asked")).to_have_count(0)


def test_values_go_on_without_a_reload(relay: PretendedRelay, dashboard: Dashboard, opened: Open) -> None:
    """A page would show what was true when it was opened."""
    seconds = count(100)
    relay.status = lambda: status(uptime_s=(now := next(seconds)), flow=now * 1_250_000)
    page = opened(dashboard, token=TOKEN, place="#/members")
    row = page.get_by_role("row", name="bj-dev")
    expect(row).to_contain_text("10 Mbit/s")
    expect(row).to_contain_text("20 Mbit/s")
    entries = [(*entry[:4], "offline") if entry[1] == "bj-dev" else entry for entry in SMALL]
    relay.status = lambda: status(entries, uptime_s=next(seconds))
    expect(row).to_contain_text("offline")


def test_the_last_hour_is_drawn_and_goes_on(relay: PretendedRelay, dashboard: Dashboard, opened: Open) -> None:
    """A chart would stay empty, stand still, or show another value than the one that is written beside it."""
    seconds = count(100)
    relay.status = lambda: status(uptime_s=(now := next(seconds)), flow=now * 1_250_000)
    page = opened(dashboard, token=TOKEN, place="#/member/bj-dev")
    plots = page.get_by_role("region", name="The last hour").get_by_role("img")
    expect(plots).to_have_count(3)
    expect(plots.first).to_have_attribute("aria-label", "Throughput: In 10 Mbit/s, Out 20 Mbit/s")
    expect(plots.nth(1)).to_have_attribute("aria-label", re.compile(r"^Round trip: \d"))
    expect(plots.first.locator("path.line.two")).to_have_attribute("d", re.compile(r"^M[\d.]+ "))
    relay.status = lambda: status(uptime_s=(now := next(seconds)), flow=now * 2_500_000)
    expect(plots.first).to_have_attribute("aria-label", "Throughput: In 20 Mbit/s, Out 40 Mbit/s")


def test_all_of_the_hour_is_drawn(dashboard: Dashboard, opened: Open) -> None:
    """Of a relay that has been up for long, a chart would show some minutes, or nothing under the pointer."""
    page = opened(dashboard, token=TOKEN, place="#/member/bj-dev", hour=hour)
    plot = page.get_by_role("region", name="The last hour").get_by_role("img").first
    expect(plot.locator("path.line.one")).to_have_attribute("d", re.compile(rf"^M(?:[^L]+L){{{STEPS - 1},}}"))
    expect(page.locator(".axis").first).to_contain_text("1 h ago")
    plot.hover()
    expect(page.locator(".when").first).to_contain_text(re.compile("(29|30) min ago"))


def test_who_is_gone_has_no_figures_of_now(relay: PretendedRelay, dashboard: Dashboard, opened: Open) -> None:
    """The throughput and the round trip of a member that is offline would stand there as those of this moment."""
    relay.status = lambda: status([("beijing", "bj-dev", "10.0.1.2", (), "offline")])
    page = opened(dashboard, token=TOKEN, place="#/member/bj-dev", hour=hour)
    plots = page.get_by_role("region", name="The last hour").get_by_role("img")
    expect(plots.first).to_have_attribute("aria-label", "Throughput: In –, Out –")
    expect(page.get_by_text("–, –")).to_have_count(0)


def test_what_is_on_its_way_is_said(dashboard: Dashboard, opened: Open) -> None:
    """Over a slow line a page would be blank, and look as if there were nothing."""
    page = opened(dashboard)
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    page.route("**/dashboard/live", hold)
    page.get_by_label("Token").fill(TOKEN)
    with page.expect_request("**/dashboard/live"):
        page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("status").filter(has_text="Loading")).to_be_visible()
    held.pop().continue_()
    expect(page.get_by_text("3 of 6").first).to_be_visible()
    expect(page.locator(".loading")).to_have_count(0)


def test_names_are_text(relay: PretendedRelay, dashboard: Dashboard, opened: Open) -> None:
    """Whoever may name a member, or send a first frame, could run a script in an operator's browser."""
    entries = [("beijing", HOSTILE, "10.0.1.3", (HOSTILE,), "online"), (HOSTILE, "b", "10.0.3.1", (), "offline")]
    entries.append(("beijing", MARKUP, "10.0.1.4", (MARKUP,), "online"))
    relay.status = lambda: status(entries, alarms=[f"two hosts are {HOSTILE}"])
    relay.happen("refused", identity=HOSTILE, reason=HOSTILE)
    page = opened(dashboard, token=TOKEN)
    ran: list[str] = []

    def note(dialog: Dialog) -> None:
        ran.append(dialog.message)
        dialog.dismiss()

    page.on("dialog", note)
    for place in ("topology", "members", "events", "expiring", "reach"):
        page.goto(f"{dashboard.url}/#/{place}")
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        expect(page.get_by_text(HOSTILE).first).to_be_visible()
    page.goto(f"{dashboard.url}/#/members")
    expect(page.get_by_role("link", name=HOSTILE)).to_be_visible()
    assert MARKUP in page.evaluate("[...document.querySelectorAll('td a')].map((link) => link.textContent)")
    page.get_by_role("link", name=HOSTILE).click()
    expect(page.get_by_role("heading", name=HOSTILE, level=1)).to_be_visible()
    assert (page.locator("img[src=x]").count(), ran) == (0, [])


def test_a_member_is_found_and_says_why_it_is_not_there(dashboard: Dashboard, opened: Open) -> None:
    """An operator would scroll through a thousand members, and then not know what to do."""
    page = opened(dashboard, token=TOKEN)
    page.get_by_role("searchbox").fill("10.0.2.2")
    expect(page.get_by_text("Found: 1")).to_be_visible()
    expect(page.get_by_role("link", name="bj-dev")).to_be_hidden()
    page.get_by_role("link", name="sh-db").click()
    expect(page.get_by_text("refused: wrong key")).to_contain_text("its private key does not go with the public_key")
    expect(page.get_by_text("rustun keygen --public FILE", exact=True)).to_be_visible()
    expect(page.get_by_text("offline").first).to_be_visible()
    page.get_by_label("Language").select_option("zh")
    expect(page.get_by_text("refused: wrong key")).to_contain_text("它的私钥与 routes.json 中的 public_key 不匹配")


def test_the_table_is_filtered_and_sorted(dashboard: Dashboard, opened: Open) -> None:
    """Filters would hide the wrong members, or an order be told to nobody who cannot see the arrow."""
    page = opened(dashboard, token=TOKEN, place="#/members")
    page.get_by_label("State", exact=True).select_option("offline")
    expect(page.locator("tbody tr")).to_have_count(1)
    page.get_by_label("State", exact=True).select_option("")
    expect(page.locator("tbody tr")).to_have_count(6)
    page.get_by_role("button", name="Member").click()
    page.get_by_role("button", name="Member").click()
    expect(page.locator("th[aria-sort=descending]")).to_contain_text("Member")
    expect(page.locator("tbody tr").first).to_contain_text("sh-office-gw")


def test_the_matrix_is_the_relays_decision(relay: PretendedRelay, dashboard: Dashboard, opened: Open) -> None:
    """Who reaches whom would be a guess."""
    no: dict[str, Any] = {"verdict": "drop", "reason": "offline", "text": "sh-db is not connected", "steps": []}
    usual = relay.trace
    relay.trace = lambda source, target: {**usual(source, target), **(no if target == "sh-db" else {})}
    page = opened(dashboard, token=TOKEN, place="#/reach")
    page.get_by_label("Cluster").select_option("shanghai")
    row = page.locator("tbody tr").filter(has=page.get_by_role("rowheader", name="sh-office-gw"))
    expect(row.get_by_role("button")).to_have_text(["✕ offline", "✓ passes"])
    row.get_by_role("button", name="offline").click()
    expect(page.get_by_text("sh-db is not connected")).to_be_visible()
    page.get_by_label("From (address or member)").fill(ADDRESS)
    page.get_by_label("To (address or member)").fill("bj-dev")
    page.get_by_role("button", name="Trace").click()
    expect(page.get_by_role("heading", name=f"{ADDRESS} → bj-dev")).to_be_visible()
    expect(page.get_by_text("bj-dev: sent_packets = 7")).to_be_visible()


def test_events_arrive(relay: PretendedRelay, dashboard: Dashboard, opened: Open) -> None:
    """What happens while somebody looks would be seen after a reload."""
    relay.happen("session-up", identity="bj-dev", tier="key", public_key="", changed={}, unnamed=None)
    page = opened(dashboard, token=TOKEN, place="#/events")
    expect(page.locator("td code", has_text="session-up")).to_be_visible()
    assert page.locator("td .key").all_inner_texts() == ["identity=", "tier="], "what is empty says nothing"
    relay.happen("takeover-alarm", identity="sh-db")
    expect(page.locator("tbody tr").first).to_contain_text("takeover-alarm")


def test_a_member_that_is_not_there_has_no_figures(dashboard: Dashboard, opened: Open) -> None:
    """Who follows an old link would look at empty charts and wait for them."""
    page = opened(dashboard, token=TOKEN, place="#/member/nobody")
    expect(page.get_by_text("There is no such member")).to_be_visible()
    expect(page.locator(".sides")).to_be_hidden()


def test_who_does_not_get_a_packet_is_not_reached(relay: PretendedRelay, dashboard: Dashboard, opened: Open) -> None:
    """A member that is switched off would be said to be reached where an exit node takes what is sent to it."""
    relay.trace = lambda source, destination: {**passes(source, destination), "receiver": "bj-dev"}
    page = opened(dashboard, token=TOKEN, place="#/reach")
    expect(page.get_by_role("button", name="bj-office-gw → bj-dev: passes")).to_be_visible()
    page.get_by_role("button", name="bj-dev → bj-office-gw: goes elsewhere").click()
    expect(page.locator("p.verdict")).to_have_text(re.compile("^goes elsewhere "))


def test_ends_are_shown_nearest_first(dashboard: Dashboard, opened: Open) -> None:
    """A partner's access would end without anybody knowing beforehand."""
    page = opened(dashboard, token=TOKEN, place="#/expiring")
    expect(page.locator("tbody tr")).to_have_count(2)
    expect(page.locator("tbody tr").first).to_contain_text("over")
    expect(page.locator("tbody tr").last).to_contain_text("bj-dev")


def test_an_empty_relay_says_what_to_do(relay: PretendedRelay, dashboard: Dashboard, opened: Open) -> None:
    """The first page that a newcomer sees would be blank."""
    relay.status = lambda: status(())
    page = opened(dashboard, token=TOKEN)
    expect(page.get_by_text("No members yet. Add them to routes.json")).to_be_visible()
