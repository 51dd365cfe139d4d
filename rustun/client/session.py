"""The client's side of one session, on either wire.

Rules of this module
  1. Callbacks end in `_guard`: whatever goes wrong ends this session with a reason, and the client tries again.
  2. Control frames go ahead of everything that still waits in the TUN device; the pump hears when the stream is full.
  3. A session that another one replaces is retired: it sends nothing of the device's any more and has no say about it.
  4. `close` is the only end, harmless the second time; it unwatches before it closes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from rustun.backends.base import Callback, Reactor, Stream
from rustun.client.peers import OwnEntry, Peers
from rustun.client.pump import Pump
from rustun.client.uplink import Uplink
from rustun.errors import ProtocolError
from rustun.link.buffers import Buffers
from rustun.link.inbox import Inbox
from rustun.link.outbox import Outbox
from rustun.logs import EventLog, describe_bug
from rustun.protocol.codec import RecordCodec, SeedCodec
from rustun.protocol.frames import FrameReader
from rustun.protocol.tiers import Tier

MAX_WAITING_CONTROLS: Final = 64
PROOF_SECONDS: Final = 1.0  # for the answer to the next proof of life, which is sent one interval after the last


@dataclass(frozen=True, slots=True)
class Tools:
    """What every session of one client uses."""

    reactor: Reactor
    buffers: Buffers
    pump: Pump
    random_bytes: Callable[[int], bytes]
    log: EventLog


@dataclass(frozen=True, slots=True)
class Owner:
    """What a session's owner wants of it and wants to hear.

    Attributes:
        keepalive_seconds: how often proof of life is sent.
        silence_seconds: how long the server may be silent.
        on_config: called when the server told this member its own entry.
        on_directory: called when what is known of the cluster has changed.
        on_closed: called once, with the session, the reason and the seconds to wait before the next try (0: as usual).
    """

    keepalive_seconds: float
    silence_seconds: float
    on_config: Callable[[OwnEntry], None]
    on_directory: Callable[[], None]
    on_closed: Callable[[ClientSession, str, float], None]


class ClientSession(ABC):
    """What both kinds of client session have in common.

    Args:
        tools: what every session of this client uses.
        stream: the connection, its handshake done.
        codec, reader: of the wire.
        owner: what the client wants of the session.
        held: bytes received behind the handshake.
        peers: what is known of the cluster.
    Attributes:
        uplink: this session as the pump sees it.
        public_key, server_public_key: that it was made with, in Base64; empty but on the key tier.
        heard_at: when the last valid frame came, seconds of `now()`.
        asked_at: when the oldest proof of life was sent that the server owes an answer, None where it owes none.
        proved_at: when the server last answered us, which proves both directions.
        rtt_ms: of the last answered keepalive, None before the first.
        server_version: of the software at the other end; empty where the wire does not say.
        place_lost: whether it ended because another session of this identity has the place at the server.
    """

    tier: Tier
    cipher_name: str
    takes_offloads: bool
    public_key = server_public_key = ""
    place_lost = False
    server_version = ""

    def __init__(
        self,
        tools: Tools,
        stream: Stream,
        codec: RecordCodec | SeedCodec,
        reader: FrameReader,
        owner: Owner,
        held: bytes,
        peers: Peers,
    ) -> None:
        self.tools = tools
        self.stream = stream
        self.closed = False
        self.rtt_ms: float | None = None
        self.began_at = self.heard_at = self.proved_at = tools.reactor.now()
        self.asked_at: float | None = None
        self._codec = codec
        self._owner = owner
        self._peers = peers
        self.uplink = Uplink(
            codec, peers, self._transmit, self._guard, self.drain, takes_offloads=self.takes_offloads
        )  # fmt: skip
        self._controls: deque[tuple[Callable[[], bytes], Callable[[], None] | None]] = deque()
        self._inbox = Inbox(stream, reader, tools.buffers, held)
        self._outbox = Outbox(tools.reactor, stream, self._on_readable, self._refill, self._on_lost)
        self._timer = tools.reactor.call_at(self.began_at, self._tick)
        self._retired = False
        self._next_keepalive = self.began_at + owner.keepalive_seconds

    def begin(self) -> None:
        """Say the first word; packets flow when the pump uses `uplink`."""
        self.stream.adapt_to_path()
        if self._inbox.held:
            self.tools.reactor.call_soon(lambda: self._guard(self._go_on))

    # --- receiving ---------------------------------------------------------------------------------------------------

    def _on_readable(self) -> None:
        self._guard(self._receive)

    def _receive(self) -> None:
        received = self._inbox.begin(receive=True)
        if received == 0:
            self.close("the server closed the connection")
        elif received is not None:
            self._turn()

    def _go_on(self) -> None:
        if not self.closed:
            self._inbox.begin(receive=False)
            self._turn()

    def _turn(self) -> None:
        now = self.tools.reactor.now()
        if not self._keys_alive(now):
            return
        data_type = self._codec.data_type
        while not self.closed:
            found = self._inbox.next_frame()
            if found is None:
                break
            frame_type, frame = found
            self.heard_at = now
            if frame_type == data_type:
                self.tools.pump.deliver(self.uplink, frame)
            else:
                self._on_control(frame_type, frame)
        self._inbox.end()

    def _keys_alive(self, now: float) -> bool:
        """Look at the age of the keys before they are used, as after a sleep; close when they are too old."""
        if not self._codec.alive(now):
            self.close("the session's keys are too old")
        return not self.closed

    @abstractmethod
    def _on_control(self, frame_type: int, frame: memoryview) -> None:
        """Handle a frame that is no data. Raises ProtocolError."""

    # --- sending -----------------------------------------------------------------------------------------------------

    def send_control(self, seal: Callable[[], bytes], then: Callable[[], None] | None = None) -> None:
        """Send a control frame; `then` is called right after it was sealed, the exact point for new keys."""
        if self.closed:
            return
        if not self._outbox.blocked:
            self._transmit_control(seal, then)
        elif len(self._controls) < MAX_WAITING_CONTROLS:
            self._controls.append((seal, then))
        else:
            self.close("the server reads nothing any more")

    def _transmit_control(self, seal: Callable[[], bytes], then: Callable[[], None] | None) -> None:
        frame = seal()
        if then is not None:
            then()
        self._transmit(memoryview(frame))

    def _transmit(self, frames: memoryview) -> None:
        self._outbox.transmit(frames)
        if self._outbox.blocked and not self.closed and not self._retired:
            self.tools.pump.pause(self.uplink)

    def _refill(self) -> None:
        self._guard(self._send_waiting)

    def _send_waiting(self) -> None:
        if not self._keys_alive(self.tools.reactor.now()):
            return
        while self._controls and not self._outbox.blocked and not self.closed:
            self._transmit_control(*self._controls.popleft())
        if not self._outbox.blocked and not self.closed and not self._retired:
            self.tools.pump.resume(self.uplink)

    # --- time --------------------------------------------------------------------------------------------------------

    def _tick(self) -> None:
        self._guard(self._look_at_time)

    def _look_at_time(self) -> None:
        if self.closed:
            return
        now = self.tools.reactor.now()
        if now >= self.heard_at + self._owner.silence_seconds:  # the same sum as below: a difference rounds otherwise
            self.close(f"the server was silent for {now - self.heard_at:.0f} s")
        if not self._keys_alive(now):
            return
        if now >= self._next_keepalive:
            self._next_keepalive = now + self._owner.keepalive_seconds
            self._ask()
        self._on_tick(now)
        due = min(self._next_keepalive, self.heard_at + self._owner.silence_seconds, now + 1.0)
        self._timer = self.tools.reactor.call_at(due, self._tick)

    def proven(self, now: float) -> bool:
        """Tell whether the last proof of life was answered in time, or its answer may still come."""
        return now < self.proved_at + self._owner.keepalive_seconds + PROOF_SECONDS

    def ask(self) -> None:
        """Send proof of life now."""
        self._guard(self._ask)

    def _ask(self) -> None:
        now = self.tools.reactor.now()
        if not self.closed and self._keys_alive(now):
            if self.asked_at is None:
                self.asked_at = now
            self.send_keepalive()

    def note_answer(self, now: float) -> None:
        """The server has answered a proof of life."""
        self.proved_at = now
        self.asked_at = None

    @abstractmethod
    def send_keepalive(self) -> None:
        """Send proof of life that has to be answered."""

    @abstractmethod
    def _on_tick(self, now: float) -> None:
        """Look at what else time brings; called once a second or more often."""

    @abstractmethod
    def drain(self, drained: Callback, seconds: float) -> None:
        """Call back once the server has handled all that was sent until now, or after that many seconds."""

    # --- the end -----------------------------------------------------------------------------------------------------

    def close(self, reason: str, *, wait_seconds: float = 0.0, say: str = "") -> None:
        """End the session.

        Args:
            reason: for log and status.
            wait_seconds: before the next try; 0 for the usual backoff.
            say: what the server hears as the reason; empty to close without a word.
        """
        if self.closed:
            return
        self.closed = True  # first, for the goodbye may find the connection dead
        if say and not self._outbox.blocked and self._codec.alive(self.tools.reactor.now()):
            self._say_goodbye(say)
        self._timer.cancel()
        if not self._retired:
            self.tools.pump.drop(self.uplink)
        self._outbox.close()
        self.stream.close()
        self._owner.on_closed(self, reason, wait_seconds)

    @abstractmethod
    def _say_goodbye(self, reason: str) -> None:
        """Tell the server, where the wire has a word for it."""

    def _on_lost(self, error: ConnectionError) -> None:
        self.close(f"connection lost: {error.strerror or error}")

    def _guard(self, step: Callable[[], None]) -> None:
        try:
            step()
        except ProtocolError as error:
            self.close(f"the server broke the protocol: {error}")
        except ConnectionError as error:
            self._on_lost(error)
        except Exception as error:  # noqa: BLE001 - the last line of defence: the client tries again with a new session
            self.tools.log.event("error", "internal-error", describe_bug(error))
            self.close("a fault of this program; see the log")
