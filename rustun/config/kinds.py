"""Whose a TOML file is: a server's, a client's, or an inventory, by the tables and keys that only one of them has."""

from __future__ import annotations

import shlex
from collections.abc import Collection
from typing import Final

from rustun.config.findings import config_error
from rustun.config.toml import Table

SERVER_KEYS: Final = frozenset({"server_config", "route_config", "limit_config", "queue_config"})
CLIENT_KEYS: Final = frozenset({"identity", "servers", "tunnel_config", "host_config"})
INVENTORY_KEYS: Final = frozenset({"fleet", "cluster", "lab"})


def toml_kind(keys: Collection[str]) -> str:
    """Return "client" or "server", whose keys are more of these; empty where they are as many."""
    clients, servers = len(CLIENT_KEYS.intersection(keys)), len(SERVER_KEYS.intersection(keys))
    return "client" if clients > servers else "server" if servers > clients else ""


def refuse_client(top: Table, file: str) -> None:
    """Refuse a client's file where a server's is wanted. Raises: ConfigError, in the place of a slip for each key."""
    if CLIENT_KEYS & top.values.keys() and not SERVER_KEYS & top.values.keys():
        remedy = f"run: rustun connect --config {shlex.quote(file)}"
        raise config_error(file, "is a client.toml, not a server.toml", remedy)


def refuse_server(top: Table, file: str) -> None:
    """Refuse a server's file where a client's is wanted. Raises: ConfigError, in the place of a slip for each key."""
    if SERVER_KEYS & top.values.keys() and not CLIENT_KEYS & top.values.keys():
        raise config_error(file, "is a server.toml, not a client.toml", f"run: rustun serve {shlex.quote(file)}")
