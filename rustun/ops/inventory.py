"""Read an inventory: TOML files in, one frozen `Inventory` out, or every problem of all files at once.

Rules of this module
  1. Reading goes on after a problem; only at the end is anything raised.
  2. Settings of a level override those of the levels below: built in < fleet < cluster < tags < member (fleet.py).
  3. Addresses that are written stay; `addresses.py` gives out the others. What contradicts what, `conflicts.py` says.
  4. Reading never writes.

The form is described in docs/inventory.md, the meaning of the records in fleet.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import reduce
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from pathlib import Path
from typing import Final

from rustun.backends.base import Address, Endpoint
from rustun.errors import ConfigError, Problem
from rustun.ops.addresses import allocate, gateway_of, same_number, usable
from rustun.ops.conflicts import note_conflicts
from rustun.ops.fields import Problems, TableReader, expected, parse_endpoint, parse_prefix, parse_with, show
from rustun.ops.fleet import BUILT_IN, Cluster, Inventory, LabHost, Member, Server, Settings
from rustun.ops.sources import TablePath, read_tables
from rustun.protocol.tiers import Tier

__all__ = ["Cluster", "Inventory", "LabHost", "Member", "Server", "Settings", "load_inventory"]

CIPHERS: Final = ("auto", "aes256", "chacha20")
MAX_IDENTITY_BYTES: Final = 64
LONGEST_PREFIX: Final = {4: 30, 6: 126}  # of a cluster's network: two members and a gateway have to fit
Recorded = Mapping[str, tuple[Address, ...]]


def load_inventory(path: Path, recorded: Recorded | None = None) -> Inventory:
    """Read an inventory from a file or a folder.

    Args:
        path: a TOML file, or a folder with some.
        recorded: addresses given out earlier, by identity; kept where they still fit and are free.
    Raises:
        ConfigError: with every problem of every file.
    """
    problems = Problems()
    tables = read_tables(path, problems)
    fleet = tables.get(("fleet",))
    if fleet is None:
        if not problems.errors:
            problems.found.append(Problem(str(path), 0, "fleet", "missing", 'add [fleet] with name = "..." and servers'))
        raise ConfigError(problems.errors)
    inventory = _read_fleet(fleet, tables, problems, recorded or {})
    note_conflicts(inventory, tables, problems)
    if problems.errors:
        raise ConfigError(problems.errors)
    return inventory


def _read_fleet(
    fleet: TableReader, tables: Mapping[TablePath, TableReader], problems: Problems, recorded: Recorded
) -> Inventory:
    settings = BUILT_IN.overridden_by(_read_settings(fleet))
    tags = {path[1]: _read_settings(reader) for path, reader in tables.items() if path[0] == "tag"}
    servers = _read_servers(fleet)
    listen = fleet.parsed_list("listen", parse_endpoint) or _default_listen(servers)
    names = dict.fromkeys(path[1] for path in tables if path[0] == "cluster")
    clusters = (_read_cluster(name, settings, tags, tables, problems, recorded) for name in names)
    inventory = Inventory(
        name=fleet.text("name", required=True),
        servers=servers,
        listen=listen,
        cipher=fleet.choice("cipher", CIPHERS) or "auto",
        minimum_tier=Tier(fleet.choice("minimum_tier", Tier) or Tier.SHARED),
        clusters=tuple(cluster for cluster in clusters if cluster is not None),
        lab_hosts=tuple(_read_lab_hosts(tables)),
    )
    if not inventory.name.replace("-", "").replace("_", "").isalnum():
        fleet.problem("name", f"found {show(inventory.name)}, expected letters, digits, - and _", "it names a folder")
    for path, reader in tables.items():
        if path[0] != "cluster":  # clusters and their members are finished where they are read
            reader.finish()
    return inventory
