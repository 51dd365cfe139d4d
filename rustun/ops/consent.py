"""[host_config] of the members' files: what an inventory has the hosts agree to, so that a generated gateway works.

Rules of this module
  1. A gateway agrees to its real LANs: behind a mapping those are not the prefixes that the cluster sees.
  2. Only what a member's own client takes is written: who offers an exit uses none, and a kill switch needs one.
  3. A way out that leads nowhere is a warning at the member that it concerns; a name that nobody has is an error.
"""

from __future__ import annotations

from collections.abc import Mapping

from rustun.backends.base import Prefix
from rustun.config.toml import Table
from rustun.ops.fleet import Inventory, Member
from rustun.ops.sources import Sources
from rustun.printable import quoted
from rustun.protocol.routing import like_default


def host_config(member: Member) -> dict[str, object]:
    """Return the keys of [host_config] with their values, in the order of writing; none where nothing is agreed to."""
    settings, lans, exit_node = member.settings, _lans(member), _exit_node(member)
    wished: dict[str, tuple[bool, object]] = {
        "gateway": (bool(lans), lans),
        "masquerade": (bool(lans), settings.masquerade),
        "cider_mapping": (bool(member.cider_mapping), dict(member.cider_mapping)),
        "accept_routes": (settings.accept_routes is not None, settings.accept_routes),
        "offer_exit": (bool(settings.offer_exit), True),
        "exit_node": (bool(exit_node), exit_node),
        "kill_switch": (bool(exit_node and settings.kill_switch), True),
        "names": (settings.names is not None, settings.names),
    }
    return {key: value for key, (written, value) in wished.items() if written}


def _lans(member: Member) -> tuple[Prefix, ...]:
    """Return the real prefixes of the LANs behind a member."""
    real = dict(member.cider_mapping)
    return tuple(real.get(prefix, prefix) for prefix in member.ciders if not like_default(prefix))


def _exit_node(member: Member) -> str:
    """Return whom it uses as exit: nobody where it is one itself."""
    exit_node = member.settings.exit_node or ""
    return "" if member.settings.offer_exit or exit_node == member.identity else exit_node


def report_consent(inventory: Inventory, sources: Sources) -> None:
    """Report exits that lead nowhere, at the member that should change."""
    for cluster in inventory.clusters:
        offers: dict[Prefix, Member] = {}
        members = {member.identity: member for member in cluster.members}
        for member in cluster.members:
            table = sources.entries["cluster", cluster.name, "member", member.identity].table
            _report_offer(member, offers, table)
            _report_use(member, members, table)


def _report_offer(member: Member, offers: dict[Prefix, Member], table: Table) -> None:
    """Judge what a member offers; `offers` are the default routes of those before it, and then its own as well."""
    defaults = _defaults(member)
    if member.settings.offer_exit and not defaults:
        remedy = 'add "0.0.0.0/0" to its ciders, or "::/0"'
        table.report("offer_exit", "is agreed to, but no default route leads to this member", remedy, "warning")
    if defaults and not member.settings.offer_exit:
        reason = f"{defaults[0]} leads to this member, which drops what comes: it does not agree to be an exit"
        table.report("ciders", reason, "write offer_exit = true", "warning")
    for prefix in defaults:
        if (other := offers.setdefault(prefix, member)) is not member:
            reason = f"{prefix} is offered by {quoted(other.identity)} as well: the relay takes neither"
            table.report("ciders", reason, "leave it to one member of the cluster", "warning")


def _report_use(member: Member, members: Mapping[str, Member], table: Table) -> None:
    settings, exit_node = member.settings, _exit_node(member)
    if settings.kill_switch and not (settings.exit_node or settings.offer_exit):
        table.report("kill_switch", "stands without exit_node", "name the member that everything goes through")
    if exit_node and exit_node not in members:
        reason = f"exit_node {quoted(exit_node)} is no member of cluster {quoted(member.cluster)}"
        table.report("exit_node", reason, "name one that has offer_exit = true")
    elif exit_node and not _defaults(members[exit_node]):
        reason = f"{quoted(exit_node)} offers no default route"
        table.report("exit_node", reason, 'give it ciders = ["0.0.0.0/0"] and offer_exit = true', "warning")


def _defaults(member: Member) -> list[Prefix]:
    return [prefix for prefix in member.ciders if prefix.prefixlen == 0]
