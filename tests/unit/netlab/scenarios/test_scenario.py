"""What a scenario is made of."""

from __future__ import annotations

from netlab.scenarios.scenario import SET_UP, TAKE_DOWN, not_shown
from tests.unit.netlab.scenarios.stages import all_is_well


def test_a_function_says_all_there_is_to_say() -> None:
    """People would be shown other words than the code has."""
    assert (all_is_well.name, all_is_well.rows) == ("all-is-well", "7")
    assert all_is_well.shows == "Somebody knocks and is answered."
    assert all_is_well.picture == "a ---- relay"
    assert all_is_well.words == (SET_UP, "Knock at the relay.", "Wait for an answer.", TAKE_DOWN)


def test_a_picture_shows_whole_names_and_ranges() -> None:
    """A picture could leave out a node, and nobody would see that it does."""
    picture = "m1 .. m12 ---- relay-1, a's LAN"
    assert not_shown(["m1", "m7", "m12", "relay-1", "a"], picture) == []
    assert not_shown(["m13", "relay", "m0", "LA"], picture) == ["LA", "m0", "m13", "relay"]
