"""Between the TUN device and the sessions: the path of every packet through a client.

Rules of this module
  1. Upwards: the device is read until it is empty or a turn's budget is used; packets become items behind each
     other, sealed once per record and sent once per turn. The first packet after a lull goes at once: the look for
     another would delay it. With one session a turn is its own; with several each packet goes the way that was chosen
     for its flow (ways.py).
  2. While a stream takes nothing the device rests, and the kernel's own queue does the choosing. With several sessions
     it rests for PATIENCE_SECONDS at most: then packets for the full stream are dropped, and the others flow. Who used
     that time up gets none the next time, until it was full for a shorter one.
  3. A flow that moves to a server higher up in the list waits in the device until the server that it leaves has handled
     what it was sent, for MOVE_SECONDS at most: packets keep their order. Elsewhere nothing is left to wait for.
  4. Downwards: each item is judged (`examine`, `Peers.judge`) before the kernel sees it, its offload header is derived
     anew, and a write that the kernel refuses is a counted drop. Equal datagrams in a row are one write (datagrams.py).
  5. What waited in the device while there was no session is thrown away: it is older than any retransmission.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from rustun.backends.base import OFFLOAD_HEADER_BYTES, Reactor, TunDevice
from rustun.client.datagrams import DatagramGatherer
from rustun.client.peers import Peers
from rustun.client.uplink import Uplink
from rustun.errors import HostError, ProtocolError
from rustun.link.buffers import TURN_BYTES, Buffers
from rustun.link.rate import RATE_SECONDS, Rate
from rustun.protocol.codec import MAX_PACKET_IN_RECORD_BYTES
from rustun.protocol.offload import cut_from_kernel, from_kernel, to_kernel
from rustun.protocol.packet import ITEM, ITEM_HEADER_BYTES, MAX_PACKET_BYTES, DropReason, examine, flow_key
from rustun.protocol.records import MAX_PLAINTEXT_BYTES
from rustun.protocol.segmentation import lower_run

TURN_PACKETS: Final = 256
LULL_SECONDS: Final = 0.001  # who sends more than a thousand packets a second is read in batches
MAX_FLOWS: Final = 1024  # whose way is remembered; all are chosen anew when members come or go, in some 3 ms
PATIENCE_SECONDS: Final = 0.02  # a stream that works takes bytes again within a few milliseconds
MOVE_SECONDS: Final = 0.25
STALE_PACKETS: Final = 4096  # more than any device queues
_READ_ITEM: Final = ITEM.unpack_from
_WRITE_ITEM: Final = ITEM.pack_into
_LABELS: Final = {int(reason): reason.label for reason in DropReason}


class Pump:
    """Carries packets between one TUN device and the sessions that there are.

    Args:
        reactor, buffers: of this process.
        tun: the device.
        mtu: of the device, bytes.
        choose: returns the way of a flow's packets, one of those in use; asked while there are several.
        on_gone: called when the device is gone.
    Attributes:
        drops: packets dropped here, by reason.
    """

    def __init__(
        self,
        reactor: Reactor,
        buffers: Buffers,
        tun: TunDevice,
        mtu: int,
        choose: Callable[[bytes], Uplink],
        on_gone: Callable[[HostError], None],
    ) -> None:
        self._reactor = reactor
        self._buffers = buffers
        self._tun = tun
        self._mtu = mtu
        self._choose = choose
        self._on_gone = on_gone
        self._header_in = memoryview(bytearray(OFFLOAD_HEADER_BYTES))
        self._header_out = bytearray(OFFLOAD_HEADER_BYTES)
        self._gatherer = DatagramGatherer(tun)
        self._uplinks: tuple[Uplink, ...] = ()
        self._flows: dict[bytes, Uplink] = {}
        self._turned_at = 0.0
        self.drops: Counter[str] = Counter()
        self.received_bytes = self.received_packets = self.sent_bytes = self.sent_packets = 0
        self._rate = Rate(reactor.now())
        self._mark_at = 0.0

    def mark(self, now: float) -> None:
        """Set a mark for `rates` where that is due."""
        if now >= self._mark_at:
            self._mark_at = now + RATE_SECONDS
            self._rate.mark(now, self.received_bytes, self.sent_bytes)

    def rates(self, now: float) -> tuple[float, float]:
        """Return bytes per second, received and sent, of the last some seconds."""
        return self._rate.per_second(now, self.received_bytes, self.sent_bytes)

    # --- who carries -------------------------------------------------------------------------------------------------

    def use(self, uplinks: Sequence[Uplink]) -> None:
        """Send what the device has through these sessions from now on, those of servers higher up in the list first."""
        had_session = bool(self._uplinks)
        self._uplinks = tuple(uplinks)
        self._flows = {key: uplink for key, uplink in self._flows.items() if uplink in uplinks}
        if uplinks and not had_session:
            self._throw_away_stale()
        self._rest_or_read()

    def drop(self, uplink: Uplink) -> None:
        """A session has ended: send nothing through it any more; harmless when it is not in use."""
        if uplink in self._uplinks:
            self.use([one for one in self._uplinks if one is not uplink])

    def pause(self, uplink: Uplink) -> None:
        """A session's stream is full."""
        uplink.full = True
        uplink.full_since = self._reactor.now()
        self._rest_or_read()

    def resume(self, uplink: Uplink) -> None:
        """A session's stream takes bytes again."""
        if uplink.patience is not None:
            uplink.patience.cancel()
            uplink.patience = None
        if not uplink.patient:
            uplink.patient = self._reactor.now() - uplink.full_since < PATIENCE_SECONDS
        uplink.full = False
        self._rest_or_read()

    def rest(self, uplink: Uplink) -> None:
        """Leave the device alone until this session is in use no more: it is about to hand over to another one."""
        uplink.resting = True
        self._rest_or_read()

    def choose_again(self) -> None:
        """Who is online where has changed: flows take their way anew, and those that move keep their order."""
        uplinks = self._uplinks
        left = set()
        if len(uplinks) > 1:
            for key, old in self._flows.items():
                if uplinks.index(self._choose(key)) < uplinks.index(old):
                    left.add(old)
        if not left:
            self._flows.clear()
        for old in left:
            if not old.resting:
                self.rest(old)
                old.drain(partial(self._end_rest, old), MOVE_SECONDS)

    def _end_rest(self, uplink: Uplink) -> None:
        uplink.resting = False
        self._flows.clear()
        self._rest_or_read()

    def _rest_or_read(self) -> None:
        uplinks = self._uplinks
        full = [one for one in uplinks if one.full]
        if len(uplinks) > 1:
            for one in full:
                if one.patient and one.patience is None:
                    when = one.full_since + PATIENCE_SECONDS
                    one.patience = self._reactor.call_at(when, partial(self._lose_patience, one))
        if (
            len(full) == len(uplinks)
            or any(one.patient for one in full)
            or any(one.resting for one in uplinks)
        ):  # fmt: skip
            self._reactor.unwatch(self._tun)
        else:
            self._reactor.watch(self._tun, self._on_tun_readable, None)

    def _lose_patience(self, uplink: Uplink) -> None:
        uplink.patience = None
        uplink.patient = False
        self._rest_or_read()

    # --- upwards -----------------------------------------------------------------------------------------------------

    def _on_tun_readable(self) -> None:
        self._uplinks[0].guard(self._take_turn)

    def _take_turn(self) -> None:
        uplinks = self._uplinks
        alone = uplinks[0] if len(uplinks) == 1 else None
        now = self._reactor.now()
        if alone is not None and not alone.codec.alive(now):
            self.pause(alone)  # the host slept; the session is about to find out
            return
        most = TURN_PACKETS if now - self._turned_at < LULL_SECONDS else 1
        self._turned_at = now
        try:
            runs = self._read_records(most)
        except HostError as error:
            self._let_go(error)
            return
        if runs and alone is not None:
            self._send(alone, runs)
        elif runs:
            for uplink, share in self._share_out(runs[-1][1]).items():
                uplink.guard(partial(self._send_or_drop, uplink, share))

    def _let_go(self, error: HostError) -> None:
        self._uplinks = ()
        self._reactor.unwatch(self._tun)
        self._on_gone(error)

    def _share_out(self, end: int) -> dict[Uplink, list[tuple[int, int]]]:
        """Return where in the plain buffer the items of each way stand, in runs that fit a record."""
        plain, flows = self._buffers.plain, self._flows
        shares: dict[Uplink, list[tuple[int, int]]] = {}
        position = run_start = 0
        present: Uplink | None = None
        while position < end:
            start = position + ITEM_HEADER_BYTES
            stop = start + _READ_ITEM(plain, position)[2]
            key = flow_key(plain, start)
            uplink = flows.get(key) or self._choose_way(key)
            if present is not None and (uplink is not present or stop - run_start > MAX_PLAINTEXT_BYTES):
                shares.setdefault(present, []).append((run_start, position))
                run_start = position
            present = uplink
            position = stop
        if present is not None:
            shares.setdefault(present, []).append((run_start, end))
        return shares

    def _choose_way(self, key: bytes) -> Uplink:
        if len(self._flows) >= MAX_FLOWS:
            self._flows.clear()
        uplink = self._flows[key] = self._choose(key)
        return uplink

    def _send_or_drop(self, uplink: Uplink, runs: list[tuple[int, int]]) -> None:
        if uplink.full:
            self.drops["queue-full"] += self._count_items(runs)
        elif uplink not in self._uplinks or not uplink.codec.alive(self._reactor.now()):
            self.drops["no-session"] += self._count_items(runs)  # ended in this turn, or is about to find out
        else:
            self._send(uplink, runs)

    def _count_items(self, runs: list[tuple[int, int]]) -> int:
        count = 0
        for position, stop in runs:
            while position < stop:
                position += ITEM_HEADER_BYTES + _READ_ITEM(self._buffers.plain, position)[2]
                count += 1
        return count

    def _send(self, uplink: Uplink, runs: list[tuple[int, int]]) -> None:
        plain, sealed, codec = self._buffers.plain, self._buffers.sealed, uplink.codec
        end = 0
        for start, stop in runs:
            if uplink.takes_offloads:
                end = codec.seal_items(plain[start:stop], sealed, end)
            else:
                for part in lower_run(plain[start:stop], frozenset(), self._mtu, MAX_PLAINTEXT_BYTES):
                    end = codec.seal_items(part, sealed, end)
        uplink.transmit(sealed[:end])

    def _read_records(self, most: int) -> list[tuple[int, int]]:
        """Read at most so many packets into the plain buffer as items and return where each record's items stand."""
        plain, header, tun = self._buffers.plain, self._header_in, self._tun
        position = record_start = packets = 0
        records: list[tuple[int, int]] = []
        while position < TURN_BYTES and packets < most:
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
                    records.append((record_start, position))
                    record_start = position
                position = stop
                continue
            for stop in self._cut(position, length):
                if stop - record_start > MAX_PLAINTEXT_BYTES:
                    records.append((record_start, position))
                    record_start = position
                position = stop
        self.sent_packets += packets
        if position > record_start:
            records.append((record_start, position))
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
            self._let_go(error)

    # --- downwards ---------------------------------------------------------------------------------------------------

    def deliver(self, uplink: Uplink, frame: memoryview) -> None:
        """Open a data frame of a session and write its packets to the device.

        Raises: ProtocolError when the frame or its items are not framed right.
        """
        plain = self._buffers.plain
        end = uplink.codec.open_data(frame, plain, 0)
        if end == 0:
            raise ProtocolError("an empty data record")
        try:
            try:
                self._deliver_items(plain, end, uplink.peers)
            finally:
                if self._gatherer.waits:
                    self._write_gathered()
        except HostError as error:
            self._let_go(error)

    def _deliver_items(self, plain: memoryview, end: int, peers: Peers) -> None:
        verdicts, drops, gatherer = peers.verdicts, self.drops, self._gatherer
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
            verdict = verdicts.get(key)
            if verdict is None:
                verdict = peers.judge(key)
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
