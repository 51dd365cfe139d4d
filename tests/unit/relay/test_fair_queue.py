"""FairQueue against a slow, obvious one, and what fairness means in bytes."""

from __future__ import annotations

import random
from fractions import Fraction

import pytest

from rustun.relay.fair_queue import QUANTUM_BYTES, FairQueue

Run = tuple[bytes, int]


class SlowQueue:
    """Deficit round robin over plain lists: everything is counted anew each time."""

    def __init__(self, max_bytes: int, max_packets: int) -> None:
        self.max_bytes, self.max_packets = max_bytes, max_packets
        self.order: list[str] = []
        self.runs: dict[str, list[Run]] = {}
        self.credit: dict[str, int] = {}

    def waiting(self, sender: str | None = None) -> int:
        senders = self.order if sender is None else [sender]
        return sum(len(run) for each in senders for run, _ in self.runs[each])

    def packets(self, sender: str | None = None) -> int:
        senders = self.order if sender is None else [sender]
        return sum(packets for each in senders for _, packets in self.runs[each])

    def share(self, sender: str) -> Fraction:
        return max(Fraction(self.waiting(sender), self.max_bytes), Fraction(self.packets(sender), self.max_packets))

    def _drop_if_empty(self, sender: str) -> None:
        if not self.runs[sender]:
            self.order.remove(sender)

    def put(self, sender: str, run: bytes, packets: int) -> list[tuple[str, int]]:
        if sender not in self.order:
            self.order.append(sender)
            self.runs[sender], self.credit[sender] = [], 0
        self.runs[sender].append((run, packets))
        dropped = []
        while self.waiting() > self.max_bytes or self.packets() > self.max_packets:
            dropped.append(self.drop_from_longest())
        return dropped

    def drop_from_longest(self) -> tuple[str, int]:
        longest = max(self.order, key=self.share)
        packets = self.runs[longest].pop()[1]
        self._drop_if_empty(longest)
        return longest, packets

    def pop(self, room: int) -> Run | None:
        while self.order:
            sender = self.order[0]
            run, packets = self.runs[sender][0]
            if self.credit[sender] >= len(run):
                if len(run) > room:
                    return None
                self.credit[sender] -= len(run)
                del self.runs[sender][0]
                self._drop_if_empty(sender)
                return run, packets
            self.credit[sender] += QUANTUM_BYTES
            self.order.append(self.order.pop(0))
        return None


@pytest.mark.parametrize("seed", range(6))
def test_it_is_the_slow_queue_only_faster(seed: int) -> None:
    """If this fails, packets are lost, doubled, reordered or charged to the wrong sender."""
    rng = random.Random(seed)
    limits = rng.choice([(150_000, 40), (70_000, 1000), (1 << 20, 9)])
    queue: FairQueue[str] = FairQueue(*limits)
    slow = SlowQueue(*limits)
    for number in range(3000):
        if rng.random() < rng.choice((0.4, 0.6)):
            sender = rng.choice("abcdef")
            run = number.to_bytes(4, "big") + bytes(rng.choice((16, 60, 1500, 30_000, 65_000)))
            packets = rng.randint(1, 12)
            assert queue.put(sender, run, packets) == slow.put(sender, run, packets)
        elif rng.random() < 0.9:
            room = rng.choice((100, 2000, QUANTUM_BYTES))
            assert queue.pop(room) == slow.pop(room)
        elif queue:
            assert queue.drop_from_longest() == slow.drop_from_longest()
        assert (queue.bytes, queue.packets, bool(queue)) == (slow.waiting(), slow.packets(), bool(slow.order))
        assert queue.bytes <= limits[0]
        assert queue.packets <= limits[1]


def test_senders_get_the_same_bytes_whatever_their_packets() -> None:
    """If this fails, a sender of small packets, or of large ones, takes the receiver's line for itself."""
    queue: FairQueue[str] = FairQueue(1 << 30, 1 << 30)
    sizes = {"small": 60, "middle": 1500, "large": 60_000}
    for sender, size in sizes.items():
        for _ in range(4_000_000 // size):
            queue.put(sender, sender[:1].encode() * size, 1)
    got = dict.fromkeys("sml", 0)
    while sum(got.values()) < 6_000_000:
        found = queue.pop()
        assert found is not None
        got[found[0][:1].decode()] += len(found[0])
    assert max(got.values()) - min(got.values()) <= 2 * QUANTUM_BYTES


def test_a_flooder_loses_its_own_packets() -> None:
    """If this fails, one member that floods a receiver silences the others."""
    queue: FairQueue[str] = FairQueue(200_000, 10_000)
    queue.put("quiet", b"q" * 1000, 1)
    lost = [loser for _ in range(500) for loser, _ in queue.put("flood", b"f" * 1500, 1)]
    assert set(lost) == {"flood"}
    assert queue.put("quiet", b"q" * 2000, 1) == [("flood", 1)]
    popped = [run[:1] for run, _ in iter(queue.pop, None)]
    assert popped.count(b"q") == 2


def test_a_flooder_of_tiny_packets_loses_its_own_too() -> None:
    """If this fails, 8,000 empty packets, which are few bytes, push out everybody who sends large ones."""
    queue: FairQueue[str] = FairQueue(1 << 20, 8192)
    for _ in range(8192):
        queue.put("flood", bytes(25), 1)
    lost = [loss for _ in range(6) for loss in queue.put("stream", bytes(65_000), 40)]
    lost += [loss for _ in range(100) for loss in queue.put("flood", bytes(25), 1)]
    assert {loser for loser, _ in lost} == {"flood"}


def test_the_newest_run_is_lost_first() -> None:
    """If this fails, old packets are kept and fresh ones thrown away inside the wrong end of a flow."""
    queue: FairQueue[str] = FairQueue(3000, 100)
    for number in range(5):
        queue.put("a", bytes([number]) * 1000, 1)
    assert [run[0] for run, _ in iter(queue.pop, None)] == [0, 1, 2]


def test_a_run_that_never_fits_is_dropped() -> None:
    """If this fails, one run beyond the limit stays and keeps the queue over it, or the loop never ends."""
    queue: FairQueue[str] = FairQueue(1000, 10)
    assert queue.put("a", bytes(1001), 3) == [("a", 3)]
    assert not queue
    assert queue.bytes == 0
    assert queue.put("a", bytes(10), 11) == [("a", 11)]


def test_clear_tells_what_was_lost() -> None:
    """If this fails, packets that a closed receiver never got are missing from the counters."""
    queue: FairQueue[str] = FairQueue(10_000, 100)
    for sender in "abc":
        queue.put(sender, bytes(100), 4)
    assert queue.clear() == 12
    assert (queue.bytes, queue.packets, queue.pop()) == (0, 0, None)
    assert queue.put("a", bytes(5), 1) == []
    assert queue.pop() == (bytes(5), 1)
