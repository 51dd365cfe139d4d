"""All keys of a fleet are exchanged for new ones, the server's too, while its traffic runs; with real processes.

Three steps, as docs/inventory.md has them: everybody learns the new keys; everybody uses them; the old ones are
forgotten. Each step is done everywhere before the next one begins.
"""

from __future__ import annotations

import signal
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from time import monotonic

from netlab.scenarios.scenario import scenario
from netlab.topology import SERVER
from netlab.worlds.hostile import STILL_OPEN
from netlab.worlds.keyed_lab import PATIENCE_S, KeyedLab, KeyedMember
from netlab.worlds.traffic import Pings, Transfer

FLEET = ("one", "two", "three")
ADDRESSES = {"one": "10.0.1.1", "two": "10.0.1.2", "three": "10.0.1.3"}
MEMBERS = tuple(KeyedMember(identity, "blue", ADDRESSES[identity]) for identity in FLEET)
SPARE = KeyedMember("spare", "blue", "10.0.1.9")  # comes in by hand, with any pair of keys


class Fleet(ExitStack):
    """Members in a ring, echoes from each to the next, and a stream from the first to the second."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.site = self.enter_context(KeyedLab(folder, MEMBERS, (SPARE,)))
        self.site.start(*FLEET)
        spaces = self.site.lab.namespaces
        ring = zip(FLEET, (*FLEET[1:], FLEET[0]), strict=True)
        self.pings = [self.enter_context(Pings(spaces[here], ADDRESSES[there])) for here, there in ring]
        self.stream = self.enter_context(Transfer(spaces["one"], spaces["two"], ADDRESSES["two"]))

    @property
    def nodes(self) -> Collection[str]:
        """The names of its machines."""
        return self.site.nodes


def old_keys(fleet: Fleet) -> None:
    """See that only the old keys open the door."""
    assert doors(fleet.site) == [True, False, False, False]


def learn_new_keys(fleet: Fleet) -> None:
    """Let everybody learn the new keys: both open the door."""
    bring_in(fleet.site, server=(0, 1), members=(0, 1))
    assert doors(fleet.site) == [True, True, True, True]


def use_new_keys(fleet: Fleet) -> None:
    """Let everybody use the new keys."""
    bring_in(fleet.site, server=(1, 0), members=(1, 0))


def forget_old_keys(fleet: Fleet) -> None:
    """Let everybody forget the old keys: only the new ones open the door."""
    bring_in(fleet.site, server=(1,), members=(1,))
    assert doors(fleet.site) == [False, False, False, True]


def nothing_lost(fleet: Fleet) -> None:
    """See that no echo was lost, that the stream arrived whole, and that no session ended but by its own member."""
    echoes = [pings.stop() for pings in fleet.pings]
    assert [one.missing for one in echoes] == [()] * len(FLEET), echoes
    sent, arrived = fleet.stream.stop()
    assert sent == arrived > 0
    site = fleet.site
    assert [site.status(identity)["reconnects"] for identity in FLEET] == [0] * len(FLEET)
    closes = site.status()["closes"]
    by_keys = {reason: closes.pop(reason) for reason in ("envelope", "wrong-key")}
    assert by_keys == {"envelope": 4, "wrong-key": 2}, "other doors stayed shut than those of wrong keys"
    assert closes.keys() <= {"superseded", "connection-lost", "end-of-stream"}, closes
    assert not any("goodbye" in site.log(identity) for identity in FLEET)


def bring_in(site: KeyedLab, *, server: Sequence[int], members: Sequence[int]) -> None:
    """Write these keys into all files, the first of each for use, and let every process read them."""
    site.write_server(*server)
    site.members = {identity: replace(one, keys=tuple(members)) for identity, one in site.members.items()}
    site.write_routes()
    site.reload(SERVER, "keys and tiers of")
    for identity in FLEET:
        site.write_client(identity, members, server)
        before = place(site, identity)
        site.lab.processes[identity].signal(signal.SIGHUP)
        site.lab.wait_until(lambda: place(site, identity) != before, f"{identity} makes no new session")  # noqa: B023


def place(site: KeyedLab, identity: str) -> str:
    """Return the far end of the session that has a member's place."""
    session = site.session(identity)
    assert session is not None, f"{identity} has no session"
    return str(session["remote"])


def doors(site: KeyedLab) -> list[bool]:
    """Return whether a member gets in by its old and old, old and new, new and old, new and new of the server's key."""
    with site.hostile("one", "enter", SPARE.identity) as process:
        outcomes = process.line(monotonic() + PATIENCE_S)["outcomes"]
    return [outcome == STILL_OPEN for outcome in outcomes]


@scenario(old_keys, learn_new_keys, use_new_keys, forget_old_keys, nothing_lost)
def key_rotation(folder: Path) -> Iterator[Fleet]:
    """All keys of a fleet are exchanged for new ones, the relay's too, and its traffic loses no packet.

    one -----.
    two ----- server
    three ---'
    """
    with Fleet(folder) as fleet:
        yield fleet
