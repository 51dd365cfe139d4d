"""Two sessions of one identity: who has the place that packets are sent to (docs/protocol.md, section 7).

Rules of this module
  1. Key tier: the newest session that has proved its keys wins. With it everything of that identity that began earlier
     ends, proved or not: who comes late with an old handshake finds it closed.
  2. Shared tier, where every holder of the key can claim any identity: the one that is there keeps its place if it
     answers within a second. Legacy: the newest wins.
  3. A lower tier never takes a higher one's place.
  4. Who takes places too often, or from each other, is told to the operator (returns.py).
  5. Nothing is lost by a takeover that can be helped: what waited for the old session waits for the new one, and what
     was sealed for the old one is still offered to its stream, unless places are taken too often.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from rustun.protocol.tiers import Tier
from rustun.relay.noise_session import NoiseSession
from rustun.relay.returns import Returns
from rustun.relay.seed_session import SeedSession
from rustun.relay.session import RelaySession

if TYPE_CHECKING:
    from rustun.relay.core import RelayCore

INCUMBENT_SECONDS: Final = 1.0  # how long a session on the shared tier has to answer when another one claims its place
ALARM_SECONDS: Final = 60.0
REST_SECONDS: Final = 5.0  # for which a client still reads a session that has handed over

Claimant = NoiseSession | SeedSession


class Takeover:
    """Gives out places.

    Args:
        core: what sessions of this relay share.
        give_place: makes a session the one that packets are sent to.
    """

    def __init__(self, core: RelayCore, give_place: Callable[[Claimant], None]) -> None:
        self._core = core
        self._give_place = give_place
        self._living: dict[str, dict[RelaySession, None]] = {}  # by identity, in order of beginning
        self._recent: dict[str, deque[float]] = {}
        self._returns = Returns()

    def began(self, session: RelaySession) -> None:
        """Note a session that has begun; its member has proved nothing yet on the Noise tiers."""
        self._living.setdefault(session.identity, {})[session] = None

    def ended(self, session: RelaySession) -> None:
        """Forget a session that has closed."""
        living = self._living.get(session.identity, {})
        living.pop(session, None)
        if not living:
            self._living.pop(session.identity, None)

    def forget(self, identity: str) -> None:
        """Forget the takeovers of an identity that is no member any more."""
        self._recent.pop(identity, None)
        self._returns.forget(identity)

    def rest_seconds(self, identity: str) -> float:
        """Return how long the stream of a session that loses its place may take what it was too full for."""
        often = self._too_many(self._recent.get(identity, deque()), self._core.reactor.now())
        return 0.0 if often else REST_SECONDS

    def claim(self, session: Claimant) -> None:
        """A session asks for its identity's place: give it, refuse it, or first ask the one that has it."""
        if session.closed:  # its connection ended while it was answered
            return
        core = self._core
        incumbent = session.cluster.sessions.get(session.identity)
        if incumbent is not None and incumbent.tier > session.tier:
            session.close("place-taken", say="a session of a higher tier is up")
        elif isinstance(incumbent, NoiseSession) and incumbent.tier == Tier.SHARED and session.tier == Tier.SHARED:
            asked_at = core.reactor.now()
            incumbent.ping()
            core.reactor.call_at(asked_at + INCUMBENT_SECONDS, lambda: self._decide(session, incumbent, asked_at))
        else:
            self._take(session, incumbent)

    def _decide(self, session: Claimant, incumbent: RelaySession, asked_at: float) -> None:
        if session.closed:
            return
        present = session.cluster.sessions.get(session.identity)
        if present is None:
            self._take(session, None)
        elif present is incumbent and incumbent.heard_at <= asked_at:
            self._take(session, incumbent)
        else:
            session.close("place-taken", say="another session of this identity is up and answers")

    def _take(self, session: Claimant, incumbent: RelaySession | None) -> None:
        if incumbent is not None:
            session.inherit(incumbent)
            incumbent.close("superseded", say="another session took this member's place")
            self._count(session.identity)
            self._note_addresses(session, incumbent)
            self._core.log.event(
                "debug", "takeover", f"{session.identity} has a new session", cluster=session.cluster.name,
                identity=session.identity, remote=session.stream.remote, former_remote=incumbent.stream.remote,
            )  # fmt: skip
        if session.tier is Tier.KEY:
            for older in self._older(session):
                older.close("superseded", say="another session took this member's place")
        self._give_place(session)

    def _older(self, session: RelaySession) -> list[RelaySession]:
        older = []
        for one in self._living.get(session.identity, {}):
            if one is session:
                break
            older.append(one)
        return older

    def _count(self, identity: str) -> None:
        now = self._core.reactor.now()
        recent = self._recent.setdefault(identity, deque(maxlen=self._core.limits.takeovers_per_minute + 1))
        recent.append(now)
        if self._too_many(recent, now):
            message = "more takeovers than usual: two hosts may use one identity"
            self._core.log.event("warning", "takeover-alarm", message, identity=identity)

    def _note_addresses(self, session: RelaySession, incumbent: RelaySession) -> None:
        before, after = incumbent.stream.remote.host, session.stream.remote.host
        alarm = self._returns.note(session.identity, before, after, self._core.reactor.now())
        if alarm:
            self._core.log.event("warning", "two-hosts", alarm, identity=session.identity)

    def _too_many(self, recent: deque[float], now: float) -> bool:
        return len(recent) == recent.maxlen and now - recent[0] < ALARM_SECONDS

    @property
    def alarms(self) -> list[str]:
        """What an operator should look at now, one line each."""
        now = self._core.reactor.now()
        often = [
            f"{identity}: {len(recent)} takeovers within a minute; two hosts may use one identity"
            for identity, recent in self._recent.items()
            if self._too_many(recent, now)
        ]
        return often + self._returns.alarms(now)
