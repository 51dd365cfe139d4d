"""Which of several sessions a packet takes, and what is asked for that choice."""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import cast

import pytest

from rustun.backends.memory import VirtualReactor
from rustun.client.peers import Peers
from rustun.client.server_link import ServerLink
from rustun.client.ways import LOOK_SECONDS, Ways
from rustun.protocol.control import Directory, DirectoryEntry, Presence

KEY = ip_address("10.0.1.1").packed + ip_address("10.0.1.2").packed


@dataclass(eq=False)
class Session:
    """As much of a session as the choice looks at; its uplink is itself."""

    is_proven: bool = True

    @property
    def uplink(self) -> Session:
        return self

    def proven(self, now: float) -> bool:
        return self.is_proven


@dataclass(eq=False)
class Link:
    """A link to a server that says about one other member whether it is online; None where it has to be asked."""

    online: bool | None = True
    is_proven: bool = True
    knows: bool = True
    asked: list[tuple[str, ...]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.session = Session(self.is_proven)
        self.peers = Peers("me")
        entries = (DirectoryEntry("other", "", "10.0.1.2", "", (), self.online),) if self.knows else ()
        self.peers.receive(Directory(1, 0, 0, 1, entries, ()))

    def ask_presence(self, identities: tuple[str, ...]) -> None:
        if identities:
            self.asked.append(identities)


def chosen(*links: Link) -> int:
    """Return the number of the link that a packet takes."""
    ways = Ways(VirtualReactor())
    ways.use(cast("list[ServerLink]", links))
    uplink = ways.choose(KEY)
    return [cast("object", link.session) for link in links].index(uplink)


@pytest.mark.parametrize(
    ("links", "expected"),
    [
        ([Link(), Link()], 0),
        ([Link(online=False), Link()], 1),
        ([Link(knows=False), Link()], 1),
        ([Link(is_proven=False), Link()], 1),
        ([Link(is_proven=False), Link(online=False)], 0),
        ([Link(is_proven=False), Link(is_proven=False)], 0),
        ([Link(online=False), Link(online=False)], 0),
        ([Link(knows=False, is_proven=False), Link(knows=False)], 1),
        ([Link(online=None), Link()], 0),
        ([Link(online=False), Link(is_proven=False), Link()], 2),
    ],
)
def test_the_first_where_the_destination_is_online(links: list[Link], expected: int) -> None:
    """If this fails, packets go to a server that cannot deliver them while another one can."""
    assert chosen(*links) == expected


def test_what_an_earlier_session_heard_does_not_count() -> None:
    """If this fails, packets go to a server that is just back, and whose members are not."""
    back = Link()
    back.peers.forget_generation()
    assert chosen(back, Link()) == 1


def test_who_has_to_be_asked_for_is_asked_for_once() -> None:
    """If this fails, a choice is never better than a guess, or floods a server with questions."""
    reactor, links = VirtualReactor(), [Link(online=None), Link(online=None)]
    ways = Ways(reactor)
    ways.use(cast("list[ServerLink]", links))
    for _ in range(5):
        ways.choose(KEY)
    reactor.run_for(LOOK_SECONDS)
    assert [link.asked for link in links] == [[("other",)], [("other",)]]
    links[0].peers.note_presence(Presence((), ("other",)))
    assert cast("object", ways.choose(KEY)) is links[1].session
    ways.stop()
