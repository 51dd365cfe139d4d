"""The client's status document (docs/status.md)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rustun.client.client import TunnelClient


def client_status(client: TunnelClient, now: float) -> dict[str, object]:
    """Return the document; taken at one moment, times as ages in seconds."""
    first, tun, pump = client.first, client.tun, client.pump
    session = first.session
    return {
        "identity": client.config.identity,
        "state": first.state,
        "server": str(first.server),
        "remote": str(first.remote) if first.remote is not None else "",
        "tier": session.tier.value if session is not None else client.config.tier.value,
        "cipher": session.cipher_name if session is not None else "",
        "public_key": session.public_key if session is not None else "",
        "server_public_key": session.server_public_key if session is not None else "",
        "age_s": round(now - session.began_at, 3) if session is not None else None,
        "proof_age_s": round(now - session.heard_at, 3) if session is not None else None,
        "rtt_ms": session.rtt_ms if session is not None else None,
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
                "online": first.peers.online(entry),
            }
            for entry in first.peers.entries.values()
        ],
        "received_bytes": pump.received_bytes,
        "received_packets": pump.received_packets,
        "sent_bytes": pump.sent_bytes,
        "sent_packets": pump.sent_packets,
        "drops": dict(pump.drops),
        "reconnects": client.reconnects,
        "last_error": first.last_error,
        "next_try_s": round(first.next_try_at - now, 3) if first.next_try_at is not None else None,
    }
