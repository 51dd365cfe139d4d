"""A member whose process is killed under traffic, as its cluster and the relay see it."""

from __future__ import annotations

import signal
from collections.abc import Collection, Iterator
from contextlib import ExitStack
from pathlib import Path
from time import monotonic
from typing import Final

from netlab.processes import Document
from netlab.scenarios.scenario import scenario
from netlab.topology import SERVER
from netlab.worlds.keyed_lab import KeyedLab, KeyedMember
from netlab.worlds.traffic import Pings, Transfer

ADDRESSES: Final = {"one": "10.0.1.1", "two": "10.0.1.2", "three": "10.0.1.3"}
LAN: Final = "192.168.7.0/24"
MEMBERS: Final = tuple(
    KeyedMember(name, "blue", address, (LAN,) * (name == "one")) for name, address in ADDRESSES.items()
)
OTHERS: Final = ("two", "three")
OUT_S: Final = 1.0  # its kernel tells the relay
TOLD_S: Final = 2.0  # news are told once a second
MORE: Final = 20  # echoes after which something counts as flowing


class Fleet(ExitStack):
    """Three members; two of them are at work with each other, and send echoes to the third; use as a context.

    Attributes:
        site: the machines.
        pings: between the two.
        stream: between the two.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.site = self.enter_context(KeyedLab(folder, MEMBERS))
        self.site.start(*ADDRESSES)
        spaces = self.site.lab.namespaces
        self.pings = self.enter_context(Pings(spaces["two"], ADDRESSES["three"]))
        self.stream = self.enter_context(Transfer(spaces["two"], spaces["three"], ADDRESSES["three"]))
        for name in OTHERS:
            self.enter_context(Pings(spaces[name], ADDRESSES["one"]))
            self.site.until(name, one_is_online)

    @property
    def nodes(self) -> Collection[str]:
        """The names of its machines."""
        return self.site.nodes


def one_is_online(status: Document) -> bool:
    """Return whether a member knows the first one as online."""
    return any(peer["online"] for peer in status["peers"] if peer["identity"] == "one")


def echoes_of_one(site: KeyedLab) -> int:
    """Return how many packets the relay has got from the first one in its present session."""
    session = site.session("one")
    return 0 if session is None else int(session["received_packets"])


def kill(fleet: Fleet) -> None:
    """Kill a member: the relay knows within a second, its peers in two, and what is sent to it is counted as lost."""
    site = fleet.site
    site.end("one", signal.SIGKILL)
    began = monotonic()
    site.lab.wait_until(lambda: site.session("one") is None, "its session stays")
    assert (took := monotonic() - began) < OUT_S, f"{took:.3f} s"
    for name in OTHERS:
        site.until(name, lambda status: not one_is_online(status))
    assert (took := monotonic() - began) < TOLD_S, f"{took:.3f} s"
    site.until(SERVER, lambda status: status["drops"].get("offline", 0) > MORE)
    assert all(LAN in site.status(name)["routes"] for name in OTHERS), "routes do not flap with their member"


def start_again(fleet: Fleet) -> None:
    """Start it again: its place and its LAN are its own, and echoes reach it."""
    fleet.site.start("one")
    for name in OTHERS:
        fleet.site.until(name, one_is_online)
    fleet.site.until(
        SERVER, lambda _status: (fleet.site.session("one") or {"received_packets": 0})["received_packets"] > MORE
    )


def others_lost_nothing(fleet: Fleet) -> None:
    """See that the others have lost nothing."""
    echoes = fleet.pings.stop()
    assert echoes.missing == (), f"{len(echoes.missing)} of {echoes.sent} echoes lost"
    sent, arrived = fleet.stream.stop()
    assert sent == arrived > 0
    assert [fleet.site.status(name)["reconnects"] for name in OTHERS] == [0, 0]


@scenario(kill, start_again, others_lost_nothing, rows="21, 30")
def member_killed(folder: Path) -> Iterator[Fleet]:
    """A member that is killed under traffic costs the others nothing, and is back as soon as it runs again.

    one -----.
    two ----- server
    three ---'
    """
    with Fleet(folder) as fleet:
        yield fleet
