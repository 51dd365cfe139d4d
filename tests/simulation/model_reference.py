"""The reference: who may reach whom, as slow and as obvious as it can be said; shares no code with rustun/.

Rules of this module
  1. A Version is what the server's files said for a while. It counts from the moment it is written until GRACE_S after
     the next one was, since the server has that long to notice.
  2. A packet may be delivered when some version that counted between its sending and its arrival lets its sender send
     it and names whoever got it. Nothing else may ever be delivered.
  3. A packet has to be delivered, once things are quiet, when the newest version says so and both ends are online.
  4. Time is time awake: what a host that sleeps cannot see does not use up its grace.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cache
from ipaddress import IPv4Network, ip_address, ip_network
from typing import Any, Final

from tests.simulation.world import Entry, entry

GRACE_S: Final = 1.0
RANKS: Final = {"legacy": 0, "shared": 1, "key": 2}
EVERYWHERE: Final = "0.0.0.0/0"
NEVER: Final = ("0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4")


@dataclass(frozen=True)
class Member:
    """An entry of routes.json.

    Attributes:
        address: the private one, of 10.0.0.0/24.
        prefixes: LANs behind it.
        keys: its public keys; a member that has some comes in by the key tier alone.
        tier: the weakest that a member without keys may use.
        expires_at: unix seconds.
    """

    cluster: str
    address: str
    prefixes: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    tier: str = "shared"
    enabled: bool = True
    expires_at: int | None = None

    def entry(self, identity: str, *, with_keys: bool = True) -> Entry:
        """Return how routes.json says it; without keys as a tool does that knows none."""
        more: dict[str, Any] = {"ciders": list(self.prefixes), "enabled": self.enabled}
        if not self.keys:
            more["tier"] = self.tier
        elif with_keys:
            more["public_key"] = list(self.keys)
        if self.expires_at is not None:
            more["expires_at"] = datetime.fromtimestamp(self.expires_at, UTC).isoformat()
        return entry(identity, self.address, self.cluster, **more)

    @property
    def claims(self) -> tuple[str, ...]:
        """Every prefix that is this member's."""
        return (f"{self.address}/32", *self.prefixes)


@dataclass(frozen=True)
class Credentials:
    """What a host has in its hands: a tier, and on the key tier the public halves of its keys and the server's."""

    tier: str
    keys: tuple[str, ...] = ()
    server_keys: tuple[str, ...] = ()


@dataclass(frozen=True)
class Party:
    """A host as the reference sees it."""

    identity: str
    credentials: Credentials


Members = dict[str, Member]


def is_legal(members: Members) -> bool:
    """Tell whether a server may take these members: nobody claims what another of its cluster has, no key is shared."""
    claims = [
        (member.cluster, prefix) for member in members.values() for prefix in member.claims if prefix != EVERYWHERE
    ]
    keys = [key for member in members.values() for key in member.keys]
    return len(claims) == len(set(claims)) and len(keys) == len(set(keys))


@cache
def contains(prefix: str, address: str) -> bool:
    """Tell whether a prefix contains an address."""
    return ip_address(address) in IPv4Network(prefix)


@dataclass
class Version:
    """What the server's files said from `start` to `end`, in seconds awake.

    Attributes:
        server_keys: public halves of the server's keys.
        unix_zero: the wall clock at second 0.
    """

    members: Members
    server_keys: tuple[str, ...]
    unix_zero: float
    start: float = 0.0
    end: float = float("inf")
    _owners: dict[tuple[str, str], list[str]] = field(default_factory=dict)

    def admits(self, party: Party, at: float) -> bool:
        """Tell whether a host may have a session at this time."""
        member = self.members.get(party.identity)
        if member is None or not member.enabled:
            return False
        if member.expires_at is not None and self.unix_zero + at >= member.expires_at:
            return False
        hand = party.credentials
        if member.keys:
            fits = set(hand.keys) & set(member.keys) and set(hand.server_keys) & set(self.server_keys)
            return hand.tier == "key" and bool(fits)
        return hand.tier != "key" and RANKS[hand.tier] >= RANKS[member.tier]

    def receiver(self, sender: str, source: str, destination: str) -> str | None:
        """Return whose a packet of this member is, None when it has no business to be sent."""
        if sender not in self.members:
            return None
        cluster = self.members[sender].cluster
        if any(contains(prefix, address) for prefix in NEVER for address in (source, destination)):
            return None
        owners = self.owners(cluster, destination)
        if sender not in self.owners(cluster, source) or len(owners) != 1 or owners[0] == sender:
            return None
        return owners[0]

    def owners(self, cluster: str, address: str) -> list[str]:
        """Return the member whose prefix around this address is the longest; of default routes all who offer one."""
        known = self._owners.get((cluster, address))
        if known is None:
            found = [
                (ip_network(prefix).prefixlen, identity)
                for identity, member in self.members.items()
                if member.cluster == cluster and member.enabled
                for prefix in member.claims
                if contains(prefix, address)
            ]
            longest = max((length for length, _ in found), default=0)
            known = self._owners[cluster, address] = [identity for length, identity in found if length == longest]
        return known

    def reaches(self, sender: Party, receiver: Party, source: str, destination: str, at: float) -> bool:
        """Tell whether a packet from one host may come out at another at this time."""
        if not (self.admits(sender, at) and self.admits(receiver, at)):
            return False
        return self.receiver(sender.identity, source, destination) == receiver.identity


class Reference:
    """All versions of one run, oldest first."""

    def __init__(self, first: Version) -> None:
        self.versions = [first]

    @property
    def newest(self) -> Version:
        """What counts from now on."""
        return self.versions[-1]

    def change(self, now: float, **changes: Any) -> None:
        """Another routes.json or server.toml was written, or the wall clock was set."""
        self.newest.end = now
        self.versions.append(replace(self.newest, start=now, end=float("inf"), _owners={}, **changes))

    def counting(self, since: float, until: float) -> list[tuple[Version, float]]:
        """Return the versions that counted some time in between, each with the first moment of that.

        What ends by the clock ends at most GRACE_S late too, so the moment is taken as much earlier.
        """
        return [
            (version, max(version.start, since) - GRACE_S)
            for version in self.versions
            if version.start <= until and version.end + GRACE_S >= since
        ]

    def may_be_online(self, party: Party, now: float) -> bool:
        """Tell whether a host may have a session now, or might still have it."""
        return any(version.admits(party, at) for version, at in self.counting(now, now))

    def may_arrive(
        self, sender: Party, receiver: Party, addresses: tuple[str, str], since: float, until: float
    ) -> bool:
        """Tell whether a packet that was sent at `since` may have come out by `until`."""
        return any(version.reaches(sender, receiver, *addresses, at) for version, at in self.counting(since, until))
