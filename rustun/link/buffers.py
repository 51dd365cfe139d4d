"""The scratch memory of a process, allocated once.

All sessions of a process use the same three stretches, one turn at a time: what a turn leaves unfinished it copies into
its own session. An idle session so costs no buffer at all.
"""

from __future__ import annotations

from typing import Final

from rustun.protocol.codec import MAX_SEED_GROWTH_BYTES
from rustun.protocol.frames import MAX_FRAME_BYTES
from rustun.protocol.records import MAX_PLAINTEXT_BYTES

TURN_BYTES: Final = 262_144  # what one turn of a session reads at most; more only adds delay for the others
PLAIN_BYTES: Final = TURN_BYTES + 2 * MAX_FRAME_BYTES


class Buffers:
    """Scratch memory for one process.

    Attributes:
        received: bytes as they came, the unfinished frame of the turn before in front.
        plain: runs of items, opened or read from the TUN device.
        sealed: frames ready to send: all that `plain` holds, also as one frame a packet for a peer of the seed.
    """

    __slots__ = ("plain", "received", "sealed")

    def __init__(self) -> None:
        self.received = memoryview(bytearray(TURN_BYTES + MAX_FRAME_BYTES))
        self.plain = memoryview(bytearray(PLAIN_BYTES))
        runs = PLAIN_BYTES // MAX_PLAINTEXT_BYTES + 1
        self.sealed = memoryview(bytearray(runs * (MAX_PLAINTEXT_BYTES + MAX_SEED_GROWTH_BYTES)))
