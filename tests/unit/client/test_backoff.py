"""How long a client waits before it tries again."""

from __future__ import annotations

import os

import pytest

from rustun.client.backoff import FIRST_SECONDS, LAST_SECONDS, Backoff


@pytest.mark.parametrize(("byte", "share"), [(0x00, 0.5), (0x80, 0.75), (0xFF, 1.0)])
def test_waits_grow_up_to_the_last(byte: int, share: float) -> None:
    """If this fails, a client hammers its server, or comes back an hour after it is up again."""
    backoff = Backoff(lambda count: bytes([byte]) * count)
    waits = [backoff.next_wait() for _ in range(14)]
    ceilings = [0.5, 0.75, 1.125, 1.69, 2.53, 3.8, 5.7, 8.54, 12.8, 19.2, 28.8, 30, 30, 30]
    assert waits == pytest.approx([share * ceiling for ceiling in ceilings], rel=0.01)


def test_a_fleet_does_not_come_back_in_one_moment() -> None:
    """If this fails, a thousand clients that lost one server meet it again in the same millisecond."""
    waits = [Backoff(os.urandom).next_wait() for _ in range(1000)]
    assert len(set(waits)) > 990
    assert all(FIRST_SECONDS / 2 <= wait <= FIRST_SECONDS for wait in waits)
    assert max(waits) - min(waits) > FIRST_SECONDS / 4


def test_a_session_that_was_up_makes_the_next_wait_short() -> None:
    """If this fails, one lost packet after a month costs half a minute."""
    backoff = Backoff(lambda count: b"\xff" * count)
    for _ in range(20):
        backoff.next_wait()
    assert backoff.next_wait() == pytest.approx(LAST_SECONDS)
    backoff.reset()
    assert backoff.next_wait() == pytest.approx(FIRST_SECONDS)
