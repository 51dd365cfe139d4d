"""The server's status document (docs/status.md): what is up, what is not, and what was dropped and why."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from rustun.config.member import Member
from rustun.relay.noise_session import NoiseSession
from rustun.relay.seed_session import SeedSession
from rustun.relay.session import RelaySession

if TYPE_CHECKING:
    from rustun.relay.core import RelayCore
    from rustun.relay.server import RelayServer


def server_status(server: RelayServer) -> dict[str, object]:
    """Return the document, times as ages in seconds.

    The two long lists are iterators that look at one session or member at a time, so that 5,000 of them need not be
    looked at in one go.
    """
    core = server.core
    now = core.reactor.now()
    confirmed = [session for session in core.sessions if session.confirmed]
    online = {session.identity for session in confirmed}
    absent = [member for member in core.members.values() if member.identity not in online]
    drops = Counter(core.drops)
    for session in core.sessions:
        drops.update(session.traffic.drops)
    return {
        "listen": [str(listener.endpoint) for listener in server.acceptor.listeners],
        "members": len(core.members),
        "online": len(online),
        "pending": len(server.acceptor.pending),
        "alarms": core.takeover.alarms + _file_alarms(server) + server.roster.known_keys.alarms,
        "routes": {
            "file": str(server.roster.path),
            "loaded_at": server.loaded_at,
            "members": len(server.roster.routes.members),
            "problems": list(server.roster.problems),
            "not_in_force": list(server.roster.not_in_force),
            "keeping_keys": list(server.roster.known_keys.keeping),
        },
        "drops": dict(drops),
        "closes": dict(core.closes),
        "queued_bytes": core.queued_bytes,
        "sessions": (_session(session, now) for session in confirmed),
        "offline": (_offline(core, member, now) for member in absent),
    }


def server_headline(server: RelayServer) -> str:
    """Return in a line how the server does, in 1 ms with 10,000 members."""
    core = server.core
    online = sum(1 for session in core.sessions if session.confirmed)
    alarms = core.takeover.alarms + _file_alarms(server) + server.roster.known_keys.alarms
    return "; ".join((f"{online} of {len(core.members)} members online", *alarms))


def _file_alarms(server: RelayServer) -> list[str]:
    files = (
        (server.config.path, server.settings.problems, "the server goes on as it was"),
        (server.roster.path, server.roster.problems, "the last good members stay"),
    )
    return [
        f"{path} was refused: {len(problems)} problem{'s' if len(problems) > 1 else ''}; {kept}; first: {problems[0]}"
        for path, problems, kept in files
        if problems
    ]


def _session(session: RelaySession, now: float) -> dict[str, object]:
    member, traffic = session.member, session.traffic
    cipher = session.cipher_name if isinstance(session, NoiseSession | SeedSession) else ""
    return {
        "cluster": session.cluster.name,
        "identity": session.identity,
        "name": member.name,
        "address": str(member.private_ip),
        "address6": str(member.private_ip6.ip) if member.private_ip6 is not None else "",
        "remote": str(session.stream.remote),
        "state": "online",
        "tier": session.tier.value,
        "cipher": cipher,
        "public_key": session.public_key,
        "server_public_key": session.server_public_key,
        "age_s": round(now - session.began_at, 3),
        "proof_age_s": round(now - session.heard_at, 3),
        "rtt_ms": session.rtt_ms,
        "received_bytes": traffic.received_bytes,
        "received_packets": traffic.received_packets,
        "sent_bytes": traffic.sent_bytes,
        "sent_packets": traffic.sent_packets,
        "drops": dict(traffic.drops),
        "queued_bytes": session.queued_bytes,
        "queued_packets": session.queue.packets,
        "offloads": sorted(session.offloads),
        "mtu": session.mtu,
    }


def _offline(core: RelayCore, member: Member, now: float) -> dict[str, object]:
    last_seen = core.last_seen.get(member.identity)
    known = [one for one in (last_seen, core.last_failed.get(member.identity)) if one is not None]
    latest = max(known, default=None)
    state = _state(member, core.reactor.wall_clock())
    return {
        "cluster": member.cluster,
        "identity": member.identity,
        "address": str(member.private_ip),
        "state": state,
        "last_seen_age_s": round(now - last_seen[0], 3) if last_seen else None,
        "last_error": latest[1] if latest else (state if state != "offline" else ""),
        "last_error_age_s": round(now - latest[0], 3) if latest else None,
    }


def _state(member: Member, wall_clock: float) -> str:
    if not member.enabled:
        return "disabled"
    is_over = member.expires_at is not None and wall_clock >= member.expires_at.timestamp()
    return "expired" if is_over else "offline"
