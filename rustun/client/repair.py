"""How soon what somebody undoes on this host is put right again.

Rules of this module
  1. The first time at once. While somebody keeps undoing it the waits double, from a second to a minute: a client does
     not fight with an administrator, or with another program, for a host.
  2. After a minute without a repair, beyond the wait, the next one is a first one.
"""

from __future__ import annotations

from typing import Final

FIRST_SECONDS: Final = 1.0
LAST_SECONDS: Final = 60.0
FORGOTTEN_SECONDS: Final = 60.0


class RepairPace:
    """When the next repair may be made.

    Attributes:
        due_at: not before this, seconds of `now()`.
    """

    def __init__(self) -> None:
        self.due_at = float("-inf")
        self._wait = 0.0

    def note(self, now: float) -> None:
        """A repair was made, or tried in vain."""
        goes_on = now < self.due_at + FORGOTTEN_SECONDS
        self._wait = min(LAST_SECONDS, 2 * self._wait) if goes_on else FIRST_SECONDS
        self.due_at = now + self._wait
