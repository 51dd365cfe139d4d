"""How fast something that is counted grows, from marks that are set every few seconds."""

from __future__ import annotations

from typing import Final

RATE_SECONDS: Final = 5.0  # between marks: a rate is that of the last 5 to 10 s


class Rate:
    """Bytes that came in and went out, per second.

    Args:
        now: when counting began, both counters at 0; seconds of the reactor's clock.
    """

    __slots__ = ("_before", "_marked")

    def __init__(self, now: float) -> None:
        self._before = self._marked = (now, 0, 0)

    def mark(self, now: float, received_bytes: int, sent_bytes: int) -> None:
        """Remember how far the counters are; called every RATE_SECONDS."""
        self._before = self._marked
        self._marked = (now, received_bytes, sent_bytes)

    def per_second(self, now: float, received_bytes: int, sent_bytes: int) -> tuple[float, float]:
        """Return bytes per second (received, sent) since the mark before the last, 0 where no time has passed."""
        began, received_before, sent_before = self._before
        seconds = now - began
        if seconds <= 0:
            return 0.0, 0.0
        return (received_bytes - received_before) / seconds, (sent_bytes - sent_before) / seconds
