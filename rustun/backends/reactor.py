"""The event loop on Linux: epoll, one thread, callbacks.

Rules of this module
  1. A turn is: wait, one call to each callback of each ready source, timers that are due, then calls that were asked
     for with `call_soon` before the turn began. No call that is asked for during a turn runs within it, so nobody can
     keep the loop from looking at its sources.
  2. Watching is level-triggered: a callback that does not empty its source is called again in the next turn, and the
     kernel moves a ready source to the end of its list each time, so sources take turns.
  3. Who needs little does not wait for a crowd that always has more. A source is busy that was found ready again
     after each of its latest calls. Where many are ready the others come first, and once a millisecond those of them
     that have become ready since, as often as a turn has room for.
  4. An exception never leaves a callback armed: its source is unwatched first, then `on_error` hears of it. (A level-
     triggered callback that fails and stays armed takes a whole core.)
  5. An event belongs to the watch that was there when the kernel reported it, never to a later one on the same number:
     `unwatch` empties the watch, and a batch holds watches, not numbers.
  6. What is put off until the loop is idle takes its turn where nothing else was ready: one call, then the sources are
     looked at again. Where something always is, one such call is made every IDLE_LATEST_S.
  7. The longest turn of a minute is remembered (`longest_step_s`): what the loop did to whoever waited.
  8. Time is CLOCK_BOOTTIME. epoll's own timeout stands still during a suspend, so no wait is longer than MAX_WAIT_S.
"""

from __future__ import annotations

import os
import select
import signal
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from types import FrameType, TracebackType
from typing import Any, Final, Self, TypeVar

from rustun.backends.base import Callback, Source, Timer
from rustun.backends.timers import TimerQueue

MAX_WAIT_S: Final = 1.0  # a timer is at most this late after a suspend; one idle wake-up a second costs about 10 µs
MAX_EVENTS: Final = 256  # one batch; more only makes timers wait
FEW: Final = 3  # ready ones that need no order: looking at them costs 2 µs
BUSY_CALLS: Final = 4  # one could be chance: another packet, while this process waited for its core
LOOK_S: Final = 0.001  # as long as one source's turn may be; a look takes some 10 µs where 50 sources are ready
IDLE_LATEST_S: Final = 0.02  # a slice of 0.5 ms each: a fortieth of a loop that never rests
NOTED_STEP_S: Final = 0.0005  # a turn of members' packets takes up to 1 ms; shorter ones cost one comparison
STEP_SECONDS: Final = 60  # for which a long one is remembered
WAKE_UP: Final = b"\0"  # no signal has this number
READABLE: Final = select.EPOLLIN | select.EPOLLHUP | select.EPOLLERR
WRITABLE: Final = select.EPOLLOUT | select.EPOLLHUP | select.EPOLLERR

ErrorHook = Callable[[Source | None, Exception], None]
SignalHandler = Callable[[int, FrameType | None], Any] | int | signal.Handlers | None
T = TypeVar("T")


class _Watch:
    """A source's callbacks; both None once it is no longer watched."""

    __slots__ = ("mask", "on_readable", "on_writable", "source")

    def __init__(self, source: Source) -> None:
        self.source = source
        self.on_readable: Callback | None = None
        self.on_writable: Callback | None = None
        self.mask = 0


class _WakeUp:
    """A pipe that ends a wait: from another thread, or from a signal (the interpreter writes its number)."""

    def __init__(self) -> None:
        self._receiver, self.sender = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def fileno(self) -> int:
        return self._receiver

    def wake(self) -> None:
        with suppress(BlockingIOError):  # full: the loop has not read the earlier ones yet, so it will wake up
            os.write(self.sender, WAKE_UP)

    def read(self) -> set[int]:
        """Return the numbers of signals that came."""
        with suppress(BlockingIOError):
            return set(os.read(self._receiver, 4096)) - {WAKE_UP[0]}
        return set()

    def close(self) -> None:
        os.close(self._receiver)
        os.close(self.sender)


def _reraise(source: Source | None, error: Exception) -> None:
    raise error


class EpollReactor:
    """Runs callbacks when sources are ready and when times come (base.Reactor).

    Args:
        on_error: hears of each exception that left a callback, with the source that it belonged to (no longer watched
            by then; None for timers, signals and the like). What it raises ends `run`; by default it raises the same.
    """

    def __init__(self, on_error: ErrorHook = _reraise) -> None:
        self._on_error = on_error
        self._epoll = select.epoll()
        self._watches: dict[int, _Watch] = {}
        self._timers = TimerQueue()
        self._soon: deque[Callback] = deque()
        self._when_idle: deque[Callback] = deque()
        self._idle_due = 0.0  # when the next of these is called, idle or not
        # Asked for several times a turn: a call into C without a Python frame around it.
        self.now: Callable[[], float] = partial(time.clock_gettime, time.CLOCK_BOOTTIME)
        self._from_threads: deque[Callback] = deque()
        self._waiting: dict[int, tuple[_Watch | None, int]] = {}  # of this turn, by number
        self._calls: dict[int, int] = {}  # by number, those in a row behind which it was found ready; rule 3
        self._late = 0  # calls that looks have led to in this turn
        self._look_at = 0.0
        self._steps: deque[tuple[int, float]] = deque()  # the longest of each second, with that second
        self._signals: dict[int, Callback] = {}
        self._former_handlers: dict[int, SignalHandler] = {}
        self._former_wakeup_fd: int | None = None
        self._wake_up = _WakeUp()
        self._wake_lock = threading.Lock()  # a thread must not write to a pipe that `close` has just closed
        self._stopping = False
        self._closed = False
        self.watch(self._wake_up, self._on_wake_up, None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def wall_clock(self) -> float:
        """Return unix seconds."""
        return time.time()

    def call_at(self, when: float, callback: Callback) -> Timer:
        """Call back once at `when`, seconds of `now()`; up to 1 ms late (the resolution of epoll)."""
        return self._timers.add(when, callback)

    def call_soon(self, callback: Callback) -> None:
        """Call back once in the next turn, after its sources; not to be called from another thread."""
        self._soon.append(callback)

    def call_when_idle(self, callback: Callback) -> None:
        """Call back once when nothing else is ready, at the latest IDLE_LATEST_S after the one before."""
        if not self._when_idle:
            self._idle_due = self.now() + IDLE_LATEST_S
        self._when_idle.append(callback)

    def longest_step_s(self) -> float:
        """Return how long the longest turn of the last minute took, in seconds; 0 where all were short."""
        self._forget_steps(int(self.now()))
        return max((took for _, took in self._steps), default=0.0)

    def watch(self, source: Source, on_readable: Callback | None, on_writable: Callback | None) -> None:
        """Call back whenever `source` is ready; None twice is the same as `unwatch`.

        Raises: ValueError when the source is closed.
        """
        if on_readable is None and on_writable is None:
            self.unwatch(source)
            return
        fd = source.fileno()
        mask = (select.EPOLLIN if on_readable else 0) | (select.EPOLLOUT if on_writable else 0)
        watch = self._watches.get(fd)
        if watch is None or watch.source is not source:
            if watch is not None:  # closed without `unwatch`, and its number came back
                self._forget(fd, watch)
            self._epoll.register(fd, mask)
            watch = self._watches[fd] = _Watch(source)
        elif mask != watch.mask:
            self._epoll.modify(fd, mask)
        watch.mask = mask
        watch.on_readable = on_readable
        watch.on_writable = on_writable

    def unwatch(self, source: Source) -> None:
        """Stop all callbacks of `source`, also those of events that the kernel has already reported."""
        fd = source.fileno()
        watch = self._watches.get(fd)
        if watch is not None and watch.source is source:
            self._forget(fd, watch)

    def run_in_thread(self, work: Callable[[], T], done: Callable[[T | Exception], None]) -> None:
        """Run blocking `work` on a thread of its own and hand its result or exception to `done` on this thread.

        The thread does not keep the process alive; `done` is not called once the reactor is closed.
        """

        def run() -> None:
            result: T | Exception
            try:
                result = work()
            except Exception as error:  # noqa: BLE001 - handed to `done`, whatever it is
                result = error
            self._from_threads.append(lambda: done(result))
            with self._wake_lock:
                if not self._closed:
                    self._wake_up.wake()

        threading.Thread(target=run, name="rustun-blocking", daemon=True).start()

    def on_signal(self, signum: int, callback: Callback) -> None:
        """Call back in a turn of the loop when the process gets the signal; main thread only.

        The handler that was there before comes back at `close`.
        """
        if self._former_wakeup_fd is None:
            self._former_wakeup_fd = signal.set_wakeup_fd(self._wake_up.sender, warn_on_full_buffer=False)
        former = signal.signal(signum, lambda number, frame: None)
        self._former_handlers.setdefault(signum, former)
        self._signals[signum] = callback

    def run(self) -> None:
        """Take turns until `stop`; call it again to go on."""
        while not self._stopping:
            self._turn()
        self._stopping = False

    def stop(self) -> None:
        """Let `run` return at the end of this turn, or at once where it was not running."""
        self._stopping = True

    def close(self) -> None:
        """Give back descriptors and signal handlers; the sources stay open. A second call is harmless."""
        if self._closed:
            return
        for signum, handler in self._former_handlers.items():
            signal.signal(signum, handler if handler is not None else signal.SIG_DFL)
        if self._former_wakeup_fd is not None:
            signal.set_wakeup_fd(self._former_wakeup_fd)
        for watch in self._watches.values():
            watch.on_readable = watch.on_writable = None
        with self._wake_lock:
            self._closed = True
            self._wake_up.close()
        self._epoll.close()

    def _turn(self) -> None:
        soon = len(self._soon)
        watches = self._watches
        events = self._epoll.poll(self._wait_s(), MAX_EVENTS)
        began = self.now()
        crowded = len(events) + soon > FEW
        if crowded:
            self._serve_crowd(events)
        elif len(events) == 1:  # by far the most frequent: a packet arrives, a packet leaves
            fd, mask = events[0]
            self._serve(watches.get(fd), mask)
        else:
            for watch, mask in [(watches.get(fd), mask) for fd, mask in events]:
                self._serve(watch, mask)
        for timer in self._timers.take_due(self.now()):
            self._call(timer.take())
        for _ in range(soon):
            self._call(self._soon.popleft())
            if crowded:
                self._look()
        if self._when_idle and (not (events or soon) or self.now() >= self._idle_due):
            self._call(self._when_idle.popleft())
            self._idle_due = self.now() + IDLE_LATEST_S
        ended = self.now()
        if ended - began > NOTED_STEP_S:
            self._note_step(int(ended), ended - began)

    def _note_step(self, second: int, took: float) -> None:
        if not self._steps or self._steps[-1][0] != second:
            self._forget_steps(second)
            self._steps.append((second, took))
        elif took > self._steps[-1][1]:
            self._steps[-1] = (second, took)

    def _forget_steps(self, second: int) -> None:
        while self._steps and self._steps[0][0] <= second - STEP_SECONDS:
            self._steps.popleft()

    def _serve_crowd(self, events: list[tuple[int, int]]) -> None:
        """Serve many sources, the busy ones last."""
        self._note_ready(events)
        events.sort(key=self._is_busy)
        self._waiting = {fd: (self._watches.get(fd), mask) for fd, mask in events}
        self._late = 0
        self._look_at = self.now() + LOOK_S
        for fd, _ in events:
            self._serve(*self._waiting.pop(fd))
            self._calls[fd] = self._calls.get(fd, 0) + 1
            self._look()

    def _look(self) -> None:
        """Serve those who have become ready since and are not busy, the latest first, where it is time for that."""
        while (now := self.now()) >= self._look_at and self._late < MAX_EVENTS:
            self._look_at = now + LOOK_S
            events = self._epoll.poll(0, MAX_EVENTS)
            self._note_ready(events)
            late = [event for event in events if event[0] not in self._waiting and not self._is_busy(event)]
            for fd, watch, mask in [(fd, self._watches.get(fd), mask) for fd, mask in reversed(late)]:
                self._serve(watch, mask)
                self._calls[fd] = self._calls.get(fd, 0) + 1
                self._late += 1
                if self.now() >= self._look_at:
                    break

    def _note_ready(self, events: list[tuple[int, int]]) -> None:
        calls = self._calls
        self._calls = {fd: calls[fd] for fd, _ in events if fd in calls}

    def _is_busy(self, event: tuple[int, int]) -> bool:
        return self._calls.get(event[0], 0) >= BUSY_CALLS

    def _serve(self, watch: _Watch | None, mask: int) -> None:
        if watch is None:
            return
        try:
            if mask & READABLE and (callback := watch.on_readable) is not None:
                callback()
            if mask & WRITABLE and (callback := watch.on_writable) is not None:
                callback()
        except Exception as error:  # noqa: BLE001 - rule 4
            self.unwatch(watch.source)
            self._on_error(watch.source, error)

    def _wait_s(self) -> float:
        """Return how long to wait for events, in seconds; -1 without end."""
        if self._soon or self._when_idle:
            return 0.0
        when = self._timers.next_at()
        return -1.0 if when is None else min(max(when - self.now(), 0.0), MAX_WAIT_S)

    def _on_wake_up(self) -> None:
        for signum in sorted(self._wake_up.read()):
            if signum in self._signals:  # others have handlers of somebody else
                self._soon.append(self._signals[signum])
        while self._from_threads:
            self._soon.append(self._from_threads.popleft())

    def _call(self, callback: Callback | None) -> None:
        try:
            if callback is not None:
                callback()
        except Exception as error:  # noqa: BLE001 - rule 4
            self._on_error(None, error)

    def _forget(self, fd: int, watch: _Watch) -> None:
        del self._watches[fd]
        watch.on_readable = watch.on_writable = None
        with suppress(OSError):  # already closed: the kernel has dropped it by itself
            self._epoll.unregister(fd)
