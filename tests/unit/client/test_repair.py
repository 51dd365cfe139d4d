"""The pace at which a host is put right."""

from __future__ import annotations

from rustun.client.repair import FORGOTTEN_SECONDS, LAST_SECONDS, RepairPace


def test_the_first_repair_is_at_once_and_the_next_ones_wait_longer_and_longer() -> None:
    """If this fails, a client fights with whoever wants its host otherwise, or mends a slip a minute late."""
    pace = RepairPace()
    now, waits = 1000.0, []
    assert pace.due_at <= now
    for _ in range(9):
        pace.note(now)
        waits.append(pace.due_at - now)
        now = pace.due_at
    assert waits == [1, 2, 4, 8, 16, 32, 60, LAST_SECONDS, LAST_SECONDS]
    now = pace.due_at + FORGOTTEN_SECONDS
    pace.note(now)
    assert pace.due_at == now + 1
