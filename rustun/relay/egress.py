"""Sealed frames on their way out: gathered for one receiver at a time and sent with one call.

A send costs more than sealing: it takes the packet through the kernel to the other end's socket and wakes that end up.
So all that a turn has for a receiver is sealed behind each other and sent once.

Rules of this module
  1. What is sealed is sent before anything else is sealed for that receiver: `transmit` comes before a control frame,
     before another receiver's turn and at the end of every turn.
  2. Nothing stays here between two turns of the loop.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rustun.link.buffers import Buffers

if TYPE_CHECKING:
    from rustun.relay.session import RelaySession


GATHERED_BYTES: Final = 163_840  # sent with one call; more would leave the cache before the kernel copies it


class Egress:
    """The process's scratch for sealed frames, lent to one receiver at a time.

    Attributes:
        sealed: the scratch.
        end: where the gathered frames end; its receiver seals behind that and moves it.
        limit: beyond this nothing more is gathered; a run of any kind still fits behind it.
        receiver: who has it now.
    """

    __slots__ = ("end", "limit", "receiver", "sealed")

    def __init__(self, buffers: Buffers) -> None:
        self.sealed = buffers.sealed
        self.limit = GATHERED_BYTES
        self.receiver: RelaySession | None = None
        self.end = 0

    def lend(self, receiver: RelaySession) -> None:
        """Lend the scratch to a receiver, empty; what is gathered goes out first, by which that receiver may block.

        A receiver whose keys are too old, as after a sleep, is closed instead.
        """
        if self.receiver is not None:
            self.transmit()
        if receiver.keys_alive(receiver.core.reactor.now()):
            self.receiver = receiver

    def transmit(self) -> None:
        """Send what is gathered."""
        receiver, end = self.receiver, self.end
        self.receiver = None
        self.end = 0
        if receiver is not None and not receiver.closed and end:
            receiver.transmit(self.sealed[:end])
