"""Which of several sessions a packet takes.

Rules of this module
  1. The first server in the order of the list where the packet's destination is online, so that members on either side
     of a server that is dead for one of them still meet.
  2. A session whose last proof of life went unanswered comes after those that are proven: it may be dead, and nobody
     knows yet.
  3. Where nobody tells who is online (clusters above 256 members) a member counts as online, and is asked for.
  4. What a server told an earlier session counts for routes, and not here: nobody knows who is online there now.
  5. What is nobody's, or whose member is online nowhere, goes to the first session: that server counts the drop.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from rustun.backends.base import Reactor, Timer
from rustun.client.pump import Pump
from rustun.client.server_link import ServerLink
from rustun.client.session import ClientSession
from rustun.client.uplink import Uplink
from rustun.protocol.packet import flow_addresses

LOOK_SECONDS: Final = 2.0  # between looks at what nobody tells; a question to each server in a large cluster


class Ways:
    """Lets packets take the sessions that there are.

    Attributes:
        pump: what carries packets, None while there is no device.
    """

    def __init__(self, reactor: Reactor) -> None:
        self.pump: Pump | None = None
        self._reactor = reactor
        self._used: list[tuple[ServerLink, ClientSession]] = []
        self._timer: Timer | None = None

    def use(self, links: Iterable[ServerLink]) -> None:
        """Let packets take the sessions of these links, in this order; told again when one has begun or ended."""
        self._used = [(link, link.session) for link in links if link.session is not None]
        if self.pump is not None:
            self.pump.use([session.uplink for _, session in self._used])
        if len(self._used) > 1 and self._timer is None:
            self._look_later()

    def choose_again(self) -> None:
        """Who is online where has changed."""
        if self.pump is not None:
            self.pump.choose_again()

    def stop(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()

    def choose(self, key: bytes) -> Uplink:
        """Return the way of the packets with these addresses (a flow key); at least one link has a session."""
        version, _, destination = flow_addresses(key)
        now = self._reactor.now()
        best: tuple[tuple[bool, bool], ClientSession] | None = None
        for link, session in self._used:
            worth = (_reaches(link, destination, version), session.proven(now))
            if best is None or worth > best[0]:
                best = (worth, session)
        assert best is not None, "nobody is asked without a session"
        return best[1].uplink

    def _look_later(self) -> None:
        self._timer = self._reactor.call_at(self._reactor.now() + LOOK_SECONDS, self._look)

    def _look(self) -> None:
        """Find out what nobody tells: that a session fell silent, that a member of a large cluster went."""
        self._timer = None
        if len(self._used) < 2:
            return
        self._look_later()
        self.choose_again()
        for link, _ in self._used:
            link.ask_presence(link.peers.presence_wanted())


def _reaches(link: ServerLink, destination: int, version: int) -> bool:
    identity = link.peers.owner(destination, version) if link.peers.current else None
    return identity is not None and link.peers.presence(identity) is not False
