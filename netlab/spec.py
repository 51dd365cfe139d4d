"""From the inventory to what a laboratory is made from."""

from __future__ import annotations

import datetime as dt

from netlab.topology import HostSpec, LabSpec, MemberSpec
from rustun.ops.filenames import client_file
from rustun.ops.fleet import Inventory, Member
from rustun.ops.lab.records import LabHost


def lab_spec(inventory: Inventory) -> LabSpec:
    """Return the laboratory's view of a fleet; in it are none who are switched off, or whose time is over by now."""
    now = dt.datetime.now(dt.UTC)
    whole = LabSpec(
        name=inventory.name,
        servers=tuple(server.endpoint.host for server in inventory.servers),
        members=tuple(map(_member, inventory.members)),
        hosts=tuple(map(_host, inventory.lab.hosts)),
        routers=inventory.lab.nats,
        links=tuple(inventory.lab.impaired(member.identity for member in inventory.members)),
    )
    return whole.part(member.identity for member in inventory.members if takes_part(member, now))


def takes_part(member: Member, now: dt.datetime) -> bool:
    """Return whether a member is switched on, and its time not over."""
    until = member.settings.expires_at
    return member.settings.enabled is not False and (until is None or now < until)


def _member(member: Member) -> MemberSpec:
    addresses = (member.interface,) if member.interface6 is None else (member.interface, member.interface6)
    stem = client_file(member.identity).removesuffix(".toml")
    translates = (bool(member.settings.masquerade), member.cider_mapping)
    return MemberSpec(member.identity, member.cluster, addresses, member.ciders, stem, *translates)


def _host(host: LabHost) -> HostSpec:
    addresses = (host.address,) if host.address6 is None else (host.address, host.address6)
    return HostSpec(host.name, host.behind, addresses)
