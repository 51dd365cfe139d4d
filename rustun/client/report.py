"""The client's status document (docs/status.md).

It is made in short steps: what a cluster of thousands of members makes long is an iterator, or made a few hundred at a
time.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final

from rustun.backends.base import NOT_AN_EXIT, Prefix
from rustun.logs import EventLog
from rustun.protocol.control import DirectoryEntry
from rustun.protocol.packet import flow_addresses

if TYPE_CHECKING:
    from rustun.client.client import TunnelClient
    from rustun.client.server_link import ServerLink

PREFIXES_A_STEP: Final = 256  # about 0.5 ms, most of it to write them
Steps = Generator[None, None, dict[str, object]]


def client_status(client: TunnelClient, now: float, cluster: str = "", member: str = "") -> Steps:
    """Make the document, times as ages in seconds.

    What stands outside of `servers` is of the first one that is online, and else of the first one with a session.

    Args:
        now: seconds of the reactor's clock.
        cluster: no client knows the name of its own: where one is named, no peers are listed.
        member: the only peer that is listed; empty: all.
    """
    refused = yield from _refused(client.host_report.refused)
    servers = [_server(client, link, now) for link in client.links]
    tun, pump = client.tun, client.pump
    shown = next((one for one in servers if one["state"] == "online"), servers[client.links.index(client.first)])
    received, sent = pump.rates(now)
    own = client.first.peers.own
    return {
        "identity": client.config.identity,
        "name": own.name if own is not None else "",
        "ciders": [str(prefix) for prefix in own.offered] if own is not None else [],
        **shown,
        "servers": servers,
        "tun": {
            "name": client.tun_name,
            "mtu": client.config.tun_mtu,
            "offloads": sorted(tun.offloads) if tun is not None else [],
            "present": tun is not None,
        },
        "addresses": [str(address) for address in client.host_report.addresses],
        "routes": (str(prefix) for prefix in client.host_report.routed),
        "refused_routes": refused,
        "warnings": list(client.host_warnings),
        "peers": (_peer(client, entry) for entry in _chosen(client.members, cluster, member)),
        "received_bytes": pump.received_bytes,
        "received_packets": pump.received_packets,
        "sent_bytes": pump.sent_bytes,
        "sent_packets": pump.sent_packets,
        "received_bytes_per_s": round(received),
        "sent_bytes_per_s": round(sent),
        "drops": dict(pump.drops),
        "refused": _addresses(client),
        "reconnects": client.reconnects,
    }


def client_headline(client: TunnelClient) -> str:
    """Return in a line how the client does with each of its servers."""
    return "; ".join(_in_words(link) for link in client.links)


def log_refused(log: EventLog, refused: Mapping[Prefix, str], told: Mapping[Prefix, str]) -> None:
    """Log what this host refuses and has not `told` of yet; that an exit was not chosen is no reason to warn."""
    for prefix, reason in refused.items():
        if told.get(prefix) != reason:
            level = "info" if reason == NOT_AN_EXIT else "warning"
            text = f"{prefix} is not routed into the tunnel: {reason}"
            log.event(level, "route-refused", text, prefix=prefix, reason=reason)


def _in_words(link: ServerLink) -> str:
    error = f": {link.last_error}" if link.last_error and link.session is None else ""
    return f"{link.state} at {link.server}{error}"


def _refused(refused: Mapping[Prefix, str]) -> Generator[None, None, dict[str, str]]:
    found: dict[str, str] = {}
    for number, (prefix, reason) in enumerate(list(refused.items()), start=1):
        found[str(prefix)] = reason
        if not number % PREFIXES_A_STEP:
            yield
    return found


def _chosen(members: Mapping[str, DirectoryEntry], cluster: str, member: str) -> Iterable[DirectoryEntry]:
    if cluster:
        return ()
    if member:
        return (members[member],) if member in members else ()
    return members.values()


def _peer(client: TunnelClient, entry: DirectoryEntry) -> dict[str, object]:
    return {
        "identity": entry.identity,
        "name": entry.name,
        "address": entry.address,
        "address6": entry.address6,
        "ciders": list(entry.prefixes),
        "online": _online(client, entry.identity),
    }


def _addresses(client: TunnelClient) -> dict[str, list[str]]:
    """Return by reason source and destination of the latest packet from the tunnel that was not delivered."""
    found = {}
    for link in client.links:
        for reason, key in link.peers.refused.items():
            version, source, destination = flow_addresses(key)
            size = 4 if version == 4 else 16
            found[reason] = [str(ip_address(one.to_bytes(size, "big"))) for one in (source, destination)]
    return found


def _server(client: TunnelClient, link: ServerLink, now: float) -> dict[str, object]:
    session = link.session
    return {
        "state": "unproven" if session is not None and not session.proven(now) else link.state,
        "server": str(link.server),
        "remote": str(link.remote) if link.remote is not None else "",
        "server_version": session.server_version if session is not None else "",
        "tier": session.tier.value if session is not None else client.config.tier.value,
        "cipher": session.cipher_name if session is not None else "",
        "public_key": session.public_key if session is not None else "",
        "server_public_key": session.server_public_key if session is not None else "",
        "age_s": round(now - session.began_at, 3) if session is not None else None,
        "proof_age_s": round(now - session.proved_at, 3) if session is not None else None,
        "rtt_ms": session.rtt_ms if session is not None else None,
        "last_error": link.last_error,
        "next_try_s": round(link.next_try_at - now, 3) if link.next_try_at is not None else None,
    }


def _online(client: TunnelClient, identity: str) -> bool | None:
    """Return whether a member is online at one of the servers that this client has a session with."""
    told = [
        link.peers.online(link.peers.entries[identity])
        for link in client.links
        if identity in link.peers.entries and (link.session is not None or link is client.first)
    ]
    return True if True in told else None if None in told or not told else False
