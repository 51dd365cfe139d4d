"""The pace at which a host is put right."""

from __future__ import annotations

from rustun.client.repair import FORGOTTEN_SECONDS, LAST_SECONDS, RepairPace, TimeShare


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


def test_work_that_takes_long_waits_long() -> None:
    """If this fails, a server that flaps its routes, or an nft that hangs, leaves no time to pass packets."""
    time = TimeShare(0.25, 2.0)
    assert time.due_at < 0.0
    time.note(10.0, 10.1)
    assert time.due_at == 12.1
    time.note(20.0, 24.0)
    assert time.due_at == 36.0
