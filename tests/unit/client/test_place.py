"""How long a place is waited for that this client may have itself."""

from __future__ import annotations

from rustun.client.place import Place


def test_waits_grow_to_an_hour_and_are_told_once() -> None:
    """If this fails, a second address of one server is tried, and told of, for ever."""
    place = Place()
    waits = [place.next_wait(60.0) for _ in range(9)]
    assert [seconds for seconds, _ in waits] == [60, 120, 240, 480, 960, 1920, 3840, 3840, 3840]
    assert [level for _, level in waits] == ["warning", *["debug"] * 8]


def test_a_place_that_may_be_free_begins_anew() -> None:
    """If this fails, what was refused for a day is refused in silence when it matters."""
    place = Place()
    assert not place.free()
    place.next_wait(60.0)
    place.next_wait(60.0)
    assert place.free()
    assert not place.free()
    assert place.next_wait(60.0) == (60.0, "warning")
