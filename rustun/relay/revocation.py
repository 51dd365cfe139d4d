"""Whether a living session may go on after the members or the keys have changed."""

from __future__ import annotations

from rustun.config.member import Member
from rustun.relay.noise_session import NoiseSession
from rustun.relay.policy import Policy
from rustun.relay.seed_session import SeedSession


def why_it_ends(session: NoiseSession | SeedSession, after: Member | None, policy: Policy) -> str:
    """Return why a session has to end, or nothing when it may go on.

    Args:
        session: as it is; its `member` is the entry that it last knew.
        after: the entry now in force, None when there is none.
        policy: now in force.
    """
    if after is None:
        return "removed"
    if not after.enabled:
        return "disabled"
    if after.cluster != session.cluster.name:
        return "moved"
    if isinstance(session, NoiseSession):
        keys_hold = policy.holds(after, session.credentials)
    else:
        keys_hold = session.secret == policy.seed_secret
    if not keys_hold or policy.wanted_tier(after) > session.tier:
        return "re-keyed"
    if not isinstance(session, NoiseSession) and after != session.member:
        return "reconfigured"  # its wire has no word for a changed configuration: it has to come again
    return ""
