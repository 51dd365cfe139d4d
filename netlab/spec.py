"""From the inventory to what a laboratory is made from."""

from __future__ import annotations

from netlab.topology import HostSpec, LabSpec, MemberSpec
from rustun.ops.filenames import client_file
from rustun.ops.fleet import Inventory, LabHost, Member


def lab_spec(inventory: Inventory) -> LabSpec:
    """Return the laboratory's view of a fleet; members that are switched off have no machine in it."""
    members = tuple(_member(member) for member in inventory.members if member.settings.enabled is not False)
    servers = tuple(server.endpoint.host for server in inventory.servers)
    return LabSpec(inventory.name, servers, members, tuple(_host(host) for host in inventory.lab_hosts))


def _member(member: Member) -> MemberSpec:
    addresses = (member.interface,) if member.interface6 is None else (member.interface, member.interface6)
    stem = client_file(member.identity).removesuffix(".toml")
    return MemberSpec(member.identity, member.cluster, addresses, member.ciders, stem)


def _host(host: LabHost) -> HostSpec:
    addresses = (host.address,) if host.address6 is None else (host.address, host.address6)
    return HostSpec(host.name, host.behind, addresses)
