"""A receiver that takes little, then nothing, beside one that takes all there is: the loss is its own."""

from __future__ import annotations

import signal
from collections.abc import Collection, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from netlab.bench import measure
from netlab.lab import TUN
from netlab.links.impairment import PLAIN, Impairment
from netlab.processes import Measurement
from netlab.scenarios.scenario import scenario
from netlab.topology import SERVER
from netlab.worlds.carrying import run
from netlab.worlds.keyed_lab import KeyedLab, KeyedMember
from netlab.worlds.traffic import Pings

FAST: Final = measure.Path("sender", "fast", "10.0.1.2")
SLOW: Final = measure.Path("sender", "slow", "10.0.1.3")
MEMBERS: Final = (
    KeyedMember("sender", "blue", "10.0.1.1"),
    KeyedMember("fast", "blue", FAST.address),
    KeyedMember("slow", "blue", SLOW.address),
)
NARROW: Final = Impairment(rate_bit_s=2_000_000)
DATAGRAMS: Final = ("--bytes", "1200", "--rate", "2000")  # 20 Mbit/s
DISCARD: Final = "9"  # a port where nobody listens
FLOOD_S: Final = 120.0  # longer than all steps take; it is ended with them
STALL_S: Final = 2
QUEUE_BYTES: Final = 1 << 20
LIMITS: Final = f"""
[limit_config]
receiver_stall_seconds = {STALL_S}
[queue_config]
receiver_bytes = {QUEUE_BYTES}
"""
SENDER_PACKETS: Final = 20_000  # of its device's queue: ten seconds of that, where a busy machine does not let it read
TRANSFER_S: Final = 0.6
TRIES: Final = 3  # a transfer that this machine disturbed is repeated
LEAST_SHARE: Final = 1 / 3  # of what a transfer reaches alone, beside what the flood itself takes
ECHOES: Final = 100


class Receivers(ExitStack):
    """A sender and its two receivers; use as a context.

    Attributes:
        site: the machines.
        alone: Gbit/s that the fast one gets while nobody else gets anything.
        pings: echoes to the fast one, once the slow one has stopped.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.site = self.enter_context(KeyedLab(folder, MEMBERS, more=LIMITS))
        self.site.start(*(one.identity for one in MEMBERS))
        run(self.site.lab.namespaces["sender"], "ip", "link", "set", TUN, "txqueuelen", str(SENDER_PACKETS))
        self.alone = self.gigabits()
        self.pings: Pings

    @property
    def nodes(self) -> Collection[str]:
        """The names of its machines."""
        return self.site.nodes

    def gigabits(self) -> float:
        """Return what a transfer to the fast one reaches now."""
        return measure.throughput(self.site.lab, FAST, streams=1, seconds=TRANSFER_S).gigabits

    def carry(self, impairment: Impairment) -> None:
        """Let the cable to the slow one do this to packets."""
        links = self.site.lab.links
        links.set([(links.find("server->slow")[0], impairment)])


def send_too_much(receivers: Receivers) -> None:
    """Let one cable carry 2 Mbit/s, and send ten times as much there: what the full queue has no room for is lost."""
    site = receivers.site
    receivers.carry(NARROW)
    words = ("udp-send", SLOW.address, DISCARD, *DATAGRAMS, "--seconds", str(FLOOD_S))
    receivers.callback(Measurement(site.lab.namespaces["sender"], words).stop)
    waiting = site.until(SERVER, lambda status: status["drops"].get("queue-full", 0) > ECHOES)["queued_bytes"]
    assert QUEUE_BYTES / 2 < waiting < 2 * QUEUE_BYTES, f"{waiting} bytes wait"


def fast_one_served(receivers: Receivers) -> None:
    """See that the other one is served as if it were alone: no echo lost, and its share of the speed."""
    echoes = measure.trips(receivers.site.lab, FAST, echoes=ECHOES)
    assert echoes.lost == 0, f"{echoes.lost:.0%} of the echoes lost"
    shares: list[float] = []
    while max(shares, default=0.0) < LEAST_SHARE and len(shares) < TRIES:
        shares.append(receivers.gigabits() / receivers.alone)
    assert max(shares) >= LEAST_SHARE, f"{shares} of {receivers.alone:.2f} Gbit/s"
    queued = {one["identity"]: one["queued_bytes"] for one in receivers.site.status()["sessions"]}
    assert queued["slow"] > max(queued["fast"], queued["sender"]), queued


def stop_reading(receivers: Receivers) -> None:
    """Let the slow one read nothing any more: when nothing has moved for 2 s its session is closed."""
    site = receivers.site
    receivers.pings = receivers.enter_context(Pings(site.lab.namespaces["sender"], FAST.address))
    site.lab.processes["slow"].signal(signal.SIGSTOP)
    closed = site.until(SERVER, lambda status: status["closes"].get("stalled"))
    assert closed["queued_bytes"] < QUEUE_BYTES / 2, "what waited for it is kept"


def read_again(receivers: Receivers) -> None:
    """Give the slow one its cable back, and let it go on: it comes back by itself, and gets all that is sent."""
    receivers.carry(PLAIN)
    receivers.site.lab.processes["slow"].signal(signal.SIGCONT)
    receivers.site.until("slow", lambda status: (status["state"], status["reconnects"]) == ("online", 1))
    assert measure.trips(receivers.site.lab, SLOW, echoes=ECHOES).lost == 0


def fast_one_lost_nothing(receivers: Receivers) -> None:
    """See that the fast one has lost nothing all the while."""
    echoes = receivers.pings.stop()
    assert echoes.missing == (), f"{len(echoes.missing)} of {echoes.sent} echoes lost"
    assert receivers.site.status("fast")["reconnects"] == 0


@scenario(send_too_much, fast_one_served, stop_reading, read_again, fast_one_lost_nothing, rows="22")
def slow_receiver(folder: Path) -> Iterator[Receivers]:
    """A member that takes little, or nothing, loses what is sent to it, and costs nobody else a packet.

    sender --- server --------------- fast
                 `------ 2 Mbit/s --- slow
    """
    with Receivers(folder) as receivers:
        yield receivers
