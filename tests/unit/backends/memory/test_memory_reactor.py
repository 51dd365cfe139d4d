"""VirtualReactor: what a simulation may rely on."""

from __future__ import annotations

import pytest

from rustun.backends.base import Source
from rustun.backends.memory import MemoryTun, VirtualReactor


def test_time_jumps_from_timer_to_timer() -> None:
    """If this fails, simulated hours take hours, or timers come at the wrong time."""
    reactor = VirtualReactor()
    seen: list[tuple[str, float]] = []
    reactor.call_at(3600, lambda: seen.append(("hour", reactor.now())))

    def nested() -> None:
        reactor.call_at(1.5, lambda: seen.append(("nested", reactor.now())))

    reactor.call_at(1, nested)
    reactor.call_at(2, lambda: seen.append(("never", reactor.now()))).cancel()
    reactor.run_until(7200)
    assert seen == [("nested", 1.5), ("hour", 3600)]
    assert reactor.now() == 7200


def test_order_within_a_turn_is_that_of_epoll() -> None:
    """If this fails, code passes in simulation and fails on the real loop."""
    reactor = VirtualReactor()
    tun = MemoryTun(reactor, "tun")
    order: list[str] = []
    tun.send(b"x")

    def on_readable() -> None:
        order.append("source")
        reactor.unwatch(tun)

    reactor.watch(tun, on_readable, None)
    reactor.call_at(0, lambda: order.append("timer"))
    reactor.call_soon(lambda: order.append("soon"))
    reactor.run_until_idle()
    assert order == ["source", "timer", "soon"]


def test_level_triggered_until_empty() -> None:
    """If this fails, a budget of one packet per turn looks as if it lost the others."""
    reactor = VirtualReactor()
    tun = MemoryTun(reactor, "tun")
    found: list[int | None] = []
    reactor.watch(tun, lambda: found.append(tun.read_into(memoryview(bytearray(10)), memoryview(bytearray(9)))), None)
    for length in (1, 2, 3):
        tun.send(bytes(length))
    reactor.run_until_idle()
    assert found == [1, 2, 3]


def test_busy_loop_is_found() -> None:
    """If this fails, a callback that takes a whole core passes every simulation."""
    reactor = VirtualReactor()

    def again() -> None:
        reactor.call_soon(again)

    again()
    with pytest.raises(RuntimeError, match="busy"):
        reactor.run_until(1)


def test_failing_callback_is_disarmed_and_reported() -> None:
    """If this fails, simulations cannot show that one broken session leaves the others alone."""
    errors: list[tuple[Source | None, Exception]] = []
    reactor = VirtualReactor(on_error=lambda source, error: errors.append((source, error)))
    tun = MemoryTun(reactor, "tun")

    def broken() -> None:
        raise LookupError("broken on purpose")

    tun.send(b"x")
    reactor.watch(tun, broken, None)
    reactor.call_soon(broken)
    reactor.run_until_idle()
    assert [source for source, _ in errors] == [tun, None]


def test_errors_surface_by_default() -> None:
    """If this fails, a broken callback in a simulation goes unseen."""
    reactor = VirtualReactor()

    def broken() -> None:
        raise LookupError("broken on purpose")

    reactor.call_at(1, broken)
    with pytest.raises(LookupError, match="on purpose"):
        reactor.run_until(2)


def test_work_for_a_thread() -> None:
    """If this fails, a client cannot resolve a name in simulation."""
    reactor = VirtualReactor()
    got: list[object] = []

    def fail() -> str:
        raise OSError("no such name")

    reactor.run_in_thread(lambda: "fine", got.append)
    reactor.run_in_thread(fail, got.append)
    assert got == []
    reactor.run_until_idle()
    assert [str(item) for item in got] == ["fine", "no such name"]


def test_wait_for_a_condition() -> None:
    """If this fails, tests wait too long or do not notice that nothing happens."""
    reactor = VirtualReactor()
    done: list[int] = []
    reactor.call_at(5, lambda: done.append(1))
    reactor.run_until_true(lambda: bool(done), 10)
    assert reactor.now() == 5
    with pytest.raises(TimeoutError, match="10 virtual seconds"):
        reactor.run_until_true(lambda: len(done) == 2, 10)


def test_closed_source_cannot_be_watched() -> None:
    """If this fails, a bug that EpollReactor reports stays hidden in simulation."""
    reactor = VirtualReactor()
    tun = MemoryTun(reactor, "tun")
    tun.close()
    with pytest.raises(ValueError, match="closed"):
        reactor.watch(tun, lambda: None, None)
