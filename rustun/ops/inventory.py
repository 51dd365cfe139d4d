"""Read an inventory: TOML files in, one frozen `Inventory` out, or every problem of all files at once.

Rules of this module
  1. What a table says, model.py and validation.py know; here it becomes the complete records of fleet.py.
  2. Addresses that are written stay, those of the lock file as well (recorded.py); `addresses.py` gives out the others.
     What contradicts what, `conflicts.py` and `consent.py` say.
  3. Reading goes on after a problem, with a harmless value; only at the end is anything raised. Reading never writes.

The form is described in docs/inventory.md, the meaning of the records in fleet.py.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address
from pathlib import Path
from typing import Final

from rustun.backends.base import Address, Prefix
from rustun.config.findings import Complaint
from rustun.config.names import parse_name
from rustun.ops.addresses import Allocation, Recorded, allocate, gateway_of, same_number
from rustun.ops.conflicts import report_conflicts
from rustun.ops.consent import report_consent
from rustun.ops.filenames import FIRST_SERVER
from rustun.ops.fleet import (
    BUILT_IN,
    NOTHING_SAID,
    SETTING_NAMES,
    Cluster,
    Inventory,
    Member,
    Server,
    Settings,
    settled,
)
from rustun.ops.lab.reading import read_lab
from rustun.ops.model import ClusterTable, FleetTable, MemberTable, SettingsTable, TagTable
from rustun.ops.recorded import lock_file, read_recorded
from rustun.ops.sources import Entry, Sources, read_sources
from rustun.ops.validation import read_table
from rustun.printable import quoted

__all__ = ["Cluster", "Inventory", "Member", "Server", "Settings", "load_inventory"]

NO_NETWORK: Final = IPv4Network("0.0.0.0/0")  # stands for a network that cannot be read, until the problems are raised
UNREAD: Final = {"name": "unread", "servers": [{"address": "unread.invalid:1"}]}  # likewise of a fleet


def load_inventory(path: Path, recorded: Recorded | None = None, today: dt.date | None = None) -> Inventory:
    """Read an inventory from a file or a folder.

    Args:
        path: a TOML file, or a folder with some.
        recorded: addresses given out earlier, kept where they still fit and are free; None: those of its lock file.
        today: decides which released addresses may be given out again; None: the date in UTC.
    Raises:
        ConfigError: with every problem of every file.
    """
    sources = read_sources(path)
    entry = sources.entries.get(("fleet",))
    if entry is None:
        sources.finish()
        raise AssertionError("a missing fleet is reported as an error")
    fleet = read_table(entry.table, FleetTable, instead=UNREAD) or FleetTable.model_validate(UNREAD)
    if recorded is None:
        recorded = sources.take(lambda: read_recorded(lock_file(path)), Recorded())
    today = today or dt.datetime.now(dt.UTC).date()
    reader = _Reader(sources, recorded, today, fleet)
    clusters = tuple(reader.clusters())
    in_use = ((one.name, at) for one in clusters for member in one.members for at in member.addresses)
    inventory = Inventory(
        name=fleet.name,
        servers=tuple(_servers(fleet)),
        listen=fleet.listen,
        cipher=fleet.cipher,
        minimum_tier=fleet.minimum_tier,
        psk=bool(fleet.psk),
        server_key=fleet.server_key,
        clusters=clusters,
        dashboard=fleet.dashboard,
        dashboard_hosts=fleet.dashboard_hosts,
        metrics=fleet.metrics,
        recorded=recorded,
        to_record=recorded.after(reader.allocated, in_use, today, fleet.address_hold_days),
        lab=read_lab(sources, {member.identity: member for one in clusters for member in one.members}),
    )
    if entry.table.values.get("servers") == []:
        entry.table.report("servers", "is empty", 'write servers = [{ address = "vpn.example.org:8080" }]')
    report_conflicts(inventory, sources)
    report_consent(inventory, sources)
    return replace(inventory, notes=sources.finish())


def _servers(fleet: FleetTable) -> Iterator[Server]:
    for number, table in enumerate(fleet.servers, 1):
        name = table.name or (FIRST_SERVER if number == 1 else f"{FIRST_SERVER}-{number}")
        yield Server(name, table.address, table.ssh, table.public_key)


def _settings(table: SettingsTable | None) -> Settings:
    said = table.model_fields_set.intersection(SETTING_NAMES) if table is not None else ()
    return Settings(**{name: getattr(table, name) for name in said}) if said else NOTHING_SAID


@dataclass(frozen=True, slots=True)
class _Draft:
    """A member as written, with the settings that hold for it, before addresses are given out."""

    entry: Entry
    table: MemberTable
    settings: Settings


class _Reader:
    """Turns the tables of clusters and members into records; `allocated` grows with each cluster."""

    def __init__(self, sources: Sources, recorded: Recorded, today: dt.date, fleet: FleetTable) -> None:
        self.allocated: dict[str, dict[str, tuple[Address, ...]]] = {}
        self._sources = sources
        self._recorded = recorded
        self._today = today
        self._fleet = fleet
        self._level = settled(BUILT_IN, _settings(fleet))
        self._tags = {entry.name: _settings(read_table(entry.table, TagTable)) for entry in sources.of_kind("tag")}

    def clusters(self) -> Iterator[Cluster]:
        """Yield the clusters in the order of writing."""
        members: dict[str, list[Entry]] = {}
        for path, entry in self._sources.entries.items():
            if path[0] == "cluster":
                members.setdefault(path[1], []).extend([entry] if path[-2] == "member" else [])
        for name, entries in members.items():
            cluster = self._sources.entries.get(("cluster", name))
            if cluster is not None:
                table = read_table(cluster.table, ClusterTable, "member") or ClusterTable()
                level = settled(self._level, _settings(table))
                yield self._cluster(cluster, table, list(self._drafts(entries, level)))
                continue
            entries[0].table.report("", f"is in cluster {quoted(name)}, which has no table", f"write [cluster.{name}]")
            for _ in self._drafts(entries, self._level):  # for their own problems
                pass

    def _drafts(self, entries: list[Entry], level: Settings) -> Iterator[_Draft]:
        """Yield a cluster's members; who has the same tags starts from the same settings."""
        by_tags: dict[tuple[str, ...], Settings] = {}
        for entry in entries:
            _report_name(entry)
            table = read_table(entry.table, MemberTable) or MemberTable()
            if table.tags not in by_tags:
                by_tags[table.tags] = settled(level, *(self._tags[tag] for tag in table.tags if tag in self._tags))
            yield _Draft(entry, table, settled(by_tags[table.tags], _settings(table)))

    def _cluster(self, entry: Entry, table: ClusterTable, drafts: list[_Draft]) -> Cluster:
        _report_name(entry)
        if table.network is None and "network" not in entry.table:
            entry.table.report("network", "is missing", 'add network = "10.0.1.0/24"')
        name, network, network6 = entry.name, table.network or NO_NETWORK, table.network6
        addresses = self._allocate(name, network, {draft.entry.name: draft.table.address for draft in drafts})
        addresses6: Allocation = {}
        twins: dict[str, Address] = {}
        if network6 is not None:
            twins = {who: same_number(network6, address, network) for who, address in addresses.items() if address}
            wished6 = {draft.entry.name: draft.table.address6 for draft in drafts}
            addresses6 = self._allocate(name, network6, wished6, twins)
        cluster = Cluster(name, network, network6, gateway_of(network), ())
        members = tuple(_member(draft, cluster, addresses, addresses6) for draft in drafts)
        if given := {draft.entry.name: at for draft in drafts if (at := _given(draft, addresses, addresses6, twins))}:
            self.allocated[name] = given
        return replace(cluster, members=members)

    def _allocate(
        self, cluster: str, network: Prefix, wished: Mapping[str, Address | None], *twins: Mapping[str, Address]
    ) -> Allocation:
        version = network.version
        held = self._recorded.held(cluster, version, self._today)
        if self._fleet.address_hold_days:
            held += self._recorded.gone(cluster, version, wished)
        return allocate(network, wished, self._recorded.liked(cluster, version), *twins, held=held)


def _given(
    draft: _Draft, addresses: Allocation, addresses6: Allocation, twins: Mapping[str, Address]
) -> tuple[Address, ...]:
    """Return the addresses to be recorded of a member: those that follow from nothing that is written."""
    table, who = draft.table, draft.entry.name
    given = [] if table.address else [addresses[who]]
    if not table.address6 and (given or addresses6.get(who) != twins.get(who)):
        given.append(addresses6.get(who))
    return tuple(address for address in given if address is not None)


def _report_name(entry: Entry) -> None:
    try:
        parse_name(entry.name)
    except Complaint as complaint:
        what = "identity" if entry.path[-2] == "member" else "name"
        entry.table.report("", f"{what} {complaint.reason}", complaint.remedy)


def _member(draft: _Draft, cluster: Cluster, addresses: Allocation, addresses6: Allocation) -> Member:
    table, identity = draft.table, draft.entry.name
    address, address6 = addresses[identity], addresses6.get(identity)
    if address is None or (address6 is None and cluster.network6 is not None):
        full = cluster.network if address is None else cluster.network6
        draft.entry.table.report("address", f"no address is free in {full}", "give the cluster a larger network")
    return Member(
        cluster=cluster.name,
        identity=identity,
        name=table.name,
        address=address if isinstance(address, IPv4Address) else cluster.gateway,
        network=cluster.network,
        gateway=cluster.gateway,
        address6=address6 if isinstance(address6, IPv6Address) else None,
        network6=cluster.network6,
        ciders=table.ciders,
        cider_mapping=tuple(table.cider_mapping.items()),
        public_keys=table.public_key,
        tags=table.tags,
        ssh=table.ssh,
        settings=draft.settings,
    )
