"""How long to wait before the next try: exponential, jittered, bounded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

FIRST_SECONDS: Final = 0.5
LAST_SECONDS: Final = 30.0
GROWTH: Final = 1.5  # the next try is sooner than the time that the server was away so far: back within 2 s after 3


class Backoff:
    """Waits between tries; a fleet that lost its server does not come back in one moment.

    Args:
        random_bytes: source of the jitter.
    """

    def __init__(self, random_bytes: Callable[[int], bytes]) -> None:
        self._random_bytes = random_bytes
        self._ceiling = FIRST_SECONDS

    def next_wait(self) -> float:
        """Return the seconds to wait now, between half of a ceiling and all of it; the ceiling grows up to 30 s."""
        share = int.from_bytes(self._random_bytes(4), "big") / 2**32
        wait = self._ceiling * (0.5 + share / 2)
        self._ceiling = min(LAST_SECONDS, self._ceiling * GROWTH)
        return wait

    def reset(self) -> None:
        """A session was up for a while: the next failure begins anew."""
        self._ceiling = FIRST_SECONDS
