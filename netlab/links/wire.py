"""The process that carries the frames of all impaired links of a laboratory: `python -m netlab.links.wire DESCRIPTOR`.

A direction of a link reaches it as two descriptors: the tap that its frames were diverted to, and a socket that sends
frames out of the interface they were meant for (netlab/links/diversion.py). Between the two is a Lane.

Rules
  1. One epoll, one thread, one wait: until the earliest deadline of any lane or the next frame. `select` on the epoll's
     own descriptor waits in microseconds where `epoll_wait` knows milliseconds, the timer slack is one nanosecond, and
     root's wire is a real-time process: a frame that is due goes first, whatever else there is to do. An ordinary
     user's asks for short turns at the processor instead, which come soon.
  2. Frames come whole from a tap without offloads: the kernel has cut large ones and finished checksums, so each packet
     is delayed, lost and counted by itself, as on a real cable.
  3. It lives as long as the other end of its control socket, whatever happens there. When it dies, taps end with it and
     diverted frames go nowhere: an impaired link is never silently a plain one.

Control, SOCK_SEQPACKET, one JSON request and one JSON answer each:
    {"do": "carry", "lane": NAME, "settings": {...}}   with two descriptors, tap and out, if the lane is new
    {"do": "end", "lane": NAME}                          lets go of it; what waits in it leaves at once, in order
    {"do": "counts"}                                     {NAME: {"offered": ..., ...}}
"""

from __future__ import annotations

import gc
import json
import os
import select
import signal
import socket
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from math import inf
from time import monotonic
from typing import Any, Final

from netlab import kernel
from netlab.links.impairment import Impairment, from_settings
from netlab.links.lane import Lane
from netlab.waiting import readable

FRAME_BYTES: Final = 1 << 16
REQUEST_BYTES: Final = 1 << 16
SLICE_NS: Final = 100_000  # beside six busy processes on two cores 19 of 20 wake-ups are 0.2 ms late, not 3.7
FRAMES_AT_ONCE: Final = 64  # read from one tap before the others and the deadlines get their turn


@dataclass(slots=True)
class _Carried:
    lane: Lane
    tap: int
    out: socket.socket


class Wire:
    """All lanes of one laboratory, and the loop that serves them."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._epoll = select.epoll()
        self._epoll.register(control, select.EPOLLIN)
        self._carried: dict[int, _Carried] = {}  # by tap

    def serve(self) -> None:
        """Carry frames until the other end of the control socket is closed; of no use afterwards."""
        alive = True
        while alive:
            select.select((self._epoll,), (), (), self._patience())
            for descriptor, _ in self._epoll.poll(0):
                if descriptor == self._control.fileno():
                    alive = self._answer()
                elif not _receive(self._carried[descriptor]):
                    self._epoll.unregister(descriptor)
            now = monotonic()
            for carried in self._carried.values():
                _send(carried, carried.lane.take(now))
        self._close()

    def _close(self) -> None:
        for carried in self._carried.values():
            os.close(carried.tap)
            carried.out.close()
        self._epoll.close()
        self._control.close()

    def _patience(self) -> float | None:
        """Return the seconds until a frame is due, None while none waits."""
        deadlines = [due for carried in self._carried.values() if (due := carried.lane.deadline()) is not None]
        return max(0.0, min(deadlines) - monotonic()) if deadlines else None

    def _answer(self) -> bool:
        """Answer one request; return whether there was one."""
        data, descriptors, _, _ = socket.recv_fds(self._control, REQUEST_BYTES, 2)
        if not data:
            return False
        request = json.loads(data)
        answer: dict[str, Any] = {}
        if request["do"] == "carry":
            self._carry(request["lane"], from_settings(request["settings"]), descriptors)
        elif request["do"] == "end":
            self._end(request["lane"])
        else:
            answer = {one.lane.name: asdict(one.lane.counts) for one in self._carried.values()}
        self._control.send(json.dumps(answer).encode())
        return True

    def _carry(self, name: str, impairment: Impairment, descriptors: Sequence[int]) -> None:
        if not descriptors:
            self._find(name).lane.change(impairment, monotonic())
            return
        tap, out = descriptors
        os.set_blocking(tap, False)
        self._carried[tap] = _Carried(Lane(name, impairment, monotonic()), tap, socket.socket(fileno=out))
        self._epoll.register(tap, select.EPOLLIN)

    def _end(self, name: str) -> None:
        carried = self._find(name)
        while readable((carried.tap,), 0) and _receive(carried):
            pass
        _send(carried, carried.lane.take(inf))
        del self._carried[carried.tap]
        os.close(carried.tap)  # which takes it out of the epoll, too
        carried.out.close()

    def _find(self, name: str) -> _Carried:
        return next(carried for carried in self._carried.values() if carried.lane.name == name)


def _receive(carried: _Carried) -> bool:
    """Take what waits in a tap, up to a turn's worth; return False when its device is gone."""
    tap, offer = carried.tap, carried.lane.offer
    try:
        for _ in range(FRAMES_AT_ONCE):
            offer(os.read(tap, FRAME_BYTES), monotonic())
    except BlockingIOError:
        return True
    except OSError:
        return False
    return True


def _send(carried: _Carried, frames: Sequence[bytes]) -> None:
    send = carried.out.send
    for frame in frames:
        try:
            send(frame)
        except OSError:  # the interface is down or gone: lost, as on a cable whose far end is unplugged
            continue


def main(descriptor: int) -> None:
    """Serve the control socket that this process got at its start."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C is the laboratory's, which closes the socket
    kernel.set_timer_slack(1)
    try:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    except PermissionError:  # an ordinary user's wire competes with the laboratory's own processes
        with suppress(OSError):
            kernel.set_time_slice(SLICE_NS)
    gc.freeze()
    gc.disable()  # nothing here makes cycles, and a collection would be a pause
    Wire(socket.socket(fileno=descriptor)).serve()


if __name__ == "__main__":
    main(int(sys.argv[1]))
