"""The event loop in virtual time (base.Reactor).

Rules of this module
  1. Same order within a turn as the one on epoll: sources, timers, then calls asked for before the turn.
  2. Time stands still while anything is ready, then jumps to the next timer. Who keeps the loop busy without time
     passing is a bug that would take a whole core: after SPIN_TURNS such turns the run fails.
  3. Sources that are ready at once are called in an order drawn from the seed, since a kernel promises none.
  4. A source says when it may have become ready (`poke`); only those are looked at.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from itertools import count
from typing import Final, Protocol, TypeVar, cast

from rustun.backends.base import Callback, Source, Timer
from rustun.backends.timers import TimerQueue

SPIN_TURNS: Final = 100_000  # a real burst at one instant is far below
EPOCH_S: Final = 1_800_000_000.0  # wall clock at virtual time 0
ErrorHook = Callable[[Source | None, Exception], None]
T = TypeVar("T")


class MemorySource(Source, Protocol):
    """A source that says itself whether it is ready."""

    def readable(self) -> bool:
        """Return whether a read would give something: bytes, an end or an error."""

    def writable(self) -> bool:
        """Return whether a write would take something or fail."""


class _Watch:
    __slots__ = ("on_readable", "on_writable", "source")

    def __init__(self, source: MemorySource, on_readable: Callback | None, on_writable: Callback | None) -> None:
        self.source = source
        self.on_readable = on_readable
        self.on_writable = on_writable

    def ready(self) -> bool:
        readable = self.on_readable is not None and self.source.readable()
        return readable or (self.on_writable is not None and self.source.writable())


def _reraise(source: Source | None, error: Exception) -> None:
    raise error


class VirtualReactor:
    """Runs callbacks when memory sources are ready and when virtual times come.

    Args:
        seed: of the order among sources that are ready at once.
        on_error: as of EpollReactor; by default the exception leaves `run_until` and the like.
    """

    def __init__(self, seed: int = 0, on_error: ErrorHook = _reraise) -> None:
        self.wall_clock_offset_s = 0.0  # a test moves it: the clock of people jumps, virtual time does not
        self._on_error = on_error
        self._rng = random.Random(seed)
        self._now = 0.0
        self._numbers = count(3)
        self._timers = TimerQueue()
        self._soon: list[Callback] = []
        self._when_idle: deque[Callback] = deque()
        self._watches: dict[MemorySource, _Watch] = {}
        self._poked: dict[MemorySource, None] = {}
        self._idle_turns = 0

    def next_number(self) -> int:
        """Return a descriptor number for a new source; none is given twice."""
        return next(self._numbers)

    def now(self) -> float:
        """Return virtual seconds."""
        return self._now

    def wall_clock(self) -> float:
        """Return unix seconds that go with virtual time."""
        return EPOCH_S + self._now + self.wall_clock_offset_s

    def call_at(self, when: float, callback: Callback) -> Timer:
        """Call back once at `when`, virtual seconds."""
        return self._timers.add(when, callback)

    def call_soon(self, callback: Callback) -> None:
        """Call back once in the next turn, after its sources."""
        self._soon.append(callback)

    def call_when_idle(self, callback: Callback) -> None:
        """Call back once in a turn in which nothing else is ready."""
        self._when_idle.append(callback)

    def longest_step_s(self) -> float:
        """Return 0: while something is done, virtual time stands still."""
        return 0.0

    def watch(self, source: Source, on_readable: Callback | None, on_writable: Callback | None) -> None:
        """Call back whenever `source` is ready; it must be a MemorySource and open."""
        if on_readable is None and on_writable is None:
            self.unwatch(source)
            return
        if source.fileno() < 0:
            raise ValueError("cannot watch a closed source")
        known = cast(MemorySource, source)
        watch = self._watches.get(known)
        if watch is None:
            self._watches[known] = _Watch(known, on_readable, on_writable)
        else:
            watch.on_readable, watch.on_writable = on_readable, on_writable
        self.poke(known)

    def unwatch(self, source: Source) -> None:
        """Stop all callbacks of `source`."""
        watch = self._watches.pop(cast(MemorySource, source), None)
        if watch is not None:
            watch.on_readable = watch.on_writable = None

    def poke(self, source: MemorySource) -> None:
        """Note that `source` may have become ready."""
        self._poked[source] = None

    def run_in_thread(self, work: Callable[[], T], done: Callable[[T | Exception], None]) -> None:
        """Run `work` in the next turn and `done` in the one after; no thread is made."""

        def run() -> None:
            result: T | Exception
            try:
                result = work()
            except Exception as error:  # noqa: BLE001 - handed to `done`, whatever it is
                result = error
            self.call_soon(lambda: done(result))

        self.call_soon(run)

    def run_until_idle(self) -> None:
        """Take turns until nothing is left to do at this instant; time stands still."""
        while self._turn():
            pass

    def run_until(self, when: float) -> None:
        """Let time pass until `when`, virtual seconds, and do all that is due by then."""
        self.run_until_idle()
        while (at := self._timers.next_at()) is not None and at <= when:
            self._advance(at)
            self.run_until_idle()
        self._advance(when)

    def run_for(self, seconds: float) -> None:
        """Let that much time pass."""
        self.run_until(self._now + seconds)

    def suspend(self, seconds: float) -> None:
        """Let that much time pass while nothing runs, as in a host that sleeps; what fell due meanwhile is late."""
        self._advance(self._now + seconds)

    def run_until_true(self, condition: Callable[[], bool], limit_s: float) -> None:
        """Let time pass until `condition` holds. Raises: TimeoutError when it does not within `limit_s`."""
        end = self._now + limit_s
        self.run_until_idle()
        while not condition():
            at = self._timers.next_at()
            if at is None or at > end:
                raise TimeoutError(f"still not so after {limit_s:g} virtual seconds")
            self._advance(at)
            self.run_until_idle()

    def _advance(self, when: float) -> None:
        if when > self._now:
            self._now = when
            self._idle_turns = 0

    def _turn(self) -> bool:
        """Take one turn; return whether there was anything to do."""
        soon, self._soon = self._soon, []
        ready = self._take_ready()
        for watch in ready:
            self._deliver(watch)
        due = self._timers.take_due(self._now)
        for timer in due:
            self._call(timer.take())
        for callback in soon:
            self._call(callback)
        anything = bool(ready or due or soon)
        if self._when_idle and not anything:
            self._call(self._when_idle.popleft())
            anything = True
        self._idle_turns += 1
        if self._idle_turns > SPIN_TURNS:
            raise RuntimeError(f"{SPIN_TURNS} turns at virtual time {self._now:g}: something keeps the loop busy")
        return anything

    def _take_ready(self) -> list[_Watch]:
        poked, self._poked = self._poked, {}
        watches = [self._watches[source] for source in poked if source in self._watches]
        ready = [watch for watch in watches if watch.ready()]
        self._rng.shuffle(ready)
        return ready

    def _deliver(self, watch: _Watch) -> None:
        source = watch.source
        readable, writable = source.readable(), source.writable()
        try:
            if readable and watch.on_readable is not None:
                watch.on_readable()
            if writable and watch.on_writable is not None:
                watch.on_writable()
        except Exception as error:  # noqa: BLE001 - as on epoll: disarmed first, then reported
            self.unwatch(source)
            self._on_error(source, error)
        self.poke(source)  # level-triggered: looked at again

    def _call(self, callback: Callback | None) -> None:
        try:
            if callback is not None:
                callback()
        except Exception as error:  # noqa: BLE001 - as on epoll
            self._on_error(None, error)
