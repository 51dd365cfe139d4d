"""The scratch memory of a process, allocated once.

All sessions of a process use the same three stretches, one turn at a time: what a turn leaves unfinished it copies into
its own session. An idle session so costs no buffer at all.
"""

from __future__ import annotations

from typing import Final

from rustun.protocol.codec import MAX_SEED_GROWTH_BYTES
from rustun.protocol.frames import MAX_FRAME_BYTES, MAX_PAYLOAD_BYTES
from rustun.protocol.records import RECORD_OVERHEAD_BYTES

TURN_BYTES: Final = 262_144  # what one turn of a session reads at most; more only adds delay for the others
PLAIN_BYTES: Final = TURN_BYTES + 2 * MAX_FRAME_BYTES


class Buffers:
    """Scratch memory for one process.

    Attributes:
        received: bytes as they came, the unfinished frame of the turn before in front.
        plain: runs of items, opened or read from the TUN device.
        sealed: frames ready to send: a turn's worth of records, or one run cut up for a peer of the seed.
    """

    __slots__ = ("plain", "received", "sealed")

    def __init__(self) -> None:
        self.received = memoryview(bytearray(TURN_BYTES + MAX_FRAME_BYTES))
        self.plain = memoryview(bytearray(PLAIN_BYTES))
        records = PLAIN_BYTES + (PLAIN_BYTES // MAX_PAYLOAD_BYTES + 2) * 2 * RECORD_OVERHEAD_BYTES
        self.sealed = memoryview(bytearray(max(records, 2 * MAX_FRAME_BYTES + MAX_SEED_GROWTH_BYTES)))
