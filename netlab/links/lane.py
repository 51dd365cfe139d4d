"""One direction of a link as a queue: frames and `now` in, frames and one deadline out. No I/O, no clock.

A frame's way through a lane, each step by its own rule:
    cable down? -> lost? -> doubled? -> waits for the rate (a queue of limited length) -> delayed -> out

Rules
  1. One queue, a deadline for each frame in it, and only the first may leave: so frames leave in the order they came,
     also when the delay wanders or is changed while they wait. Only those that `reorder` picks leave by a second queue.
  2. Jitter is a delay that wanders: every few times the jitter a new aim is drawn evenly from delay +- jitter, and the
     delay moves there in a straight line, never so fast that a frame would catch up with the one before it. So the mean
     stays the delay at any packet rate. (Drawing for each frame and keeping the order would make every frame of a dense
     stream as late as the latest.)
  3. Everything random comes from one generator, seeded by the impairment's seed and the lane's name: the same frames at
     the same times fare the same.
  4. What cannot be held is dropped and counted: nothing grows without bound.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from random import Random
from typing import Final

from netlab.links.impairment import Impairment

MAX_HELD_BYTES: Final = 128 << 20  # a gigabit for a second
SHORTEST_DRIFT_S: Final = 0.010  # of one aim of the delay; shorter would look like noise of the machine itself
DRIFT_JITTERS: Final = 4  # an aim lasts this many jitters: the delay falls at half a second per second at most


@dataclass(slots=True)
class Counts:
    """What became of the frames of a lane so far."""

    offered: int = 0
    delivered: int = 0
    lost: int = 0
    queue_full: int = 0
    cable_down: int = 0
    duplicated: int = 0
    overtook: int = 0


class Lane:
    """Frames on their way in one direction.

    Args:
        name: of the direction, "A->B"; part of the seed.
        impairment: what happens to them; `mtu` and `black_hole_icmp` are the kernel's part, not a lane's.
        now: seconds of any clock that never goes back.
    """

    def __init__(self, name: str, impairment: Impairment, now: float) -> None:
        self.name = name
        self.counts = Counts()
        self._ordered: deque[tuple[float, bytes]] = deque()
        self._overtaking: deque[tuple[float, bytes]] = deque()
        self._starts: deque[float] = deque()  # when frames that wait for the rate begin to leave
        self._held_bytes = 0
        self._busy_until = now
        self.change(impairment, now)

    def change(self, impairment: Impairment, now: float) -> None:
        """Treat frames offered from `now` on by other rules; those that wait keep their deadlines."""
        self.impairment = impairment
        self._random = Random(f"{impairment.seed} {self.name}")
        self._losing = False
        self._began = now
        self._drift = (now, 0.0, now, 0.0)
        if not impairment.rate_bit_s:
            self._busy_until = now
            self._starts.clear()

    def offer(self, frame: bytes, now: float) -> None:
        """Take a frame as it was sent at `now`."""
        rules, counts = self.impairment, self.counts
        counts.offered += 1
        if rules.flap is not None and self._cable_is_down(now):
            counts.cable_down += 1
            return
        if rules.loss and self._is_lost():
            counts.lost += 1
            return
        if rules.duplicate and self._random.random() < rules.duplicate:
            counts.duplicated += 1
            self._enqueue(frame, now)
        self._enqueue(frame, now)

    def take(self, now: float) -> list[bytes]:
        """Return the frames that are due by `now`, in the order to send them."""
        due: list[bytes] = []
        for queue in (self._overtaking, self._ordered):
            while queue and queue[0][0] <= now:
                due.append(queue.popleft()[1])
        if due:
            self.counts.delivered += len(due)
            self._held_bytes -= sum(map(len, due))
        return due

    def deadline(self) -> float | None:
        """Return when the next frame is due, None while there is none."""
        if self._overtaking:
            first = self._overtaking[0][0]
            return min(first, self._ordered[0][0]) if self._ordered else first
        return self._ordered[0][0] if self._ordered else None

    def _cable_is_down(self, now: float) -> bool:
        flap = self.impairment.flap
        return flap is not None and (now - self._began) % (flap.up_s + flap.down_s) >= flap.up_s

    def _is_lost(self) -> bool:
        """Draw from Gilbert's model: in the losing state all are lost, for `burst` frames on average."""
        rules = self.impairment
        if rules.burst == 1 or rules.loss == 1:
            return self._random.random() < rules.loss
        leave = 1 / rules.burst
        change = leave if self._losing else leave * rules.loss / (1 - rules.loss)
        if self._random.random() < change:
            self._losing = not self._losing
        return self._losing

    def _enqueue(self, frame: bytes, now: float) -> None:
        rules = self.impairment
        if self._held_bytes + len(frame) > MAX_HELD_BYTES or (rules.rate_bit_s and self._queue_is_full(now)):
            self.counts.queue_full += 1
            return
        self._held_bytes += len(frame)
        sent = self._sent(frame, now)
        if rules.reorder and self._random.random() < rules.reorder:
            self.counts.overtook += 1
            self._overtaking.append((sent, frame))
            return
        deadline = sent + rules.delay_s
        if rules.jitter_s:
            deadline += self._wandered(sent)
        self._ordered.append((deadline, frame))

    def _queue_is_full(self, now: float) -> bool:
        while self._starts and self._starts[0] <= now:
            self._starts.popleft()
        return len(self._starts) >= self.impairment.queue_packets

    def _sent(self, frame: bytes, now: float) -> float:
        """Return when the last bit of a frame has left, at the lane's rate, behind all that came before."""
        rate = self.impairment.rate_bit_s
        if not rate:
            return now
        start = max(now, self._busy_until)
        self._starts.append(start)
        self._busy_until = start + len(frame) * 8 / rate
        return self._busy_until

    def _wandered(self, now: float) -> float:
        """Return how far the delay is from its mean at `now`, in seconds."""
        jitter = self.impairment.jitter_s
        since, start, until, aim = self._drift
        if now >= until:
            since, start, until = now, aim, now + max(DRIFT_JITTERS * jitter, SHORTEST_DRIFT_S)
            aim = self._random.uniform(-jitter, jitter)
            self._drift = (since, start, until, aim)
        return start + (aim - start) * (now - since) / (until - since)
