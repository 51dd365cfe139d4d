"""A crowd that talks, or that comes and goes: what many members do to a server and to those who share it.

    python -m netlab.bench.talking PORT SERVER_PUBLIC_KEY CLIENTS SECONDS pace TALKERS PACKETS_PER_SECOND
    python -m netlab.bench.talking PORT SERVER_PUBLIC_KEY CLIENTS SECONDS flood TALKERS
    python -m netlab.bench.talking PORT SERVER_PUBLIC_KEY CLIENTS SECONDS flap MEMBERS_PER_SECOND

Prints {"ready": N} and {"online": N, ...} as netlab.bench.crowd does. Then, for SECONDS, the first TALKERS send each
to its neighbour: at a pace, by turns, a packet in a record; or whatever their streams take, records of 56 KB. Or
members leave, by turns, and come back at once. At the end it prints {"sent": PACKETS, "received_bytes": B,
"dropped": D, "returned": R}: B on the wire, D connections that the server closed.

Who receives reads and throws away: to open what was sealed would be work of this machine, and none of the server's.
The crowd stands for machines of its own, so it gives way to whoever is measured beside it on this one.
"""

from __future__ import annotations

import json
import os
import selectors
import socket
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from time import monotonic
from typing import Final

from netlab.bench.crowd import JOIN_SECONDS, MEMBERS_PER_CLUSTER, newcomers
from netlab.bench.newcomers import Arrivals, Newcomer
from netlab.bench.rekeying import packet_between
from rustun.backends.process import allow_descriptors
from rustun.config.keys import parse_public_key
from rustun.protocol.codec import RecordCodec
from rustun.protocol.packet import ITEM

PACED_BYTES: Final = 500
FLOOD_BYTES: Final = 1400
FLOOD_PACKETS: Final = 40  # in one record of 56 KB
STEP_SECONDS: Final = 0.005
FLAP_SECONDS: Final = 0.1
READ_BYTES: Final = 1 << 18
HUMBLE: Final = 5  # a third of the weight of others; more, and a busy machine has no crowd
SEND_BUFFER_BYTES: Final = 1 << 17  # what a stream takes at once; more would only wait here


@dataclass(slots=True)
class Talker:
    """One that sends: `unsent` is what its stream has not taken yet."""

    stream: socket.socket
    codec: RecordCodec
    run: bytearray
    unsent: memoryview

    def send_run(self, sealed: memoryview) -> bool:
        """Seal its packets anew and send them, unless something is unsent; return whether they are on their way."""
        fresh = not self.unsent
        if fresh:
            self.unsent = memoryview(bytes(sealed[: self.codec.seal_items(self.run, sealed, 0)]))
        with suppress(BlockingIOError, ConnectionError):
            self.unsent = self.unsent[self.stream.send(self.unsent) :]
        return fresh


class Crowd:
    """Members that are in.

    Args:
        inside: of them, in any order.
    """

    def __init__(self, inside: Sequence[Newcomer]) -> None:
        self._members = sorted(inside, key=lambda one: int(one.identity.rpartition("-")[2]))
        self._selector = selectors.EpollSelector()
        self._scratch = memoryview(bytearray(READ_BYTES))
        self.sent = self.received_bytes = self.dropped = self.returned = 0
        for one in self._members:
            self._selector.register(_stream(one), selectors.EVENT_READ)

    def pace(self, talkers: int, rate: float, seconds: float) -> None:
        """Send `rate` packets a second in all, by turns, and read what comes."""
        turns = cycle(self._talkers(talkers, PACED_BYTES, 1))
        sealed = memoryview(bytearray(1 << 17))
        began, due = monotonic(), 0
        while (elapsed := monotonic() - began) < seconds:
            while due < elapsed * rate:
                self.sent += next(turns).send_run(sealed)
                due += 1
            self._read(STEP_SECONDS)

    def flood(self, talkers: int, seconds: float) -> None:
        """Send whatever the streams take, and read what comes."""
        everybody = self._talkers(talkers, FLOOD_BYTES, FLOOD_PACKETS)
        sealed = memoryview(bytearray(1 << 17))
        until = monotonic() + seconds
        while monotonic() < until:
            for talker in everybody:
                self.sent += FLOOD_PACKETS * talker.send_run(sealed)
            self._read(0.0)

    def flap(self, port: int, rate: float, seconds: float) -> None:
        """Let `rate` members a second go and come back, by turns; the others read nothing meanwhile, and need not."""
        turns = cycle(self._members)
        began, left = monotonic(), 0
        while (elapsed := monotonic() - began) < seconds:
            going = [next(turns) for _ in range(int(elapsed * rate) - left)]
            left += len(going)
            for one in going:
                self._selector.unregister(_stream(one))
                one.start_over()
            back = Arrivals(port, going).run(began + seconds + JOIN_SECONDS)
            self.returned += len(back)
            for one in back:
                self._selector.register(_stream(one), selectors.EVENT_READ)
            self._read(max(0.0, FLAP_SECONDS - (monotonic() - began - elapsed)))

    def _talkers(self, count: int, size: int, packets: int) -> list[Talker]:
        talkers = []
        for number, one in enumerate(self._members[:count]):
            codec, _, _ = one.session()
            stream = _stream(one)
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
            place = number % MEMBERS_PER_CLUSTER
            packet = packet_between(f"10.200.0.{place + 1}", f"10.200.0.{(place ^ 1) + 1}", size)
            run = bytearray((ITEM.pack(0, 0, size) + packet) * packets)
            talkers.append(Talker(stream, codec, run, memoryview(b"")))
        return talkers

    def _read(self, seconds: float) -> None:
        for key, _ in self._selector.select(seconds):
            stream = key.fileobj
            assert isinstance(stream, socket.socket)
            try:
                length = stream.recv_into(self._scratch)
            except BlockingIOError:
                continue
            except ConnectionError:
                length = 0
            self.received_bytes += length
            if not length:
                self._selector.unregister(stream)
                self.dropped += 1


def _stream(one: Newcomer) -> socket.socket:
    assert one.stream is not None, "who is in has one"
    return one.stream


def give_way() -> None:
    """Let all others have this core first, whether the kernel groups processes by session (sched(7)) or not."""
    os.nice(HUMBLE)
    with suppress(OSError):
        Path("/proc/self/autogroup").write_text(str(HUMBLE))


def main() -> None:
    """Join, say so, talk, report."""
    port, server_key, clients, seconds, what, *how = sys.argv[1:]
    give_way()
    allow_descriptors()
    coming = newcomers(parse_public_key(server_key), int(clients))
    _say({"ready": len(coming)})
    began = monotonic()
    inside = Arrivals(int(port), coming).run(began + JOIN_SECONDS)
    _say({"online": len(inside), "seconds": monotonic() - began})
    crowd = Crowd(inside)
    if what == "pace":
        crowd.pace(int(how[0]), float(how[1]), float(seconds))
    elif what == "flood":
        crowd.flood(int(how[0]), float(seconds))
    else:
        crowd.flap(int(port), float(how[0]), float(seconds))
    found = {"sent": crowd.sent, "received_bytes": crowd.received_bytes}
    _say({**found, "dropped": crowd.dropped, "returned": crowd.returned})


def _say(result: dict[str, float]) -> None:
    print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
