"""Sealed frames on their way out: gathered for one receiver at a time and sent with one call.

A send costs more than sealing: it takes the packet through the kernel to the other end's socket and wakes that end up.
So all that a turn has for a receiver is sealed behind each other and sent once.

Rules of this module
  1. What is sealed is sent before anything else is sealed for that receiver: `transmit` comes before a control frame,
     before another receiver's turn and at the end of every turn.
  2. Nothing stays here between two turns of the loop.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rustun.link.buffers import Buffers
from rustun.protocol.codec import MAX_SEED_GROWTH_BYTES
from rustun.protocol.frames import MAX_FRAME_BYTES

if TYPE_CHECKING:
    from rustun.relay.session import RelaySession


class Egress:
    """The process's scratch for sealed frames, lent to one receiver at a time."""

    __slots__ = ("_end", "_full", "_receiver", "_sealed")

    def __init__(self, buffers: Buffers) -> None:
        self._sealed = buffers.sealed
        self._full = len(buffers.sealed) - 2 * MAX_FRAME_BYTES - MAX_SEED_GROWTH_BYTES  # beyond, a run may not fit
        self._receiver: RelaySession | None = None
        self._end = 0

    @property
    def full(self) -> bool:
        """Whether another run may not fit."""
        return self._end > self._full

    def make_room(self, receiver: RelaySession) -> None:
        """Send what is gathered where it is for somebody else or fills the scratch; the receiver may block by that."""
        if receiver is not self._receiver or self._end > self._full:
            self.transmit()
            if receiver.keys_alive(receiver.core.reactor.now()):
                self._receiver = receiver

    def add(self, run: memoryview | bytes, packets: int) -> None:
        """Seal a run for the receiver that `make_room` was called for, which is neither closed nor blocked."""
        receiver = self._receiver
        if receiver is not None:
            self._end = receiver.seal_run(run, packets, self._sealed, self._end)

    def transmit(self) -> None:
        """Send what is gathered."""
        receiver, end = self._receiver, self._end
        self._receiver = None
        self._end = 0
        if receiver is not None and not receiver.closed and end:
            receiver.transmit(self._sealed[:end])
