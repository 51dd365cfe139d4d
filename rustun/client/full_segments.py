"""Whether full segments have got through while a session was in use: then its path is dead rather than narrow.

Rules of this module
  1. Downwards the kernel keeps the size of the segments that came. Upwards it counts bytes and segments: where what
     went out between two looks was nearly full segments on average, some were full, and they have got through when all
     that had been sent by then is acknowledged.
  2. Many small segments are no evidence, however much they carry: on a narrow path a call gets through for hours.
  3. One direction speaks for both. A path that is narrow one way only costs a second standstill (narrow_paths.py).
"""

from __future__ import annotations

from typing import Final

from rustun.backends.base import PathReport
from rustun.client.narrow_paths import SMALL_SEGMENT_BYTES

NEARLY_FULL: Final = 15 / 16  # a write of 64 kB ends in a segment that is not


class FullSegments:
    """What one connection has carried so far.

    Attributes:
        carried: whether full segments have got through.
    """

    def __init__(self) -> None:
        self.carried = False
        self._sent_bytes = self._sent_segments = 0  # at the last look
        self._full_bytes: int | None = None  # some of the bytes before this one went in full segments

    def look(self, path: PathReport) -> None:
        """Take in what the kernel says now."""
        segments = path.sent_segments - self._sent_segments
        least = max(path.segment_bytes * NEARLY_FULL, SMALL_SEGMENT_BYTES)
        if self._full_bytes is None and path.sent_bytes - self._sent_bytes > segments * least:
            self._full_bytes = path.sent_bytes
        self._sent_bytes, self._sent_segments = path.sent_bytes, path.sent_segments
        upwards = self._full_bytes is not None and path.acked_bytes >= self._full_bytes
        self.carried |= upwards or path.received_segment_bytes > SMALL_SEGMENT_BYTES
