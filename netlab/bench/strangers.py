"""First messages that lead nowhere: a load program against a relay's port on loopback.

    python -m netlab.bench.strangers KIND PORT SERVER_KEY RATE SECONDS SOURCES

KIND is what is wrong with them: `foreign` does not open its envelope, as from somebody who never held a member's
configuration; `forged` opens it and then fails, as from somebody who once did. RATE is connections a second in all, 0
for as many as the server refuses; SOURCES addresses, from 127.2.0.1, take turns. Prints {"begun": true}, and at the end
{"refused": N, "seconds": S}.
"""

from __future__ import annotations

import argparse
import json
import os
import select
import socket
from ipaddress import IPv4Address
from time import monotonic
from typing import Final

from rustun.config.keys import parse_public_key
from rustun.protocol.envelope import NONCE_BYTES, Envelope
from rustun.protocol.frames import FrameType, header
from rustun.protocol.suites import KEY

LOOPBACK: Final = "127.0.0.1"
FIRST_SOURCE: Final = IPv4Address("127.2.0.1")
PAYLOAD_BYTES: Final = KEY.init_overhead_bytes + 120  # as long as an honest one
AT_A_TIME: Final = 400  # connections under way, for as many as the server refuses
AT_A_TIME_PACED: Final = 2000  # beside a transfer a server lets them wait
PATIENCE_SECONDS: Final = 6.0  # the server closes everybody after five
BURST_SECONDS: Final = 0.01  # more wake-ups would cost the cores of what is measured


def first_frame(kind: str, server_key: bytes) -> bytes:
    """Return a first frame that is refused: `foreign` by the envelope, `forged` by what is in it."""
    if kind == "foreign":
        return header(FrameType.KEY_INIT, PAYLOAD_BYTES) + os.urandom(PAYLOAD_BYTES)
    init_header = header(FrameType.KEY_INIT, PAYLOAD_BYTES)
    message = os.urandom(PAYLOAD_BYTES - NONCE_BYTES - 16)
    return init_header + Envelope(server_key).seal(init_header, message, os.urandom(NONCE_BYTES))


class Strangers:
    """Connections that say one frame and wait to be closed.

    Args:
        port: of the server.
        frame: what each of them says.
        sources: how many addresses take turns.
    Attributes:
        begun, refused: so far.
    """

    def __init__(self, port: int, frame: bytes, sources: int) -> None:
        self._server = (LOOPBACK, port)
        self._frame = frame
        self._sources = [str(FIRST_SOURCE + number) for number in range(sources)]
        self._epoll = select.epoll()
        self._open: dict[int, socket.socket] = {}
        self.begun = self.refused = 0

    @property
    def under_way(self) -> int:
        """Connections that the server has not closed yet."""
        return len(self._open)

    def begin(self) -> None:
        """Connect one more and let it speak."""
        stream = socket.socket(socket.AF_INET, socket.SOCK_STREAM)  # over loopback nothing of this waits
        stream.bind((self._sources[self.begun % len(self._sources)], 0))
        self.begun += 1
        try:
            stream.connect(self._server)
            stream.send(self._frame)
        except OSError:
            stream.close()
            return
        self._open[stream.fileno()] = stream
        self._epoll.register(stream.fileno(), select.EPOLLRDHUP)  # and always EPOLLHUP, EPOLLERR

    def collect(self, wait_s: float) -> None:
        """Wait at most so long, and let go of those that the server has closed."""
        for fd, _ in self._epoll.poll(wait_s, AT_A_TIME):
            self.refused += 1
            self._open.pop(fd).close()

    def close(self) -> None:
        """Give everything back."""
        for stream in self._open.values():
            stream.close()
        self._epoll.close()


def run(strangers: Strangers, rate: float, seconds: float) -> float:
    """Send strangers for so long, as many a second as said or as the server takes; return how long it really took."""
    most = AT_A_TIME_PACED if rate else AT_A_TIME
    began = monotonic()
    while (elapsed := monotonic() - began) < seconds:
        while strangers.under_way < most and (not rate or strangers.begun < elapsed * rate):
            strangers.begin()
        if rate:
            select.select((), (), (), BURST_SECONDS)
        strangers.collect(0 if rate else BURST_SECONDS)
    ended = monotonic() - began
    while strangers.under_way and monotonic() - began < seconds + PATIENCE_SECONDS:
        strangers.collect(BURST_SECONDS)
    return ended


def main() -> None:
    """Read the arguments, run, report."""
    parser = argparse.ArgumentParser()
    parser.add_argument("kind", choices=("foreign", "forged"))
    parser.add_argument("port", type=int)
    parser.add_argument("server_key", type=parse_public_key)
    parser.add_argument("rate", type=float)
    parser.add_argument("seconds", type=float)
    parser.add_argument("sources", type=int)
    asked = parser.parse_args()
    strangers = Strangers(asked.port, first_frame(asked.kind, asked.server_key), asked.sources)
    print(json.dumps({"begun": True}), flush=True)
    seconds = run(strangers, asked.rate, asked.seconds)
    print(json.dumps({"refused": strangers.refused, "seconds": seconds}), flush=True)
    strangers.close()


if __name__ == "__main__":
    main()
