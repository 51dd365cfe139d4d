"""Two hosts with one key: addresses that come back to a place."""

from __future__ import annotations

from rustun.relay.returns import ADDRESSES, RECENT_SECONDS, Returns


def test_two_addresses_in_turn_are_an_alarm_until_ten_quiet_minutes_have_passed() -> None:
    """If this fails, a stolen key is used beside its owner for ever, or an alarm stays for ever."""
    returns = Returns()
    assert returns.note("m", "a", "b", 0.0) == ""
    assert returns.note("m", "b", "a", 60.0) == ""
    assert returns.alarms(60.0) == []
    said = returns.note("m", "a", "b", 120.0)
    assert said.startswith("m: a and b take its place from each other")
    assert returns.note("m", "b", "a", 180.0) == "", "said once while it lasts"
    assert returns.alarms(180.0) == [said]
    assert returns.alarms(180.0 + RECENT_SECONDS) == []


def test_hosts_that_move_are_no_alarm() -> None:
    """If this fails, a laptop that changes its network, or connects anew where it is, looks like a thief."""
    returns = Returns()
    places = ["a", "b", "c", "c", "c", "d", *(f"n{number}" for number in range(100))]
    for number, (before, after) in enumerate(zip(places, places[1:], strict=False)):
        assert returns.note("m", before, after, float(number)) == ""
    assert returns.alarms(110.0) == []


def test_a_return_counts_for_ten_minutes() -> None:
    """If this fails, somebody who works at two places in turn is an alarm in the evening."""
    returns = Returns()
    for number in range(10):
        places = ("a", "b") if number % 2 == 0 else ("b", "a")
        assert returns.note("m", *places, number * RECENT_SECONDS) == ""


def test_what_is_remembered_is_bounded_and_forgotten() -> None:
    """If this fails, one member that changes its address all the time takes the server's memory."""
    returns = Returns()
    for number in range(1000):
        returns.note("m", f"n{number}", f"n{number + 1}", 0.0)
    assert len(returns._places["m"].held_at) == ADDRESSES
    returns.forget("m")
    assert not returns._places
