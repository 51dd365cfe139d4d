"""Two hosts with one key, seen in who takes whose place (docs/protocol.md, section 7).

Rules of this module
  1. A host that moves leaves an address behind; two hosts come back to theirs. A return is a takeover by an address
     that has had the place within RECENT_SECONDS, from another one that had it in between.
  2. Two returns within that time are an alarm: the loser of a place waits a minute, so two honest clients with one key
     return once a minute each, as slowly as no count of takeovers notices.
  3. What is remembered of an identity is bounded, and only who has its key can add to it.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Final

RECENT_SECONDS: Final = 600.0
ALARMING: Final = 2  # returns
ADDRESSES: Final = 16  # remembered of one identity; what had the place longest ago is forgotten first


@dataclass(slots=True)
class _Places:
    """Who has had one identity's place, and when addresses came back to it."""

    held_at: dict[str, float] = field(default_factory=dict)  # the latest last
    returned_at: deque[float] = field(default_factory=lambda: deque(maxlen=ALARMING))
    between: tuple[str, str] = ("", "")

    def alarming(self, now: float) -> bool:
        return len(self.returned_at) == ALARMING and now - self.returned_at[0] < RECENT_SECONDS

    def hold(self, address: str, now: float) -> None:
        self.held_at.pop(address, None)
        self.held_at[address] = now
        if len(self.held_at) > ADDRESSES:
            del self.held_at[next(iter(self.held_at))]


class Returns:
    """Which identities are taken from each other by two addresses."""

    def __init__(self) -> None:
        self._places: dict[str, _Places] = {}

    def note(self, identity: str, before: str, after: str, now: float) -> str:
        """Note a takeover.

        Args:
            identity: whose place it was.
            before: the address that had the place.
            after: the one that has it now.
            now: seconds of the reactor's clock.
        Returns: what an operator has to know, where this takeover begins an alarm; else nothing.
        """
        if before == after:
            return ""
        places = self._places.setdefault(identity, _Places())
        was_alarming = places.alarming(now)
        if now - places.held_at.get(after, -RECENT_SECONDS) < RECENT_SECONDS:
            places.returned_at.append(now)
            places.between = (after, before)
        places.hold(before, now)
        places.hold(after, now)
        return _text(identity, places) if places.alarming(now) and not was_alarming else ""

    def forget(self, identity: str) -> None:
        """Forget an identity that is no member any more."""
        self._places.pop(identity, None)

    def alarms(self, now: float) -> list[str]:
        """Return what an operator should look at now, one line each."""
        return [_text(identity, places) for identity, places in self._places.items() if places.alarming(now)]


def _text(identity: str, places: _Places) -> str:
    first, second = sorted(places.between)
    return f"{identity}: {first} and {second} take its place from each other; two hosts have its key: is it stolen?"
