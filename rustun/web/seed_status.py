"""The pages of the seed's client, field for field, so that what reads them there reads them here.

    GET /health -> {"status": "ok", "service": "rustun-client"}
    GET /status -> self_info, traffic, relay, p2p, cluster_peers

Rules of this module
  1. True at the moment of asking: the tunnel's process is asked anew for each /status, nothing is kept.
  2. Bare objects without an envelope, and `null` where the seed has it.
  3. What this wire does not have stands as the seed shows what is not configured: no gateway ("" in self_info), no
     STUN, no peer to peer. A frame of the seed is one packet, so packets are counted as frames.
  4. `last_active` is the unix second up to which a member is known to be online: of the latest proof from its server.
     Offline and unknown members have 0, as there.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from ipaddress import IPv4Interface, ip_interface
from typing import Any, Final

from aiohttp import web

from rustun.errors import HostError
from rustun.web.guard import Right, Route
from rustun.web.keys import SOURCE
from rustun.web.source import Document

ONLINE_SECONDS: Final = 30
WARNING_SECONDS: Final = 120
MIB: Final = 1 << 20
# What a client counts as dropped on its way to the server; all other reasons are of packets from there.
SENDING_DROPS: Final = frozenset({"no-session", "queue-full", "uncuttable"})


def seed_status(document: Document, unix_seconds: float) -> dict[str, object]:
    """Return a client's status document as the seed's client shows it.

    Args:
        document: as it is now (docs/status.md).
        unix_seconds: now.
    """
    drops: Mapping[str, int] = document["drops"]
    sending = sum(count for reason, count in drops.items() if reason in SENDING_DROPS)
    return {
        "self_info": _self_info(document),
        "traffic": {
            "receive_bytes": document["received_bytes"],
            "receive_bytes_mb": document["received_bytes"] / MIB,
            "send_bytes": document["sent_bytes"],
            "send_bytes_mb": document["sent_bytes"] / MIB,
        },
        "relay": {
            "rx_frames": document["received_packets"],
            "rx_errors": sum(drops.values()) - sending,
            "tx_frames": document["sent_packets"],
            "tx_errors": sending,
        },
        "p2p": {"enabled": False, "peers": []},
        "cluster_peers": [_peer(document, peer, unix_seconds) for peer in document["peers"]],
    }


def _self_info(document: Document) -> dict[str, object] | None:
    """Return what the seed knows of itself since its handshake; None before."""
    addresses = [ip_interface(text) for text in document["addresses"]]
    own = next((one for one in addresses if isinstance(one, IPv4Interface)), None)
    if own is None:
        return None
    ipv6 = next((str(one.ip) for one in addresses if one.version == 6), "")
    return {
        "identity": document["identity"],
        "private_ip": str(own.ip),
        "mask": str(own.netmask),
        "gateway": "",
        "ciders": list(document.get("ciders", ())),
        "ipv6": ipv6,
        "port": 0,
        "stun_ip": "",
        "stun_port": 0,
    }


def _peer(document: Document, peer: Mapping[str, Any], unix_seconds: float) -> dict[str, object]:
    last_active = 0
    if peer["online"]:
        last_active = int(unix_seconds - (_silence(document) or 0.0))
    return {
        "name": peer["name"],
        "identity": peer["identity"],
        "private_ip": peer["address"],
        "ciders": list(peer["ciders"]),
        "ipv6": peer["address6"] or None,
        "ipv6_port": None,
        "stun_ip": None,
        "stun_port": None,
        "last_active": last_active,
        "status": _word(last_active, unix_seconds),
    }


def _silence(document: Document) -> float | None:
    """Return how long the server that tells of members has been silent beyond its time, None for not at all."""
    silence: float | None = document["proof_age_s"] if document["state"] != "online" else None
    return silence


def _word(last_active: int, unix_seconds: float) -> str:
    if not last_active:
        return "offline"
    elapsed = unix_seconds - last_active
    if elapsed < ONLINE_SECONDS:
        return "online"
    return "warning" if elapsed < WARNING_SECONDS else "inactive"


async def show_health(request: web.Request) -> web.StreamResponse:
    """Say that the client answers; where it does not, this is a 503."""
    await request.app[SOURCE].status_now()
    return web.json_response({"status": "ok", "service": "rustun-client"})


async def show_status(request: web.Request) -> web.StreamResponse:
    """Show the client as it is now."""
    document = await request.app[SOURCE].status_now()
    if document.get("role") != "client":
        raise HostError("this is a server", "its status is shown by: rustun status")
    return web.json_response(seed_status(document, time.time()))


ROUTES: Final = (Route("GET", "/health", show_health, Right.NONE), Route("GET", "/status", show_status))
