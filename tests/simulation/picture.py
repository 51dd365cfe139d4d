"""What one member's trouble must leave as it is: everybody else, compared before and after."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rustun.relay.session import RelaySession
from tests.simulation.world import World


@dataclass(frozen=True)
class Picture:
    """A relay and its members at one moment, all of it comparable.

    Attributes:
        sessions: all of them, the very objects, with what each has received, sent and lost.
        clusters: generation of the directory, epoch of the routes, and who gets the packets.
        strangers: connections that have proved nothing.
        alarms: what an operator is told.
        hosts: state, reconnects, number of packets and known prefixes of every client.
    """

    sessions: Mapping[RelaySession, tuple[int, int, Mapping[str, int]]]
    clusters: Mapping[str, tuple[int, int, Mapping[str, RelaySession]]]
    queued_bytes: int
    strangers: int
    alarms: object
    hosts: Mapping[str, tuple[str, int, int, object]]


def picture(world: World, *, cluster: str = "", besides: str = "") -> Picture:
    """Return what stands now.

    Args:
        cluster: only what belongs to this one; everything without.
        besides: a member whose client is left out.
    """
    return Picture(
        sessions={
            session: (session.traffic.received_packets, session.traffic.sent_packets, dict(session.traffic.drops))
            for session in world.core.sessions
            if cluster in ("", session.cluster.name)
        },
        clusters={
            one.name: (one.directory.generation, one.epoch, dict(one.sessions))
            for one in world.core.clusters.values()
            if cluster in ("", one.name)
        },
        queued_bytes=world.core.queued_bytes,
        strangers=len(world.server.acceptor.pending),
        alarms=world.status()["alarms"],
        hosts={
            host.identity: (
                host.client.state, host.client.reconnects, len(host.packets), host.client.host_state
            )
            for host in world.hosts
            if host.identity != besides and (not cluster or world.core.members[host.identity].cluster == cluster)
        },
    )  # fmt: skip
