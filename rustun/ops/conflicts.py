"""What contradicts what in an inventory: each member may be right alone and wrong beside another.

Rules of this module
  1. Identities are unique in the whole fleet, because a session is known by its identity alone.
  2. In one cluster no two members have the same address or the same prefix, default routes excepted, and no prefix is
     just another member's address. Nested prefixes are legal: the longest wins. Clusters may repeat each other's.
  3. A public key belongs to one member or to the servers, since it is what proves who somebody is.
  4. On one host two sockets do not listen on one address and port (rustun/config/listeners.py).
  5. The later entry is reported and names the earlier one; the remedy says what is free.
"""

from __future__ import annotations

from collections import Counter

from rustun.backends.base import Address, Prefix
from rustun.config.listeners import DASHBOARD, FIGURES, MEMBERS, Listening, report_clashes
from rustun.ops.addresses import Recorded, free_addresses, usable
from rustun.ops.fleet import Cluster, Inventory, Member
from rustun.ops.sources import Entry, Sources
from rustun.printable import quoted
from rustun.protocol.tiers import Tier


def report_conflicts(inventory: Inventory, sources: Sources) -> None:
    """Report every contradiction at the entry that should change."""
    _report_identities(sources)
    _report_servers(inventory, sources)
    _report_listeners(inventory, sources)
    _report_public_keys(inventory, sources)
    _report_key_tier(inventory, sources)
    for cluster in inventory.clusters:
        _report_addresses(cluster, sources)
        _report_displaced(cluster, inventory.recorded, sources)
        _report_prefixes(cluster, sources)


def _entry(sources: Sources, member: Member) -> Entry:
    return sources.entries["cluster", member.cluster, "member", member.identity]


def _report_identities(sources: Sources) -> None:
    first: dict[str, Entry] = {}
    for path, entry in sources.entries.items():
        if path[0] != "cluster" or path[-2] != "member":
            continue
        if (other := first.setdefault(entry.name, entry)) is not entry:
            reason = f"identity {quoted(entry.name)} is taken by a member of {quoted(other.path[1])} at {other.place}"
            entry.table.report("", reason, "identities are unique in the whole fleet: rename one of them")


def _report_servers(inventory: Inventory, sources: Sources) -> None:
    names = Counter(server.name for server in inventory.servers)
    for name, times in names.items():
        reason = f"{times} of them are called {quoted(name)}"
        if times > 1:
            sources.entries[("fleet",)].table.report("servers", reason, "their files have these names: rename one")


def _report_listeners(inventory: Inventory, sources: Sources) -> None:
    fleet = sources.entries[("fleet",)].table
    members = inventory.listen or dict.fromkeys(
        endpoint for server in inventory.servers for endpoint in inventory.listen_of(server)
    )
    report_clashes(
        (
            Listening(MEMBERS, fleet, "listen" if inventory.listen else "servers", tuple(members)),
            Listening(DASHBOARD, fleet, "dashboard", inventory.dashboard),
            Listening(FIGURES, fleet, "metrics", inventory.metrics),
        )
    )
    if inventory.dashboard_hosts and not inventory.has_web:
        reason = "has no effect: there is neither a dashboard nor metrics"
        fleet.report("dashboard_hosts", reason, 'write dashboard = "127.0.0.1:8081" besides, or take it out', "warning")


def _report_public_keys(inventory: Inventory, sources: Sources) -> None:
    owners: dict[str, Member | None] = {key: None for server in inventory.servers for key in server.public_keys}
    for member in inventory.members:
        table = _entry(sources, member).table
        keys = dict.fromkeys(member.public_keys)
        if len(keys) < len(member.public_keys):
            table.report("public_key", "names the same key twice", "keep one of them")
        for key in keys:
            if (owner := owners.setdefault(key, member)) is not member:
                whose = f"{quoted(owner.identity)} at {_entry(sources, owner).place}" if owner else "the servers"
                reason = f"{key} is also a key of {whose}"
                table.report("public_key", reason, "each needs a key pair of its own: rustun keygen")


def _report_key_tier(inventory: Inventory, sources: Sources) -> None:
    for member in inventory.members:
        table = _entry(sources, member).table
        if not member.public_keys:
            continue
        if "tier" in table and member.settings.tier is not Tier.KEY:
            reason = f"is {member.settings.tier}, but a member with a public_key takes part in the key tier only"
            table.report("tier", reason, "take tier or public_key out")
        if "key" in table:
            table.report("key", "numbers generated key pairs, but there is a public_key", "take key or public_key out")


def _report_addresses(cluster: Cluster, sources: Sources) -> None:
    owners: dict[Address, Member] = {}
    for member in cluster.members:
        for key, address, network in (
            ("address", member.address, cluster.network),
            ("address6", member.address6, cluster.network6),
        ):
            table = _entry(sources, member).table
            if address is None or network is None:
                if key in table:
                    table.report(key, f"cluster {quoted(cluster.name)} has no network6", "add one to the cluster")
                continue
            if (other := owners.setdefault(address, member)) is not member:
                reason = f"{address} is taken by {quoted(other.identity)} at {_entry(sources, other).place}"
                table.report(key, reason, f"give one of them another address; {_free(cluster, network)}")
            elif key in table and not usable(network, address):
                table.report(key, f"{address} is no address for a member of {network}", f"{_free(cluster, network)}")


def _report_displaced(cluster: Cluster, recorded: Recorded, sources: Sources) -> None:
    """Warn where an address is written that the lock file records for somebody else, who gets another one."""
    owners = {address: member for member in cluster.members for address in member.addresses}
    given = recorded.given.get(cluster.name, {})
    for member in cluster.members:
        for address in given.get(member.identity, ()):
            key, now = ("address", member.address) if address.version == 4 else ("address6", member.address6)
            other = owners.get(address, member)
            if other is not member and key not in _entry(sources, member).table:
                reason = f"{address} is recorded for {quoted(member.identity)}, which gets {now} instead"
                remedy = f"write another one here, unless {quoted(member.identity)} may move"
                _entry(sources, other).table.report(key, reason, remedy, "warning")


def _free(cluster: Cluster, network: Prefix) -> str:
    taken = [address for member in cluster.members for address in member.addresses]
    free = next(free_addresses(network, taken), None)
    return f"{network} is full" if free is None else f"{free} is free"


def _report_prefixes(cluster: Cluster, sources: Sources) -> None:
    owners: dict[Prefix, Member] = {}
    hosts = {address: member for member in cluster.members for address in member.addresses}
    for member in cluster.members:
        table = _entry(sources, member).table
        for prefix in member.ciders:
            if prefix.prefixlen == 0:
                continue
            if (other := owners.setdefault(prefix, member)) is not member:
                reason = f"{prefix} is also a prefix of {quoted(other.identity)} at {_entry(sources, other).place}"
                table.report("ciders", reason, "one of them has to give it up, or to name a part of it")
            elif prefix.prefixlen == prefix.max_prefixlen and hosts.get(prefix.network_address, member) is not member:
                host = hosts[prefix.network_address]
                reason = f"{prefix} is the address of {quoted(host.identity)} at {_entry(sources, host).place}"
                table.report("ciders", reason, "take it out")
        for seen, real in member.cider_mapping:
            if seen not in member.ciders:
                table.report("cider_mapping", f"{seen} is not among the ciders", f'add "{seen}" to ciders')
            if (seen.version, seen.prefixlen) != (real.version, real.prefixlen):
                table.report("cider_mapping", f"{seen} and {real} differ in size", "both sides need the same length")
