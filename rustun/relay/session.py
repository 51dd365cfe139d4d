"""One member's session, on either wire: turns of receiving, a queue towards it, one way to close.

Rules of this module
  1. The session owns identity, cluster, addresses and allowed sources; nothing inside a frame overrides them.
  2. A turn ends after `turn_packets`, `turn_bytes` or `turn_ms`, also in the middle of a record or behind a control
     message: what is left is copied into the session and goes on in the next turn of the loop, after everybody else had
     theirs.
  3. Nobody waits for another client's socket: what it does not take now is queued, what does not fit is dropped.
  4. `close` is the only end. It unwatches before it closes, is harmless the second time, and after it nothing of this
     session is processed any more.
  5. Every callback ends in `_guard`: a ProtocolError closes with its text, anything unexpected closes and is logged.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from rustun.backends.base import Stream
from rustun.config.member import Member
from rustun.errors import ProtocolError
from rustun.link.inbox import Inbox
from rustun.link.outbox import Outbox
from rustun.protocol.codec import RecordCodec, SeedCodec
from rustun.protocol.frames import FrameReader
from rustun.protocol.packet import ITEM_HEADER_BYTES
from rustun.protocol.records import MAX_PLAINTEXT_BYTES
from rustun.protocol.segmentation import lower_run
from rustun.protocol.tiers import Tier
from rustun.relay.admission import source_keys
from rustun.relay.counters import Traffic
from rustun.relay.fair_queue import FairQueue

if TYPE_CHECKING:
    from rustun.relay.cluster import Cluster
    from rustun.relay.core import RelayCore
    from rustun.relay.listing import Listed

MAX_WAITING_CONTROLS: Final = 64  # a receiver that lets more pile up reads nothing and is about to be closed anyway
REFILL_BYTES: Final = 131_072  # sealed at a time from the queue: a stream that is nearly full takes about that much
ALL_OFFLOADS: Final = frozenset({"csum", "tso4", "tso6", "uso"})
RESET_REASONS: Final = frozenset({"protocol-error", "stalled", "silent", "handshake-timeout", "crowded-out"})


@dataclass(frozen=True, slots=True)
class Wire:
    """How a session's peer speaks.

    Attributes:
        tier: how it proved itself.
        codec: makes frames of runs and runs of frames.
        reader: says which frames may come.
        offloads: which unfinished packets it takes.
        mtu: of its device, bytes.
        silence_seconds: after that long without a valid frame it counts as gone.
    """

    tier: Tier
    codec: RecordCodec | SeedCodec
    reader: FrameReader
    offloads: frozenset[str]
    mtu: int
    silence_seconds: float


class RelaySession(ABC):
    """What both kinds of session have in common; NoiseSession and SeedSession add their control messages.

    Args:
        core: what all sessions of this relay share.
        stream: the connection.
        member: who this is; replaced when its entry changes in a way that leaves the session alive.
        cluster: where it belongs.
        wire: how the member speaks.
        held: bytes received behind the handshake.
    Attributes:
        public_key, server_public_key: that it was made with, in Base64; empty but on the key tier.
        heard_at: when the last valid frame came, in seconds of `now()`.
        confirmed: whether the member has proved its keys, so that it is visible.
    """

    public_key = server_public_key = ""

    def __init__(
        self,
        core: RelayCore,
        stream: Stream,
        member: Member,
        cluster: Cluster,
        wire: Wire,
        held: bytes = b"",
    ) -> None:
        self.core = core
        self.stream = stream
        self.member = member
        self.cluster = cluster
        self.tier = wire.tier
        self.offloads = wire.offloads
        self._takes_everything = wire.offloads >= ALL_OFFLOADS
        self.mtu = wire.mtu
        self.began_at = self.heard_at = core.reactor.now()
        self.traffic = Traffic(self.began_at)
        self.confirmed = False
        self.closed = False
        self.rtt_ms: float | None = None
        self.listed: Listed | None = None  # what listing.py says of it that stays
        self.silence_seconds = wire.silence_seconds
        self.queue: FairQueue[RelaySession] = FairQueue(core.queues.receiver_bytes, core.queues.receiver_packets)
        self.flows: dict[bytes, RelaySession | str] = {}  # the switch's cache of who gets what from here
        self.flows_epoch = -1
        self._codec = wire.codec
        self._controls: deque[tuple[Callable[[], bytes], Callable[[], None] | None]] = deque()
        self._unfinished = b""
        self._resume_planned = False
        self._control_payer = f"{source_keys(stream.remote.host)[0]} {member.identity}"
        self._inbox = Inbox(stream, wire.reader, core.buffers, held)
        self._outbox = Outbox(
            core.reactor,
            stream,
            self._on_readable,
            self._refill,
            self._on_lost,
            core.limits.receiver_stall_bytes,
        )
        if held:
            self._plan_resume()

    @property
    def identity(self) -> str:
        """The member's identity."""
        return self.member.identity

    @property
    def queued_bytes(self) -> int:
        """Bytes that wait for this receiver, sealed or not."""
        return self.queue.bytes + self._outbox.unsent_bytes

    # --- receiving ---------------------------------------------------------------------------------------------------

    def _on_readable(self) -> None:
        self._guard(self._receive)

    def _resume(self) -> None:
        self._resume_planned = False
        if not self.closed:
            self._outbox.pause_reading(False)
            self._guard(self._go_on)

    def _receive(self) -> None:
        try:
            received = self._inbox.begin(receive=True, max_bytes=self.core.queues.turn_bytes)
        except ConnectionError as error:
            self._on_lost(error)
            return
        if received == 0:
            self.close("end-of-stream")
        elif received is not None:
            self._turn()

    def _go_on(self) -> None:
        self._inbox.begin(receive=False)
        self._turn()

    def _turn(self) -> None:
        """Handle the frames of this turn; the inbox has begun."""
        core = self.core
        now = core.reactor.now()
        if not self.keys_alive(now):
            return
        switch = core.switch
        deadline = now + core.turn_seconds
        switch.begin(self, deadline, core.queues.turn_packets)
        left = self._unfinished
        self._unfinished = b""
        data_type = self._codec.data_type
        late = False
        try:
            if left:
                left = switch.forward_left(left)
            while not left and not late:
                found = self._inbox.next_frame()
                if found is None:
                    break
                frame_type, frame = found
                self.heard_at = now
                if frame_type == data_type and self.confirmed:
                    left = switch.forward_frame(self._codec, frame)
                else:
                    switch.flush()
                    self._on_control(frame_type, frame)
                    if self.closed:
                        return
                    late = core.reactor.now() > deadline  # a message of 16 KiB takes up to 4 ms to read
        finally:
            switch.flush()  # also behind a frame that ends the session: what came before it is good
        if self.closed:
            return
        self._inbox.end()
        if left or (late and self._inbox.held):
            self._unfinished = left
            self._plan_resume()

    def _plan_resume(self) -> None:
        if not self._resume_planned:
            self._resume_planned = True
            self._outbox.pause_reading(True)
            self.core.reactor.call_soon(self._resume)

    def keys_alive(self, now: float) -> bool:
        """Look at the age of the keys before a batch, as after a sleep; close when they are too old."""
        if not self._codec.alive(now):
            self.close("key-expired")
        return not self.closed

    @abstractmethod
    def _on_control(self, frame_type: int, frame: memoryview) -> None:
        """Handle a frame that is no data, or data before the member was confirmed. Raises ProtocolError."""

    def _spend_control_token(self) -> None:
        if not self.core.control_budget.take(self._control_payer, self.core.reactor.now()):
            limit = self.core.limits.control_messages_per_second
            raise ProtocolError(f"more than {limit} control messages a second")

    # --- sending -----------------------------------------------------------------------------------------------------

    def take(self, sender: RelaySession, run: memoryview, packets: int) -> None:
        """Take a run of packets for this member: send it at once, or queue a copy, or drop and count.

        Args:
            sender: whose turn it is; pays for what is dropped.
            run: items back to back, at most MAX_PLAINTEXT_BYTES; a view that is good only now.
            packets: how many items that is.
        """
        egress = self.core.egress
        if egress.receiver is not self or egress.end > egress.limit:
            egress.lend(self)
        if self.closed:
            sender.traffic.drops["offline"] += packets
        elif self._outbox.blocked or self.queue.packets or self._controls:
            self._enqueue(sender, bytes(run), packets)
        else:
            egress.end = self._seal_run(run, packets, egress.sealed, egress.end)

    def inherit(self, other: RelaySession) -> None:
        """Take over what waits for another session of the same member, which is about to close; ours is empty."""
        self.queue, other.queue = other.queue, self.queue
        self._outbox.want_turn()

    def _enqueue(self, sender: RelaySession, run: bytes, packets: int) -> None:
        before = self.queue.bytes
        for loser, lost in self.queue.put(sender, run, packets):
            self.core.note_lost(loser, self, lost)
        self.core.note_queued(self.queue.bytes - before)

    def _seal_run(self, run: memoryview | bytes, packets: int, out: memoryview, at: int) -> int:
        """Seal a run to `out[at:]`, cut and finished as this member takes it; return where it ends.

        A failure ends this session, not that of the sender whose turn it is.
        """
        try:
            if self._takes_everything:
                end = self._codec.seal_items(run, out, at)
            else:
                end = at
                for part in lower_run(run, self.offloads, self.mtu, MAX_PLAINTEXT_BYTES):
                    end = self._codec.seal_items(part, out, end)
        except ProtocolError:
            self.close("key-expired")
            return at
        self.traffic.sent_packets += packets
        self.traffic.sent_bytes += len(run) - ITEM_HEADER_BYTES * packets
        return end

    def transmit(self, frames: memoryview) -> None:
        """Send sealed frames; only while the stream is not blocked."""
        self._outbox.transmit(frames)

    def send_control(self, seal: Callable[[], bytes], then: Callable[[], None] | None = None) -> None:
        """Send a control frame ahead of all data that waits.

        Args:
            seal: makes the frame, at the moment when it enters the stream.
            then: called right after it was sealed: the exact point for new keys.
        """
        if self.closed:
            return
        if self._outbox.blocked:
            if len(self._controls) >= MAX_WAITING_CONTROLS:
                self.close("stalled")
                return
            self._controls.append((seal, then))
            return
        self._transmit_control(seal, then)

    def _transmit_control(self, seal: Callable[[], bytes], then: Callable[[], None] | None) -> None:
        if not self.keys_alive(self.core.reactor.now()):
            return
        frame = seal()
        if then is not None:
            then()
        self._outbox.transmit(frame)

    def _refill(self) -> None:
        self._guard(self._send_waiting)

    def _send_waiting(self) -> None:
        """Seal what waits, control first, until the stream is full or a turn's bytes went out."""
        budget = self.core.queues.turn_bytes
        outbox = self._outbox
        while self._controls and not outbox.blocked and not self.closed:
            self._transmit_control(*self._controls.popleft())
        egress = self.core.egress
        while self.queue and budget > 0 and not outbox.blocked and not self.closed:
            room = REFILL_BYTES
            egress.lend(self)
            while self.queue and room > 0 and egress.end <= egress.limit and not self.closed:
                run, packets = self._gather()
                room -= len(run)
                egress.end = self._seal_run(run, packets, egress.sealed, egress.end)
            egress.transmit()
            budget -= REFILL_BYTES - room
        if self.closed or outbox.blocked:
            return
        if self.queue:
            outbox.want_turn()
        else:
            self._send_news()

    def _gather(self) -> tuple[bytes, int]:
        """Take from the queue what fits into one record; the queue is not empty."""
        runs = []
        packets = 0
        room = MAX_PLAINTEXT_BYTES
        while (found := self.queue.pop(room)) is not None:
            runs.append(found[0])
            packets += found[1]
            room -= len(found[0])
        gathered = runs[0] if len(runs) == 1 else b"".join(runs)
        self.core.note_queued(-len(gathered))
        return gathered, packets

    @abstractmethod
    def _send_news(self) -> None:
        """Send what this member does not know yet of its cluster; called when nothing else waits."""

    # --- the end -----------------------------------------------------------------------------------------------------

    def stalled(self, now: float) -> bool:
        """Tell whether this receiver has taken next to nothing for too long."""
        return self._outbox.blocked and now - self._outbox.moved_at > self.core.limits.receiver_stall_seconds

    def close(self, reason: str, say: str = "", window_seconds: float = 0.0) -> None:
        """End the session: goodbye if there is something to say, unwatch, close, withdraw, count.

        Args:
            reason: the word for log and counters, and the code of the goodbye.
            say: what a peer that can be told shows its people as the reason; empty to close without a word.
            window_seconds: over which the peer should spread its return.
        """
        if self.closed:
            return
        self.closed = True  # first, for the goodbye may find the connection dead
        if say and not self._outbox.blocked and self._codec.alive(self.core.reactor.now()):
            self._say_goodbye(reason, say, window_seconds)
        rest = self._outbox.close(self.core.takeover.rest_seconds(self.identity) if reason == "superseded" else 0.0)
        self.core.note_queued(-self.queue.bytes)
        lost = self.queue.clear()
        if lost:
            self.traffic.drops["closed"] += lost
        self._controls.clear()
        self.flows.clear()  # others that closed would stay for as long as somebody remembers this one
        if reason in RESET_REASONS:
            self.stream.reset()
        elif not rest:
            self.stream.close()
        self.core.session_ended(self, reason)

    @abstractmethod
    def _say_goodbye(self, code: str, reason: str, window_seconds: float) -> None:
        """Tell the peer why, where its wire has a word for it."""

    def _on_lost(self, error: ConnectionError) -> None:
        self.close("connection-lost")

    def _guard(self, step: Callable[[], None]) -> None:
        try:
            step()
        except ProtocolError as error:
            self.core.log.event(
                "warning", "protocol-error", str(error), identity=self.identity, remote=self.stream.remote
            )
            self.close("protocol-error")
        except Exception as error:  # noqa: BLE001 - the last line of defence: a fault here ends this session, never the relay
            self.core.report_fault(error, self.identity)
            self.close("internal-error")
