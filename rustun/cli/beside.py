"""Whether a client runs on this host already whose place this one would take.

One identity is one session at a server: a second client puts the first one out, with the service that it is. One that
runs on another host cannot be seen from here.

A socket in the usual folder that is neither root's nor this user's says nothing here: whoever may make files there
would keep a client from starting.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from rustun.admin.control import find_sockets
from rustun.admin.control_client import read_status
from rustun.config import ClientConfig
from rustun.config.keys import encode_key
from rustun.errors import HostError, RustunError


def refuse_beside_another(config: ClientConfig, control: Path | None) -> None:
    """See to it that no client with this identity and one of these servers runs here, as far as control sockets tell.

    Args:
        control: a control socket beside those in the usual folder.
    Raises: HostError: one does.
    """
    found = [path for path in find_sockets() if _is_ours(path)]
    for path in (*found, *([control] if control is not None else [])):
        try:
            document: dict[str, Any] = read_status(path)
        except RustunError:
            continue
        if (document.get("role"), document.get("identity")) != ("client", config.identity):
            continue
        told = {one.get(key) for one in document.get("servers", ()) for key in ("server", "server_public_key")}
        if _servers(config) & told:
            raise HostError(
                f'"{config.identity}" runs on this host already (pid {document["pid"]}): this would take its place',
                "rustun status shows it; stop it first, or give this one an identity of its own",
            )


def _is_ours(path: Path) -> bool:
    try:
        return path.lstat().st_uid in (0, os.geteuid())
    except OSError:  # gone meanwhile
        return False


def _servers(config: ClientConfig) -> set[str]:
    """Return addresses and keys."""
    addresses = {str(server.endpoint) for server in config.servers}
    return addresses | {encode_key(key) for server in config.servers for key in server.public_keys}
