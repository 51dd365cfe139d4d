"""The client's session on the Noise tiers: first proof, keepalives, directory, rekey (docs/protocol.md, 5 to 7)."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from rustun.backends.base import Callback, Stream, Timer
from rustun.client.peers import Peers, own_entry
from rustun.client.session import ClientSession, Owner, Tools
from rustun.errors import ProtocolError
from rustun.link.echoes import Echoes
from rustun.protocol.codec import RecordCodec
from rustun.protocol.control import (
    MAX_CONTROL_BYTES,
    Config,
    Directory,
    Goodbye,
    Message,
    Ping,
    Pong,
    Presence,
    PresenceAsk,
    RekeyAsk,
    RekeyReply,
    RekeySwitch,
    decode,
    encode,
)
from rustun.protocol.frames import RECORD_TYPES, FrameReader
from rustun.protocol.rekey import RekeyClient, rekey_is_due
from rustun.protocol.suites import Credentials

PLACE_LOST: Final = ("superseded", "place-taken")  # another session has our identity's place
DRAIN_SECONDS: Final = 1.0  # how long packets wait in the device while one session hands over to the next
LINGER_SECONDS: Final = 5.0  # how long a session that handed over is read, should the server not close it
SUPERSEDED_WAIT_SECONDS: Final = 60.0  # two hosts with one identity would else throw each other out for ever


class ClientNoiseSession(ClientSession):
    """A session with record keys.

    Args: as for ClientSession, and
        credentials: that the handshake was made with.
        rekey: continues the handshake's chain of keys.
        peers: what is known of the cluster.
    """

    takes_offloads = True

    def __init__(
        self,
        tools: Tools,
        stream: Stream,
        codec: RecordCodec,
        owner: Owner,
        held: bytes,
        *,
        credentials: Credentials,
        rekey: RekeyClient,
        peers: Peers,
    ) -> None:
        super().__init__(tools, stream, codec, FrameReader(RECORD_TYPES), owner, held, peers)
        self.tier = credentials.suite.tier
        self.public_key, self.server_public_key = credentials.public_texts()
        self.cipher_name = codec.cipher.value
        self._record_codec = codec
        self._rekey = rekey
        self._switching = False  # the switch mark waits for a stream that is full
        self._next_ping = 0
        self._pings: dict[int, float] = {}
        self._echoes = Echoes()
        self._last_ping: int | None = None  # behind everything that has to be handled
        self._on_drained: Callback = _nothing
        self._drain_timer: Timer | None = None

    def begin(self) -> None:
        """Prove the keys with a first ping."""
        self._peers.forget_generation()
        self.send_keepalive()
        if not self.closed:
            super().begin()

    def send_keepalive(self) -> None:
        """Send a ping; its answer proves both directions and measures the round trip."""
        self._pings = {self._next_ping: self.tools.reactor.now()}  # an older one that is still unanswered is given up
        self._say(Ping(self._next_ping, self.rtt_ms))
        self._next_ping += 1

    def echo(self, on_answer: Callback) -> None:
        """Send a ping that nothing else depends on, and call back at its answer; not at all where none comes."""
        self._echoes.wait(self._next_ping, on_answer)
        self._guard(lambda: self._say(Ping(self._next_ping, self.rtt_ms)))
        self._next_ping += 1

    def ask_presence(self, identities: tuple[str, ...]) -> None:
        """Ask who of these is online, in a cluster too large for being told; the answer comes a little later."""
        if identities and not self.closed and not self._retired:
            self._guard(lambda: self._say(PresenceAsk(identities)))

    def hand_over(self, drained: Callback) -> None:
        """Give way to a session that is about to begin, so that no packet is lost; a second call replaces the first.

        The device is not read until `drained` is called: when the server has handled all that was sent here, or after
        DRAIN_SECONDS. What the server still sends here is delivered until it closes this session.
        """
        self._retired = True
        self.tools.pump.rest(self.uplink)
        self._owner = replace(self._owner, on_closed=lambda session, reason, seconds: self._drained())
        self.drain(drained, DRAIN_SECONDS)
        when = self.tools.reactor.now() + LINGER_SECONDS
        self.tools.reactor.call_at(when, lambda: self.close("another session took over"))

    def drain(self, drained: Callback, seconds: float) -> None:
        """Call back once the server has handled all that was sent until now; a second call replaces the first."""
        self._on_drained = drained
        self._last_ping = self._next_ping
        self.send_keepalive()
        if self._drain_timer is not None:
            self._drain_timer.cancel()
        self._drain_timer = self.tools.reactor.call_at(self.tools.reactor.now() + seconds, self._drained)

    def _drained(self) -> None:
        on_drained, self._on_drained = self._on_drained, _nothing
        on_drained()

    def _say(self, message: Message) -> None:
        self.send_control(lambda: self._record_codec.seal_control(encode(message)))

    def _say_goodbye(self, reason: str) -> None:
        self._outbox.transmit(self._record_codec.seal_control(encode(Goodbye("stopping", reason))))

    def _on_tick(self, now: float) -> None:
        if rekey_is_due(self._record_codec, now) and not self._retired:
            self._start_rekey()

    def _start_rekey(self) -> None:
        if not self._rekey.under_way and not self._switching:
            self._say(self._rekey.begin(self.tools.random_bytes(32)))

    def _on_control(self, frame_type: int, frame: memoryview) -> None:
        data = self._record_codec.open_control(frame, self.tools.buffers.plain)
        message = decode(data, MAX_CONTROL_BYTES)
        now = self.tools.reactor.now()
        if isinstance(message, Ping):
            self._say(Pong(message.id))
        elif isinstance(message, Pong):
            self._on_pong(message, now)
        elif isinstance(message, Directory | Config) and self._retired:
            pass  # the session that took over hears the same
        elif isinstance(message, Directory):
            if self._peers.receive(message):
                self._owner.on_directory()
        elif isinstance(message, Config):
            told = message.name, message.address, message.address6, message.prefixes, message.mapping
            self._owner.on_config(own_entry(*told))
        elif isinstance(message, Presence):
            self._peers.note_presence(message)
        elif isinstance(message, RekeyAsk):
            self._start_rekey()
        elif isinstance(message, RekeyReply):
            self._finish_rekey(message, now)
        elif isinstance(message, Goodbye):
            self._on_goodbye(message)
        else:
            raise ProtocolError(f"a server does not send {message.type!r}")

    def _on_pong(self, message: Pong, now: float) -> None:
        if message.id < self._next_ping:
            self.note_answer(now)
        asked_at = self._pings.pop(message.id, None)
        if asked_at is not None:
            self.rtt_ms = (now - asked_at) * 1e3
        if message.id == self._last_ping:
            self._drained()
        self._echoes.answered(message.id)

    def _finish_rekey(self, message: RekeyReply, now: float) -> None:
        keys = self._rekey.receive(message)
        codec = self._record_codec
        codec.replace_opener(keys, now)
        self._switching = True

        def switch() -> None:
            codec.replace_sealer(keys, now)
            self._switching = False

        self.send_control(lambda: codec.seal_control(encode(RekeySwitch())), switch)

    def _on_goodbye(self, message: Goodbye) -> None:
        wait = message.window_seconds * int.from_bytes(self.tools.random_bytes(4), "big") / 2**32
        if message.code in PLACE_LOST:
            self.place_lost = True
            wait = SUPERSEDED_WAIT_SECONDS
        self.close(f"the server said goodbye: {message.reason}", wait_seconds=wait)


def _nothing() -> None:
    pass
