"""A storm of reloads: other members in the file every tenth of a second, and who is not concerned notices nothing.

Rules of this module
  1. Each reload has something to do: a visitor comes or goes, in another cluster than those that are watched.
  2. What is to happen in the storm is waited for while it goes on.
"""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack
from pathlib import Path
from time import monotonic
from typing import Final

from netlab.bench import crowd, measure
from netlab.processes import Measurement, resident_bytes
from netlab.scenarios.scenario import scenario
from netlab.topology import SERVER
from netlab.worlds.keyed_lab import PATIENCE_S, KeyedLab, KeyedMember
from netlab.worlds.traffic import Pings, Transfer

GUEST: Final = KeyedMember("guest", "north", "10.0.1.9")
STAYING: Final = (
    KeyedMember("north-1", "north", "10.0.1.1"),
    KeyedMember("north-2", "north", "10.0.1.2"),
    KeyedMember("south-1", "south", "10.0.1.1"),
    KeyedMember("south-2", "south", "10.0.1.2"),
)
CLUSTERS: Final = ("north", "south")
PEER: Final = "10.0.1.2"
VISITOR: Final = KeyedMember("visitor", "elsewhere", "10.0.1.1")
EVERY_S: Final = 0.1
STORM_S: Final = 20.0
LONG_STORM_S: Final = 60.0
THOUSAND: Final = 1000
OUT_S: Final = 1.0  # the promise about a member that is taken out
TRIES: Final = 3  # what this machine disturbed is repeated: with a fifth of a core the relay takes 0.5 to 1.3 s
FEW: Final = 10  # reloads: until the relay has all the memory that one takes; until one is in force
FLAT_BYTES: Final = 16 << 20  # of 200 or 600 reloads; what one of a thousand members leaves would be 2 MB


class Storm(ExitStack):
    """Two clusters at work, a guest in one of them, and a file that never rests; use as a context.

    Args:
        folder: for files.
        seconds: how long the storm is, from the first step.
        others: how many members stand by without a machine, connected and silent.
    Attributes:
        site: the machines.
        members: who is in the file beside the visitor and those who stand by.
        reloads: how many there were so far.
        everybody: how many are connected.
        ends: when it is over, monotonic seconds.
    """

    def __init__(self, folder: Path, seconds: float, others: int = 0) -> None:
        super().__init__()
        self.members = {one.identity: one for one in (*STAYING, GUEST)}
        self.reloads = 0
        self._others = list(crowd.routes(others))
        self.site = self.enter_context(KeyedLab(folder, tuple(self.members.values())))
        self._write()
        self.site.start(*self.members)
        self.everybody = len(self.members) + others
        if others:
            self._let_in(others, seconds)
        spaces = self.site.lab.namespaces
        self.pings = [self.enter_context(Pings(spaces[f"{cluster}-1"], PEER)) for cluster in CLUSTERS]
        self.transfer = self.enter_context(Transfer(spaces["north-1"], spaces["north-2"], PEER))
        self._relay = self.site.lab.processes[SERVER]
        self._next = monotonic()
        self.reload_until(lambda: self.reloads >= FEW)
        self.costs = self.relay_costs()
        self.ends = monotonic() + seconds

    @property
    def nodes(self) -> Collection[str]:
        """The names of its machines."""
        return self.site.nodes

    def _let_in(self, others: int, seconds: float) -> None:
        lab = self.site.lab
        words = (measure.loopback_port(lab), measure.server_key(lab), str(others), str(seconds + PATIENCE_S))
        bystanders = Measurement(lab.namespaces[SERVER], words, "netlab.bench.crowd")
        self.callback(bystanders.stop)
        measure.come_in(bystanders, others, monotonic() + PATIENCE_S)

    def reload_until(self, holds: Callable[[], bool], limit_s: float = PATIENCE_S) -> float:
        """Reload every tenth of a second until something holds; return after how many seconds it did."""
        began = monotonic()
        while not holds():
            assert monotonic() < began + limit_s, f"not so after {limit_s:.0f} s of storm"
            self.reloads += 1
            self._write()
            self._relay.signal(signal.SIGHUP)
            self._next = max(self._next + EVERY_S, monotonic())
            self.site.lab.wait_until(lambda: monotonic() >= self._next or holds(), "no next reload")
        return monotonic() - began

    def _write(self) -> None:
        present = [*self.members.values(), *[VISITOR] * (self.reloads % 2)]
        new = self.site.folder / "routes.json.new"
        new.write_text(json.dumps([*(one.entry() for one in present), *self._others]))
        new.replace(self.site.folder / "routes.json")

    def guest_is(self, state: str) -> bool:
        """Return whether the guest is in this state; it is asked itself, since the relay has a thousand to tell of."""
        return bool(self.site.status(GUEST.identity)["state"] == state)

    def take_out(self) -> float:
        """Take the guest out of the file; return after how many seconds its session has ended."""
        del self.members[GUEST.identity]
        return self.reload_until(lambda: not self.guest_is("online"))

    def let_in(self) -> None:
        """Put the guest back, and tell its client to connect anew until it is in."""
        self.members[GUEST.identity] = GUEST
        enough = self.reloads + FEW
        self.reload_until(lambda: self.reloads >= enough)
        self._tell_guest()
        self.reload_until(self._guest_is_back)

    def _guest_is_back(self) -> bool:
        if self.guest_is("refused"):  # a busy machine has not taken the file yet: it would try again in a minute
            self._tell_guest()
        return self.guest_is("online")

    def _tell_guest(self) -> None:
        self.site.lab.processes[GUEST.identity].signal(signal.SIGHUP)

    def relay_costs(self) -> tuple[int, int]:
        """Return how many descriptors the relay has, and how many bytes of memory."""
        return len(list(Path(f"/proc/{self._relay.pid}/fd").iterdir())), resident_bytes(self._relay.pid)


def take_out(storm: Storm) -> None:
    """Take a member out in the midst of it: its session ends within a second."""
    took = [storm.take_out()]
    while min(took) >= OUT_S and len(took) < TRIES:
        storm.let_in()
        took.append(storm.take_out())
    assert min(took) < OUT_S, f"{took} s"


def let_in(storm: Storm) -> None:
    """Let it in again in the midst of it; its client is told to connect anew, and is back."""
    storm.let_in()


def sit_out(storm: Storm) -> None:
    """Go on until the time is over."""
    storm.reload_until(lambda: monotonic() >= storm.ends, LONG_STORM_S + PATIENCE_S)


def nobody_noticed(storm: Storm) -> None:
    """See that nobody else has noticed: no packet lost, no session ended."""
    for pings in storm.pings:
        echoes = pings.stop()
        assert echoes.missing == (), f"{len(echoes.missing)} of {echoes.sent} echoes lost in {storm.reloads} reloads"
    sent, arrived = storm.transfer.stop()
    assert sent == arrived > 0, f"{arrived} of {sent} blocks arrived"
    for member in STAYING:
        assert storm.site.status(member.identity)["reconnects"] == 0, f"{member.identity} lost its session"
    status = storm.site.status()
    assert status["online"] == storm.everybody, f"{status['online']} of {storm.everybody} are left"
    assert status["routes"]["problems"] == status["alarms"] == [], status


def nothing_grew(storm: Storm) -> None:
    """See that the relay has no descriptor more than before, and no memory."""
    descriptors, resident = storm.costs
    words = "descriptors are open that were not before"  # a file that is just being read is one
    storm.site.lab.wait_until(lambda: storm.relay_costs()[0] <= descriptors, words)
    grown = storm.relay_costs()[1] - resident
    assert grown < FLAT_BYTES, f"{grown:,} bytes more after {storm.reloads} reloads"


STEPS: Final = (take_out, let_in, sit_out, nobody_noticed, nothing_grew)


@scenario(*STEPS, rows="27, 28")
def reload_storm(folder: Path) -> Iterator[Storm]:
    """Other members in the file every tenth of a second, for 20 s: nobody else loses a packet, and all is in force.

    guest ---.           .--- south-1
    north-1 -+- server --+
    north-2 -'           '--- south-2
    """
    with Storm(folder, STORM_S) as storm:
        yield storm


@scenario(*STEPS, rows="27, 28", long=True)
def reload_storm_of_a_thousand(folder: Path) -> Iterator[Storm]:
    """The same for a minute, and a thousand members besides that are connected and silent.

    guest ---.           .--- south-1
    north-1 -+- server --+--- south-2
    north-2 -'           '=== a thousand
    """
    with Storm(folder, LONG_STORM_S, THOUSAND) as storm:
        yield storm
