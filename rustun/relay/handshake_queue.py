"""Whose handshake comes next, and how much of the loop's time all of them get (docs/protocol.md, section 8).

A first message that opened its envelope and paid its budget waits here for the expensive part, Diffie-Hellman and a
session. Members' packets do not wait behind it, and nobody can fill the queue so that others wait behind him.

Rules of this module
  1. Sources take turns, one handshake each. One whose last handshake has proved nothing yet is a doubtful source, for
     DOUBT_SECONDS after the last such: who shares an address with a failure is not an attacker for ever.
  2. While members have packet turns, handshakes may take as long as everything else took since their last slice:
     half of the loop's time. The credit may go below zero by one handshake; what is overdrawn is missing later. None
     counts for more than LONGEST_SECONDS: a host that slept meanwhile would shut newcomers out for as long.
  3. Doubtful sources get a twentieth of the time beside others and beside packets: after each of their handshakes there
     is a pause of 19 times as long. It is for them alone, and it ends early when there are neither.
  4. While no packets wait, every turn of the loop has its slice. A slice is short, for the packet that comes then.
  5. The queue's size is that of the pending pool: who is closed there leaves here. Doubtful sources fill half of it at
     the most: beyond that one of the source that has most there goes, not somebody honest who has not said a word yet.
     Among equals it is the source that came last, so that whoever waits comes to its turn.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Final, Generic, TypeVar

from rustun.backends.base import Reactor, Timer

SLICE_SECONDS: Final = 0.0005  # one or two handshakes: what a packet waits for at most
LONGEST_SECONDS: Final = 0.02  # of a handshake on the slowest host; what takes longer was interrupted
DOUBTFUL_PAUSE: Final = 19  # times as long as the handshake before
DOUBT_SECONDS: Final = 60.0
QUIET_SECONDS: Final = 0.01  # without packets: members have none on the way through here

Handshake = TypeVar("Handshake", bound=Hashable)
_GOOD, _DOUBTFUL = 0, 1


class _Round(Generic[Handshake]):
    """Sources that take turns, each with its handshakes, oldest first; `size` counts the latter."""

    def __init__(self) -> None:
        self.size = 0
        self.sources: OrderedDict[str, dict[Handshake, None]] = OrderedDict()

    def add(self, source: str, handshakes: dict[Handshake, None]) -> None:
        if handshakes:
            self.size += len(handshakes)
            self.sources.setdefault(source, {}).update(handshakes)

    def remove(self, source: str, handshake: Handshake) -> None:
        self.size -= 1
        handshakes = self.sources[source]
        del handshakes[handshake]
        if not handshakes:
            del self.sources[source]

    def take(self, source: str) -> dict[Handshake, None]:
        handshakes = self.sources.pop(source, {})
        self.size -= len(handshakes)
        return handshakes

    def of_the_largest(self) -> Handshake:
        """Return the oldest of the source that has most here, the latest of several; there has to be something."""
        _, handshakes = max(reversed(self.sources.items()), key=lambda one: len(one[1]))
        return next(iter(handshakes))

    def oldest(self) -> tuple[str, Handshake]:
        """Return what is next; there has to be something."""
        source, handshakes = next(iter(self.sources.items()))
        return source, next(iter(handshakes))


class HandshakeQueue(Generic[Handshake]):
    """Handshakes that wait for the loop's time.

    Args:
        reactor: tells the time and calls back.
        packet_turns: returns how many turns members' sessions have had so far.
        serve: does one handshake; raises nothing.
        max_sources: how many doubtful sources are remembered; who was used longest ago is forgotten first.
        max_doubtful: how many handshakes of doubtful sources may wait.
    """

    def __init__(
        self,
        reactor: Reactor,
        packet_turns: Callable[[], int],
        serve: Callable[[Handshake], None],
        max_sources: int,
        max_doubtful: int,
    ) -> None:
        self._reactor = reactor
        self._packet_turns = packet_turns
        self._serve = serve
        self._max_sources = max_sources
        self._max_doubtful = max_doubtful
        self._doubtful: OrderedDict[str, float] = OrderedDict()  # when it was last served, oldest first
        self._rounds: tuple[_Round[Handshake], _Round[Handshake]] = (_Round(), _Round())
        self._source_of: dict[Handshake, str] = {}
        self._planned = False
        self._doubtful_timer: Timer | None = None
        self._doubtful_at = 0.0  # when their pause ends, seconds of `now()`
        self._turns_seen = packet_turns()
        self._packets_at = reactor.now()
        self._credit = SLICE_SECONDS
        self._slice_ended = reactor.now()

    def __len__(self) -> int:
        return len(self._source_of)

    def put(self, handshake: Handshake, source: str) -> Handshake | None:
        """Let a handshake wait for its source's turn; return the one that has to be closed for it, if any."""
        self._end_doubts()
        self._source_of[handshake] = source
        self._rounds[source in self._doubtful].add(source, {handshake: None})
        self._plan_slice()
        doubtful = self._rounds[_DOUBTFUL]
        if doubtful.size <= self._max_doubtful:
            return None
        victim = doubtful.of_the_largest()
        self.remove(victim)
        return victim

    def remove(self, handshake: Handshake) -> None:
        """Forget a handshake; harmless when it does not wait here."""
        source = self._source_of.pop(handshake, None)
        if source is not None:
            self._rounds[source in self._doubtful].remove(source, handshake)

    def proved(self, source: str) -> None:
        """Note that a peer at this source has proved its keys: it is doubtful no more."""
        if source in self._doubtful:
            self._trust(source)

    # --- slices ------------------------------------------------------------------------------------------------------

    def _plan_slice(self) -> None:
        if not self._planned:
            self._planned = True
            self._reactor.call_soon(self._slice)

    def _slice(self) -> None:
        self._planned = False
        now = self._reactor.now()
        turns = self._packet_turns()
        if turns == self._turns_seen:
            self._credit = SLICE_SECONDS
        else:
            self._credit = min(SLICE_SECONDS, self._credit + now - self._slice_ended)
            self._turns_seen = turns
            self._packets_at = now
        while self._credit > 0 and (of_round := self._next_round(now)) is not None:
            began = now
            self._serve_next(of_round)
            now = self._reactor.now()
            spent = min(now - began, LONGEST_SECONDS)
            self._credit -= spent
            if of_round == _DOUBTFUL:
                self._doubtful_at = now + DOUBTFUL_PAUSE * spent
        self._slice_ended = now
        self._plan_next(now)

    def _next_round(self, now: float) -> int | None:
        """Return whose turn it is now: that of a good source, of a doubtful one, or nobody's."""
        good, doubtful = self._rounds
        if doubtful.size and (now >= self._doubtful_at or not (good.size or self._packets_flow(now))):
            return _DOUBTFUL
        return _GOOD if good.size else None

    def _plan_next(self, now: float) -> None:
        if self._doubtful_timer is not None:
            self._doubtful_timer.cancel()
            self._doubtful_timer = None
        good, doubtful = self._rounds
        if doubtful.size and not good.size and self._packets_flow(now) and now < self._doubtful_at:
            self._doubtful_timer = self._reactor.call_at(self._doubtful_at, self._plan_slice)
        elif self._source_of:
            self._plan_slice()

    def _packets_flow(self, now: float) -> bool:
        return now - self._packets_at < QUIET_SECONDS

    def _serve_next(self, of_round: int) -> None:
        source, handshake = self._rounds[of_round].oldest()
        self.remove(handshake)
        rest = self._rounds[of_round].take(source)
        self._doubtful[source] = self._reactor.now()  # until it has proved something
        self._doubtful.move_to_end(source)
        self._rounds[_DOUBTFUL].add(source, rest)
        if len(self._doubtful) > self._max_sources:
            self._trust(next(iter(self._doubtful)))
        self._serve(handshake)

    def _end_doubts(self) -> None:
        before = self._reactor.now() - DOUBT_SECONDS
        while self._doubtful and next(iter(self._doubtful.values())) <= before:
            self._trust(next(iter(self._doubtful)))

    def _trust(self, source: str) -> None:
        del self._doubtful[source]
        self._rounds[_GOOD].add(source, self._rounds[_DOUBTFUL].take(source))
