"""What is sent: for each ordered pair of machines, and from each machine to groups, every kind of probe.

Rules of this module
  1. A *cell* is an ordered pair, or a machine and the groups that it sends to; each holds all its probes.
  2. Forged sources are tried towards every target: another member's, another cluster's, and an address beside the
     sender's own LANs, which its `ciders` do not hold.
  3. A *marker* is an echo along a path that the inventory allows, sent later than what it vouches for: one from each
     sender, one to each target.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final, Literal

from netlab.isolation.expectation import BROADCAST, MULTICAST, Cell, Expectation, Site
from netlab.topology import Address

Kind = Literal["icmp", "tcp-open", "tcp-closed", "udp", "fragments"]
KINDS: Final[tuple[Kind, ...]] = ("icmp", "tcp-open", "tcp-closed", "udp", "fragments")
GROUPS: Final = tuple(ip_address(text) for text in ("255.255.255.255", "224.0.0.1", "239.1.2.3", "ff02::1", "ff05::2"))
STRANGERS: Final = tuple(ip_address(text) for text in ("192.168.222.222", "172.31.222.222", "fd99::99", "fd98::98"))


@dataclass(frozen=True, slots=True)
class Probe:
    """One packet (or fragmented packet) to send.

    Attributes:
        what: names it for people and for `lab-probe --kind`.
        sender, target: nodes; the target may stand for groups.
        owner: the member that the relay has to hand it to, empty where it has to refuse it.
        receiver: the node that has to get it, empty when nobody may, or has its address.
        answered: whether an answer has to come back to the sender.
        translated: whether a gateway on its way changes addresses.
    """

    kind: Kind
    what: str
    sender: str
    target: str
    source: Address
    destination: Address
    owner: str
    receiver: str
    answered: bool
    translated: bool = False

    @property
    def cell(self) -> Cell:
        """The cell of the matrix that it belongs to."""
        return self.sender, self.target

    def __str__(self) -> str:
        return f"{self.what} from {self.sender} ({self.source}) to {self.target} ({self.destination})"


@dataclass(frozen=True, slots=True)
class Batch:
    """Probes that are sent at the same time, and the markers that vouch for their senders, then for their targets."""

    probes: tuple[Probe, ...]
    from_senders: tuple[Probe, ...]
    to_targets: tuple[Probe, ...]


def cells(expectation: Expectation) -> dict[Cell, tuple[Probe, ...]]:
    """Return all probes by cell, sender by sender; those of one site's own LAN are none of the tunnel's business."""
    found: dict[Cell, tuple[Probe, ...]] = {}
    for sender in expectation.sites:
        for target in expectation.sites:
            if target.member != sender.member and (probes := tuple(_pair(expectation, sender, target))):
                found[sender.node, target.node] = probes
        for probe in _groups(expectation, sender):
            found[probe.cell] = (*found.get(probe.cell, ()), probe)
    return found


def batch(expectation: Expectation, probes: Sequence[Probe]) -> Batch:
    """Put probes into one batch, in their order, with a marker for each sender and each target."""
    versions = sorted({probe.destination.version for probe in probes})
    senders = dict.fromkeys(probe.sender for probe in probes)
    targets = dict.fromkeys(probe.target for probe in probes)
    if not targets.keys() <= expectation.site_of.keys():  # a group may have reached anybody
        targets = dict.fromkeys(expectation.site_of)
    from_senders = [
        marker for node in senders for version in versions for marker in markers(expectation, node, version)
    ]
    to_targets = [
        marker for node in targets for version in versions for marker in markers(expectation, node, version, to=True)
    ]
    return Batch(tuple(probes), tuple(from_senders), tuple(to_targets))


def markers(expectation: Expectation, node: str, version: int, *, to: bool = False) -> Iterator[Probe]:
    """Yield an echo from a node, or to it, along a path that the inventory allows, if there is one."""
    site = expectation.site_of[node]
    for other in expectation.sites:
        sender, target = (other, site) if to else (site, other)
        source = sender.address(version)
        destination = next((address for address in target.addresses if address.version == version), None)
        if source and destination and sender.member != target.member:
            found = make(expectation, ("icmp", "marker"), (sender, target.node), (source, destination))
            if found.receiver == target.node:
                yield found
                return


def make(
    expectation: Expectation, kind: tuple[Kind, str], ends: tuple[Site, str], addresses: tuple[Address, Address]
) -> Probe:
    """Return a probe with what has to become of it.

    Args:
        kind: and its name for people.
        ends: sender and target.
        addresses: source and destination.
    """
    (sender, target), (source, destination) = ends, addresses
    decision = expectation.decide(sender.member, sender.seen(source), destination)
    receiver = expectation.receiver(decision.owner, destination) if decision.owner else ""
    answered = bool(receiver) and source in sender.own
    translated = sender.seen(source) != source or _translates(expectation, decision.owner, destination)
    return Probe(*kind, sender.node, target, source, destination, decision.owner, receiver, answered, translated)


def _translates(expectation: Expectation, owner: str, destination: Address) -> bool:
    """Tell whether a member's gateway changes source or destination of what goes on into its LANs."""
    if not owner or destination in expectation.site_of[owner].own:
        return False
    gateway = expectation.spec.member(owner)
    return gateway.masquerade or any(destination in seen for seen, _ in gateway.mapping)


def _pair(expectation: Expectation, sender: Site, target: Site) -> Iterator[Probe]:
    for destination in target.addresses:
        version = destination.version
        own = sender.address(version)
        if own is None:
            continue
        ends = (sender, target.node)
        six = "6" if version == 6 else ""
        for kind in KINDS:
            yield make(expectation, (kind, kind + six), ends, (own, destination))
        for whose, source in _forged(expectation, sender, target, version):
            yield make(expectation, ("icmp", f"forged-{whose}{six}"), ends, (source, destination))


def _forged(expectation: Expectation, sender: Site, target: Site, version: int) -> Iterator[tuple[str, Address]]:
    """Choose sources that are not the sender's: another member's, another cluster's, and one beside its LANs."""
    at_home = {address.ip for address in expectation.spec.member(sender.member).addresses}.union(sender.own)
    others = [
        (site, address)
        for site in expectation.sites
        if site.member != sender.member
        for address in site.addresses
        if address.version == version and address not in at_home
    ]  # what is its own gateway's, that kernel takes for itself
    others.sort(key=lambda other: other[0].member == target.member)  # the target itself only where there is no third
    inside = [address for site, address in others if site.cluster == sender.cluster]
    outside = [address for site, address in others if site.cluster != sender.cluster]
    beside = list(_beside(expectation, sender, version))
    for whose, candidates in (("member", inside), ("cluster", outside), ("lan", beside)):
        forged = (address for address in candidates if not expectation.may_send(sender.member, address))
        yield from ((whose, address) for address in list(forged)[:1])


def _beside(expectation: Expectation, sender: Site, version: int) -> Iterator[Address]:
    """Yield addresses of the sender's real LANs that are mapped, then next to its LANs, then of some LAN elsewhere."""
    if sender.node == sender.member:  # a host's would be translated
        for _, real in expectation.spec.member(sender.member).mapping:
            if real.version == version:
                yield real[7 % real.num_addresses]
    for cider in expectation.spec.member(sender.member).ciders:
        if cider.version == version and 0 < cider.prefixlen < cider.max_prefixlen and not cider.is_global:
            beside = int(cider.network_address) ^ cider.num_addresses  # the other half of the next wider prefix
            yield ip_address((beside + 7).to_bytes(cider.max_prefixlen // 8, "big"))
    yield from (address for address in STRANGERS if address.version == version)


def _groups(expectation: Expectation, sender: Site) -> Iterator[Probe]:
    network = next(a.network for a in expectation.spec.member(sender.member).addresses if a.version == 4)
    for group in (*GROUPS, network.broadcast_address):
        own = sender.address(group.version)
        if own is not None:
            target = MULTICAST if group.is_multicast else BROADCAST
            name = f"{target.strip('()')}-{group}"
            yield make(expectation, ("icmp", name), (sender, target), (own, group))
