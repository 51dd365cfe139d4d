"""A session of the Noise tiers: confirmation, control messages, rekey, directory (docs/protocol.md, sections 5 to 7).

Rules of this module
  1. The first record has to be a Ping: it proves the keys. Nothing about the member is visible before it.
  2. Data before that closes the session; data while a takeover is decided is opened, dropped and counted.
  3. A client sends 20 control messages a second and one rekey in 30 s at the most; more closes the session. An answer
     that was asked for is free: others, who claim this member's place, cause the question.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from rustun.backends.base import Callback, Stream
from rustun.config.member import Member
from rustun.errors import ProtocolError
from rustun.link.echoes import Echoes
from rustun.protocol.codec import RecordCodec
from rustun.protocol.control import (
    Config,
    Goodbye,
    Message,
    Ping,
    Pong,
    PresenceAsk,
    RekeyAsk,
    RekeyInit,
    RekeySwitch,
    decode,
    encode,
)
from rustun.protocol.frames import RECORD_TYPES, FrameReader, FrameType
from rustun.protocol.handshake import Hello
from rustun.protocol.records import KEY_LIFE_SECONDS, REKEY_AFTER_SECONDS
from rustun.protocol.rekey import RekeyServer
from rustun.protocol.suites import Credentials
from rustun.protocol.tiers import Tier
from rustun.relay.cluster import Cluster
from rustun.relay.directory import Cursor
from rustun.relay.session import RelaySession, Wire

if TYPE_CHECKING:
    from rustun.relay.core import RelayCore

PING_SECONDS: Final = 0.5  # half of what an incumbent has to answer a newcomer's claim
GIVEN_UP: Final = ("end-of-stream", "connection-lost")  # how a client leaves that cannot open the answer
ASK_AFTER_SECONDS: Final = (REKEY_AFTER_SECONDS + KEY_LIFE_SECONDS) / 2  # a client that forgot gets one reminder


class NoiseSession(RelaySession):
    """One member's session on the key or shared tier.

    Args: as for RelaySession, and
        hello: what the member said of itself.
        credentials: that the handshake was made with; once they are not in force any more, the session ends.
        codec, rekey: what the handshake left.
    Attributes:
        on_proved: called when the member has proved its keys, and when the session ends.
    """

    def __init__(
        self,
        core: RelayCore,
        stream: Stream,
        member: Member,
        cluster: Cluster,
        hello: Hello,
        *,
        credentials: Credentials,
        codec: RecordCodec,
        rekey: RekeyServer,
    ) -> None:
        super().__init__(
            core,
            stream,
            member,
            cluster,
            Wire(
                credentials.suite.tier,
                codec,
                FrameReader(RECORD_TYPES),
                hello.offloads,
                hello.mtu,
                hello.keepalive_seconds * core.limits.silence_intervals,
            ),
        )
        self.codec = codec
        self.credentials = credentials
        self.server_public_key, self.public_key = credentials.public_texts()
        self.hello = hello
        self._rekey = rekey
        self.on_proved: Callable[[], None] = _nothing
        self._rekey_allowed_at = self.began_at
        self._rekey_asked = False
        self._cursor = Cursor()
        self._pings_awaited: dict[int, float] = {}
        self._next_ping = 1
        self._echoes = Echoes()
        self._claimed = False  # a first valid record came; the takeover may still be undecided

    @property
    def cipher_name(self) -> str:
        """The record cipher, for people."""
        return self.codec.cipher.value

    def what_it_means(self, reason: str) -> str:
        """Return what the log adds to the reason of this session's end; nothing where the reason says it all."""
        if self._claimed:
            return ""
        cause = "; the usual cause is a psk_file that one side has and the other has not, or another one"
        is_the_clients_choice = self.tier is Tier.KEY and reason in GIVEN_UP
        return f" before it proved its keys{cause if is_the_clients_choice else ''}"

    def say(self, message: Message) -> None:
        """Send a control message."""
        self.send_control(lambda: self.codec.seal_control(encode(message)))

    def ping(self) -> None:
        """Ask for proof of life; not again while an answer may still be on its way."""
        now = self.core.reactor.now()
        if any(now - asked_at < PING_SECONDS for asked_at in self._pings_awaited.values()):
            return
        self._pings_awaited = {self._next_ping: now}
        self.say(Ping(self._next_ping))
        self._next_ping += 1

    def echo(self, on_answer: Callback) -> None:
        """Send a ping that nothing else depends on, and call back at its answer; not at all where none comes."""
        self._echoes.wait(self._next_ping, on_answer)
        self._guard(lambda: self.say(Ping(self._next_ping)))
        self._next_ping += 1

    def confirm(self) -> None:
        """Become visible: routes lead here from now on; called by the core once no other session is in the way."""
        self.confirmed = True
        self.stream.adapt_to_path()
        self.tell_config()
        self._send_news()

    def close(self, reason: str, say: str = "", window_seconds: float = 0.0) -> None:
        """End the session, as RelaySession says; one that was never proved leaves the pool of strangers."""
        super().close(reason, say, window_seconds)
        self._leave_the_strangers()

    def _leave_the_strangers(self) -> None:
        on_proved, self.on_proved = self.on_proved, _nothing
        on_proved()

    def tell_config(self) -> None:
        """Tell the member its own entry."""
        member = self.member
        self.say(
            Config(
                member.name,
                str(member.interface),
                str(member.private_ip6) if member.private_ip6 is not None else "",
                tuple(str(prefix) for prefix in member.ciders),
                {str(seen): str(real) for seen, real in member.cider_mapping},
            )
        )

    def tell_news(self) -> None:
        """The cluster's directory has news."""
        self._guard(self._send_news)

    def tick(self, now: float) -> None:
        """Look at the age of the keys; called about twice a second."""
        self._guard(lambda: self._look_at_keys(now))

    def _look_at_keys(self, now: float) -> None:
        if self.keys_alive(now) and not self._rekey_asked and now - self.codec.sealed_since > ASK_AFTER_SECONDS:
            self._rekey_asked = True
            self.say(RekeyAsk())

    def _send_news(self) -> None:
        while self.confirmed and not self.closed and not self._outbox.blocked and not self.queue:
            page = self._cursor.next_page(self.cluster.directory)
            if page is None:
                return
            self.send_control(lambda page=page: self.codec.seal_control(page))  # type: ignore[misc]

    def _say_goodbye(self, code: str, reason: str, window_seconds: float) -> None:
        self._outbox.transmit(self.codec.seal_control(encode(Goodbye(code, reason, window_seconds))))

    def _on_control(self, frame_type: int, frame: memoryview) -> None:
        plain = self.core.buffers.plain
        if frame_type == FrameType.DATA:
            if not self._claimed:
                raise ProtocolError("data before the first control record")
            self.codec.open_data(frame, plain, 0)
            self.traffic.drops["takeover-undecided"] += 1
            return
        self._spend_control_token()
        limits = self.core.limits
        message = decode(
            self.codec.open_control(frame, plain), limits.control_bytes, limits.json_depth, limits.json_items
        )
        if not self._claimed:
            if not isinstance(message, Ping):
                raise ProtocolError(f"the first record is {message.type!r}, not a ping")
            self._claimed = True
            self._leave_the_strangers()
            self._answer(message)
            self.core.takeover.claim(self)
            return
        self._answer(message)

    def _answer(self, message: Message) -> None:
        now = self.core.reactor.now()
        if isinstance(message, Ping):
            self.rtt_ms = message.rtt_ms
            self.say(Pong(message.id))
        elif isinstance(message, Pong):
            asked_at = self._pings_awaited.pop(message.id, None)
            if asked_at is not None:
                self.rtt_ms = (now - asked_at) * 1e3
            if asked_at is not None or self._echoes.answered(message.id):
                self.core.control_budget.give_back(self._control_payer)
        elif isinstance(message, PresenceAsk):
            self.say(self.cluster.presence(message.identities))
        elif isinstance(message, RekeyInit):
            self._begin_rekey(message, now)
        elif isinstance(message, RekeySwitch):
            self.codec.replace_opener(self._rekey.switch(message), now)
        elif isinstance(message, Goodbye):
            self.close("goodbye")
        else:
            raise ProtocolError(f"a client does not send {message.type!r}")

    def _begin_rekey(self, message: RekeyInit, now: float) -> None:
        if now < self._rekey_allowed_at:
            raise ProtocolError("a second rekey too soon after the last")
        self._rekey_allowed_at = now + self.core.limits.rekey_interval_seconds
        reply, keys = self._rekey.receive(message, self.core.random_bytes(32))

        def switch() -> None:
            self.codec.replace_sealer(keys, now)
            self._rekey_asked = False

        self.send_control(lambda: self.codec.seal_control(encode(reply)), switch)


def _nothing() -> None:
    pass
