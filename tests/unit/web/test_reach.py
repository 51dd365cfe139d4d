"""Who reaches whom, asked of the relay."""

from __future__ import annotations

import asyncio
from pathlib import Path

from rustun.web.reach import KEPT_SECONDS, REACH_MEMBERS, Part, Reach
from rustun.web.source import Source
from tests.browser.pretended_relay import PretendedRelay, passes

MEMBERS = [f"m{number:02}" for number in range(25)]
GONE_AT = 100.0  # seconds of the clock, at which all of them go


def asked(relay: PretendedRelay, questions: list[tuple[int, int, float]]) -> list[Part]:
    """Return the answers to (first sender, first receiver, seconds of the clock)."""
    now = 0.0
    reach = Reach(Source(relay.path), lambda: now)

    async def ask() -> list[Part]:
        nonlocal now
        found = []
        for first, second, seconds in questions:
            now = seconds
            states = [(name, "online" if seconds < GONE_AT else "offline") for name in MEMBERS]
            found.append(await reach.part(states, first, second))
        return found

    return asyncio.run(ask())


def test_each_cell_is_the_relays_own_verdict(tmp_path: Path) -> None:
    """The matrix would show what somebody thinks that the relay does."""
    relay = PretendedRelay(tmp_path / "control.sock")
    no = {"verdict": "drop", "reason": "offline", "text": "it is away"}
    relay.trace = lambda source, destination: no if destination == "m21" else passes(source, destination)
    try:
        [part] = asked(relay, [(20, 20, 0.0)])
    finally:
        relay.close()
    assert (part["from"], part["to"], part["of"]) == (MEMBERS[20:], MEMBERS[20:], 25)
    assert [[cell and cell["verdict"] for cell in row] for row in part["cells"]][:2] == [
        [None, "drop", "pass", "pass", "pass"],
        ["pass", None, "pass", "pass", "pass"],
    ]


def test_a_part_is_small_and_asked_once(tmp_path: Path) -> None:
    """Pages of a large fleet would keep the relay busy with a million questions."""
    relay = PretendedRelay(tmp_path / "control.sock")
    try:
        first, again, later = asked(relay, [(0, 10, 0.0), (0, 10, KEPT_SECONDS - 1), (0, 10, KEPT_SECONDS + 1)])
    finally:
        relay.close()
    assert relay.asked == ["trace"] * (2 * REACH_MEMBERS**2)
    assert first == again == later


def test_who_has_gone_is_asked_for_again(tmp_path: Path) -> None:
    """The matrix would go on to say that packets pass to a member who has just gone."""
    relay = PretendedRelay(tmp_path / "control.sock")
    try:
        asked(relay, [(0, 10, GONE_AT - 0.5), (0, 10, GONE_AT)])
    finally:
        relay.close()
    assert relay.asked == ["trace"] * (2 * REACH_MEMBERS**2)
