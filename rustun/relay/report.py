"""The server's status document (docs/status.md): what is up, what is not, and what was dropped and why.

Rules of this module
  1. A document is made in steps of a millisecond or less: sums a few hundred sessions at a time, and the two long lists
     one session or member at a time, as they are asked for (listing.py).
  2. What is named is looked for here: a document of one member costs nothing that grows with the others but the sums.
  3. Counters never go back. Summed is what sessions counted that had ended when the document was begun, and what those
     count that were there then.
  4. Every member stands in one of the two lists, whatever happens while they are made.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Final

from rustun.config.member import Member
from rustun.encoded import EncodedItems
from rustun.relay.counters import Totals
from rustun.relay.session import RelaySession

if TYPE_CHECKING:
    from rustun.relay.core import RelayCore
    from rustun.relay.server import RelayServer

SUMMED_A_STEP: Final = 256  # sessions: about 0.2 ms
LOOKED_AT_A_STEP: Final = 2048  # members, whether they are there: about 0.2 ms
Steps = Generator[None, None, dict[str, object]]


def server_status(server: RelayServer, cluster: str = "", member: str = "", since: str = "") -> Steps:
    """Make the document, times as ages in seconds.

    Args:
        cluster, member: whose sessions and members are listed; empty: everybody's. Sums are those of all.
        since: `as_of` of a document that the reader has; of those listed there is told what changed (listing.py).
    """
    core, listing = server.core, server.listing
    as_of, known = listing.as_of(cluster, member), listing.known(since, cluster, member)
    totals, received_rate, sent_rate = yield from _sums(core)
    sessions, absent = yield from _chosen(core, cluster, member)
    now = core.reactor.now()
    return {
        "as_of": as_of,
        "state": "serving" if server.acceptor.listeners else "stopping",
        "listen": [str(listener.endpoint) for listener in server.acceptor.listeners],
        "members": len(core.members),
        "online": sum(len(one.sessions) for one in core.clusters.values()),
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
        "received_bytes": totals.received_bytes,
        "received_packets": totals.received_packets,
        "sent_bytes": totals.sent_bytes,
        "sent_packets": totals.sent_packets,
        "received_bytes_per_s": round(received_rate),
        "sent_bytes_per_s": round(sent_rate),
        "drops": dict(totals.drops),
        "closes": dict(core.closes),
        "handshakes": _handshakes(core),
        "handshakes_waiting": len(server.acceptor.queue),
        "queued_bytes": core.queued_bytes,
        "clusters": (
            {"cluster": one.name, "members": len(one.members), "online": len(one.sessions)}
            for one in list(core.clusters.values())
            if cluster in ("", one.name)
        ),
        "sessions": EncodedItems(listing.session(session, now, known) for session in sessions),
        "offline": EncodedItems(listing.absent(one, now, known) for one in absent),
    }


def server_headline(server: RelayServer) -> str:
    """Return in a line how the server does, in 1 ms with 10,000 members."""
    core = server.core
    online = sum(1 for session in core.sessions if session.confirmed)
    alarms = core.takeover.alarms + _file_alarms(server) + server.roster.known_keys.alarms
    return "; ".join((f"{online} of {len(core.members)} members online", *alarms))


def _sums(core: RelayCore) -> Generator[None, None, tuple[Totals, float, float]]:
    """Return what all have counted, and bytes a second, received and sent."""
    totals = core.ended.copy()
    received = sent = 0.0
    sessions = list(core.sessions)
    for start in range(0, len(sessions), SUMMED_A_STEP):
        now = core.reactor.now()
        for session in sessions[start : start + SUMMED_A_STEP]:
            traffic = session.traffic
            totals.add(traffic)
            rates = traffic.rates(now)
            received += rates[0]
            sent += rates[1]
        yield
    return totals, received, sent


def _chosen(
    core: RelayCore, cluster: str, member: str
) -> Generator[None, None, tuple[list[RelaySession], list[Member]]]:
    """Return the sessions and the absent members that are asked for."""
    if member:
        entry = core.members.get(member)
        if entry is None or cluster not in ("", entry.cluster):
            return [], []
        found = core.clusters[entry.cluster].sessions.get(member) if entry.cluster in core.clusters else None
        return ([found], []) if found is not None else ([], [entry])
    online: dict[str, RelaySession] = {}
    for one in list(core.clusters.values()):
        if cluster in ("", one.name):
            online.update(one.sessions)
            yield
    absent: list[Member] = []
    members = list(core.members.values())
    for start in range(0, len(members), LOOKED_AT_A_STEP):
        absent += [
            one
            for one in members[start : start + LOOKED_AT_A_STEP]
            if one.identity not in online and cluster in ("", one.cluster)
        ]
        yield
    return list(online.values()), absent


def _handshakes(core: RelayCore) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for (tier, outcome), count in core.handshakes.items():
        found.setdefault(tier.value, {})[outcome] = count
    return found


def _file_alarms(server: RelayServer) -> list[str]:
    files = (
        (server.config.path, server.settings.problems, "the server goes on as it was"),
        (server.roster.path, server.roster.problems, "the last good members stay"),
    )
    refused = [
        f"{path} was refused: {len(problems)} problem{'s' if len(problems) > 1 else ''}; {kept}; first: {problems[0]}"
        for path, problems, kept in files
        if problems
    ]
    return refused + server.other_alarms()
