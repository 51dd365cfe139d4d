"""Fifty members, each of which sends to every other at once; full queues for many of them, and nobody waits."""

from __future__ import annotations

import os
import select
import signal
import socket
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any, Final

from netlab.namespaces import NetworkNamespace
from netlab.scenarios.scenario import scenario
from netlab.worlds.keyed_lab import KeyedLab, KeyedMember

MANY: Final = 50
MEMBERS: Final = tuple(KeyedMember(f"m{number}", "fleet", f"10.0.1.{number}") for number in range(1, MANY + 1))
PORT: Final = 9000
SMALL_BYTES: Final = 100
LARGE: Final = bytes(1200)
ASLEEP: Final = 20
ROUNDS: Final = 20  # of the others: 600 large datagrams for each that is asleep, twice what may wait for it anywhere
PATIENCE_S: Final = 30.0  # only reached where something hangs
LOOK_S: Final = 0.1  # between two looks at what is waited for, where nothing comes
LIMITS: Final = """
[queue_config]
receiver_bytes = 131072
[limit_config]
receiver_stall_seconds = 60
"""


class Talker(ExitStack):
    """A member's socket; use as a context.

    Attributes:
        address: of the member.
        heard: who has said what is listened for.
    """

    def __init__(self, namespace: NetworkNamespace, address: str) -> None:
        super().__init__()
        self.address = address
        self.heard: set[str] = set()
        self._socket = self.enter_context(namespace.run(partial(socket.socket, socket.AF_INET, socket.SOCK_DGRAM)))
        self._socket.bind((address, PORT))
        self._socket.setblocking(False)

    def fileno(self) -> int:
        """Return the socket's descriptor."""
        return self._socket.fileno()

    def say(self, data: bytes, address: str) -> None:
        """Send a datagram."""
        self._socket.sendto(data, (address, PORT))

    def listen(self, words: bytes) -> None:
        """Take all that came, and note who has said these words."""
        while True:
            try:
                data, (address, _) = self._socket.recvfrom(2048)
            except BlockingIOError:
                return
            if data == words:
                self.heard.add(address)


class Crowd(ExitStack):
    """Fifty members online in one cluster; use as a context.

    Attributes:
        site: the machines.
        talkers: a socket in each.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.site = self.enter_context(KeyedLab(folder, MEMBERS, more=LIMITS))
        self.site.lab.start_server()
        self.site.lab.start_clients([one.identity for one in MEMBERS])
        for one in MEMBERS:
            self.site.until(one.identity, lambda status: sum(peer["online"] for peer in status["peers"]) == MANY - 1)
        spaces = self.site.lab.namespaces
        self._words = b""
        self.talkers = [self.enter_context(Talker(spaces[one.identity], one.address)) for one in MEMBERS]

    @property
    def nodes(self) -> Collection[str]:
        """The names of its machines."""
        return self.site.nodes

    def say_to_all(self, words: bytes, talkers: Sequence[Talker]) -> None:
        """Let each of some send a datagram to every other member, while all listen for the same."""
        self._words = words
        for talker in talkers:
            for other in self.talkers:
                if other is not talker:
                    talker.say(words, other.address)
            self._listen(0.0)

    def meet(self, talkers: Sequence[Talker]) -> None:
        """Let each of some send to every other member, and wait until each of them has heard all others of them."""
        self._listen(0.0)  # of what came before, nothing takes the room of these
        for talker in talkers:
            talker.heard.clear()
        self.say_to_all(os.urandom(SMALL_BYTES), talkers)
        awaited = {talker.address for talker in talkers}
        self.listen_until(lambda: all(awaited <= {talker.address, *talker.heard} for talker in talkers))

    def listen_until(self, holds: Callable[[], bool]) -> None:
        """Take what comes until something holds."""
        deadline = monotonic() + PATIENCE_S
        while not holds():
            assert monotonic() < deadline, f"not so after {PATIENCE_S:.0f} s: {self.left_over()}"
            self._listen(LOOK_S)

    def nothing_is_under_way(self) -> bool:
        """Tell whether each member has all that the relay had for it; what woke up has much to read then."""
        sent = {one["identity"]: one["sent_packets"] for one in self.relay_says("sessions")}
        waits = self.relay_says("queued_bytes") > 0
        return not waits and all(self.site.status(name)["received_packets"] == sent[name] for name in sent)

    def left_over(self) -> str:
        """Return in words who has not heard how many of all others, and what the relay dropped."""
        deaf = {one.address: MANY - 1 - len(one.heard) for one in self.talkers if len(one.heard) < MANY - 1}
        return f"not heard {deaf}; dropped by the relay {self.relay_says('drops')}"

    def _listen(self, seconds: float) -> None:
        for talker in select.select(self.talkers, (), (), seconds)[0]:
            talker.listen(self._words)

    def relay_says(self, name: str) -> Any:
        """Return a part of the relay's status."""
        return self.site.status()[name]


def each_reaches_each(crowd: Crowd) -> None:
    """Let each member send to every other: all 2,450 datagrams arrive."""
    crowd.meet(crowd.talkers)


def twenty_fall_asleep(crowd: Crowd) -> None:
    """Stop twenty of them, and let the others send to all: what the twenty queues have no room for is lost."""
    sleepers = [crowd.site.lab.processes[one.identity] for one in MEMBERS[:ASLEEP]]
    for process in sleepers:
        process.signal(signal.SIGSTOP)
    for _ in range(ROUNDS):
        crowd.say_to_all(LARGE, crowd.talkers[ASLEEP:])
    crowd.listen_until(lambda: crowd.relay_says("drops").get("queue-full", 0) > ASLEEP)
    crowd.meet(crowd.talkers[ASLEEP:])
    for process in sleepers:
        process.signal(signal.SIGCONT)
    crowd.listen_until(crowd.nothing_is_under_way)


def nobody_left(crowd: Crowd) -> None:
    """See that nobody has lost the session over it."""
    assert crowd.site.status()["closes"] == {}
    assert crowd.site.status()["online"] == MANY


def each_still_reaches_each(crowd: Crowd) -> None:
    """Let each member send to every other once more."""
    crowd.meet(crowd.talkers)


@scenario(each_reaches_each, twenty_fall_asleep, nobody_left, each_still_reaches_each, rows="22", long=True)
def all_to_all(folder: Path) -> Iterator[Crowd]:
    """Fifty members send to each other, all at once; full queues of many of them make nobody else wait.

    m1 .. m50 === server
    """
    with Crowd(folder) as crowd:
        yield crowd
