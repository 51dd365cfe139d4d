"""TimerQueue against a slow, obvious list."""

from __future__ import annotations

import random

from rustun.backends.timers import SWEEP_FROM, QueuedTimer, TimerQueue


def test_agrees_with_a_sorted_list() -> None:
    """If this fails, timers are lost, made twice or made out of order after many cancellations."""
    rng = random.Random(20)
    queue, made, now = TimerQueue(), [], 0.0
    alive: dict[int, tuple[float, QueuedTimer]] = {}
    for number in range(4000):
        when = now + rng.randrange(50)
        alive[number] = (when, queue.add(when, lambda number=number: made.append(number)))  # type: ignore[misc]
        if rng.random() < 0.7 and alive:
            alive.pop(rng.choice(list(alive)))[1].cancel()
        if rng.random() < 0.2:
            now += 3
            expected = sorted((when, key) for key, (when, _) in alive.items() if when <= now)
            made.clear()
            for timer in queue.take_due(now):
                callback = timer.take()
                assert callback is not None
                callback()
            assert made == [key for _, key in expected]
            for _, key in expected:
                alive.pop(key)[1].cancel()  # too late: must change nothing
        assert len(queue) == len(alive)
        assert queue.next_at() == min((when for when, _ in alive.values()), default=None)


def test_cancelled_timers_do_not_pile_up() -> None:
    """If this fails, a session that moves its timer at each packet fills the memory."""
    queue = TimerQueue()
    for _ in range(100_000):
        queue.add(1e9, lambda: None).cancel()
    assert len(queue._heap) <= 2 * SWEEP_FROM
    assert queue.next_at() is None
