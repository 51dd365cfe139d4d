"""Which of several sessions a packet takes.

Rules of this module
  1. The first server in the order of the list where the packet's destination is online, so that members on either side
     of a server that is dead for one of them still meet.
  2. A session whose last ping went unanswered comes after those that are proven: it may be dead, and nobody knows yet.
  3. Where nobody tells who is online (clusters above 256 members) a member counts as online, and is asked for.
  4. What is nobody's, or whose member is online nowhere, goes to the first session: that server counts the drop.
"""

from __future__ import annotations

from collections.abc import Iterable

from rustun.client.server_link import ServerLink
from rustun.client.session import ClientSession
from rustun.client.uplink import Uplink
from rustun.protocol.packet import flow_addresses


def choose_uplink(links: Iterable[ServerLink], key: bytes, now: float) -> Uplink:
    """Return the way of the packets with these addresses (a flow key); at least one link has a session."""
    version, _, destination = flow_addresses(key)
    best: tuple[tuple[bool, bool], ClientSession] | None = None
    for link in links:
        session = link.session
        if session is not None:
            worth = (_reaches(link, destination, version), session.proven(now))
            if best is None or worth > best[0]:
                best = (worth, session)
    assert best is not None, "nobody is asked without a session"
    return best[1].uplink


def _reaches(link: ServerLink, destination: int, version: int) -> bool:
    identity = link.peers.owner(destination, version)
    if identity is None:
        return False
    online = link.peers.presence(identity)
    return online is None or online
