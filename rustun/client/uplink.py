"""One session as the pump sees it."""

from __future__ import annotations

from collections.abc import Callable

from rustun.backends.base import Callback, Timer
from rustun.client.peers import Peers
from rustun.protocol.codec import RecordCodec, SeedCodec


class Uplink:
    """What carries packets between the pump and one server.

    Args:
        codec: of the session.
        peers: what this server says of the cluster; judges what comes from there.
        transmit: takes frames; the session pauses the pump while its stream is full.
        guard: makes a call, and ends the session if that fails: else the device would not be read any more.
        drain: calls back when the server has handled all that was sent, or after a number of seconds.
        takes_offloads: whether unfinished packets may travel; not on the seed's wire.
    Attributes:
        full: whether the session's stream takes nothing now.
        full_since: when that began, seconds of `now()`.
        patient: whether the device rests for a moment when the stream is full (pump.py, rule 2).
        patience: ends that moment.
        resting: whether the device rests until what was sent here has been handled.
    """

    __slots__ = (
        "codec",
        "drain",
        "full",
        "full_since",
        "guard",
        "patience",
        "patient",
        "peers",
        "resting",
        "takes_offloads",
        "transmit",
    )

    def __init__(
        self,
        codec: RecordCodec | SeedCodec,
        peers: Peers,
        transmit: Callable[[memoryview], None],
        guard: Callable[[Callback], None],
        drain: Callable[[Callback, float], None],
        *,
        takes_offloads: bool,
    ) -> None:
        self.codec = codec
        self.peers = peers
        self.transmit = transmit
        self.guard = guard
        self.drain = drain
        self.takes_offloads = takes_offloads
        self.full = False
        self.full_since = 0.0
        self.patient = True
        self.patience: Timer | None = None
        self.resting = False
