"""Rates from two documents."""

from __future__ import annotations

from typing import Any

from rustun.admin.differences import with_rates


def document(uptime: float, received: int, *sessions: tuple[str, int], pid: int = 7) -> dict[str, Any]:
    told = [{"cluster": "c", "identity": name, "received_bytes": count, "sent_bytes": 0} for name, count in sessions]
    return {"pid": pid, "uptime_s": uptime, "received_bytes": received, "sent_bytes": 0, "sessions": told}


def test_rates_are_differences() -> None:
    """`rustun status --watch` shows what was a minute ago, or a session's whole life as one second."""
    found = with_rates(document(10, 100, ("a", 100)), document(12, 500, ("a", 300), ("new", 40)))
    assert (found["received_bytes_per_s"], found["sent_bytes_per_s"]) == (200, 0)
    assert [session["received_bytes_per_s"] for session in found["sessions"]] == [100, 20]


def test_a_session_that_began_anew_counts_from_0() -> None:
    """A member that came back shows a rate below zero."""
    found = with_rates(document(10, 900, ("a", 900)), document(11, 950, ("a", 50)))
    assert found["sessions"][0]["received_bytes_per_s"] == 50


def test_what_cannot_be_compared_stays() -> None:
    """The first look, or one after the process was started again, shows nonsense or ends in a traceback."""
    later = {**document(12, 500, ("a", 300)), "received_bytes_per_s": 3}
    for before in ({}, document(99, 0), document(10, 0, pid=8), document(12, 0)):
        assert with_rates(before, later) == later
    assert with_rates(document(1, 2), {"pid": 7, "uptime_s": 5}) == {"pid": 7, "uptime_s": 5}
