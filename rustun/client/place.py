"""How long a link waits for a place that another session of this member has at its server.

Rules of this module
  1. Who has the place is not told. Where this client has another session on the shared tier, that may be it, since two
     addresses of one server look like two servers. It is warned of once, and each wait is twice as long as the last:
     what is refused for that reason will be refused again.
  2. When a session elsewhere ends, the place may be free: the wait ends, and the next refusal is told anew.
  3. Where this client has no other session, another host uses its identity: that is warned of each time.
"""

from __future__ import annotations

from typing import Final

DOUBLINGS: Final = 6  # of a minute, to about an hour
OURS: Final = "this client's own, where another address of its list is the same server's"


class Place:
    """Counts how often in a row a place was refused that this client may have itself."""

    def __init__(self) -> None:
        self._refused = 0

    def next_wait(self, seconds: float) -> tuple[float, str]:
        """It was refused again; return `seconds` as often as they are to be waited, and the level to log that at."""
        level = "debug" if self._refused else "warning"
        doublings = min(self._refused, DOUBLINGS)
        self._refused += 1
        return seconds * 2**doublings, level

    def free(self) -> bool:
        """It may be free now; return whether it was refused before."""
        refused, self._refused = self._refused, 0
        return refused > 0
