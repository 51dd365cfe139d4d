"""Whom a ping from this server goes to: a member's session, asked by the session's own ping."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from rustun.backends.base import Callback
from rustun.errors import UsageError
from rustun.link.asked import unknown_member
from rustun.relay.noise_session import NoiseSession

if TYPE_CHECKING:
    from rustun.relay.core import RelayCore


def ping_target(core: RelayCore, identity: str) -> tuple[dict[str, object], Callable[[Callback], None] | None]:
    """Return what is told of a member, and what sends it a ping; None where "why_not" says why there is none.

    Raises: UsageError: there is no such member.
    """
    member = core.members.get(identity)
    if member is None and not identity:
        raise UsageError("no member was named", "from a server only a member can be asked: rustun ping MEMBER")
    if member is None:
        raise unknown_member(identity, core.members)
    cluster = core.clusters.get(member.cluster)
    session = cluster.sessions.get(identity) if cluster is not None else None
    facts: dict[str, object] = {
        "member": identity,
        "name": member.name,
        "cluster": member.cluster,
        "address": str(member.private_ip),
        "remote": str(session.stream.remote) if session is not None else "",
        "tier": session.tier.value if session is not None else "",
    }
    if session is None:
        return {**facts, "why_not": "not connected: rustun status tells since when, and why"}, None
    if not isinstance(session, NoiseSession):
        return {**facts, "why_not": "the seed's wire has no word for a ping from a server"}, None
    return facts, session.echo
