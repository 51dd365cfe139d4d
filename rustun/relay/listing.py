"""How sessions and absent members stand in the server's status document: one JSON text each (docs/status.md).

Rules of this module
  1. What stays for a session's life, and of an absent member's entry, is encoded once: of 20 us for a session that
     leaves 4. It is made anew when the entry was replaced.
  2. What changes is numbers but for three values that are empty as a rule; only those are handed to the encoder.
  3. Each text that is made anew gets the next number of one count. Who tells up to which number he knows them is told
     of those texts only what changes since: of a session a list, of an absent member its number. What is numbered while
     a document is made is told once more in the next one; nothing is ever left out.
  4. What nobody was told here is known to nobody: a number of another process, one to come, and that of a document of
     other members than are asked for now.
"""

from __future__ import annotations

import json
import secrets
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import TYPE_CHECKING, NamedTuple
from zlib import crc32

from rustun.config.member import Member
from rustun.protocol.packet import flow_addresses
from rustun.relay.noise_session import NoiseSession
from rustun.relay.seed_session import SeedSession
from rustun.relay.session import RelaySession

if TYPE_CHECKING:
    from rustun.relay.core import RelayCore


class Listed(NamedTuple):
    """What stays of a text, and of what it was made."""

    of: object
    beginning: str
    number: int  # of the text
    first: int  # number of the first text of this session


class Listing:
    """Writes what is listed, times as ages in seconds.

    Args:
        core: whose members and sessions.
    """

    def __init__(self, core: RelayCore) -> None:
        self._core = core
        self._count = 0
        self._run = secrets.token_hex(4)  # numbers of another process say nothing

    def as_of(self, cluster: str = "", member: str = "") -> str:
        """Return what who is told everything now of a cluster or a member may say later, to be told what changed."""
        return f"{self._run}{_mark(cluster, member)}-{self._count}"

    def known(self, since: str, cluster: str = "", member: str = "") -> int:
        """Return up to which number somebody knows the texts who was told `since`; 0 where that was not here."""
        whose, _, number = since.partition("-")
        if whose != f"{self._run}{_mark(cluster, member)}" or not (number.isascii() and number.isdecimal()):
            return 0
        known = int(number)
        return known if known <= self._count else 0

    def session(self, session: RelaySession, now: float, known: int = 0) -> str:
        """Return what there is to say of a session.

        Args:
            now: when the document was begun, seconds of the reactor's clock.
            known: up to which number the reader knows the texts.
        """
        listed = session.listed
        if listed is None or listed.of is not session.member:
            number = self._next()
            first = number if listed is None else listed.first
            stays = {"number": first, **_entry(session.member), **_what_stays(session)}
            listed = session.listed = Listed(session.member, _beginning(stays), number, first)
        traffic = session.traffic
        proof_age = max(now - session.heard_at, 0.0)  # it may have spoken since the document was begun
        rtt = session.rtt_ms
        if listed.number <= known:
            return (
                f"[{listed.first}, {proof_age:.3f}, {'null' if rtt is None else rtt}, "
                f"{traffic.received_bytes}, {traffic.sent_bytes}, {session.queued_bytes}, "
                f"{json.dumps(traffic.drops) if traffic.drops else '{}'}, "
                f"{_refused(traffic.refused) if traffic.refused else '{}'}, {json.dumps(traffic.lost_to)}]"
            )
        received, sent = traffic.rates(now)
        return (
            f'{listed.beginning}"age_s": {now - session.began_at:.3f}, "proof_age_s": {proof_age:.3f}, '
            f'"rtt_ms": {"null" if rtt is None else rtt}, '
            f'"received_bytes": {traffic.received_bytes}, "received_packets": {traffic.received_packets}, '
            f'"sent_bytes": {traffic.sent_bytes}, "sent_packets": {traffic.sent_packets}, '
            f'"received_bytes_per_s": {received:.0f}, "sent_bytes_per_s": {sent:.0f}, '
            f'"drops": {json.dumps(traffic.drops) if traffic.drops else "{}"}, '
            f'"refused": {_refused(traffic.refused) if traffic.refused else "{}"}, '
            f'"lost_to": {json.dumps(traffic.lost_to)}, "lost_packets": {traffic.lost_packets}, '
            f'"queued_bytes": {session.queued_bytes}, "queued_packets": {session.queue.packets}}}'
        )

    def absent(self, member: Member, now: float, known: int = 0) -> str:
        """Return what there is to say of a member without a session; arguments as of `session`."""
        core, identity = self._core, member.identity
        last_seen, last_failed = core.last_seen.get(identity), core.last_failed.get(identity)
        state = _state(member, core.reactor.wall_clock())
        of = member, state, last_seen, last_failed
        listed = core.listed.get(identity)
        if listed is None or listed.of != of:
            number = self._next()
            beginning = _beginning({"number": number, **_entry(member), "state": state})
            listed = Listed(of, beginning, number, number)
            if identity in core.members:  # else it went while the document was made
                core.listed[identity] = listed
        if listed.number <= known:
            return str(listed.number)
        latest = max((one for one in (last_seen, last_failed) if one is not None), default=None)
        error = latest[1] if latest else (state if state != "offline" else "")
        return (
            f'{listed.beginning}"last_seen_age_s": {f"{now - last_seen[0]:.3f}" if last_seen else "null"}, '
            f'"last_error": {json.dumps(error)}, '
            f'"last_error_age_s": {f"{now - latest[0]:.3f}" if latest else "null"}}}'
        )

    def _next(self) -> int:
        self._count += 1
        return self._count


def _mark(cluster: str, member: str) -> str:
    """Return what tells documents of other members apart; nothing where they are of all."""
    return f".{crc32(json.dumps([cluster, member]).encode()):08x}" if cluster or member else ""


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
