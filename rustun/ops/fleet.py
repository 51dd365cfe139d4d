"""The fleet as frozen records: what the inventory says, complete and checked.

Rules of this module
  1. Precedence of settings: built in < fleet < cluster < tag < member (`settled`). A member's tags count in the order
     of its list, the last wins. The fields of `Settings` may stand at every level; nothing else is inherited.
  2. A member's record is complete: addresses given, settings resolved. Nobody who reads it looks at a level again.
     Only its tier is left to the fleet, `Inventory.tier_of`.
  3. Private, shared and pre-shared keys are no part of the fleet: only which there are is (keyring.py).
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network

from rustun.backends.base import Address, Endpoint, Prefix
from rustun.errors import Problem
from rustun.ops.addresses import Recorded
from rustun.ops.lab.records import Lab
from rustun.protocol.tiers import Tier


@dataclass(frozen=True, slots=True)
class Settings:
    """What may be said of the fleet, a cluster, a tag or a member; None means: not said here.

    Attributes:
        masquerade: a gateway hides tunnel addresses from its LAN behind its own.
        tier: the lowest way in that the member may use: key, shared or legacy.
        key: number of the member's key pair; in a rotation two, the old one and the new one. Not for own public keys.
        psk: whether it has a pre-shared key besides; counts in the key tier only.
        enabled: false keeps the member in the inventory and out of the tunnel.
        expires_at: from this moment on, UTC, the member is out.
        mtu: of its TUN device, bytes.
        offload: whether its TUN device hands over and takes large packets.
        keepalive_interval: seconds between proofs of life.
        keepalive_threshold: how many intervals without one mean a dead server.
        accept_routes: the only prefixes that the host lets the server push.
        offer_exit: others may use this host as exit node.
        exit_node: the member that everything goes through; empty for none.
        kill_switch: nothing leaves this host beside its exit node.
        names: "hosts": names of members in /etc/hosts; or "off".
    """

    masquerade: bool | None = None
    tier: Tier | None = None
    key: tuple[int, ...] | None = None
    psk: bool | None = None
    enabled: bool | None = None
    expires_at: dt.datetime | None = None
    mtu: int | None = None
    offload: bool | None = None
    keepalive_interval: int | None = None
    keepalive_threshold: int | None = None
    accept_routes: tuple[Prefix, ...] | None = None
    offer_exit: bool | None = None
    exit_node: str | None = None
    kill_switch: bool | None = None
    names: str | None = None


SETTING_NAMES = tuple(Settings.__dataclass_fields__)
NOTHING_SAID = Settings()
FIRST_KEY = (1,)
BUILT_IN = Settings(masquerade=False, key=FIRST_KEY, psk=False, enabled=True, offload=True, offer_exit=False)


def settled(*levels: Settings) -> Settings:
    """Return what holds when several levels speak: of each setting what the last one says that says it (rule 1)."""
    first, *stronger = levels
    for level in stronger:
        if level is not NOTHING_SAID:
            said = {name: value for name in SETTING_NAMES if (value := getattr(level, name)) is not None}
            first = replace(first, **said)
    return first


@dataclass(frozen=True, slots=True)
class Server:
    """One relay.

    Attributes:
        name: unique in the fleet; its files are NAME.toml and NAME.key. "server" is what the first is called by itself.
        endpoint: where clients find it.
        ssh: how `ssh` reaches its host, user@host:port or a Host of ssh_config; empty: set up by hand.
        public_keys: in Base64, one, or two in a rotation; none: its key pair is generated.
    """

    name: str
    endpoint: Endpoint
    ssh: str = ""
    public_keys: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Member:
    """One member, complete; `ssh` and `public_keys` as of a `Server`."""

    cluster: str
    identity: str
    name: str
    address: IPv4Address
    network: IPv4Network
    gateway: IPv4Address
    address6: IPv6Address | None
    network6: IPv6Network | None
    ciders: tuple[Prefix, ...]
    cider_mapping: tuple[tuple[Prefix, Prefix], ...]
    public_keys: tuple[str, ...]
    tags: tuple[str, ...]
    ssh: str
    settings: Settings

    @property
    def addresses(self) -> tuple[Address, ...]:
        """Its tunnel addresses."""
        return (self.address,) if self.address6 is None else (self.address, self.address6)

    @property
    def interface(self) -> IPv4Interface:
        """Its tunnel address with the cluster's prefix length."""
        return IPv4Interface((self.address, self.network.prefixlen))

    @property
    def interface6(self) -> IPv6Interface | None:
        """Its IPv6 tunnel address with the cluster's prefix length, if the cluster has IPv6."""
        if self.address6 is None or self.network6 is None:
            return None
        return IPv6Interface((self.address6, self.network6.prefixlen))


@dataclass(frozen=True, slots=True)
class Cluster:
    """One tenant: its networks and members, in the order of writing."""

    name: str
    network: IPv4Network
    network6: IPv6Network | None
    gateway: IPv4Address
    members: tuple[Member, ...]


@dataclass(frozen=True, slots=True)
class Inventory:
    """The fleet.

    Attributes:
        name: of the fleet; generated files go to build/NAME/.
        servers: relays in the order in which clients try them.
        listen: what every relay binds; empty: each all local addresses, on the port of its endpoint.
        cipher: of records: auto, aes256 or chacha20.
        minimum_tier: what the relays serve at least: key, shared or legacy.
        psk: what [fleet] says of pre-shared keys; who has one, `has_psk` tells.
        server_key: number of each relay's key pair; in a rotation two, the old one and the new one.
        clusters: in the order of writing.
        dashboard, metrics: where every relay shows the dashboard and has /metrics; empty: nowhere.
        dashboard_hosts: names that the dashboard goes by, besides its addresses.
        recorded: the addresses that its lock file records.
        to_record: those that it has to record now; the same where nothing is to be done.
        lab: what only the laboratory reads.
        notes: warnings and notes; errors never get this far.
    """

    name: str
    servers: tuple[Server, ...]
    listen: tuple[Endpoint, ...]
    cipher: str
    minimum_tier: Tier
    psk: bool
    server_key: tuple[int, ...]
    clusters: tuple[Cluster, ...]
    dashboard: tuple[Endpoint, ...] = ()
    dashboard_hosts: tuple[str, ...] = ()
    metrics: tuple[Endpoint, ...] = ()
    recorded: Recorded = field(default=Recorded(), compare=False)
    to_record: Recorded = field(default=Recorded(), compare=False)
    lab: Lab = Lab()
    notes: tuple[Problem, ...] = field(default=(), compare=False)

    @property
    def members(self) -> tuple[Member, ...]:
        """All members of all clusters."""
        return tuple(member for cluster in self.clusters for member in cluster.members)

    @property
    def has_web(self) -> bool:
        """Whether its relays have a web process."""
        return bool(self.dashboard or self.metrics)

    def listen_of(self, server: Server) -> tuple[Endpoint, ...]:
        """Return what one of its relays binds."""
        return self.listen or tuple(Endpoint(host, server.endpoint.port) for host in ("0.0.0.0", "::"))

    def tier_of(self, member: Member) -> Tier:
        """Return the tier of one of its members: key where it brought a public key, else what its settings say."""
        return Tier.KEY if member.public_keys else member.settings.tier or self.minimum_tier

    def has_psk(self, member: Member) -> bool:
        """Return whether one of its members has a pre-shared key: its settings say so, and it is of the key tier."""
        return bool(member.settings.psk) and self.tier_of(member) is Tier.KEY
