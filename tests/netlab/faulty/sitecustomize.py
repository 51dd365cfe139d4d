"""A relay that leaks: Python imports this module at its start where this folder is in its path.

The file that RUSTUN_FAULT names says which fault the server process has now, none while it is empty; it may change at
any time. Clients are left alone.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path
from typing import Final
from unittest.mock import patch

from rustun.protocol.packet import flow_addresses
from rustun.protocol.routing import ClusterRoutes
from rustun.relay.cluster import Cluster
from rustun.relay.session import RelaySession
from rustun.relay.switch import Switch

FAULT: Final = Path(os.environ.get("RUSTUN_FAULT", os.devnull))
ROUTE: Final = Cluster.route
SOURCE_OK: Final = ClusterRoutes.source_ok
BEGIN: Final = Switch.begin
Found = RelaySession | str


def isolation_off(cluster: Cluster, sender: RelaySession, version: int, destination: int) -> Found:
    """What nobody in the own cluster has is looked for in the others."""
    for other in sender.core.clusters.values():
        owner = other._routes.destination(destination, version)
        if other is not cluster and owner is not None:
            return other.sessions.get(owner, "offline")
    return "no-route"


def prefix_leak(cluster: Cluster, sender: RelaySession, version: int, destination: int) -> Found:
    """LANs behind members are known to all clusters."""
    address = ip_address(destination.to_bytes(4 if version == 4 else 16, "big"))
    for other in sender.core.clusters.values():
        for member in other.members.values():
            if other is not cluster and any(address in cider for cider in member.ciders):
                return other.sessions.get(member.identity, "offline")
    return "no-route"


def broadcast_leak(cluster: Cluster, sender: RelaySession, version: int, destination: int) -> Found:
    """A broadcast goes to the next best member."""
    if version == 6 or destination & 0xFF != 0xFF:
        return "no-route"
    return next((session for session in cluster.sessions.values() if session is not sender), "no-route")


LEAKS: Final[dict[str, Callable[[Cluster, RelaySession, int, int], Found]]] = {
    leak.__name__: leak for leak in (isolation_off, prefix_leak, broadcast_leak)
}


def route(cluster: Cluster, sender: RelaySession, key: bytes) -> Found:
    """Return who gets a packet, or with a fault, somebody else."""
    found = ROUTE(cluster, sender, key)
    leak = LEAKS.get(FAULT.read_text())
    if found == "no-route" and leak is not None:
        version, _, destination = flow_addresses(key)
        return leak(cluster, sender, version, destination)
    return found


def source_ok(routes: ClusterRoutes[str], owner: str, address: int, version: int) -> bool:
    """Tell whether somebody may send from an address, or with a fault, that everybody may from any."""
    return FAULT.read_text() == "source_check_off" or SOURCE_OK(routes, owner, address, version)


_seen: dict[RelaySession, str] = {}


def begin(switch: Switch, sender: RelaySession, deadline: float, max_packets: int) -> None:
    """Begin a turn; with a fault, what a sender remembers of receivers outlives their sessions."""
    fault = FAULT.read_text()
    remembered = dict(sender.flows) if fault == "stale_session" else {}
    if _seen.get(sender, "") != fault:  # what was remembered belongs to the fault before
        _seen[sender] = fault
        sender.flows.clear()
        remembered.clear()
    BEGIN(switch, sender, deadline, max_packets)
    sender.flows.update((key, found) for key, found in remembered.items() if not isinstance(found, str))


if "serve" in sys.orig_argv and "RUSTUN_FAULT" in os.environ:
    for owner, name, changed in (
        (Cluster, "route", route),
        (ClusterRoutes, "source_ok", source_ok),
        (Switch, "begin", begin),
    ):
        patch.object(owner, name, changed).start()
