"""From one member to another: the path of every packet through the relay.

A frame is opened behind what is already in the plain buffer, each item is judged and looked up, and neighbouring items
for the same receiver become one run, handed over as one view. So a stretch of packets for one member costs one
look-up per packet, and one AEAD call and one send in all.

Rules of this module
  1. Judged are the packet (`examine`) and its addresses (`Cluster.route`); a judgement is remembered per pair of
     addresses until the cluster's epoch changes.
  2. What is wrong with a packet is a drop, counted by reason at its sender; what is wrong with the framing of items
     closes the session (ProtocolError), because nothing behind it can be trusted.
  3. A turn stops at its limits in the middle of a record; what is left is returned to its session.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rustun.errors import ProtocolError
from rustun.link.buffers import Buffers
from rustun.protocol.codec import RecordCodec, SeedCodec
from rustun.protocol.packet import ITEM, ITEM_HEADER_BYTES, DropReason, examine, flow_key
from rustun.protocol.records import MAX_PLAINTEXT_BYTES
from rustun.relay.egress import Egress

if TYPE_CHECKING:
    from rustun.backends.base import Reactor
    from rustun.relay.session import RelaySession

REUSE_BYTES: Final = 32_768  # opened behind what is there only while that is little: a small stretch stays in cache
MAX_FLOWS: Final = 4096  # remembered per sender; then the memory is emptied, which costs one look-up per flow
RUNS_PER_CLOCK: Final = 16  # a run costs about 10 µs, so the time limit of a turn is kept to about 0.2 ms
_READ_ITEM: Final = ITEM.unpack_from
_LABELS: Final = {int(reason): reason.label for reason in DropReason}


class Switch:
    """Forwards the packets of one session at a time; `begin`, any number of `forward_*`, `flush`.

    Args:
        reactor: tells the time that a turn takes.
        buffers: the process's scratch memory.
        egress: takes what was forwarded.
    Attributes:
        turns: how many there were.
    """

    def __init__(self, reactor: Reactor, buffers: Buffers, egress: Egress) -> None:
        self._reactor = reactor
        self._egress = egress
        self._plain = buffers.plain
        self._at = 0  # where the next frame is opened to
        self._run_start = 0
        self._run_end = 0
        self._run_packets = 0
        self._receiver: RelaySession | None = None
        self._runs = 0
        self._packets_left = 0
        self._deadline = 0.0
        self._sender: RelaySession
        self.turns = 0

    def begin(self, sender: RelaySession, deadline: float, max_packets: int) -> None:
        """Begin a turn of `sender` that ends at `deadline` (seconds of `now()`) or after `max_packets`."""
        self.turns += 1
        self._sender = sender
        self._deadline = deadline
        self._packets_left = max_packets
        self._at = self._run_start = self._run_packets = self._runs = 0
        self._receiver = None
        if sender.flows_epoch != sender.cluster.epoch or len(sender.flows) > MAX_FLOWS:
            sender.flows.clear()
            sender.flows_epoch = sender.cluster.epoch

    def forward_frame(self, codec: RecordCodec | SeedCodec, frame: memoryview) -> bytes:
        """Open a data frame and forward its packets.

        Returns: items that this turn has no more time for; mostly none.
        Raises: ProtocolError, when the frame does not open or its items are not framed right.
        """
        if self._at > REUSE_BYTES:
            if (receiver := self._receiver) is not None:
                self._hand_over(receiver)
            self._at = self._run_start = 0
        start = self._at
        self._at = codec.open_data(frame, self._plain, start)
        if self._at == start:
            raise ProtocolError("an empty data record")
        return self._forward(start, self._at)

    def forward_left(self, items: bytes) -> bytes:
        """Forward what an earlier turn left; returns what is left again."""
        self._at = len(items)
        self._plain[: self._at] = items
        return self._forward(0, self._at)

    def flush(self) -> None:
        """Hand over the run that is being gathered, and send what is sealed."""
        if (receiver := self._receiver) is not None:
            self._hand_over(receiver)
        self._egress.transmit()

    def _hand_over(self, receiver: RelaySession) -> None:
        packets = self._run_packets
        run = self._plain[self._run_start : self._run_end]
        self._receiver = None
        self._runs += 1
        traffic = self._sender.traffic
        traffic.received_packets += packets
        traffic.received_bytes += len(run) - ITEM_HEADER_BYTES * packets
        receiver.take(self._sender, run, packets)

    def _forward(self, position: int, end: int) -> bytes:
        plain, sender = self._plain, self._sender
        flows, drops, mtu = sender.flows, sender.traffic.drops, sender.mtu
        while position < end:
            if self._packets_left <= 0 or (self._runs >= RUNS_PER_CLOCK and self._out_of_time()):
                return bytes(plain[position:end])
            self._packets_left -= 1
            start = position + ITEM_HEADER_BYTES
            if start > end:
                raise ProtocolError("an item's header is cut off")
            flags, segment_bytes, length = _READ_ITEM(plain, position)
            stop = start + length
            if stop > end:
                raise ProtocolError("an item is longer than its record")
            reason = examine(plain, start, length, flags, segment_bytes, mtu)
            if reason:
                found: RelaySession | str = _LABELS[reason]
            else:
                key = flow_key(plain, start)
                known = flows.get(key)
                if known is None:
                    known = flows[key] = self._look_up(key)
                found = known
            if found is self._receiver and stop - self._run_start <= MAX_PLAINTEXT_BYTES:
                self._run_packets += 1
            else:
                if (receiver := self._receiver) is not None:
                    self._hand_over(receiver)
                if isinstance(found, str):
                    drops[found] += 1  # and a gap: a run is one stretch of the buffer
                else:
                    self._receiver = found
                    self._run_start = position
                    self._run_packets = 1
            self._run_end = position = stop
        return b""

    def _look_up(self, key: bytes) -> RelaySession | str:
        """Return who gets packets with these addresses, or why they are dropped; once for each pair of addresses."""
        found = self._sender.cluster.route(self._sender, key)
        if isinstance(found, str):
            self._sender.traffic.note_refused(found, key)
        return found

    def _out_of_time(self) -> bool:
        self._runs = 0
        return self._reactor.now() > self._deadline
