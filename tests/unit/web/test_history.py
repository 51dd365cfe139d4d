"""The last hour, in bounded memory."""

from __future__ import annotations

import math

import pytest

from rustun.web import history as module
from rustun.web.history import MAX_KEPT, RELAY, SERIES_BYTES, STEP_SECONDS, STEPS, History
from rustun.web.overview import overview
from tests.browser.documents import SMALL, large, status

DEV = ("member", "bj-dev")


def recorded(flows: list[tuple[float, int]]) -> History:
    """Return the history of moments: (seconds, bytes that each member has sent until then)."""
    history, before = History(), None
    for seconds, flow in flows:
        before = overview(status(uptime_s=100.0 + seconds, flow=flow), 1000.0 + seconds, before)
        history.add(before, seconds)
    return history


def test_a_step_is_the_mean_of_its_seconds() -> None:
    """A burst of one second would be shown as ten, or not at all, depending on when it came."""
    history = recorded([(0, 0), (1, 1_000), (2, 1_000), (3, 4_000), (9, 4_000)])
    series = history.series(DEV, 9.0)
    assert len(series["in_rate"]) == STEPS
    assert series["in_rate"][-1] == pytest.approx((1_000 + 0 + 3_000 + 0) / 4, abs=0.01)
    assert series["in_rate"][:-1] == [None] * (STEPS - 1)


def test_what_nobody_saw_is_a_gap() -> None:
    """An hour without the relay would look like an hour without traffic."""
    history = recorded([(0, 0), (5, 500), (35, 3500)])
    assert history.series(DEV, 45.0)["in_rate"][-5:] == [100, None, None, 100, None]


def test_an_old_hour_is_written_over() -> None:
    """Values of the hour before would come back as new ones."""
    history = recorded([(0, 0), (5, 500_000), (3605, 500_000), (3606, 500_000)])
    values = history.series(DEV, 3606.0)["in_rate"]
    assert values[-1] == 0
    assert [value for value in values if value is not None] == [0]


def test_the_hour_ends_now_also_when_nothing_was_added() -> None:
    """A picture would stand still while the relay is gone, and look as if all went on."""
    history = recorded([(0, 0), (5, 500)])
    assert history.series(DEV, 5.0)["in_rate"][-1] == 100
    assert history.series(DEV, 25.0)["in_rate"][-3:] == [100, None, None]
    assert history.series(DEV, 4000.0)["in_rate"] == [None] * STEPS


def test_clusters_and_the_relay_are_sums_and_medians() -> None:
    """A cluster's picture would be that of one of its members."""
    history = recorded([(0, 0), (1, 1_000)])
    assert history.series(("cluster", "beijing"), 1.0)["in_rate"][-1] == 2_000
    assert history.series(RELAY, 1.0)["out_rate"][-1] == 3 * 2_000
    trips = sorted(row["rtt_ms"] for row in overview(status(), 0.0, None).members.values() if row["rtt_ms"])
    assert history.series(RELAY, 1.0)["rtt_ms"][-1] == pytest.approx(trips[1], abs=0.01)


def test_nobody_online_is_no_traffic_and_no_gap() -> None:
    """The picture of a relay whose members are all gone would break off, as if the relay were."""
    history = History()
    history.add(overview(status([(*entry[:4], "offline") for entry in SMALL]), 0.0, None), 0.0)
    assert history.series(RELAY, 0.0)["in_rate"][-1] == 0


def test_whoever_is_unknown_has_no_hour() -> None:
    """A page of a member without a past would fail."""
    assert History().series(DEV, 5.0) == {"in_rate": [], "out_rate": [], "rtt_ms": [], "drop_rate": []}


def test_memory_is_what_the_document_says_and_ends_with_the_hour(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fleet whose members come and go under new names would fill the memory of the host."""
    assert 1_000 * SERIES_BYTES == 5_760_000
    assert MAX_KEPT * SERIES_BYTES < 70_000_000
    monkeypatch.setattr(module, "MAX_KEPT", 50)
    history = History()
    history.add(overview(status(large(100)), 0.0, None), 0.0)
    assert (history.kept_bytes, history.refused) == (50 * SERIES_BYTES, 97 + 8 + 1 - 50)
    history.add(overview(status(SMALL), 0.0, None), STEP_SECONDS * STEPS)
    assert history.refused == 0
    assert history.kept_bytes == (3 + 2 + 1) * SERIES_BYTES


def test_gaps_are_told_as_json_has_them() -> None:
    """NaN is no JSON: a browser would refuse the whole answer."""
    values = recorded([(0, 0)]).series(DEV, 0.0)["in_rate"]
    assert not any(isinstance(value, float) and math.isnan(value) for value in values)
