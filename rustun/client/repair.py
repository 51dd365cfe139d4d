"""How soon what somebody undoes on this host is put right again, and how much time all work on the host may take.

Rules of this module
  1. The first time at once. While somebody keeps undoing it the waits double, from a second to a minute: a client does
     not fight with an administrator, or with another program, for a host.
  2. After a minute without a repair, beyond the wait, the next one is a first one.
  3. While a client works on its host no packet moves. So work that others cause as often as they like, and tries that
     mostly are in vain, get a share of the time.
"""

from __future__ import annotations

from typing import Final

FIRST_SECONDS: Final = 1.0
LAST_SECONDS: Final = 60.0
FORGOTTEN_SECONDS: Final = 60.0
NEWS_SHARE: Final = 0.25  # for what servers tell
TRY_AGAIN_SECONDS, TRY_AGAIN_SHARE = 60.0, 0.01  # for what a host refuses: somebody's route may have gone by then


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


class TimeShare:
    """When work of one kind may be done again.

    Args:
        share: of the time that it may take, over 0, at most 1.
        least_seconds: between two times.
    Attributes:
        due_at: not before this, seconds of `now()`.
    """

    def __init__(self, share: float, least_seconds: float = 0.0) -> None:
        self.due_at = float("-inf")
        self._share = share
        self._least_seconds = least_seconds

    def note(self, began: float, ended: float) -> None:
        """It was done, from one time of `now()` to the other."""
        self.due_at = ended + max(self._least_seconds, (ended - began) * (1 / self._share - 1))
