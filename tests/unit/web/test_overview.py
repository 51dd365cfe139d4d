"""Status documents made into what the dashboard shows."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from rustun.web.overview import Overview, UnknownNumber, overview, whole
from tests.browser.documents import SMALL, status


def after(first: dict[str, Any], second: dict[str, Any], seconds: float = 1.0) -> Overview:
    """Return the moment of a document that came so long after another one."""
    return overview(second, 1000.0 + seconds, overview(first, 1000.0, None))


def test_rates_are_what_was_counted_by_the_relays_own_clock() -> None:
    """A late answer or a clock that was set would show as a peak of traffic."""
    moment = after(status(uptime_s=100.0, flow=1_000_000), status(uptime_s=102.0, flow=1_500_000), seconds=3600.0)
    row = moment.members["bj-dev"]
    assert (row["in_rate"], row["out_rate"]) == (250_000, 500_000)


def test_the_first_moment_has_no_rates() -> None:
    """All that was carried since the start would be shown as carried in this second."""
    row = overview(status(flow=10**9), 1000.0, None).members["bj-dev"]
    assert (row["in_rate"], row["out_rate"], row["drop_rate"]) == (None, None, None)
    assert row["in_bytes"] == 10**9


@pytest.mark.parametrize("left", [500, 5_000_000], ids=["less", "more"])
def test_a_new_session_counts_from_its_beginning(left: int) -> None:
    """A member that came back would show a rate below zero, or one of what another session had carried."""
    before, now = status(uptime_s=100.0, flow=2_000_000), status(uptime_s=110.0, flow=2_000_000)
    for session in now["sessions"]:
        session.update(number=session["number"] + 1, age_s=4.0, received_bytes=left)
    assert after(before, now, 10.0).members["bj-dev"]["in_rate"] == left / 10


def test_who_came_back_between_two_moments_is_counted() -> None:
    """The traffic of a member's first second would be missing."""
    entries = [(*entry[:4], "offline") if entry[1] == "bj-dev" else entry for entry in SMALL]
    moment = after(status(entries, 100.0), status(SMALL, 101.0, flow=400))
    assert moment.members["bj-dev"]["in_rate"] == 400


def test_another_process_begins_anew() -> None:
    """After a restart of the relay all counters would be taken for what was carried in one second."""
    moment = after(status(uptime_s=5000.0, flow=10**9), status(uptime_s=2.0, flow=10**6))
    assert moment.members["bj-dev"]["in_rate"] is None


def test_another_process_begins_anew_however_long_it_is_up() -> None:
    """A relay that was started again twice shows rates below zero: its first session has the number of an older one."""
    before, now = status(uptime_s=8.0, flow=10**6, as_of="3f9a11c0-9"), status(uptime_s=9.0, as_of="77b1e002-9")
    moment = after(before, now, 10.0)
    assert moment.members["bj-dev"]["in_rate"] is None
    assert after(before, {**now, "as_of": "3f9a11c0-12"}).members["bj-dev"]["in_rate"] is not None


def test_a_quiet_fleet_makes_no_difference() -> None:
    """A thousand idle members would be told to every page each second."""
    before = overview(status(uptime_s=100.0), 1000.0, None)
    still = overview(status(uptime_s=101.0), 1001.2, before)
    later = status(uptime_s=102.0)
    for session in later["sessions"]:
        session["proof_age_s"] = 4.9  # 0.9 s more for each second: jitter
    told = overview(later, 1002.1, still).change
    assert told is not None
    assert (told["members"], told["server"], told["gone"]) == ({}, {}, [])


def test_a_difference_leads_to_the_next_moment() -> None:
    """A page that is open for long would show something else than one that was opened now."""
    before = overview(status(uptime_s=100.0), 1000.0, None)
    page = deepcopy(before.members)
    entries = [entry for entry in SMALL if entry[1] != "bj-old"] + [("beijing", "bj-new", "10.0.1.5", (), "online")]
    second = status([(*entry[:4], "online") for entry in entries], 101.0, flow=5_000_000, alarms=["a stolen key?"])
    now = overview(second, 1001.0, before)
    told = now.change
    assert told is not None
    assert told["gone"] == ["bj-old"]
    del page["bj-old"]
    for identity, fields in told["members"].items():
        page[identity] = {**page.get(identity, {}), **fields}
    assert page == whole(now)["members"]
    assert {**before.server, **told["server"]} == now.server


def test_a_document_that_cannot_be_read_changes_nothing() -> None:
    """What it changed would never be told to the pages that are open, since the next moment has it already."""
    before = overview(status(uptime_s=100.0), 1000.0, None)
    kept = deepcopy(before.members)
    broken = status(uptime_s=101.0, flow=10**6)
    broken["sessions"].append(5)
    with pytest.raises(UnknownNumber):
        overview(broken, 1001.0, before)
    broken["routes"] = 5
    del broken["sessions"][-1]
    with pytest.raises(AttributeError):
        overview(broken, 1001.0, before)
    assert before.members == kept


def test_who_went_while_the_relay_told_of_it_comes_back_whole() -> None:
    """A member that was told as there and as gone in one moment would stay gone for every page."""
    gone = [(*entry[:4], "offline") if entry[1] == "bj-dev" else entry for entry in SMALL]
    both = {**status(SMALL, 101.0), "offline": status(gone, 101.0)["offline"]}
    middle = overview(both, 1001.0, overview(status(uptime_s=100.0), 1000.0, None))
    assert middle.members["bj-dev"]["state"] == "offline"
    back = overview(status(SMALL, 102.0), 1002.0, middle)
    assert back.members["bj-dev"] == overview(status(SMALL, 102.0), 1002.0, None).members["bj-dev"] | {
        "in_rate": 0, "out_rate": 0, "drop_rate": 0, "began": back.members["bj-dev"]["began"],
    }  # fmt: skip


def test_who_is_not_there_says_why() -> None:
    """An operator would see that a member is offline, and not what to do about it."""
    row = overview(status(), 10_000.0, None).members["sh-db"]
    assert (row["state"], row["error"], row["error_at"], row["proved"]) == (
        "offline", "refused: wrong key", 9880.0, 2800.0,
    )  # fmt: skip
    assert row["in_rate"] is None
    assert row["hint"] == "wrong key"


@pytest.mark.parametrize(
    ("changes", "hint"),
    [
        ({"last_error": ""}, "never"),
        ({"last_error": "silent"}, "silent"),
        ({"last_error": "goodbye"}, "goodbye"),
        ({"last_error": "superseded by 10.0.0.9"}, "superseded"),
        ({"last_error": "end-of-stream"}, ""),
        ({"state": "disabled", "last_error": "silent"}, ""),
        ({"state": "expired", "last_error": ""}, ""),
    ],
)
def test_why_a_member_is_not_there_is_told_by_its_word(changes: dict[str, str], hint: str) -> None:
    """A page would say "silent" and leave it to its reader what that means, or explain what needs no word."""
    document = status()
    absent = next(one for one in document["offline"] if one["identity"] == "sh-db")
    absent.update(changes)
    before = overview(document, 1000.0, None)
    assert before.members["sh-db"]["hint"] == hint
    back = status([(*entry[:4], "online") for entry in SMALL], 101.0)
    assert overview(back, 1001.0, before).members["sh-db"]["hint"] == ""


def test_what_an_older_relay_does_not_tell_is_not_guessed() -> None:
    """A web process of a newer version would fail on every answer."""
    document = status()
    for part in (*document["sessions"], *document["offline"]):
        for key in ("ciders", "expires_at", "version", "name", "rtt_ms", "drops"):
            part.pop(key, None)
    row = overview(document, 1000.0, None).members["bj-office-gw"]
    assert (row["ciders"], row["expires_at"], row["rtt_ms"], row["drops"], row["name"]) == ([], "", None, {}, None)
