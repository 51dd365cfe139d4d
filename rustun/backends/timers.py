"""A queue of calls that were put off, for every reactor, real or virtual.

Rules of this module
  1. No clock: the reactor says what time it is.
  2. Calls that are due at the same time happen in the order in which they were asked for.
  3. Cancelling is O(1): the entry stays in the heap, empty, until it comes up or until empty ones are the majority.
     A session moves its timer at each packet, so most entries are cancelled.
"""

from __future__ import annotations

import heapq
from itertools import count
from typing import Final

from rustun.backends.base import Callback

SWEEP_FROM: Final = 64  # fewer empty entries than this are not worth a new heap


class QueuedTimer:
    """One call that was put off; `callback` is None once it was cancelled or made."""

    __slots__ = ("_queue", "callback")

    def __init__(self, queue: TimerQueue, callback: Callback) -> None:
        self._queue: TimerQueue | None = queue
        self.callback: Callback | None = callback

    def cancel(self) -> None:
        """Make sure that the call does not happen; harmless when it already has."""
        self.callback = None
        if self._queue is not None:
            queue, self._queue = self._queue, None
            queue.count_cancelled()

    def take(self) -> Callback | None:
        """Return the call to make now, once; None when it was cancelled."""
        callback, self.callback = self.callback, None
        return callback

    def leave_queue(self) -> None:
        """Note that the heap no longer holds this entry, so that a late `cancel` is not counted."""
        self._queue = None


class TimerQueue:
    """A heap of timers by time, then by age."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, QueuedTimer]] = []
        self._number = count()
        self._cancelled = 0

    def __len__(self) -> int:
        return len(self._heap) - self._cancelled

    def add(self, when: float, callback: Callback) -> QueuedTimer:
        """Put off `callback` until `when`, seconds of the reactor's clock."""
        timer = QueuedTimer(self, callback)
        heapq.heappush(self._heap, (when, next(self._number), timer))
        return timer

    def next_at(self) -> float | None:
        """Return when the next call is due, None when there is none."""
        heap = self._heap
        while heap and heap[0][2].callback is None:
            heapq.heappop(heap)
            self._cancelled -= 1
        return heap[0][0] if heap else None

    def take_due(self, now: float) -> list[QueuedTimer]:
        """Remove and return all timers that are due; one may still be cancelled by the call of another."""
        due: list[QueuedTimer] = []
        if not self._heap or self._heap[0][0] > now:
            return due  # in most turns
        while (when := self.next_at()) is not None and when <= now:
            timer = heapq.heappop(self._heap)[2]
            timer.leave_queue()
            due.append(timer)
        return due

    def count_cancelled(self) -> None:
        """Note one more empty entry; build a new heap when most are empty."""
        self._cancelled += 1
        if self._cancelled >= SWEEP_FROM and 2 * self._cancelled > len(self._heap):
            self._heap = [entry for entry in self._heap if entry[2].callback is not None]
            heapq.heapify(self._heap)
            self._cancelled = 0
