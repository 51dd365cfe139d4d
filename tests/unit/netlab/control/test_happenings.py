"""Events of a laboratory, found by comparing two pictures of it."""

from __future__ import annotations

from dataclasses import replace

from netlab.control.happenings import Journal, Picture, changes

BEFORE = Picture(
    {"server": "server", "bj-dev": "member", "bj-old": "member"},
    {"server": (5, None), "bj-dev": (6, None), "bj-old": (7, None)},
    frozenset({"bj-dev", "bj-old"}),
    {"server->bj-dev": {"delay": "5ms"}},
)


def test_nothing_is_told_of_what_stays() -> None:
    """Listeners would drown in events that are none."""
    assert list(changes(BEFORE, BEFORE)) == []


def test_each_change_is_told_once_and_as_what_it_is() -> None:
    """A script that waits for a session, an end or a link would wait for ever."""
    after = Picture(
        {"server": "server", "bj-dev": "member", "bj-new": "member"},
        {"server": (5, None), "bj-dev": (6, -9), "bj-new": (9, None)},
        frozenset({"bj-new"}),
        {"bj-dev->server": {"loss": "1%"}},
    )
    assert list(changes(BEFORE, after)) == [
        {"event": "node-down", "node": "bj-old"},
        {"event": "node-up", "node": "bj-new"},
        {"event": "process-ended", "node": "bj-dev", "code": -9},
        {"event": "process-started", "node": "bj-new", "pid": 9},
        {"event": "session-offline", "node": "bj-dev"},
        {"event": "session-offline", "node": "bj-old"},
        {"event": "session-online", "node": "bj-new"},
        {"event": "link-changed", "link": "bj-dev->server", "settings": {"loss": "1%"}},
        {"event": "link-changed", "link": "server->bj-dev", "settings": {}},
    ]


def test_a_relay_that_does_not_answer_ends_no_session() -> None:
    """A busy relay would look like an outage of everybody."""
    assert list(changes(BEFORE, replace(BEFORE, online=None))) == []


def test_a_process_that_is_started_again_is_told_as_both() -> None:
    """A client that crashes and comes back between two looks would seem never to have gone."""
    again = replace(BEFORE, processes={**BEFORE.processes, "bj-dev": (99, 1)})
    assert [one["event"] for one in changes(BEFORE, again)] == ["process-started", "process-ended"]


def test_steps_are_told_to_everybody_who_listens_and_to_late_ones_only_what_is_new() -> None:
    """Who listens would miss steps, or hear those of yesterday."""
    journal = Journal()
    journal.tell("first")
    late = journal.told
    journal.tell("second")
    assert [one["text"] for one in journal.after(0, 5.0)] == ["first", "second"]
    assert [one["text"] for one in journal.after(late, 5.0)] == ["second"]
    assert journal.after(journal.told, 0.0) == []
