"""What the loop does for those who are not packets: work that waits for idleness, and a memory of its longest turns."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from itertools import pairwise

import pytest

from rustun.backends import reactor as reactor_module
from rustun.backends.reactor import IDLE_LATEST_S, EpollReactor


@pytest.fixture
def reactor() -> Iterator[EpollReactor]:
    with EpollReactor() as made:
        yield made


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    left, right = socket.socketpair()
    with left, right:
        yield left, right


def test_what_waits_for_idleness_waits_for_sources(
    reactor: EpollReactor, pair: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    """If this fails, a status request of an operator makes packets wait."""
    monkeypatch.setattr(reactor_module, "IDLE_LATEST_S", 1000.0)
    left, right = pair
    called: list[str] = []

    def read_one() -> None:
        called.append(left.recv(1).decode())

    def slice_of_two() -> None:
        called.append("slice")
        if called.count("slice") < 2:
            reactor.call_when_idle(slice_of_two)
        else:
            reactor.stop()

    reactor.call_when_idle(slice_of_two)
    reactor.watch(left, read_one, None)
    right.send(b"abc")
    reactor.run()
    assert called == ["a", "b", "c", "slice", "slice"]


def test_a_loop_that_never_rests_still_does_what_waits(
    reactor: EpollReactor, pair: tuple[socket.socket, socket.socket]
) -> None:
    """If this fails, a relay under full load cannot be asked how it does; if it is called each turn, packets wait."""
    turns: list[float] = []
    reactor.watch(pair[0], None, lambda: turns.append(reactor.now()))  # always writable
    slices: list[float] = []

    def one_more() -> None:
        slices.append(reactor.now())
        if len(slices) < 3:
            reactor.call_when_idle(one_more)
        else:
            reactor.stop()

    reactor.call_when_idle(one_more)
    reactor.run()
    assert all(later - earlier >= IDLE_LATEST_S for earlier, later in pairwise(slices))
    assert len(turns) > len(slices)


def test_the_longest_step_of_a_minute_is_remembered(reactor: EpollReactor, monkeypatch: pytest.MonkeyPatch) -> None:
    """If this fails, an operator cannot see that packets waited for the loop, or sees it for ever."""
    clock = [100.0]
    monkeypatch.setattr(reactor, "now", lambda: clock[0])

    def turn_that_takes(seconds: float) -> None:
        def work() -> None:
            clock[0] += seconds
            reactor.stop()

        reactor.call_soon(work)
        reactor.run()

    turn_that_takes(0.0004)
    assert reactor.longest_step_s() == 0.0, "members' own turns are no news"
    for seconds in (0.002, 0.007, 0.003):
        turn_that_takes(seconds)
    clock[0] += 30
    turn_that_takes(0.004)
    assert reactor.longest_step_s() == pytest.approx(0.007)
    clock[0] += 31
    assert reactor.longest_step_s() == pytest.approx(0.004)
    clock[0] += 60
    assert reactor.longest_step_s() == 0.0
