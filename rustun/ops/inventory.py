"""Read an inventory: TOML files in, one frozen `Inventory` out, or every problem of all files at once.

Rules of this module
  1. Settings of a level override those of the levels below: built in < fleet < cluster < tags < member (fleet.py).
  2. Addresses that are written stay; `addresses.py` gives out the others. What contradicts what, `conflicts.py` says.
  3. Reading goes on after a problem, with a harmless value; only at the end is anything raised. Reading never writes.

The form is described in docs/inventory.md, the meaning of the records in fleet.py.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import reduce
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from pathlib import Path
from typing import Final, TypeVar

from rustun.backends.base import Address, Prefix
from rustun.config.addresses import parse_endpoint, parse_ipv4, parse_listen, parse_prefix
from rustun.config.client import MAX_MTU, MIN_MTU, USUAL_MTU
from rustun.config.consent import NAME_CHOICES
from rustun.config.findings import Complaint, describe
from rustun.config.keys import parse_public_key
from rustun.config.member import MAX_PUBLIC_KEYS
from rustun.config.names import parse_label, parse_name
from rustun.config.server import CIPHERS
from rustun.config.toml import Table
from rustun.ops.addresses import allocate, gateway_of, same_number
from rustun.ops.conflicts import report_conflicts
from rustun.ops.consent import report_consent
from rustun.ops.filenames import FIRST_SERVER, parse_server_name
from rustun.ops.fleet import BUILT_IN, FIRST_KEY, Cluster, Inventory, LabHost, Member, Server, Settings
from rustun.ops.sources import Entry, Sources, read_sources
from rustun.printable import quoted
from rustun.protocol.tiers import Tier

__all__ = ["Cluster", "Inventory", "LabHost", "Member", "Server", "Settings", "load_inventory"]

T = TypeVar("T")
NO_NETWORK: Final = IPv4Network("0.0.0.0/0")  # stands for a network that cannot be read, until the problems are raised
MIN_HOST_BITS: Final = 2  # of a cluster's network: a member and the gateway have to fit
MAX_KEY_NUMBER: Final = 9999
Recorded = Mapping[str, tuple[Address, ...]]


def load_inventory(path: Path, recorded: Recorded | None = None) -> Inventory:
    """Read an inventory from a file or a folder.

    Args:
        path: a TOML file, or a folder with some.
        recorded: addresses given out earlier, by identity; kept where they still fit and are free.
    Raises:
        ConfigError: with every problem of every file.
    """
    sources = read_sources(path)
    fleet = sources.entries.get(("fleet",))
    if fleet is None:
        sources.finish()
        raise AssertionError("a missing fleet is reported as an error")
    inventory = _read_fleet(fleet.table, sources, recorded or {})
    report_conflicts(inventory, sources)
    report_consent(inventory, sources)
    return replace(inventory, notes=sources.finish())


def _read_fleet(table: Table, sources: Sources, recorded: Recorded) -> Inventory:
    settings = BUILT_IN.overridden_by(_read_settings(table))
    tags = {entry.name: _read_settings(entry.table) for entry in sources.of_kind("tag")}
    servers = tuple(_read_servers(table))
    return Inventory(
        name=table.text("name", _parse_fleet_name, "") or _missing(table, "name", 'name = "acme"', ""),
        servers=servers,
        listen=table.texts("listen", parse_listen),
        cipher=table.choice("cipher", CIPHERS, "auto"),
        minimum_tier=Tier(table.choice("minimum_tier", tuple(Tier), Tier.KEY)),
        server_key=(_key_numbers(table, "server_key") if "server_key" in table else None) or FIRST_KEY,
        clusters=tuple(_read_clusters(sources, settings, tags, recorded)),
        lab_hosts=tuple(_read_lab_hosts(sources)),
    )


def _parse_fleet_name(text: str) -> str:
    if text.isascii() and text.replace("-", "").replace("_", "").isalnum():
        return text
    raise Complaint(f"{quoted(text)} cannot name a folder", "letters, digits, - and _: files go to build/NAME")


def _parse_public_key(text: str) -> str:
    """Return the key as it was written, once it is known to be one."""
    parse_public_key(text)
    return text


def _missing(table: Table, key: str, example: str, instead: T) -> T:
    if key not in table:
        table.report(key, "is missing", f"add {example}")
    return instead


def _read_servers(fleet: Table) -> Iterator[Server]:
    servers = fleet.tables("servers", '{ address = "vpn.example.org:8080" }')
    if not servers:
        _missing(fleet, "servers", 'servers = [{ address = "vpn.example.org:8080" }]', None)
    for number, table in enumerate(servers, 1):
        name = table.text("name", parse_server_name, FIRST_SERVER if number == 1 else f"{FIRST_SERVER}-{number}")
        endpoint = table.text("address", parse_endpoint, None)
        ssh = table.text("ssh", parse_label, "")
        keys = table.texts("public_key", _parse_public_key, most=MAX_PUBLIC_KEYS)
        table.close()
        if endpoint is None:
            _missing(table, "address", 'address = "vpn.example.org:8080"', None)
        else:
            yield Server(name, endpoint, ssh, keys)


def _read_settings(table: Table) -> Settings:
    def said(key: str, read: Callable[[], T]) -> T | None:
        table.known(key)
        return read() if key in table else None

    tier = said("tier", lambda: Tier(table.choice("tier", tuple(Tier), Tier.KEY)))
    return Settings(
        masquerade=said("masquerade", lambda: table.flag("masquerade")),
        tier=tier,
        key=said("key", lambda: _key_numbers(table, "key")),
        enabled=said("enabled", lambda: table.flag("enabled")),
        expires_at=said("expires_at", lambda: _moment(table, "expires_at")),
        mtu=said("mtu", lambda: table.whole("mtu", USUAL_MTU, MIN_MTU, MAX_MTU)),
        offload=said("offload", lambda: table.flag("offload")),
        keepalive_interval=said("keepalive_interval", lambda: table.whole("keepalive_interval", 10, 1, 3600)),
        keepalive_threshold=said("keepalive_threshold", lambda: table.whole("keepalive_threshold", 5, 1, 100)),
        accept_routes=said("accept_routes", lambda: table.texts("accept_routes", parse_prefix)),
        offer_exit=said("offer_exit", lambda: table.flag("offer_exit")),
        exit_node=said("exit_node", lambda: table.text("exit_node", lambda text: text and parse_name(text), "")),
        kill_switch=said("kill_switch", lambda: table.flag("kill_switch")),
        names=said("names", lambda: table.choice("names", NAME_CHOICES, "off")),
    )


def _key_numbers(table: Table, key: str) -> tuple[int, ...] | None:
    """Return the number of a key pair, or two of them."""
    table.known(key)
    value = table.values[key]
    numbers = value if isinstance(value, list) else [value]
    whole = all(type(number) is int and 1 <= number <= MAX_KEY_NUMBER for number in numbers)
    if whole and numbers and len(set(numbers)) == len(numbers) <= MAX_PUBLIC_KEYS:
        return tuple(numbers)
    remedy = f"write {key} = 2, or {key} = [1, 2] while the old and the new one are both valid"
    table.report(key, f"is {describe(value)}, not the number of a key, or two of them", remedy)
    return None


def _moment(table: Table, key: str) -> dt.datetime | None:
    """Return a point in time in UTC; a bare date means its first moment."""
    value = table.values[key]
    if isinstance(value, dt.datetime):
        if value.tzinfo is not None:
            return value.astimezone(dt.UTC)
        table.report(key, f"is {value}, a time without a zone", f"write {value.isoformat()}Z for UTC")
    elif isinstance(value, dt.date):
        return dt.datetime(value.year, value.month, value.day, tzinfo=dt.UTC)
    else:
        table.report(key, f"is {describe(value)}, not a date", "write it like 2027-06-30, without quotes")
    return None


def _read_clusters(
    sources: Sources, settings: Settings, tags: Mapping[str, Settings], recorded: Recorded
) -> Iterator[Cluster]:
    members: dict[str, list[Entry]] = {}
    for path, entry in sources.entries.items():
        if path[0] == "cluster":
            members.setdefault(path[1], []).extend([entry] if path[-2] == "member" else [])
    for name, entries in members.items():
        cluster = sources.entries.get(("cluster", name))
        if cluster is None:
            entries[0].table.report("", f"is in cluster {quoted(name)}, which has no table", f"write [cluster.{name}]")
            for entry in entries:
                _Draft(entry, settings, tags)
            continue
        level = settings.overridden_by(_read_settings(cluster.table))
        yield _read_cluster(name, cluster.table, [_Draft(entry, level, tags) for entry in entries], recorded)


class _Draft:
    """A member as written, before addresses are given out."""

    def __init__(self, entry: Entry, level: Settings, tags: Mapping[str, Settings]) -> None:
        table = entry.table
        self.entry = entry
        self.name = table.text("name", parse_label, "")
        self.address = table.text("address", parse_ipv4, None)
        self.address6 = table.text("address6", _parse_ipv6, None)
        self.ciders = table.texts("ciders", parse_prefix)
        self.cider_mapping = tuple(_read_mapping(table.table("cider_mapping")))
        self.public_keys = table.texts("public_key", _parse_public_key, most=MAX_PUBLIC_KEYS)
        self.tags = table.texts("tags", parse_name)
        self.ssh = table.text("ssh", parse_label, "")
        levels = [level, *(tags[tag] for tag in self.tags if tag in tags), _read_settings(table)]
        self.settings = reduce(Settings.overridden_by, levels)
        try:
            parse_name(entry.name)
        except Complaint as complaint:
            table.report("", f"identity {complaint.reason}", complaint.remedy)


def _read_mapping(table: Table) -> Iterator[tuple[Prefix, Prefix]]:
    for seen in table.values:
        try:
            key = parse_prefix(seen)
        except Complaint as complaint:
            table.known(seen)
            table.report(seen, complaint.reason, complaint.remedy)
            continue
        real = table.text(seen, parse_prefix, None)
        if real is not None:
            yield key, real


def _parse_ipv6(text: str) -> IPv6Address:
    try:
        return IPv6Address(text)
    except ValueError:
        raise Complaint(f"{quoted(text)} is not an IPv6 address", "as in fd00:1::7") from None


def _network(kind: type[T], example: str) -> Callable[[str], T]:
    def parse(text: str) -> T:
        prefix = parse_prefix(text)
        if not isinstance(prefix, kind):
            raise Complaint(f"{quoted(text)} is of the wrong family", f"as in {example}")
        if prefix.max_prefixlen - prefix.prefixlen < MIN_HOST_BITS:
            longest = prefix.max_prefixlen - MIN_HOST_BITS
            raise Complaint(f"{quoted(text)} has no room for members", f"take a /{longest} or a larger one")
        return prefix

    return parse


def _read_cluster(name: str, table: Table, drafts: list[_Draft], recorded: Recorded) -> Cluster:
    network = table.text("network", _network(IPv4Network, "10.0.1.0/24"), None)
    network6 = table.text("network6", _network(IPv6Network, "fd00:1::/64"), None)
    if network is None:
        network = _missing(table, "network", 'network = "10.0.1.0/24"', NO_NETWORK)
    wished = {draft.entry.name: draft.address for draft in drafts}
    addresses = allocate(network, wished, _of_family(recorded, network))
    addresses6: Mapping[str, Address | None] = {}
    if network6 is not None:
        twins = {who: same_number(network6, address, network) for who, address in addresses.items() if address}
        wished6 = {draft.entry.name: draft.address6 for draft in drafts}
        addresses6 = allocate(network6, wished6, _of_family(recorded, network6), twins)
    cluster = Cluster(name, network, network6, gateway_of(network), ())
    members = (_member(draft, cluster, addresses, addresses6) for draft in drafts)
    return replace(cluster, members=tuple(members))


def _of_family(recorded: Recorded, network: Prefix) -> dict[str, Address]:
    return {who: address for who, known in recorded.items() for address in known if address.version == network.version}


def _member(
    draft: _Draft, cluster: Cluster, addresses: Mapping[str, Address | None], addresses6: Mapping[str, Address | None]
) -> Member:
    identity = draft.entry.name
    address, address6 = addresses[identity], addresses6.get(identity)
    if address is None or (address6 is None and cluster.network6 is not None):
        full = cluster.network if address is None else cluster.network6
        draft.entry.table.report("address", f"no address is free in {full}", "give the cluster a larger network")
    return Member(
        cluster=cluster.name,
        identity=identity,
        name=draft.name,
        address=address if isinstance(address, IPv4Address) else cluster.gateway,
        network=cluster.network,
        gateway=cluster.gateway,
        address6=address6 if isinstance(address6, IPv6Address) else None,
        network6=cluster.network6,
        ciders=draft.ciders,
        cider_mapping=draft.cider_mapping,
        public_keys=draft.public_keys,
        tags=draft.tags,
        ssh=draft.ssh,
        settings=draft.settings,
    )


def _read_lab_hosts(sources: Sources) -> Iterator[LabHost]:
    for entry in sources.of_kind("lab", "host"):
        behind = entry.table.text("behind", parse_name, "")
        _missing(entry.table, "behind", 'behind = "office-gw"', None)
        address = entry.table.text("address", parse_ipv4, None)
        address6 = entry.table.text("address6", _parse_ipv6, None)
        if address is None:
            _missing(entry.table, "address", 'address = "192.168.10.7"', None)
        else:
            yield LabHost(entry.name, behind, address, address6)
