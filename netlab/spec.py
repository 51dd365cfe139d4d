"""From the inventory to what a laboratory is made from."""

from __future__ import annotations

import datetime as dt

from netlab.topology import HostSpec, LabSpec, MemberSpec
from rustun.ops.filenames import client_file
from rustun.ops.fleet import Inventory, LabHost, Member


def lab_spec(inventory: Inventory) -> LabSpec:
    """Return the laboratory's view of a fleet; in it are none who are switched off, or whose time is over by now."""
    now = dt.datetime.now(dt.UTC)
    absent = {member.identity for member in inventory.members if not _takes_part(member, now)}
    members = tuple(_member(member) for member in inventory.members if member.identity not in absent)
    servers = tuple(server.endpoint.host for server in inventory.servers)
    hosts = tuple(_host(host) for host in inventory.lab_hosts if host.behind not in absent)
    return LabSpec(inventory.name, servers, members, hosts)


def _takes_part(member: Member, now: dt.datetime) -> bool:
    until = member.settings.expires_at
    return member.settings.enabled is not False and (until is None or now < until)


def _member(member: Member) -> MemberSpec:
    addresses = (member.interface,) if member.interface6 is None else (member.interface, member.interface6)
    stem = client_file(member.identity).removesuffix(".toml")
    return MemberSpec(member.identity, member.cluster, addresses, member.ciders, stem)


def _host(host: LabHost) -> HostSpec:
    addresses = (host.address,) if host.address6 is None else (host.address, host.address6)
    return HostSpec(host.name, host.behind, addresses)
