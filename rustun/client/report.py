"""The client's status document (docs/status.md)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rustun.client.client import TunnelClient
    from rustun.client.server_link import ServerLink


def client_status(client: TunnelClient, now: float) -> dict[str, object]:
    """Return the document; taken at one moment, times as ages in seconds.

    What stands outside of `servers` is of the first one that is online, and else of the first one with a session.
    """
    servers = [_server(client, link, now) for link in client.links]
    tun, pump = client.tun, client.pump
    shown = next((one for one in servers if one["state"] == "online"), servers[client.links.index(client.first)])
    return {
        "identity": client.config.identity,
        **shown,
        "servers": servers,
        "tun": {
            "name": client.tun_name,
            "mtu": client.config.tun_mtu,
            "offloads": sorted(tun.offloads) if tun is not None else [],
        },
        "addresses": [str(address) for address in client.host_report.addresses],
        "routes": [str(prefix) for prefix in client.host_report.routed],
        "refused_routes": {str(prefix): reason for prefix, reason in client.host_report.refused.items()},
        "warnings": list(client.host_warnings),
        "peers": [
            {
                "identity": entry.identity,
                "name": entry.name,
                "address": entry.address,
                "address6": entry.address6,
                "ciders": list(entry.prefixes),
                "online": _online(client, entry.identity),
            }
            for entry in client.members.values()
        ],
        "received_bytes": pump.received_bytes,
        "received_packets": pump.received_packets,
        "sent_bytes": pump.sent_bytes,
        "sent_packets": pump.sent_packets,
        "drops": dict(pump.drops),
        "reconnects": client.reconnects,
    }


def client_headline(client: TunnelClient) -> str:
    """Return in a line how the client does with each of its servers."""
    return "; ".join(_in_words(link) for link in client.links)


def _in_words(link: ServerLink) -> str:
    error = f": {link.last_error}" if link.last_error and link.session is None else ""
    return f"{link.state} at {link.server}{error}"


def _server(client: TunnelClient, link: ServerLink, now: float) -> dict[str, object]:
    session = link.session
    return {
        "state": "unproven" if session is not None and not session.proven(now) else link.state,
        "server": str(link.server),
        "remote": str(link.remote) if link.remote is not None else "",
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
