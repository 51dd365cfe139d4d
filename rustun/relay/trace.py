"""Would a packet pass? Asked without one, and answered by what decides about real ones (trace_report.py).

Rules of this module
  1. A packet belongs to the cluster of the member that sends it. Where an address is somebody's in several clusters,
     who asks has to say which.
  2. Who sends is the owner of the source address, unless somebody else is named: what he may not send is the question
     then.
"""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import TYPE_CHECKING

from rustun.config.member import Member
from rustun.errors import UsageError
from rustun.link.asked import as_address, unknown_member
from rustun.printable import printable, quoted
from rustun.protocol.probe import USUAL_BYTES, probe_packet
from rustun.relay.trace_report import Address, Document, Report, Way, listed, of_nobody

if TYPE_CHECKING:
    from rustun.relay.core import RelayCore
    from rustun.relay.server import RelayServer


def trace(
    server: RelayServer, source: str, destination: str, member: str = "", cluster: str = "", size: int = USUAL_BYTES
) -> Document:
    """Return what would become of a packet, why, and what the counters say.

    Args:
        source, destination: addresses, or identities of members.
        member: identity of who sends it, where that is not the owner of `source`; empty for the owner.
        cluster: where `source` is looked for; empty for everywhere.
        size: of the packet, bytes.

    Raises: UsageError: no such member or cluster, several that are meant, or no packet like that.
    """
    core = server.core
    whose = _named(core, source)
    target = _named(core, destination)
    to, at = _pair(whose, source, target, destination)
    try:
        probe_packet(at, to, size)
    except ValueError as error:
        raise UsageError(str(error), "name another size, or addresses of one version") from error
    sender = _named(core, member, certain=True) if member else whose or _sender(core, at, cluster)
    if sender is None:
        return {**of_nobody(core, at, to, size, cluster), "back": None}
    if cluster and sender.cluster != cluster:
        raise UsageError(f"{quoted(sender.identity)} is in cluster {quoted(sender.cluster)}", "leave --cluster out")
    way = Way(sender, at, to, size)
    report = Report(server, way).document()
    back = core.clusters[sender.cluster].owner(int(to), to.version) if sender.cluster in core.clusters else None
    answer = Way(core.members[back], to, at, size) if back is not None else None
    return {**report, "back": Report(server, answer).verdict() if answer is not None else None}


def _named(core: RelayCore, text: str, *, certain: bool = False) -> Member | None:
    """Return the member with this identity; None for an address, unless it has to be a member."""
    member = core.members.get(text)
    if member is None and (certain or as_address(text) is None):
        raise unknown_member(text, core.members)
    return member


def _pair(whose: Member | None, source: str, target: Member | None, destination: str) -> tuple[Address, Address]:
    """Return destination and source as addresses of one version."""
    here = as_address(source) if whose is None else None
    there = as_address(destination) if target is None else None
    version = (here or there or IPv4Address(0)).version
    found = []
    for member, written in ((target, there), (whose, here)):
        address = written if member is None else _of_version(member, version)
        if address is None or address.version != version:
            who = f"{printable(member.identity)} has" if member is not None else f"{written} is"
            raise UsageError(f"{who} no IPv{version} address", "name two addresses of one IP version")
        found.append(address)
    return found[0], found[1]


def _of_version(member: Member, version: int) -> Address | None:
    if version == 4:
        return member.private_ip
    return member.private_ip6.ip if member.private_ip6 is not None else None


def _sender(core: RelayCore, source: Address, cluster: str) -> Member | None:
    """Return who has an address, in one cluster or in any."""
    if cluster and cluster not in core.clusters:
        raise UsageError(f"no cluster {quoted(cluster)}", f"there are {listed(sorted(core.clusters))}")
    found = {}
    for one in [core.clusters[cluster]] if cluster else core.clusters.values():
        owner = one.owner(int(source), source.version)
        if owner is not None:
            found[one.name] = core.members[owner]
    if len(found) > 1:
        clusters = listed(sorted(found))
        raise UsageError(f"{source} is somebody's in several clusters: {clusters}", "say which with --cluster NAME")
    return next(iter(found.values()), None)
