"""What waits for one receiver: short, bounded, and fair among those who send to it.

Rules of this module
  1. Each sender has its own flow. Flows are served by deficit round robin (RFC 8290 section 4.2 uses the same), so
     a sender of many small runs gets no more bytes than a sender of few large ones.
  2. When the queue is full the longest flow loses its newest runs, so a flooder loses its own packets first. Longest is
     who takes the largest share of what there is least of, bytes or packets: 8,000 tiny packets weigh as much as a
     megabyte.
  3. Queues hold plaintext: a sealed record is never dropped or overtaken.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

QUANTUM_BYTES: Final = 65_536  # one largest run a turn

Sender = TypeVar("Sender")


@dataclass(slots=True)
class _Flow:
    runs: deque[tuple[bytes, int]] = field(default_factory=deque)  # (run, packets in it)
    bytes: int = 0
    packets: int = 0
    credit: int = 0


class FairQueue(Generic[Sender]):
    """A bounded queue of runs, fair among senders.

    Args:
        max_bytes: room for runs, at least one largest run.
        max_packets: room for packets.
    Attributes:
        bytes, packets: what waits now.
    """

    __slots__ = ("_flows", "_max_bytes", "_max_packets", "bytes", "packets")

    def __init__(self, max_bytes: int, max_packets: int) -> None:
        self._max_bytes = max_bytes
        self._max_packets = max_packets
        self._flows: dict[Sender, _Flow] = {}  # in the order in which they are served
        self.bytes = 0
        self.packets = 0

    def __bool__(self) -> bool:
        return self.packets > 0

    def put(self, sender: Sender, run: bytes, packets: int) -> list[tuple[Sender, int]]:
        """Queue a run, and drop from the longest flow what no longer fits.

        Returns: (sender, packets) of every run that was dropped, this one perhaps among them.
        """
        flow = self._flows.get(sender)
        if flow is None:
            flow = self._flows[sender] = _Flow()
        flow.runs.append((run, packets))
        flow.bytes += len(run)
        flow.packets += packets
        self.bytes += len(run)
        self.packets += packets
        dropped = []
        while self.bytes > self._max_bytes or self.packets > self._max_packets:
            dropped.append(self.drop_from_longest())
        return dropped

    def drop_from_longest(self) -> tuple[Sender, int]:
        """Drop the newest run of the longest flow and return its (sender, packets); the queue must not be empty."""
        sender, flow = max(self._flows.items(), key=lambda entry: self._share(entry[1]))
        run, packets = flow.runs.pop()
        self._forget(sender, flow, run, packets)
        return sender, packets

    def pop(self, room: int = QUANTUM_BYTES) -> tuple[bytes, int] | None:
        """Return the (run, packets) whose turn it is, or None when it is longer than `room` bytes or nothing waits."""
        while self._flows:
            sender, flow = next(iter(self._flows.items()))
            run, packets = flow.runs[0]
            if flow.credit >= len(run):
                if len(run) > room:
                    return None
                flow.credit -= len(run)
                flow.runs.popleft()
                self._forget(sender, flow, run, packets)
                return run, packets
            flow.credit += QUANTUM_BYTES
            self._flows[sender] = self._flows.pop(sender)  # to the end of the round
        return None

    def clear(self) -> int:
        """Drop everything and return how many packets that was."""
        packets = self.packets
        self._flows.clear()
        self.bytes = self.packets = 0
        return packets

    def _share(self, flow: _Flow) -> int:
        return max(flow.bytes * self._max_packets, flow.packets * self._max_bytes)

    def _forget(self, sender: Sender, flow: _Flow, run: bytes, packets: int) -> None:
        flow.bytes -= len(run)
        flow.packets -= packets
        self.bytes -= len(run)
        self.packets -= packets
        if not flow.runs:
            del self._flows[sender]
