"""One tenant: its members, its routes, its living sessions and its directory; nothing here knows another tenant.

Rules of this module
  1. A packet's sender decides the cluster; addresses are looked up in that cluster's own table, so two clusters may use
     the same private addresses.
  2. Whatever changes who gets a packet raises `epoch`, which empties what senders remember.
  3. Disabled members have no routes and are in no directory.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_network
from typing import TYPE_CHECKING

from rustun.config.member import Member
from rustun.protocol.control import DirectoryEntry, Presence
from rustun.protocol.packet import flow_addresses
from rustun.protocol.routing import ClusterRoutes, Prefix
from rustun.relay.directory import PRESENCE_MEMBERS, ClusterDirectory

if TYPE_CHECKING:
    from rustun.relay.session import RelaySession


def prefixes_of(member: Member) -> Iterable[Prefix]:
    """Return every prefix that packets of or to a member may have: its addresses and its LANs."""
    yield ip_network(member.private_ip)
    if member.private_ip6 is not None:
        yield ip_network(member.private_ip6.ip)
    yield from member.ciders


class Cluster:
    """One cluster at run time.

    Attributes:
        name: of the cluster.
        epoch: raised with every change of routes or sessions.
        members: enabled members by identity.
        sessions: confirmed sessions by identity.
        directory: what members are told.
        news_at: when news were last published, in seconds of `now()`.
        news_planned: whether a publication is on its way.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.epoch = 0
        self.members: dict[str, Member] = {}
        self.sessions: dict[str, RelaySession] = {}
        self.directory = ClusterDirectory()
        self.news_at = 0.0
        self.news_planned = False
        self._routes: ClusterRoutes[str] = ClusterRoutes()

    def replace_members(self, members: Iterable[Member]) -> None:
        """Take the cluster's new set of enabled members; sessions that no longer fit were closed before."""
        tells_presence = self._tells_presence
        before, self.members = self.members, {member.identity: member for member in members}
        identities = before.keys() | self.members.keys()
        changed = {identity for identity in identities if before.get(identity) != self.members.get(identity)}
        self._replace_routes(before, changed)
        self.epoch += 1
        for identity in identities if tells_presence != self._tells_presence else changed:
            self._note(identity)

    def _replace_routes(self, before: dict[str, Member], changed: set[str]) -> None:
        """Change only what changed: a table of 10,000 members takes 0.3 s to build, and all packets wait for it."""
        for identity in changed & before.keys():
            for prefix in prefixes_of(before[identity]):
                self._routes.remove(prefix, identity)
        for identity in changed & self.members.keys():
            for prefix in prefixes_of(self.members[identity]):
                self._routes.add(prefix, identity)

    def add_session(self, session: RelaySession) -> None:
        """Let a confirmed session receive packets and tell the others; its identity has no other session here."""
        self.sessions[session.identity] = session
        self.epoch += 1
        self._note_presence(session.identity)

    def remove_session(self, session: RelaySession) -> bool:
        """Withdraw a session; False when it was not the one that receives packets."""
        if self.sessions.get(session.identity) is not session:
            return False
        del self.sessions[session.identity]
        self.epoch += 1
        self._note_presence(session.identity)
        return True

    def owner(self, address: int, version: int) -> str | None:
        """Return the identity of the enabled member who has an address, None for nobody's."""
        return self._routes.destination(address, version)

    def default_owners(self, version: int) -> tuple[str, ...]:
        """Return the identities of those who offer a default route; with several, each member names its own exit."""
        return self._routes.default_owners(version)

    def route(self, sender: RelaySession | Member, key: bytes) -> RelaySession | str:
        """Return who gets a packet of `sender` with these addresses (a flow key), or the reason to drop it."""
        version, source, destination = flow_addresses(key)
        if not self._routes.source_ok(sender.identity, source, version):
            return "bad-source"
        owner = self._routes.destination(destination, version)
        if owner is None:
            return "no-route"
        if owner == sender.identity:
            return "to-sender"
        return self.sessions.get(owner, "offline")

    def presence(self, identities: Iterable[str]) -> Presence:
        """Return who of these members is online and who is not; identities of no member here are passed over."""
        known = [identity for identity in identities if identity in self.members]
        online = tuple(identity for identity in known if identity in self.sessions)
        return Presence(online, tuple(identity for identity in known if identity not in self.sessions))

    @property
    def _tells_presence(self) -> bool:
        return len(self.members) <= PRESENCE_MEMBERS

    def _note_presence(self, identity: str) -> None:
        if self._tells_presence and identity in self.members:
            self._note(identity)

    def _note(self, identity: str) -> None:
        member = self.members.get(identity)
        if member is None:
            self.directory.set_entry(identity, None)
            return
        online = identity in self.sessions if self._tells_presence else None
        self.directory.set_entry(
            identity,
            DirectoryEntry(
                identity,
                member.name,
                str(member.private_ip),
                str(member.private_ip6.ip) if member.private_ip6 is not None else "",
                tuple(str(prefix) for prefix in member.ciders),
                online,
            ),
        )
