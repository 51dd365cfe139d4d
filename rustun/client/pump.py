"""Between the TUN device and the session: the path of every packet through a client.

Rules of this module
  1. Upwards: the device is read until it is empty or a turn's budget is used; packets become items behind each
     other, sealed once per record and sent once per turn. While the session's stream takes nothing, the device is
     not read: the kernel's own queue does the choosing.
  2. Downwards: each item is judged (`examine`, `Peers.judge`) before the kernel sees it, its offload header is derived
     anew, and a write that the kernel refuses is a counted drop. Equal datagrams in a row are one write (datagrams.py).
  3. What waited in the device while there was no session is thrown away: it is older than any retransmission.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Callable
from typing import Final

from rustun.backends.base import OFFLOAD_HEADER_BYTES, Callback, Reactor, TunDevice
from rustun.client.datagrams import DatagramGatherer
from rustun.client.peers import Peers
from rustun.errors import HostError, ProtocolError
from rustun.link.buffers import TURN_BYTES, Buffers
from rustun.protocol.codec import MAX_PACKET_IN_RECORD_BYTES, RecordCodec, SeedCodec
from rustun.protocol.offload import cut_from_kernel, from_kernel, to_kernel
from rustun.protocol.packet import ITEM, ITEM_HEADER_BYTES, MAX_PACKET_BYTES, DropReason, examine, flow_key
from rustun.protocol.records import MAX_PLAINTEXT_BYTES
from rustun.protocol.segmentation import lower_run

TURN_PACKETS: Final = 256
MAX_FLOWS: Final = 4096
STALE_PACKETS: Final = 4096  # more than any device queues
_READ_ITEM: Final = ITEM.unpack_from
_WRITE_ITEM: Final = ITEM.pack_into
_LABELS: Final = {int(reason): reason.label for reason in DropReason}


class Pump:
    """Carries packets between one TUN device and whatever session there is.

    Args:
        reactor, buffers: of this process.
        tun: the device.
        peers: who may send what to us.
        on_gone: called when the device is gone.
    Attributes:
        drops: packets dropped here, by reason.
    """

    def __init__(
        self,
        reactor: Reactor,
        buffers: Buffers,
        tun: TunDevice,
        peers: Peers,
        mtu: int,
        on_gone: Callable[[HostError], None],
    ) -> None:
        self._reactor = reactor
        self._buffers = buffers
        self._tun = tun
        self._peers = peers
        self._mtu = mtu
        self._on_gone = on_gone
        self._header_in = memoryview(bytearray(OFFLOAD_HEADER_BYTES))
        self._header_out = bytearray(OFFLOAD_HEADER_BYTES)
        self._gatherer = DatagramGatherer(tun)
        self._flows: dict[bytes, str] = {}
        self._transmit: Callable[[memoryview], None] | None = None
        self._codec: RecordCodec | SeedCodec
        self._guard: Callable[[Callback], None]
        self._server_takes_offloads = True
        self.drops: Counter[str] = Counter()
        self.received_bytes = self.received_packets = self.sent_bytes = self.sent_packets = 0

    # --- upwards -----------------------------------------------------------------------------------------------------

    def attach(
        self,
        codec: RecordCodec | SeedCodec,
        transmit: Callable[[memoryview], None],
        guard: Callable[[Callback], None],
        *,
        offloads: bool,
    ) -> None:
        """Send what the device has through a session from now on.

        Args:
            codec: of the session.
            transmit: takes frames; the session pauses this pump while its stream is full.
            guard: makes a call, and ends the session if that fails: else the device would not be read any more.
            offloads: whether unfinished packets may travel; not on the seed's wire.
        """
        had_session = self._transmit is not None
        self._codec = codec
        self._transmit = transmit
        self._guard = guard
        self._server_takes_offloads = offloads
        if not had_session:
            self._throw_away_stale()
        self.resume()

    def detach(self, codec: RecordCodec | SeedCodec) -> None:
        """The session of this codec has ended: read the device no more; harmless where another one is attached."""
        if self._transmit is not None and codec is self._codec:
            self._let_go()

    def _let_go(self) -> None:
        self._transmit = None
        self._reactor.unwatch(self._tun)

    def pause(self) -> None:
        """The session's stream is full."""
        self._reactor.unwatch(self._tun)

    def resume(self) -> None:
        """The session's stream takes bytes again."""
        if self._transmit is not None:
            self._reactor.watch(self._tun, self._on_tun_readable, None)

    def forget_flows(self) -> None:
        """What `Peers` says has changed."""
        self._flows.clear()

    def _on_tun_readable(self) -> None:
        self._guard(self._take_turn)

    def _take_turn(self) -> None:
        if not self._codec.alive(self._reactor.now()):
            self.pause()  # the host slept; the session is about to find out
            return
        try:
            records = self._read_records()
        except HostError as error:
            self._let_go()
            self._on_gone(error)
            return
        if not records or self._transmit is None:
            return
        plain, sealed, codec = self._buffers.plain, self._buffers.sealed, self._codec
        end = start = 0
        for stop in records:
            if self._server_takes_offloads:
                end = codec.seal_items(plain[start:stop], sealed, end)
            else:
                for part in lower_run(plain[start:stop], frozenset(), self._mtu, MAX_PLAINTEXT_BYTES):
                    end = codec.seal_items(part, sealed, end)
            start = stop
        self._transmit(sealed[:end])

    def _read_records(self) -> list[int]:
        """Read packets into the plain buffer as items and return where each record's items end."""
        plain, header, tun = self._buffers.plain, self._header_in, self._tun
        position = record_start = packets = 0
        records: list[int] = []
        while position < TURN_BYTES and packets < TURN_PACKETS:
            start = position + ITEM_HEADER_BYTES
            length = tun.read_into(header, plain[start : start + MAX_PACKET_BYTES])
            if length is None:
                break
            packets += 1
            self.sent_bytes += length
            fits = 0 < length <= MAX_PACKET_IN_RECORD_BYTES  # UDP_SEGMENT makes packets as large as IP allows
            travels = from_kernel(header, plain[start:], length) if fits else None
            if travels is not None:
                _WRITE_ITEM(plain, position, travels[0], travels[1], length)
                stop = start + length
                if stop - record_start > MAX_PLAINTEXT_BYTES:
                    records.append(position)
                    record_start = position
                position = stop
                continue
            for stop in self._cut(position, length):
                if stop - record_start > MAX_PLAINTEXT_BYTES:
                    records.append(position)
                    record_start = position
                position = stop
        self.sent_packets += packets
        if position > record_start:
            records.append(position)
        return records

    def _cut(self, position: int, length: int) -> list[int]:
        """Replace a packet that cannot travel as it is by complete ones; return where each one's item ends."""
        plain = self._buffers.plain
        start = position + ITEM_HEADER_BYTES
        try:
            pieces = cut_from_kernel(self._header_in, plain[start : start + length]) if length else []
        except (struct.error, IndexError):  # a header that points outside its packet: a fault of our own kernel
            self.drops["uncuttable"] += 1
            return []
        if sum(len(piece) + ITEM_HEADER_BYTES for piece in pieces) > len(plain) - position:
            self.drops["uncuttable"] += 1  # segments of a few bytes each; no TCP in use asks for that
            return []
        stops = []
        for piece in pieces:
            _WRITE_ITEM(plain, position, 0, 0, len(piece))
            position += ITEM_HEADER_BYTES + len(piece)
            plain[position - len(piece) : position] = piece
            stops.append(position)
        return stops

    def _throw_away_stale(self) -> None:
        try:
            for _ in range(STALE_PACKETS):
                if self._tun.read_into(self._header_in, self._buffers.plain) is None:
                    return
                self.drops["no-session"] += 1
        except HostError as error:
            self._on_gone(error)

    # --- downwards ---------------------------------------------------------------------------------------------------

    def deliver(self, codec: RecordCodec | SeedCodec, frame: memoryview) -> None:
        """Open a data frame of a session's codec and write its packets to the device.

        Raises: ProtocolError when the frame or its items are not framed right.
        """
        plain = self._buffers.plain
        end = codec.open_data(frame, plain, 0)
        if end == 0:
            raise ProtocolError("an empty data record")
        try:
            try:
                self._deliver_items(plain, end)
            finally:
                self._write_gathered()
        except HostError as error:
            self._let_go()
            self._on_gone(error)

    def _deliver_items(self, plain: memoryview, end: int) -> None:
        flows, drops, gatherer = self._flows, self.drops, self._gatherer
        position = 0
        while position < end:
            start = position + ITEM_HEADER_BYTES
            if start > end:
                raise ProtocolError("an item's header is cut off")
            flags, segment_bytes, length = _READ_ITEM(plain, position)
            position = start + length
            if position > end:
                raise ProtocolError("an item is longer than its record")
            reason = examine(plain, start, length, flags, segment_bytes, MAX_PACKET_BYTES)
            if reason:
                drops[_LABELS[reason]] += 1
                continue
            key = flow_key(plain, start)
            verdict = flows.get(key)
            if verdict is None:
                verdict = self._judge(key)
            if verdict:
                drops[verdict] += 1
                continue
            unfinished = flags and not segment_bytes
            if unfinished and gatherer.add(plain, start, length):
                continue
            if gatherer.waits:
                self._write_gathered()
                if unfinished and gatherer.add(plain, start, length):
                    continue
            packet = plain[start:position]
            to_kernel(flags, segment_bytes, packet, length, self._header_out)
            self._count_written(1, length, self._tun.write(self._header_out, packet))

    def _write_gathered(self) -> None:
        self._count_written(*self._gatherer.write(self._header_out))

    def _count_written(self, packets: int, size: int, taken: bool) -> None:
        if taken:
            self.received_packets += packets
            self.received_bytes += size
        else:
            self.drops["kernel-refused"] += packets

    def _judge(self, key: bytes) -> str:
        if len(self._flows) >= MAX_FLOWS:
            self._flows.clear()
        verdict = self._flows[key] = self._peers.judge(key)
        return verdict
