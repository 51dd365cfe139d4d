"""Events that are kept for the pages."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rustun.web.happenings import KEPT, Happenings
from rustun.web.source import Source
from tests.browser.pretended_relay import PretendedRelay


class Telling(Happenings):
    """Says what it takes."""

    def __init__(self, source: Source, tell: Callable[[Mapping[str, Any]], None]) -> None:
        super().__init__(source)
        self._tell = tell

    def take(self, event: Mapping[str, Any]) -> None:
        """Keep an event, and say so."""
        super().take(event)
        self._tell(event)


def empty() -> Happenings:
    """Return one that nobody feeds."""
    return Happenings(Source(Path("/nowhere")))


def test_a_page_is_told_what_it_does_not_have() -> None:
    """A page would show an event twice, or leave one out, where the relay's numbers have a gap."""
    happenings = empty()
    for number in (3, 4, 9):
        happenings.take({"number": number})
    assert [event["number"] for event in happenings.between(3, 9, 10)] == [4, 9]
    assert [event["number"] for event in happenings.between(0, 9, 2)] == [4, 9]
    assert happenings.between(9, 9, 10) == []
    assert [event["number"] for event in happenings.between(0, 4, 10)] == [3, 4]


def test_what_is_audited_is_marked() -> None:
    """Who looks for who came in and who changed what would read through everything else."""
    happenings = empty()
    for number, name in enumerate(("session-up", "listening", "never-heard-of"), start=1):
        happenings.take({"number": number, "event": name})
    assert [event.get("audit", False) for event in happenings.between(0, 3, 3)] == [True, False, False]


def test_memory_is_bounded() -> None:
    """A storm of events would fill the memory of the host."""
    happenings = empty()
    for number in range(KEPT + 50):
        happenings.take({"number": number + 1})
    assert [event["number"] for event in happenings.between(0, 10**6, 10**6)] == list(range(51, KEPT + 51))


def test_another_process_begins_anew() -> None:
    """After a restart of the relay no event would be shown until there are more than before."""
    happenings = empty()
    for number in (1, 2, 3, 1):
        happenings.take({"number": number})
    assert (happenings.beginnings, happenings.count, len(happenings.between(0, 10, 10))) == (1, 1, 1)


def test_events_are_read_from_the_relay(tmp_path: Path) -> None:
    """Pages would show no event at all."""
    relay = PretendedRelay(tmp_path / "control.sock")

    async def read() -> Mapping[str, Any]:
        told: asyncio.Future[Mapping[str, Any]] = asyncio.get_running_loop().create_future()
        task = asyncio.create_task(Telling(Source(relay.path), told.set_result).run())
        relay.happen("session-up", identity="bj-dev")
        async with asyncio.timeout(10):
            event = await told
        task.cancel()
        return event

    try:
        event = asyncio.run(read())
    finally:
        relay.close()
    assert event["identity"] == "bj-dev"
