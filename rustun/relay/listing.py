"""How sessions and absent members stand in the server's status document: one JSON text each (docs/status.md).

Rules of this module
  1. What stays for a session's life, and of an absent member's entry, is encoded once: of 20 us for a session that
     leaves 4. It is made anew when the entry was replaced.
  2. What changes is numbers but for three values that are empty as a rule; only those are handed to the encoder.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import TYPE_CHECKING

from rustun.config.member import Member
from rustun.protocol.packet import flow_addresses
from rustun.relay.noise_session import NoiseSession
from rustun.relay.seed_session import SeedSession
from rustun.relay.session import RelaySession

if TYPE_CHECKING:
    from rustun.relay.core import RelayCore


class Listing:
    """Writes what is listed, times as ages in seconds.

    Args:
        core: whose members and sessions.
    """

    def __init__(self, core: RelayCore) -> None:
        self._core = core
        self._entries: dict[str, tuple[Member, str]] = {}  # beginnings of the texts of absent members, by identity

    def session(self, session: RelaySession, now: float) -> str:
        """Return what there is to say of a session.

        Args:
            now: when the document was begun, seconds of the reactor's clock.
        """
        listed = session.listed
        if listed is None or listed[0] is not session.member:
            listed = session.listed = session.member, _beginning({**_entry(session.member), **_what_stays(session)})
        traffic = session.traffic
        received, sent = traffic.rates(now)
        proof_age = max(now - session.heard_at, 0.0)  # it may have spoken since the document was begun
        rtt = session.rtt_ms
        return (
            f'{listed[1]}"age_s": {now - session.began_at:.3f}, "proof_age_s": {proof_age:.3f}, '
            f'"rtt_ms": {"null" if rtt is None else rtt}, '
            f'"received_bytes": {traffic.received_bytes}, "received_packets": {traffic.received_packets}, '
            f'"sent_bytes": {traffic.sent_bytes}, "sent_packets": {traffic.sent_packets}, '
            f'"received_bytes_per_s": {received:.0f}, "sent_bytes_per_s": {sent:.0f}, '
            f'"drops": {json.dumps(traffic.drops) if traffic.drops else "{}"}, '
            f'"refused": {_refused(traffic.refused) if traffic.refused else "{}"}, '
            f'"lost_to": {json.dumps(traffic.lost_to)}, "lost_packets": {traffic.lost_packets}, '
            f'"queued_bytes": {session.queued_bytes}, "queued_packets": {session.queue.packets}}}'
        )

    def absent(self, member: Member, now: float) -> str:
        """Return what there is to say of a member without a session; `now` as of `session`."""
        core, identity = self._core, member.identity
        known = self._entries.get(identity)
        if known is None or known[0] is not member:
            if known is None and len(self._entries) >= len(core.members):  # some are of members that are gone
                self._entries.clear()
            known = self._entries[identity] = member, _beginning(_entry(member))
        last_seen = core.last_seen.get(identity)
        times = [one for one in (last_seen, core.last_failed.get(identity)) if one is not None]
        latest = max(times, default=None)
        state = _state(member, core.reactor.wall_clock())
        error = latest[1] if latest else (state if state != "offline" else "")
        return (
            f'{known[1]}"state": "{state}", '
            f'"last_seen_age_s": {f"{now - last_seen[0]:.3f}" if last_seen else "null"}, '
            f'"last_error": {json.dumps(error)}, '
            f'"last_error_age_s": {f"{now - latest[0]:.3f}" if latest else "null"}}}'
        )


def _beginning(values: dict[str, object]) -> str:
    """Return the text of an object that goes on."""
    return f"{json.dumps(values)[:-1]}, "


def _entry(member: Member) -> dict[str, object]:
    """Return what routes.json says of a member, as far as people and dashboards want it."""
    return {
        "cluster": member.cluster,
        "identity": member.identity,
        "name": member.name,
        "address": str(member.private_ip),
        "address6": str(member.private_ip6.ip) if member.private_ip6 is not None else "",
        "ciders": [str(prefix) for prefix in member.ciders],
        "expires_at": _moment(member.expires_at),
    }


def _what_stays(session: RelaySession) -> dict[str, object]:
    return {
        "remote": str(session.stream.remote),
        "state": "online",
        "version": session.hello.version if isinstance(session, NoiseSession) else "",
        "tier": session.tier.value,
        "cipher": session.cipher_name if isinstance(session, NoiseSession | SeedSession) else "",
        "public_key": session.public_key,
        "server_public_key": session.server_public_key,
        "offloads": sorted(session.offloads),
        "mtu": session.mtu,
    }


def _refused(keys: dict[str, bytes]) -> str:
    return json.dumps({reason: _addresses(key) for reason, key in keys.items()})


def _moment(when: datetime | None) -> str:
    return when.astimezone(UTC).isoformat(timespec="seconds") if when is not None else ""


def _addresses(key: bytes) -> list[str]:
    """Return source and destination of a flow key, as texts."""
    version, source, destination = flow_addresses(key)
    size = 4 if version == 4 else 16
    return [str(ip_address(one.to_bytes(size, "big"))) for one in (source, destination)]


def _state(member: Member, wall_clock: float) -> str:
    if not member.enabled:
        return "disabled"
    is_over = member.expires_at is not None and wall_clock >= member.expires_at.timestamp()
    return "expired" if is_over else "offline"
