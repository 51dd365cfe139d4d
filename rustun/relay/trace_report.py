"""What would become of a packet, told with what it rests on (trace.py).

Rules of this module
  1. The verdict is that of `examine` and `Cluster.route`, asked with the bytes that a packet would have had. Nothing
     here decides: what is told beside the verdict explains it, and never turns it.
  2. Nothing is sent, counted or remembered.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import TYPE_CHECKING, Final

from rustun.config.member import Member
from rustun.printable import printable
from rustun.protocol.packet import ITEM_HEADER_BYTES, DropReason, examine, flow_key
from rustun.protocol.probe import probe_packet
from rustun.protocol.routing import never_inside
from rustun.relay.cluster import Cluster, prefixes_of
from rustun.relay.session import RelaySession

if TYPE_CHECKING:
    from rustun.relay.core import RelayCore
    from rustun.relay.server import RelayServer

Address = IPv4Address | IPv6Address
Prefix = IPv4Network | IPv6Network
Document = dict[str, object]

PASSES: Final = "pass"
DROPPED: Final = "drop"
NOT_CONNECTED: Final = "not-connected"  # the sender has no session: nothing of it arrives, no counter rises
USUAL_MTU: Final = 1500  # of a sender that has no session to announce another one
SHOWN_NAMES: Final = 8
OF_THE_PACKET: Final = frozenset(reason.label for reason in DropReason)  # whatever its addresses are


@dataclass(frozen=True, slots=True)
class Way:
    """From where to where: `key` is the packet's flow key, `member` sends it."""

    member: Member
    source: Address
    destination: Address
    size: int

    @property
    def packet(self) -> bytes:
        """The packet as it would come out of the sender's record."""
        return probe_packet(self.source, self.destination, self.size)


def decide(core: RelayCore, way: Way) -> RelaySession | str:
    """Return the session that would get the packet, or the reason for which it would be dropped.

    The sender is taken as connected: with its session's MTU where it has one.
    """
    cluster = core.clusters.get(way.member.cluster)
    session = _session(core, way.member)
    packet = way.packet
    reason = examine(packet, 0, len(packet), 0, 0, session.mtu if session is not None else USUAL_MTU)
    if reason:
        return DropReason(reason).label
    return (cluster or Cluster(way.member.cluster)).route(way.member, flow_key(packet, 0))


class Report:
    """What is told of one way."""

    def __init__(self, server: RelayServer, way: Way) -> None:
        self._core = server.core
        self._file = server.roster.path
        self._way = way
        self._cluster = server.core.clusters.get(way.member.cluster) or Cluster(way.member.cluster)
        self._session = _session(server.core, way.member)
        self._found = decide(server.core, way)
        self._now = server.core.reactor.now()

    def verdict(self) -> Document:
        """Return the verdict with its reason and a sentence."""
        if self._session is None:
            state = self._absence(self._way.member)
            return _verdict(NOT_CONNECTED, "", f"{self._way.member.identity} is not connected: {state}")
        if isinstance(self._found, str):
            return _verdict(DROPPED, self._found, self._why(self._found))
        return _verdict(PASSES, "", f"goes to {self._found.identity}{self._instead()}", self._found.identity)

    def document(self) -> Document:
        """Return all that is told."""
        way = self._way
        return {
            **self.verdict(),
            "cluster": way.member.cluster,
            "member": way.member.identity,
            "source": str(way.source),
            "destination": str(way.destination),
            "size": way.size,
            "steps": [step for step in self._steps() if step["text"]],
            "counter": self._counter(),
            "otherwise": list(self._otherwise()),
        }

    # --- steps -------------------------------------------------------------------------------------------------------

    def _steps(self) -> Iterable[Document]:
        way, found = self._way, self._found
        yield _step("sender", self._presence(way.member, self._session), self._place(way.member))
        if found in OF_THE_PACKET:
            yield _step("packet", self._why(str(found)))
            return
        yield self._side("source", way.source)
        if found == "bad-source":
            return
        yield self._side("destination", way.destination)
        owner = self._owner(way.destination)
        if owner is None:
            return
        yield _step("mapping", _mapped(owner, way.destination), self._place(owner))
        if isinstance(found, str):
            if found == "offline":
                yield _step("receiver", self._presence(owner, None), self._place(owner))
            return
        yield _step("receiver", self._presence(owner, found), self._place(owner))
        yield _step("queue", self._queue(found))

    def _side(self, name: str, address: Address) -> Document:
        way = self._way
        good_source = name == "source" and self._found != "bad-source"
        owner = way.member if good_source else self._owner(address)
        if owner is None:
            return _step(name, self._nobodys(address))
        return _step(name, f"{_longest(owner, address)} is {owner.identity}'s", self._place(owner))

    def _nobodys(self, address: Address) -> str:
        cluster = self._way.member.cluster
        if never_inside(int(address), address.version):
            return f"{address} never belongs inside a tunnel (loopback, link-local, multicast and the like)"
        for member in self._core.members.values():  # 10,000 of them: nothing here takes a microsecond for each
            if member.cluster != cluster:
                continue
            if not member.enabled and has(member, address):
                return f"{address} is {member.identity}'s, which is disabled ({self._place(member)})"
            for seen, real in member.cider_mapping:
                if address in real:
                    return f"{address} is the real side of a mapping: the cluster knows {real} as {seen}"
        exits = self._cluster.default_owners(address.version)
        if len(exits) > 1:
            return f"{len(exits)} members offer a default route, for {address} too: the seed's wire cannot say which"
        others = sorted(one for one in self._core.clusters if self._in_cluster(one, address))
        elsewhere = f"; it is somebody's in {listed(others)}, and clusters never reach each other" if others else ""
        return f"no address and no prefix of cluster {cluster} holds {address}{elsewhere}"

    def _instead(self) -> str:
        """Say whose the destination would be, were it not for its entry: a wider prefix has it meanwhile."""
        address = self._way.destination
        owner = self._owner(address)
        for member in self._core.members.values():  # as above
            if member.enabled or member.cluster != self._way.member.cluster or not has(member, address):
                continue
            if owner is None or _longest(member, address).prefixlen > _longest(owner, address).prefixlen:
                return f": {address} is {member.identity}'s, which is disabled ({self._place(member)})"
        return ""

    def _in_cluster(self, name: str, address: Address) -> bool:
        return self._core.clusters[name].owner(int(address), address.version) is not None

    def _owner(self, address: Address) -> Member | None:
        identity = self._cluster.owner(int(address), address.version)
        # Not of the cluster's own: an entry that only moved to another line is not taken there again.
        return self._core.members[identity] if identity is not None else None

    def _place(self, member: Member) -> str:
        return f"{self._file}:{member.line}"

    def _presence(self, member: Member, session: RelaySession | None) -> str:
        if session is None:
            return f"{member.identity} is not connected: {self._absence(member)}"
        ages = f"for {self._now - session.began_at:.0f} s, last proof {self._now - session.heard_at:.0f} s ago"
        stalled = "; it takes next to nothing any more and is about to be closed" if session.stalled(self._now) else ""
        return f"{member.identity} is connected by the {session.tier} tier {ages}{stalled}"

    def _absence(self, member: Member) -> str:
        if not member.enabled:
            return f"disabled ({self._place(member)})"
        if member.expires_at is not None and self._core.reactor.wall_clock() >= member.expires_at.timestamp():
            return f"expired at {member.expires_at.isoformat()} ({self._place(member)})"
        records = (self._core.last_seen.get(member.identity), self._core.last_failed.get(member.identity))
        known = [record for record in records if record is not None]
        if not known:
            return "it has not been here since this server started"
        at, reason = max(known)
        return f"{reason}, {self._now - at:.0f} s ago"

    def _queue(self, receiver: RelaySession) -> str:
        queue, limits = receiver.queue, self._core.queues
        if not queue.packets:
            return "empty: the packet would be sent at once"
        text = (
            f"{queue.packets} of {limits.receiver_packets} packets and {queue.bytes} of {limits.receiver_bytes} bytes "
            f"wait for {receiver.identity}"
        )
        size = self._way.size + ITEM_HEADER_BYTES
        if queue.packets >= limits.receiver_packets or queue.bytes + size > limits.receiver_bytes:
            text += ": full, and the sender with the most in it loses (queue-full)"
        return text

    # --- why ---------------------------------------------------------------------------------------------------------

    def _why(self, reason: str) -> str:
        way = self._way
        if reason == "bad-source":
            owner = self._owner(way.source)
            if owner is None:
                return self._nobodys(way.source)
            return f"{_longest(owner, way.source)} is {owner.identity}'s: {way.member.identity} may not send from there"
        if reason == "no-route":
            return self._nobodys(way.destination)
        if reason == "to-sender":
            return f"{way.destination} is {way.member.identity}'s own: it came back from there, or should not leave it"
        if reason == "offline":
            owner = self._owner(way.destination)
            return self._presence(owner, None) if owner is not None else ""
        mtu = self._session.mtu if self._session is not None else USUAL_MTU
        return f"{way.size} bytes are more than the MTU of {way.member.identity}, {mtu}"

    # --- counters ----------------------------------------------------------------------------------------------------

    def _counter(self) -> Document | None:
        """Return the counter that the packet would raise."""
        if self._session is None:
            return None
        if isinstance(self._found, str):
            count = self._session.traffic.drops.get(self._found, 0)
            return {"member": self._way.member.identity, "counter": f"drops {self._found}", "now": count}
        return {"member": self._found.identity, "counter": "sent_packets", "now": self._found.traffic.sent_packets}

    def _otherwise(self) -> Iterable[str]:
        """Return what the counters say that does not go with the verdict."""
        session = self._session
        if session is None:
            return
        sender, age = self._way.member.identity, f"since its session began {self._now - session.began_at:.0f} s ago"
        if isinstance(self._found, str):
            if not session.traffic.drops.get(self._found, 0):
                yield f"nothing of {sender} was dropped as {self._found} {age}: has such a packet left its host?"
            return
        for reason, count in session.traffic.drops.items():
            if count:
                yield f"{count} packets of {sender} were dropped as {reason} {age}"
        if not session.traffic.received_packets:
            yield f"no packet of {sender} has come {age}: does its host route {self._way.destination} into the tunnel?"
        if not self._found.traffic.sent_packets:
            yield f"no packet was sent to {self._found.identity} since its session began"


def has(member: Member, address: Address) -> bool:
    """Tell whether an address is a member's own or behind it, by its entry alone."""
    six = member.private_ip6
    own = address == member.private_ip or (six is not None and address == six.ip)
    return own or any(address in prefix for prefix in member.ciders)


def listed(names: Sequence[str]) -> str:
    """Return the first few names for a sentence."""
    more = f" and {len(names) - SHOWN_NAMES} more" if len(names) > SHOWN_NAMES else ""
    return f"{', '.join(map(printable, names[:SHOWN_NAMES]))}{more}"


def of_nobody(core: RelayCore, source: Address, destination: Address, size: int, cluster: str) -> Document:
    """Return what is told where no member may send from an address."""
    where = f"cluster {printable(cluster)}" if cluster else "any cluster"
    out = [one.identity for one in core.members.values() if not one.enabled and has(one, source)]
    disabled = f": it is that of {listed(out)}, disabled" if out else ""
    text = f"no member of {where} may send from {source}{disabled}"
    ends: Document = {"source": str(source), "destination": str(destination), "size": size}
    return {
        **_verdict(DROPPED, "bad-source", text),
        **{"cluster": cluster, "member": "", **ends},
        "steps": [_step("source", "it is in no enabled entry's private_ip, private_ip6 or ciders")],
        "counter": None,
        "otherwise": ["whoever sends it has it counted as bad-source; ask with --by MEMBER"],
    }


def _verdict(verdict: str, reason: str, text: str, receiver: str = "") -> Document:
    return {"verdict": verdict, "reason": reason, "text": text, "receiver": receiver}


def _step(name: str, text: str, entry: str = "") -> Document:
    return {"step": name, "text": text, "entry": entry}


def _mapped(owner: Member, address: Address) -> str:
    for seen, real in owner.cider_mapping:
        if address in seen:
            inner = real.network_address + (int(address) - int(seen.network_address))
            return f"{owner.identity} translates {address} to {inner}"
    return ""


def _longest(owner: Member, address: Address) -> Prefix:
    """Return the prefix for which an address is its owner's: the table looks for the longest, too."""
    return max((prefix for prefix in prefixes_of(owner) if address in prefix), key=lambda prefix: prefix.prefixlen)


def _session(core: RelayCore, member: Member) -> RelaySession | None:
    cluster = core.clusters.get(member.cluster)
    return cluster.sessions.get(member.identity) if cluster is not None else None


