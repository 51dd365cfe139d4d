"""Who may reach whom, as the inventory says it: the slow, obvious way, independent of the relay's routing code.

Rules of this module
  1. A source is honest when the longest prefix of the sender's cluster that holds it belongs to the sender. A packet
     goes where the longest prefix of the sender's cluster that holds its destination points, and nowhere else. Two
     clusters with equal addresses are two worlds.
  2. A default route leads somewhere while one member offers it; as a source it stands for each that does.
  3. A packet may be refused on any ground that holds for it, so a forged one to another cluster may count as either.
  4. Behind a gateway that maps prefixes a machine has two addresses: its own, and that by which the cluster sees it.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_network
from typing import Final

from netlab.topology import Address, LabSpec, MemberSpec, Prefix

Cell = tuple[str, str]  # (sender, target): nodes, or as target one of the two that stand for groups
BROADCAST: Final = "(broadcast)"
MULTICAST: Final = "(multicast)"
BAD_SOURCE: Final = "bad-source"  # grounds are the words of the relay's counters (docs/status.md)
NO_ROUTE: Final = "no-route"
TO_SENDER: Final = "to-sender"
NOWHERE: Final = tuple(  # RFC 6890: this host, loopback, link-local, multicast, limited broadcast, IPv4-mapped
    ip_network(text)
    for text in (
        *("0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4", "255.255.255.255/32"),
        *("::/128", "::1/128", "::ffff:0:0/96", "fe80::/10", "ff00::/8"),
    )
)


@dataclass(frozen=True, slots=True)
class Site:
    """A machine that sends and receives probes: a member, or a host on the LAN behind one (`member`).

    `addresses` are those by which its cluster reaches it, `own` those that it has; mostly they are the same.
    """

    node: str
    member: str
    cluster: str
    addresses: tuple[Address, ...]
    own: tuple[Address, ...]

    def address(self, version: int) -> Address | None:
        """Return its own address of that IP version, if it has one."""
        return next((address for address in self.own if address.version == version), None)

    def seen(self, address: Address) -> Address:
        """Return how the cluster sees an address that this machine sends from."""
        return dict(zip(self.own, self.addresses, strict=True)).get(address, address)


@dataclass(frozen=True, slots=True)
class Decision:
    """What the relay has to do with a packet: hand it to `owner`, or refuse it on one of these grounds."""

    owner: str
    grounds: frozenset[str] = frozenset()


def sites(spec: LabSpec) -> tuple[Site, ...]:
    """Return all machines that take part: members first, then LAN hosts."""
    found = []
    for member in spec.members:
        addresses = tuple(address.ip for address in member.addresses)
        found.append(Site(member.identity, member.identity, member.cluster, addresses, addresses))
    for host in spec.hosts:
        gateway = spec.member(host.behind)
        mapped = tuple(_mapped(gateway, address) for address in host.addresses)
        found.append(Site(host.name, host.behind, gateway.cluster, mapped, host.addresses))
    return tuple(found)


def _mapped(gateway: MemberSpec, address: Address) -> Address:
    for seen, real in gateway.mapping:
        if address in real:
            return seen[int(address) - int(real.network_address)]
    return address


def alone(spec: LabSpec) -> tuple[str, ...]:
    """Return the members that have nobody in their cluster to exchange a marker with."""
    clusters = [member.cluster for member in spec.members]
    return tuple(member.identity for member in spec.members if clusters.count(member.cluster) == 1)


class Expectation:
    """What the inventory says about packets; answers are remembered.

    Attributes:
        sites: all machines, members first; `site_of` has them by node.
    """

    def __init__(self, spec: LabSpec) -> None:
        self.spec = spec
        self.sites = sites(spec)
        self.site_of = {site.node: site for site in self.sites}
        self.alone = frozenset(alone(spec))
        self._owners: dict[tuple[str, Address], tuple[MemberSpec, ...]] = {}

    def owners(self, cluster: str, address: Address) -> tuple[MemberSpec, ...]:
        """Return the members of a cluster with the longest prefix that holds an address: one, none, or all exits."""
        known = self._owners.get((cluster, address))
        if known is None:
            known = self._owners[cluster, address] = self._look_up(cluster, address)
        return known

    def _look_up(self, cluster: str, address: Address) -> tuple[MemberSpec, ...]:
        found: dict[int, list[MemberSpec]] = {}
        for member in self.spec.members:
            if member.cluster == cluster:
                prefixes: list[Prefix] = [*(ip_network(own.ip) for own in member.addresses), *member.ciders]
                lengths = [prefix.prefixlen for prefix in prefixes if address in prefix]
                if lengths:
                    found.setdefault(max(lengths), []).append(member)
        return tuple(found[max(found)]) if found else ()

    def decide(self, sender: str, source: Address, destination: Address) -> Decision:
        """Return what the relay has to do with a packet out of the tunnel of the member `sender`."""
        cluster = self.site_of[sender].cluster
        grounds = set()
        if not self.may_send(sender, source):
            grounds.add(BAD_SOURCE)
        owners = () if _nowhere(destination) else self.owners(cluster, destination)
        if len(owners) != 1:
            grounds.add(NO_ROUTE)
        elif owners[0].identity == sender:
            grounds.add(TO_SENDER)
        return Decision("" if grounds else owners[0].identity, frozenset(grounds))

    def may_send(self, sender: str, source: Address) -> bool:
        """Return whether a source is honest out of the tunnel of the member `sender`."""
        owners = self.owners(self.site_of[sender].cluster, source)
        return not _nowhere(source) and any(owner.identity == sender for owner in owners)

    def receiver(self, owner: str, destination: Address) -> str:
        """Return the node at or behind a member that has an address, empty when nobody does."""
        there = (site.node for site in self.sites if site.member == owner and destination in site.addresses)
        return next(there, "")


def _nowhere(address: Address) -> bool:
    return any(address in prefix for prefix in NOWHERE)
