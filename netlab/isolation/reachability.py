"""Who may reach whom, as the inventory says it, and the judgement of what was found. No packet is made here.

Rules of this module
  1. What is expected is computed from the inventory by the slow, obvious way (look at every prefix), independently of
     the relay's routing code.
  2. A source is honest when the longest prefix of the sender's cluster that holds it belongs to the sender's site; a
     packet arrives where the longest prefix of the sender's cluster that holds its destination points, and nowhere
     else. Two clusters with equal addresses are two worlds.
  3. "Nothing arrived" proves nothing by itself. A denial counts only when in the same run a probe of the same kind
     passed between members that may talk, and later markers arrived from the same sender and at the same receiver.
     A denial without that is *unproven*, and unproven is not as expected.
  4. A member alone in its cluster may talk to nobody, so no marker can pass. Counters take the marker's place
     (`Counts.prove_silence`): each packet that went into its tunnel was dropped by the relay, and nothing came out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from typing import Any, Final, Literal

from netlab.topology import Address, LabSpec, MemberSpec, Prefix

Kind = Literal["icmp", "tcp-open", "tcp-closed", "udp", "fragments"]
KINDS: Final[tuple[Kind, ...]] = ("icmp", "tcp-open", "tcp-closed", "udp", "fragments")
GROUPS: Final = tuple(ip_address(text) for text in ("255.255.255.255", "224.0.0.1", "239.1.2.3", "ff02::1", "ff05::2"))
STRANGERS: Final = tuple(ip_address(text) for text in ("192.168.222.222", "172.31.222.222", "fd99::99", "fd98::98"))


@dataclass(frozen=True, slots=True)
class Site:
    """A machine that sends and receives probes: a member, or a host on the LAN behind one (`member`)."""

    node: str
    member: str
    cluster: str
    addresses: tuple[Address, ...]

    def address(self, version: int) -> Address | None:
        """Return its address of that IP version, if it has one."""
        return next((address for address in self.addresses if address.version == version), None)


@dataclass(frozen=True, slots=True)
class Probe:
    """One packet (or fragmented packet) to send.

    `what` names it for people; `target` is the node it is aimed at, empty for groups; `receiver` is the node that has
    to get it, empty when nobody may; `answered` says that an answer has to come back to the sender.
    """

    number: int
    kind: Kind
    what: str
    sender: str
    target: str
    source: str
    destination: str
    receiver: str
    answered: bool
    phase: int = 0


@dataclass(frozen=True, slots=True)
class Sighting:
    """Probe `number`, or the answer to it, came in at `node`; `altered` when its bytes are not those sent."""

    number: int
    node: str
    answer: bool
    altered: bool = False


@dataclass(frozen=True, slots=True)
class Counts:
    """How many packets of one member were counted while the probes ran, by its client and by the relay's session."""

    into_tunnel: int
    out_of_tunnel: int
    relay_took: int
    relay_dropped: int
    relay_gave: int

    def prove_silence(self, probes: int) -> bool:
        """True when `probes` packets or more went into the tunnel, the relay dropped all, and nothing came back."""
        gone = probes <= self.into_tunnel == self.relay_dropped
        return gone and not (self.relay_took or self.relay_gave or self.out_of_tunnel)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of all probes: `cells` maps (sender, target) to yes, no, "?" (unproven) or "!" (not as expected).

    `counted` are the members whose denials are proven by counters.
    """

    probes: int
    cells: dict[tuple[str, str], str]
    expected: dict[tuple[str, str], bool]
    surprises: tuple[str, ...]
    unproven: tuple[str, ...]
    counted: tuple[str, ...] = ()

    @property
    def as_expected(self) -> bool:
        """True when every probe was sent and came out, and was proven, as the inventory says."""
        return self.probes > 0 and not self.surprises and not self.unproven


def sites(spec: LabSpec) -> tuple[Site, ...]:
    """Return all machines that take part: members first, then LAN hosts."""
    members = [Site(m.identity, m.identity, m.cluster, tuple(a.ip for a in m.addresses)) for m in spec.members]
    hosts = [Site(h.name, h.behind, spec.member(h.behind).cluster, h.addresses) for h in spec.hosts]
    return (*members, *hosts)


def owner(spec: LabSpec, cluster: str, address: Address) -> MemberSpec | None:
    """Return the member of a cluster whose prefix is the longest that holds `address`; None when none does."""
    best: tuple[int, MemberSpec] | None = None
    for member in spec.members:
        if member.cluster != cluster:
            continue
        prefixes: list[Prefix] = [*(ip_network(a.ip) for a in member.addresses), *member.ciders]
        for prefix in prefixes:
            if address in prefix and (best is None or prefix.prefixlen > best[0]):
                best = (prefix.prefixlen, member)
    return best[1] if best else None


def receiver(spec: LabSpec, sender: Site, source: Address, destination: Address) -> str:
    """Return the node that has to get a packet of `sender`, empty when nobody may."""
    if destination.is_multicast or destination in GROUPS:
        return ""
    honest = owner(spec, sender.cluster, source)
    found = owner(spec, sender.cluster, destination)
    if honest is None or honest.identity != sender.member or found is None or found.identity == sender.member:
        return ""
    for site in sites(spec):
        if site.member == found.identity and destination in site.addresses:
            return site.node
    return ""


def plan_probes(spec: LabSpec) -> tuple[Probe, ...]:
    """Return all probes for every ordered pair of machines, groups, and the markers that go last (phases 1 and 2)."""
    planned: list[dict[str, Any]] = []
    for sender in sites(spec):
        for target in sites(spec):
            if target.member != sender.member:
                planned += _pair(spec, sender, target)
        planned += _groups(spec, sender)
    planned.sort(key=lambda probe: bool(probe["receiver"]))  # what must not pass goes first
    for phase in (1, 2):
        planned += markers(spec, phase)
    return tuple(Probe(number=number, **probe) for number, probe in enumerate(planned, start=1))


def _pair(spec: LabSpec, sender: Site, target: Site) -> Iterator[dict[str, Any]]:
    for destination in target.addresses:
        version = destination.version
        own = sender.address(version)
        if own is None:
            continue
        for kind in KINDS:
            yield _probe(spec, sender, target, (kind, kind + ("6" if version == 6 else "")), own, destination)
        for whose, source in _spoofed(spec, sender, target, version):
            yield _probe(spec, sender, target, ("icmp", f"source of {whose}"), source, destination)


def _probe(
    spec: LabSpec, sender: Site, target: Site, kind: tuple[Kind, str], source: Address, destination: Address
) -> dict[str, Any]:
    expected = receiver(spec, sender, source, destination)
    return {
        "kind": kind[0],
        "what": kind[1],
        "sender": sender.node,
        "target": target.node,
        "source": str(source),
        "destination": str(destination),
        "receiver": expected,
        "answered": bool(expected) and source in sender.addresses,
    }


def _spoofed(spec: LabSpec, sender: Site, target: Site, version: int) -> Iterator[tuple[str, Address]]:
    """Choose sources that are not the sender's: another member's, another cluster's, and one of nobody's LAN."""
    own = {address.ip for address in spec.member(sender.member).addresses}.union(sender.addresses)  # the kernel's alone
    others = [site for site in sites(spec) if site.member != sender.member and {site.address(version)} - {None, *own}]
    inside = [site for site in others if site.cluster == sender.cluster]
    inside.sort(key=lambda site: site.member == target.member)  # the target itself only where there is no third
    outside = [site for site in others if site.cluster != sender.cluster]
    for whose, candidates in (("another member", inside), ("another cluster", outside)):
        address = candidates[0].address(version) if candidates else None
        if address is not None:
            yield whose, address
    stranger = next((a for a in STRANGERS if a.version == version and owner(spec, sender.cluster, a) is None), None)
    if stranger is not None:
        yield "a LAN outside the ciders", stranger


def _groups(spec: LabSpec, sender: Site) -> Iterator[dict[str, Any]]:
    network = next(a.network for a in spec.member(sender.member).addresses if a.version == 4)
    nobody = Site("", "", "", ())
    for group in (*GROUPS, network.broadcast_address):
        own = sender.address(group.version)
        if own is not None:
            what = "multicast" if group.is_multicast else "broadcast"
            yield _probe(spec, sender, nobody, ("icmp", f"{what} {group}"), own, group)


def markers(spec: LabSpec, phase: int, version: int = 4) -> Iterator[dict[str, Any]]:
    """Yield one echo from each machine (phase 1) or to each (2) along a path that the inventory allows, unnumbered."""
    everybody = sites(spec)
    for site in everybody:
        for other in everybody:
            sender, target = (other, site) if phase == 2 else (site, other)
            source, destination = sender.address(version), target.address(version)
            if source and destination and receiver(spec, sender, source, destination) == target.node:
                yield {**_probe(spec, sender, target, ("icmp", "marker"), source, destination), "phase": phase}
                break


def alone(spec: LabSpec) -> tuple[str, ...]:
    """Return the members that have nobody in their cluster to exchange a marker with."""
    clusters = [member.cluster for member in spec.members]
    return tuple(member.identity for member in spec.members if clusters.count(member.cluster) == 1)


def judge(
    spec: LabSpec, probes: Sequence[Probe], sightings: Iterable[Sighting], counts: Mapping[str, Counts] | None = None
) -> Verdict:
    """Compare what was seen, and for members that are alone what was counted, with what the inventory says."""
    arrived: dict[int, set[str]] = {}
    answered: dict[int, set[str]] = {}
    altered: set[int] = set()
    for sighting in sightings:
        (answered if sighting.answer else arrived).setdefault(sighting.number, set()).add(sighting.node)
        if sighting.altered:
            altered.add(sighting.number)
    own_probes = Counter(probe.sender for probe in probes)
    counted = tuple(name for name, found in (counts or {}).items() if found.prove_silence(own_probes[name]))
    judged = _Judged(spec)
    proof = _Proof(spec, probes, arrived, counted)
    cells: dict[tuple[str, str], str] = {}
    expected: dict[tuple[str, str], bool] = {}
    surprises: list[str] = []
    unproven: list[str] = []
    for probe in probes:
        cell = (probe.sender, probe.target)
        meant = probe.receiver == probe.target != ""
        found = judged.surprise(probe, arrived.get(probe.number, set()), answered.get(probe.number, set()))
        if not found and probe.number in altered:
            found = "arrived with other bytes than were sent"
        if found:
            surprises.append(f"{_line(probe)}: {found}")
        if not probe.receiver and not proof.holds(probe):
            unproven.append(_line(probe))
        if probe.target:
            expected[cell] = expected.get(cell, False) or meant
            proven = bool(probe.receiver) or proof.holds(probe)
            cells[cell] = _worst(cells.get(cell), found, expected[cell], proven)
    return Verdict(len(probes), cells, expected, tuple(surprises), tuple(unproven), counted)


class _Judged:
    """Says of one probe what is not as expected."""

    def __init__(self, spec: LabSpec) -> None:
        self._gateways = {site.node: site.member for site in sites(spec)}
        self._own: dict[str, set[str]] = {}
        for site in sites(spec):
            self._own.setdefault(site.node, set()).update(map(str, site.addresses))
            self._own[site.member].update(map(str, site.addresses))

    def surprise(self, probe: Probe, arrived: set[str], answered: set[str]) -> str:
        """Return it in words, empty when all is well."""
        if probe.receiver and probe.receiver not in arrived:
            return f"expected at {probe.receiver}, did not arrive"
        own_gateway = {self._gateways[probe.sender]} - {probe.sender}
        if own_gateway and probe.destination in self._own[probe.sender]:  # another cluster's too: it is sent back
            arrived = arrived - {probe.sender}
        way = {probe.receiver, self._gateways[probe.receiver]} if probe.receiver else set()
        if stray := sorted(arrived - way - own_gateway):
            return f"expected at {probe.receiver or 'nobody'}, found at {', '.join(stray)}"
        if probe.answered and probe.sender not in answered:
            return "arrived, but no answer came back"
        if not probe.answered and answered and not (own_gateway and self._asks_own_site(probe)):
            return f"an answer was found at {', '.join(sorted(answered))}"
        return ""

    def _asks_own_site(self, probe: Probe) -> bool:
        """A LAN host's broadcast, or an address that its own site has as well as another cluster."""
        return not probe.target or probe.destination in self._own[self._gateways[probe.sender]]


def _line(probe: Probe) -> str:
    return f"{probe.what} from {probe.sender} ({probe.source}) to {probe.target or 'all'} ({probe.destination})"


def _worst(before: str | None, surprise: str, meant: bool, proven: bool) -> str:
    if surprise or before == "!":
        return "!"
    if not proven or before == "?":
        return "?"
    return "yes" if meant else "no"


class _Proof:
    """Knows which kinds passed, and which machines a marker left or reached after the probes, or counters vouch for."""

    def __init__(
        self, spec: LabSpec, probes: Sequence[Probe], arrived: Mapping[int, set[str]], counted: Sequence[str]
    ) -> None:
        passed = [probe for probe in probes if probe.receiver and probe.receiver in arrived.get(probe.number, ())]
        self._kinds = {(probe.kind, ip_address(probe.destination).version) for probe in passed}
        self._senders = {probe.sender for probe in passed if probe.phase == 1}
        self._receivers = {probe.target for probe in passed if probe.phase == 2}
        self._everybody = {site.node for site in sites(spec)}
        self._counted = set(counted)
        behind = {site.node: site.member for site in sites(spec) if site.member in self._counted}
        left_home = {probe.sender for probe in probes if behind.get(probe.sender) in arrived.get(probe.number, ())}
        self._senders |= self._counted | left_home
        self._receivers |= set(behind)

    def holds(self, probe: Probe) -> bool:
        """True when the absence of this probe means that it was dropped, not that nothing works."""
        works = probe.sender in self._counted or (probe.kind, ip_address(probe.destination).version) in self._kinds
        reached = probe.target in self._receivers if probe.target else self._everybody <= self._receivers
        return works and probe.sender in self._senders and reached
