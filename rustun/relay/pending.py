"""A connection that has proved nothing yet: one frame, one decision (docs/protocol.md, sections 3 and 8).

Rules of this module
  1. Everything is judged in the order of its price: header, length, envelope, budget, a turn in the queue of
     handshakes, then Diffie-Hellman, then policy.
  2. Until the first message has opened, a failure is a close without a byte. After that a refusal travels sealed.
  3. The first frame's type names the tier; configuration says which tiers there are. Nothing falls back.
  4. A connection has `handshake_seconds` from its beginning to its first valid record, whatever it sends, and counts
     as a stranger until then: a replayed first message buys no more room than silence.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

from rustun import __version__
from rustun.backends.base import Stream
from rustun.config.member import Member
from rustun.errors import ProtocolError
from rustun.link.inbox import Inbox
from rustun.protocol.codec import RecordCodec, SeedCodec
from rustun.protocol.frames import FrameReader, FrameType
from rustun.protocol.handshake import Hello, Refusal, RefusalCode, Responder, Welcome
from rustun.protocol.record_choice import choose_cipher
from rustun.protocol.records import Cipher
from rustun.protocol.rekey import RekeyServer
from rustun.protocol.seed_messages import SeedHandshake
from rustun.protocol.suites import Credentials
from rustun.protocol.tiers import Tier
from rustun.relay.noise_session import NoiseSession
from rustun.relay.seed_session import SeedSession
from rustun.relay.session import RelaySession

if TYPE_CHECKING:
    from rustun.relay.acceptor import Acceptor
    from rustun.relay.core import RelayCore

TIERS: Final[Mapping[int, Tier]] = {
    FrameType.KEY_INIT: Tier.KEY,
    FrameType.SHARED_INIT: Tier.SHARED,
    FrameType.SEED_HANDSHAKE: Tier.LEGACY,
}
READ_BYTES: Final = 1024  # more than a first frame may have, so that what lies behind it is seen


class PendingConnection:
    """One accepted connection until it has become a session or was closed.

    Args:
        core: what sessions of this relay share.
        acceptor: counts strangers and says when it is this one's turn.
        stream: the connection.
        source: what its peer's address counts as.
    Attributes:
        deadline: when it is closed, proved or not, in seconds of `now()`.
    """

    __slots__ = ("_acceptor", "_closed", "_core", "_first", "_inbox", "_session", "deadline", "source", "stream")

    def __init__(self, core: RelayCore, acceptor: Acceptor, stream: Stream, source: str) -> None:
        self._core = core
        self._acceptor = acceptor
        self.stream = stream
        self.source = source
        self._closed = False
        self._first = (0, b"")  # type and bytes of the first frame
        self._session: RelaySession | None = None  # what came of it; not proved yet
        self.deadline = core.reactor.now() + core.limits.handshake_seconds
        reader = FrameReader(core.policy.first_types, core.limits.first_frame_bytes)
        self._inbox = Inbox(stream, reader, core.buffers)

    def begin(self) -> None:
        """Look at what came with the connection; who is turned away by that was never watched: an eighth less."""
        self._guard(self._receive)
        if not self._closed and self._first[0] != FrameType.SEED_HANDSHAKE:
            self._core.reactor.watch(self.stream, self._on_readable, None)

    def close(self, reason: str) -> None:
        """Close without a word; harmless when this object is done."""
        if self._session is not None:
            self._session.close(reason)
            return
        if self._closed:
            return
        self._finish()
        self._count(reason)
        self.stream.reset()

    def _finish(self, *, proved: bool = False) -> None:
        self._closed = True
        self._core.reactor.unwatch(self.stream)
        self._acceptor.done(self, proved=proved)

    def _count(self, reason: str) -> None:
        self._core.closes[reason] += 1
        if self._first[1]:
            self._note_outcome(reason)

    def _note_outcome(self, outcome: str) -> None:
        self._core.handshakes[TIERS[self._first[0]], outcome] += 1

    def _on_readable(self) -> None:
        self._guard(self._receive)

    def shake_hands(self) -> None:
        """Do the expensive part: this connection's turn has come."""
        self._guard(self._begin)

    def _guard(self, step: Callable[[], None]) -> None:
        try:
            step()
        except ProtocolError as error:
            self._core.log.event("info", "handshake-failed", str(error), remote=self.stream.remote)
            self.close("handshake-failed")
        except ConnectionError:
            self.close("connection-lost")
        except Exception as error:  # noqa: BLE001 - the last line of defence: ends this connection, not the relay
            self._core.report_fault(error, "")
            self.close("internal-error")

    def _receive(self) -> None:
        received = self._inbox.begin(receive=True, max_bytes=READ_BYTES)
        if received is None:
            return
        if received == 0:
            self.close("end-of-stream")
        elif self._first[1]:
            raise ProtocolError("bytes behind the first message, before it was answered")
        else:
            self._look_for_frame()

    def _look_for_frame(self) -> None:
        found = self._inbox.next_frame()
        if found is None:
            self._inbox.end()
            return
        self._first = (found[0], bytes(found[1]))
        self._inbox.end()
        self._acceptor.pending.has_spoken(self)
        is_seed = found[0] == FrameType.SEED_HANDSHAKE
        if not is_seed and self._open() is None:
            self.close("envelope")  # a stranger: costs no budget, which would be that of honest clients of this source
        elif not self._acceptor.allow_handshake(self.source):
            self.close("handshake-budget")
        elif self._inbox.held and not is_seed:
            raise ProtocolError("bytes behind the first message, before it was answered")
        else:
            if is_seed:  # may go on without an answer; what comes waits in the kernel
                self._core.reactor.unwatch(self.stream)
            self._acceptor.wait_for_turn(self)

    def _begin(self) -> None:
        if self._first[0] == FrameType.SEED_HANDSHAKE:
            self._begin_seed(self._first[1])
            return
        opened = self._open()  # again: the keys may have changed meanwhile
        if opened is None:
            self.close("envelope")
        else:
            self._begin_noise(*opened)

    # --- the Noise tiers ---------------------------------------------------------------------------------------------

    def _open(self) -> tuple[Credentials, bytes] | None:
        """Return what the first frame is to be answered with, and it out of its envelope; None for a stranger's."""
        frame_type, frame = self._first
        policy = self._core.policy
        if frame_type == FrameType.KEY_INIT:
            return policy.open_envelope(frame)
        return (policy.shared, frame) if policy.shared is not None else None

    def _begin_noise(self, credentials: Credentials, frame: bytes) -> None:
        core, policy = self._core, self._core.policy
        tier = credentials.suite.tier
        responder = Responder(credentials, core.random_bytes(32))
        hello = responder.receive(frame)
        member = core.members.get(hello.identity)
        if tier is Tier.KEY:
            known = member is None or not member.public_keys  # who has no key here is told so, sealed for its own
            if not known and not policy.knows_key(member, responder.credentials.remote_static):
                self._close_wrong_key(hello.identity)
                return
            responder.set_psk(policy.psk_of(member))
        refusal = policy.refusal(member, tier, core.reactor.wall_clock())
        cipher = choose_cipher(hello.ciphers, policy.ciphers)
        if refusal is None and cipher is None:
            allowed = " or ".join(policy.ciphers)
            refusal = Refusal(RefusalCode.METHOD, f"this server is set to {allowed}")
        if refusal is not None or member is None or cipher is None:
            self._refuse(responder, hello, refusal)
        else:
            self._welcome(responder, hello, member, cipher)

    def _close_wrong_key(self, identity: str) -> None:
        core = self._core
        core.note_failed(identity, "refused: wrong key")
        core.log.event(
            "warning", "wrong-key", "a known identity with a key that is not its own", identity=identity,
            remote=self.stream.remote,
        )  # fmt: skip
        self.close("wrong-key")

    def _welcome(self, responder: Responder, hello: Hello, member: Member, cipher: Cipher) -> None:
        address6 = str(member.private_ip6) if member.private_ip6 is not None else ""
        welcome = Welcome(cipher, str(member.interface), address6, member.name[:128], __version__)
        answer, keys = responder.answer(welcome)
        if self.stream.send(answer) != len(answer):  # nothing was sent before, so an empty socket buffer takes 1 KiB
            self.close("connection-lost")
            return
        self._session = session = NoiseSession(  # from here on it is the session that watches the stream
            self._core,
            self.stream,
            member,
            self._core.clusters[member.cluster],
            hello,
            credentials=responder.credentials,
            codec=RecordCodec(cipher, keys, is_client=False, now=self._core.reactor.now()),
            rekey=RekeyServer(responder.credentials, keys.handshake_hash),
        )
        session.on_proved = lambda: self._proved(session)
        self._core.session_began(session)

    def _proved(self, session: NoiseSession) -> None:
        """Nobody is a stranger any more here: it has proved its keys, or the session has ended."""
        if not session.closed:
            self._note_outcome("proved")
        self._acceptor.done(self, proved=not session.closed)

    def _refuse(self, responder: Responder, hello: Hello, refusal: Refusal | None) -> None:
        if refusal is None:
            raise ProtocolError("a handshake without a member or a cipher")
        self._note_refusal(refusal, hello.identity)
        self.stream.send(responder.answer(refusal)[0])
        self._finish()
        self._count("refused")
        self.stream.close()  # in order, so that the answer arrives

    def _note_refusal(self, refusal: Refusal, identity: str) -> None:
        self._core.note_failed(identity, f"refused: {refusal.reason}")
        self._core.log.event(
            "warning", "refused", f"{refusal.code}: {refusal.reason}", identity=identity, code=refusal.code,
            remote=self.stream.remote,
        )  # fmt: skip

    # --- the seed's wire ---------------------------------------------------------------------------------------------

    def _begin_seed(self, frame: bytes) -> None:
        cipher = self._core.policy.seed_cipher
        if cipher is None:
            raise ProtocolError("the seed's wire is not served here")
        codec = SeedCodec(cipher, self._core.random_bytes)
        handshake = SeedHandshake.decode(codec.open_message(memoryview(frame), self._core.buffers.plain))
        if not self._core.policy.nonce_is_new(frame):
            raise ProtocolError("a handshake that was seen before")
        member = self._core.members.get(handshake.identity)
        refusal = self._core.policy.refusal(member, Tier.LEGACY, self._core.reactor.wall_clock())
        if refusal is not None or member is None:
            if refusal is not None:
                self._note_refusal(refusal, handshake.identity)
            self.close("refused")
            return
        self._accept_seed(member)

    def _accept_seed(self, member: Member) -> None:
        cipher = self._core.policy.seed_cipher
        if cipher is None:
            raise ProtocolError("the seed's wire is not served here")
        held = self._inbox.held
        self._finish(proved=True)
        self._note_outcome("proved")
        self._session = session = SeedSession(
            self._core,
            self.stream,
            member,
            self._core.clusters[member.cluster],
            cipher=cipher,
            cipher_name=self._core.policy.method_name,
            secret=self._core.policy.seed_secret,
            held=held,
        )
        self._core.session_began(session)
