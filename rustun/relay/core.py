"""What all sessions of one relay share: clusters, limits, buffers, counters, and the rules of who replaces whom.

Rules of this module
  1. Takeover (docs/protocol.md, section 7): a lower tier never takes a higher one's place. Shared tier: the one that
     is there keeps its place if it answers within a second. Legacy: the newest wins.
  2. All queues together hold `queued_bytes_total` at the most; the longest loses first.
  3. `session_ended` is called once by each session's `close`, and withdraws it everywhere.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from rustun.backends.base import Reactor
from rustun.config.limits import LimitConfig, QueueConfig
from rustun.config.member import Member
from rustun.link.buffers import Buffers
from rustun.logs import EventLog, describe_bug
from rustun.protocol.tiers import Tier
from rustun.relay.cluster import Cluster
from rustun.relay.egress import Egress
from rustun.relay.noise_session import NoiseSession
from rustun.relay.seed_session import SeedSession
from rustun.relay.session import RelaySession
from rustun.relay.switch import Switch

if TYPE_CHECKING:
    from rustun.config.routes import RoutesFile

INCUMBENT_SECONDS: Final = 1.0  # how long a session on the shared tier has to answer when another one claims its place
NEWS_SECONDS: Final = 1.0
FIRST_NEWS_SECONDS: Final = 0.02  # gathers what happens together, such as a fleet coming back
ALARM_SECONDS: Final = 60.0
SECRET_FIELDS: Final = ("public_keys", "tier", "psk_file")


class RelayCore:
    """The shared state of a relay.

    Attributes:
        clusters: by name; one without members and sessions is forgotten.
        sessions: all living sessions, confirmed or not, in order of beginning.
        drops, closes: counted by reason, of sessions that have ended.
    """

    def __init__(
        self,
        reactor: Reactor,
        limits: LimitConfig,
        queues: QueueConfig,
        random_bytes: Callable[[int], bytes],
        log: EventLog,
    ) -> None:
        self.reactor = reactor
        self.limits = limits
        self.queues = queues
        self.random_bytes = random_bytes
        self.log = log
        self.buffers = Buffers()
        self.egress = Egress(self.buffers)
        self.switch = Switch(reactor, self.buffers, self.egress)
        self.turn_seconds = queues.turn_ms / 1000
        self.clusters: dict[str, Cluster] = {}
        self.members: dict[str, Member] = {}  # every entry by identity, disabled ones too
        self.sessions: dict[RelaySession, None] = {}
        self.drops: Counter[str] = Counter()
        self.closes: Counter[str] = Counter()
        self.last_seen: dict[str, tuple[float, str]] = {}  # identity -> (when its session ended, why)
        self.queued_bytes = 0
        self._takeovers: dict[str, deque[float]] = {}

    # --- members -----------------------------------------------------------------------------------------------------

    def apply_routes(self, routes: RoutesFile) -> None:
        """Take a new set of members: end the sessions that it ends, tell the others, leave the rest alone."""
        before = self.members
        after = {member.identity: member for member in routes.members}
        touched = {
            member.cluster
            for identity in before.keys() | after.keys()
            if before.get(identity) != after.get(identity)
            for member in (before.get(identity), after.get(identity))
            if member is not None
        }
        self.members = after
        for session in list(self.sessions):
            self._apply_to_session(session, before[session.identity], after.get(session.identity))
        by_cluster: dict[str, list[Member]] = {name: [] for name in touched}
        for member in routes.members:
            if member.enabled and member.cluster in by_cluster:
                by_cluster[member.cluster].append(member)
        for name, members in by_cluster.items():
            cluster = self.clusters.setdefault(name, Cluster(name))
            cluster.replace_members(members)
            self._plan_news(cluster)
            if not members:
                del self.clusters[name]
        for identity in (self.last_seen.keys() | self._takeovers.keys()) - after.keys():
            self.last_seen.pop(identity, None)
            self._takeovers.pop(identity, None)

    def _apply_to_session(self, session: RelaySession, before: Member, after: Member | None) -> None:
        if after == before:
            return
        reason = _why_it_ends(session, before, after)
        if reason or after is None:
            self.log.event("info", "session-ended-by-routes", reason, identity=session.identity)
            session.close(reason, say=reason)
            return
        session.member = after
        if isinstance(session, NoiseSession) and session.confirmed:
            session.tell_config()

    # --- sessions ----------------------------------------------------------------------------------------------------

    def session_began(self, session: RelaySession) -> None:
        """Take a new session in; its member has not been proved yet on the Noise tiers."""
        self.sessions[session] = None
        if isinstance(session, SeedSession):
            self.claim(session)

    def claim(self, session: NoiseSession | SeedSession) -> None:
        """A session asks for its identity's place: give it, refuse it, or first ask the one that has it."""
        incumbent = session.cluster.sessions.get(session.identity)
        if incumbent is None:
            self._give_place(session)
        elif incumbent.tier > session.tier:
            session.close("place-taken", say="a session of a higher tier is up")
        elif incumbent.tier == Tier.SHARED and session.tier == Tier.SHARED and isinstance(incumbent, NoiseSession):
            asked_at = self.reactor.now()
            incumbent.ping()
            self.reactor.call_at(asked_at + INCUMBENT_SECONDS, lambda: self._decide(session, incumbent, asked_at))
        else:
            self._supersede(session, incumbent)

    def _decide(self, session: NoiseSession | SeedSession, incumbent: RelaySession, asked_at: float) -> None:
        if session.closed:
            return
        present = session.cluster.sessions.get(session.identity)
        if present is None:
            self._give_place(session)
        elif present is incumbent and incumbent.heard_at <= asked_at:
            self._supersede(session, incumbent)
        else:
            session.close("place-taken", say="another session of this identity is up and answers")

    def _supersede(self, session: NoiseSession | SeedSession, incumbent: RelaySession) -> None:
        incumbent.close("superseded", say="another session took this member's place")
        now = self.reactor.now()
        recent = self._takeovers.setdefault(session.identity, deque(maxlen=self.limits.takeovers_per_minute + 1))
        recent.append(now)
        if len(recent) == recent.maxlen and now - recent[0] < ALARM_SECONDS:
            message = "more takeovers than usual: two hosts may use one identity"
            self.log.event("warning", "takeover-alarm", message, identity=session.identity)
        self._give_place(session)

    def _give_place(self, session: NoiseSession | SeedSession) -> None:
        session.cluster.add_session(session)
        session.confirm()
        self._plan_news(session.cluster)
        self.log.event(
            "info",
            "session-up",
            f"{session.identity} is online",
            cluster=session.cluster.name,
            tier=session.tier.value,
            cipher=session.cipher_name,
            remote=session.stream.remote,
        )

    def session_ended(self, session: RelaySession, reason: str) -> None:
        """Withdraw a session that has just closed."""
        self.sessions.pop(session, None)
        self.closes[reason] += 1
        self.drops.update(session.traffic.drops)
        if session.cluster.remove_session(session):
            self.last_seen[session.identity] = (self.reactor.now(), reason)
            self._plan_news(session.cluster)
        self.log.event(
            "info", "session-closed", f"{session.identity}: {reason}", cluster=session.cluster.name,
            remote=session.stream.remote,
        )  # fmt: skip

    @property
    def alarms(self) -> list[str]:
        """What an operator should look at now, one line each."""
        now = self.reactor.now()
        return [
            f"{identity}: {len(recent)} takeovers within a minute; two hosts may use one identity"
            for identity, recent in self._takeovers.items()
            if len(recent) == recent.maxlen and now - recent[0] < ALARM_SECONDS
        ]

    # --- news --------------------------------------------------------------------------------------------------------

    def _plan_news(self, cluster: Cluster) -> None:
        if cluster.news_planned:
            return
        cluster.news_planned = True
        when = max(self.reactor.now() + FIRST_NEWS_SECONDS, cluster.news_at + NEWS_SECONDS)
        self.reactor.call_at(when, lambda: self._publish(cluster))

    def _publish(self, cluster: Cluster) -> None:
        cluster.news_planned = False
        if not cluster.directory.has_news:
            return
        cluster.news_at = self.reactor.now()
        cluster.directory.publish()
        for session in list(cluster.sessions.values()):
            if isinstance(session, NoiseSession):
                session.tell_news()

    # --- bounds ------------------------------------------------------------------------------------------------------

    def note_queued(self, change: int) -> None:
        """Keep account of the bytes in all queues, and drop from the longest where they are too many."""
        self.queued_bytes += change
        if self.queued_bytes <= self.limits.queued_bytes_total:
            return
        target = self.limits.queued_bytes_total * 15 // 16  # some room, so that not every packet looks for the longest
        while self.queued_bytes > target:
            longest = max(self.sessions, key=lambda session: session.queue.bytes)
            before = longest.queue.bytes
            loser, packets = longest.queue.drop_from_longest()
            self.note_lost(loser, packets)
            self.queued_bytes -= before - longest.queue.bytes

    def note_lost(self, sender: RelaySession, packets: int) -> None:
        """Count packets that a full queue dropped; their sender's own counters may have been added up already."""
        drops = self.drops if sender.closed else sender.traffic.drops
        drops["queue-full"] += packets

    def report_fault(self, error: Exception, identity: str) -> None:
        """Say in the log that something unexpected happened in our own code."""
        self.log.event("error", "internal-error", describe_bug(error), identity=identity)


def _why_it_ends(session: RelaySession, before: Member, after: Member | None) -> str:
    """Return why a changed entry ends its session, or nothing when the session may go on."""
    if after is None:
        return "removed"
    if not after.enabled:
        return "disabled"
    if after.cluster != before.cluster:
        return "moved"
    if any(getattr(after, name) != getattr(before, name) for name in SECRET_FIELDS):
        return "re-keyed"
    if isinstance(session, SeedSession):  # its wire has no word for a changed configuration: it has to come again
        return "reconfigured"
    return ""
