"""Records what many taps see into one file, in the order of time.

Rules of this module
  1. Packets are written once they are HOLD_SECONDS old: by then every tap has handed over what it saw before, so they
     can be put in order. Whole blocks at a time and never forced to the disk, so the file can be read meanwhile and
     writing holds nobody up.
  2. Everything that was not recorded has a number: what the kernel found no room for, and what was forgotten for newer
     packets (`Wish.last_bytes`), is in the file and in the tally.
  3. An interface that goes and comes again, as a TUN device does when its client starts anew, is listened at again as
     soon as the kernel tells that it is there.
"""

from __future__ import annotations

import os
import select
import socket
from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from operator import itemgetter
from time import monotonic, time_ns
from typing import Final

from netlab.capture import pcapng
from netlab.capture.ring import BLOCK_MILLISECONDS, Ring
from netlab.capture.taps import OpenTaps

HOLD_SECONDS: Final = 2 * BLOCK_MILLISECONDS / 1000
LONGEST_SECONDS: Final = 3600.0  # of one wait: epoll can be told none of centuries
NOTICE_BYTES: Final = 1 << 16


@dataclass(frozen=True, slots=True)
class Tally:
    """What a tap received and lost, packets."""

    tap: str
    received: int
    dropped: int


class Recorder:
    """Reads open taps; a context manager, which lets go of them.

    Args:
        opened: belongs to this object from now on.
        output: descriptor of the file or pipe to write to; stays open.
    """

    def __init__(self, opened: OpenTaps, output: int) -> None:
        self._wish = opened.wish
        self._output = output
        self._held: list[tuple[int, bytes]] = []
        self._newest: deque[bytes] = deque()
        self._newest_bytes = 0
        self._forgotten: Counter[int] = Counter()
        self._open = ExitStack()
        self._poll = self._open.enter_context(select.epoll())
        self._rings: dict[int, tuple[int, Ring]] = {}
        self._watches = {watch.fileno(): (watch, node) for node, watch in opened.watches.items()}
        for watch in opened.watches.values():
            self._open.enter_context(watch)
        for number, sock in enumerate(opened.sockets):
            ring = Ring(sock, self._wish.ring_bytes)
            self._open.callback(ring.close)
            self._rings[sock.fileno()] = number, ring
        for descriptor in (*self._rings, *self._watches):
            self._poll.register(descriptor, select.EPOLLIN)
        described = [self._description(str(tap), tunnel=tap.tunnel) for tap in self._wish.taps]
        self._write(pcapng.header(described, self._wish.comment))

    def _description(self, tap: str, *, tunnel: bool) -> pcapng.Interface:
        linktype = pcapng.LINKTYPE_RAW if tunnel else pcapng.LINKTYPE_ETHERNET
        return pcapng.Interface(tap, linktype, self._wish.filter, self._wish.peers.get(tap, ""))

    def __enter__(self) -> Recorder:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def record(self, ends: Sequence[int], until: float | None = None) -> list[Tally]:
        """Record until one of the descriptors `ends` is readable, or that time of the monotonic clock; then finish.

        Raises:
            OSError: it cannot be written any more: BrokenPipeError where nobody reads it.
        """
        for descriptor in ends:
            self._poll.register(descriptor, select.EPOLLIN)
        while not self._take(until).intersection(ends) and (until is None or monotonic() < until):
            self._flush(time_ns() - int(HOLD_SECONDS * 1e9))
        for descriptor in ends:
            self._poll.unregister(descriptor)
        return self._finish()

    def _take(self, until: float | None) -> set[int]:
        """Wait for something and take it; return the descriptors that had something."""
        left = [] if until is None else [min(max(0.0, until - monotonic()), LONGEST_SECONDS)]
        limits = [HOLD_SECONDS] * bool(self._held) + left
        ready = {descriptor for descriptor, _ in self._poll.poll(min(limits, default=None))}
        for descriptor in ready:
            if descriptor in self._rings:
                number, ring = self._rings[descriptor]
                self._held += ring.read(number)
            elif descriptor in self._watches:
                self._listen_again(*self._watches[descriptor])
        return ready

    def _listen_again(self, watch: socket.socket, node: str) -> None:
        """Some link of a node has changed: attach what is not."""
        try:
            watch.recv(NOTICE_BYTES)
        except OSError:  # too many notices at once: what they said does not matter
            pass
        for number, ring in self._rings.values():
            if self._wish.taps[number].node == node:
                ring.attach(self._wish.taps[number].interface)

    def _flush(self, before: int) -> None:
        """Write what was seen before that time."""
        self._held.sort(key=itemgetter(0))
        if old := bisect_left(self._held, before, key=itemgetter(0)):
            blocks = [block for _, block in self._held[:old]]
            del self._held[:old]
            if self._wish.last_bytes:
                self._remember(blocks)
            else:
                self._write(b"".join(blocks))

    def _remember(self, blocks: Sequence[bytes]) -> None:
        self._newest.extend(blocks)
        self._newest_bytes += sum(map(len, blocks))
        while self._newest_bytes > self._wish.last_bytes:
            oldest = self._newest.popleft()
            self._newest_bytes -= len(oldest)
            self._forgotten[pcapng.tap_of(oldest)] += 1

    def _finish(self) -> list[Tally]:
        """Take the blocks that are not full yet, when the kernel hands them over; write the rest."""
        for _, ring in self._rings.values():
            ring.stop()
        until = monotonic() + HOLD_SECONDS
        while monotonic() < until:
            self._take(until)
        now = time_ns()
        self._flush(now)
        self._write(b"".join(self._newest))
        counts = {number: ring.counts() for number, ring in self._rings.values()}
        tallies = [(number, came, lost + self._forgotten[number]) for number, (came, lost) in counts.items()]
        self._write(b"".join(pcapng.statistics(number, now, came, lost) for number, came, lost in tallies))
        return [Tally(str(self._wish.taps[number]), came, lost) for number, came, lost in tallies]

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self._output, view) :]
