"""What all sessions of one relay share: clusters, members, limits, buffers, counters.

Rules of this module
  1. Every change of members or keys is applied to every living session at once, proved or not (revocation.py).
  2. All queues together hold `queued_bytes_total` at the most; the longest loses first.
  3. `session_ended` is called once by each session's `close`, and withdraws it everywhere.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Final

from rustun.backends.base import Reactor
from rustun.config.limits import LimitConfig, QueueConfig
from rustun.config.member import Member
from rustun.link.buffers import Buffers
from rustun.logs import EventLog, describe_bug
from rustun.protocol.tiers import Tier
from rustun.relay.admission import SourceBudget
from rustun.relay.cluster import Cluster
from rustun.relay.counters import Totals
from rustun.relay.egress import Egress
from rustun.relay.noise_session import NoiseSession
from rustun.relay.policy import Policy
from rustun.relay.revocation import why_it_ends
from rustun.relay.seed_session import SeedSession
from rustun.relay.session import RelaySession
from rustun.relay.switch import Switch
from rustun.relay.takeover import Takeover

if TYPE_CHECKING:
    from rustun.config.routes import RoutesFile
    from rustun.relay.listing import Listed

NEWS_SECONDS: Final = 1.0
FIRST_NEWS_SECONDS: Final = 0.02  # gathers what happens together, such as a fleet coming back


class RelayCore:
    """The shared state of a relay.

    Attributes:
        policy: who may come in, and who may stay.
        clusters: by name; one without members and sessions is forgotten.
        sessions: all living sessions, confirmed or not, in order of beginning.
        control_budget: of member and source together, so that a new session is no new budget, and nobody spends the
            budget of a member whose identity he only claims.
        last_seen, last_failed: of members, when a session ended, or did not come to be, and why.
        listed: what listing.py says of absent members that stays; forgotten with the member, since whoever comes again
            is new to those who were told that it had gone.
        ended: what sessions counted that have ended.
        closes: of connections, by reason.
        handshakes: by tier and outcome: "proved", or the reason of the close.
    """

    def __init__(
        self,
        reactor: Reactor,
        limits: LimitConfig,
        queues: QueueConfig,
        random_bytes: Callable[[int], bytes],
        log: EventLog,
        policy: Policy,
    ) -> None:
        self.reactor = reactor
        self.policy = policy
        self.limits = limits
        self.queues = queues
        self.random_bytes = random_bytes
        self.log = log
        self.buffers = Buffers()
        self.egress = Egress(self.buffers)
        self.switch = Switch(reactor, self.buffers, self.egress)
        self.turn_seconds = queues.turn_ms / 1000
        rate = limits.control_messages_per_second
        self.control_budget = SourceBudget(rate, rate, limits.source_table_entries)
        self.clusters: dict[str, Cluster] = {}
        self.members: dict[str, Member] = {}  # every entry by identity, disabled ones too
        self.sessions: dict[NoiseSession | SeedSession, None] = {}
        self.ended = Totals()
        self.closes: Counter[str] = Counter()
        self.handshakes: Counter[tuple[Tier, str]] = Counter()
        self.last_seen: dict[str, tuple[float, str]] = {}
        self.last_failed: dict[str, tuple[float, str]] = {}
        self.listed: dict[str, Listed] = {}
        self.queued_bytes = 0
        self.takeover = Takeover(self, self._give_place)

    # --- members -----------------------------------------------------------------------------------------------------

    def apply_routes(self, routes: RoutesFile, maybe_changed: Collection[str]) -> None:
        """Take a new set of members: end the sessions that it ends, tell the others, leave the rest alone.

        Args:
            maybe_changed: identities; of all others the entry is the same as in the set before.
        """
        before = self.members
        after = {member.identity: member for member in routes.members}
        changed = {identity for identity in maybe_changed if before.get(identity) != after.get(identity)}
        sides = ((before.get(identity), after.get(identity)) for identity in changed)
        touched = {member.cluster for side in sides for member in side if member is not None}
        self.members = after
        for session in list(self.sessions):
            if session.identity in changed:
                self._apply_to_session(session)
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
        for identity in changed - after.keys():
            self.last_seen.pop(identity, None)
            self.last_failed.pop(identity, None)
            self.listed.pop(identity, None)
            self.takeover.forget(identity)

    def apply_policy(self, policy: Policy) -> None:
        """Take new keys and rules: end the sessions whose keys are not in force any more, leave the rest alone."""
        policy.take_over_from(self.policy)
        self.policy = policy
        for session in list(self.sessions):
            self._apply_to_session(session)

    def _apply_to_session(self, session: NoiseSession | SeedSession) -> None:
        after = self.members.get(session.identity)
        reason = why_it_ends(session, after, self.policy)
        if reason or after is None:
            self.log.event(
                "info", "session-revoked", f"{session.identity}: {reason}", cluster=session.cluster.name,
                identity=session.identity, reason=reason,
            )  # fmt: skip
            session.close(reason, say=reason)
            return
        before, session.member = session.member, after
        if isinstance(session, NoiseSession) and session.confirmed and after != before:
            session.tell_config()

    # --- sessions ----------------------------------------------------------------------------------------------------

    def session_began(self, session: NoiseSession | SeedSession) -> None:
        """Take a new session in; its member has not been proved yet on the Noise tiers."""
        self.sessions[session] = None
        self.takeover.began(session)
        if isinstance(session, SeedSession):
            self.takeover.claim(session)

    def _give_place(self, session: NoiseSession | SeedSession) -> None:
        session.cluster.add_session(session)
        session.confirm()
        self._plan_news(session.cluster)
        self.log.event(
            "info",
            "session-up",
            f"{session.identity} is online",
            cluster=session.cluster.name,
            identity=session.identity,
            tier=session.tier.value,
            cipher=session.cipher_name,
            public_key=session.public_key,
            remote=session.stream.remote,
        )

    def note_failed(self, identity: str, reason: str) -> None:
        """Remember why somebody with a member's identity did not come in; of others nothing is remembered."""
        if identity in self.members:
            self.last_failed[identity] = (self.reactor.now(), reason)

    def session_ended(self, session: RelaySession, reason: str) -> None:
        """Withdraw a session that has just closed."""
        self.sessions.pop(session, None)  # type: ignore[call-overload]
        self.takeover.ended(session)
        self.closes[reason] += 1
        self.ended.add(session.traffic)
        if session.cluster.remove_session(session):
            self.last_seen[session.identity] = (self.reactor.now(), reason)
            self._plan_news(session.cluster)
        more = session.what_it_means(reason) if isinstance(session, NoiseSession) else ""
        if more:
            self.handshakes[session.tier, reason] += 1
            self.note_failed(session.identity, reason + more)
        self._report_end(session, reason, more)

    def _report_end(self, session: RelaySession, reason: str, more: str) -> None:
        text = f"{session.identity}: {reason}{more}"
        cluster, identity, remote = session.cluster.name, session.identity, session.stream.remote
        if more:
            self.log.event(
                "info", "session-unproved", text, cluster=cluster, identity=identity, reason=reason, remote=remote
            )  # fmt: skip
            return
        self.log.event(
            "info", "session-closed", text, cluster=cluster, identity=identity, reason=reason, remote=remote,
            age_s=round(self.reactor.now() - session.began_at, 3), received_bytes=session.traffic.received_bytes,
            sent_bytes=session.traffic.sent_bytes,
        )  # fmt: skip

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
            self.note_lost(loser, longest, packets)
            self.queued_bytes -= before - longest.queue.bytes

    def note_lost(self, sender: RelaySession, receiver: RelaySession, packets: int) -> None:
        """Count packets that a full queue dropped; their sender's own counters may have been added up already."""
        drops = self.ended.drops if sender.closed else sender.traffic.drops
        drops["queue-full"] += packets
        sender.traffic.lost_to = receiver.identity
        receiver.traffic.lost_packets += packets

    def report_fault(self, error: Exception, identity: str) -> None:
        """Say in the log that something unexpected happened in our own code."""
        text = f"{identity}: {describe_bug(error)}" if identity else describe_bug(error)
        self.log.event("error", "internal-error", text)
