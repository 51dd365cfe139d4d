"""Pings that somebody waits for: each answer once, and none remembered for ever."""

from __future__ import annotations

from functools import partial

from rustun.link.echoes import MAX_ECHOES, Echoes


def test_each_answer_is_for_whoever_asked() -> None:
    """If this fails, a round trip is that of another ping, or is told twice."""
    echoes, heard = Echoes(), list[int]()
    for ping in (3, 4):
        echoes.wait(ping, partial(heard.append, ping))
    assert echoes.answered(4)
    assert not echoes.answered(4)
    assert not echoes.answered(5)
    assert echoes.answered(3)
    assert heard == [4, 3]


def test_a_peer_that_answers_none_costs_no_memory() -> None:
    """If this fails, who asks again and again makes a process grow, when the other end is silent."""
    echoes, heard = Echoes(), list[int]()
    for ping in range(10 * MAX_ECHOES):
        echoes.wait(ping, partial(heard.append, ping))
    answered = [ping for ping in range(10 * MAX_ECHOES) if echoes.answered(ping)]
    assert answered == heard == list(range(9 * MAX_ECHOES, 10 * MAX_ECHOES))
