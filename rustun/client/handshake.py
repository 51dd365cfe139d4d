"""From a connected stream to a session, or to the reason why there is none.

Rules of this module
  1. After its first frame a client accepts that tier's answer and nothing else; it never falls back.
  2. Nothing unauthenticated is terminal: a close, a reset or a foreign answer is a failure that is tried again. Only a
     refusal that opened with our key may end the process.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

from rustun.backends.base import Reactor, Stream, Timer
from rustun.errors import ProtocolError, RefusedError
from rustun.link.buffers import Buffers
from rustun.link.inbox import Inbox
from rustun.protocol.ciphers import SeedCipher
from rustun.protocol.codec import SeedCodec
from rustun.protocol.frames import HEADER_BYTES, MAX_PAYLOAD_BYTES, FrameReader, FrameType
from rustun.protocol.handshake import (
    MAX_REPLY_BYTES,
    Hello,
    Initiator,
    Refusal,
    SessionKeys,
    Welcome,
)
from rustun.protocol.seed_messages import SeedHandshake, SeedHandshakeReply
from rustun.protocol.suites import Credentials

HANDSHAKE_SECONDS: Final = 10.0  # twice what the server allows itself
CLOSED_SILENTLY: Final = "closed without a word: wrong key, wrong server key, tier or limit?"


@dataclass(frozen=True, slots=True)
class NoiseAccepted:
    """The server took us, on a Noise tier."""

    credentials: Credentials
    welcome: Welcome
    keys: SessionKeys
    held: bytes


@dataclass(frozen=True, slots=True)
class SeedAccepted:
    """The server took us, on the seed's wire."""

    reply: SeedHandshakeReply
    codec: SeedCodec
    held: bytes


Outcome = NoiseAccepted | SeedAccepted | RefusedError | str


class ClientHandshake:
    """One handshake on one stream.

    Args:
        reactor, buffers, stream: where.
        first_frame: what to send.
        answer_type, max_answer_bytes: the only frame that is accepted.
        open_answer: makes an outcome of the whole frame and what was received behind it; may raise ProtocolError.
        on_done: called once with the outcome; a str is a failure that may be tried again, and the stream is closed.
    """

    def __init__(
        self,
        reactor: Reactor,
        buffers: Buffers,
        stream: Stream,
        *,
        first_frame: bytes,
        answer_type: FrameType,
        max_answer_bytes: int,
        open_answer: Callable[[bytes, bytes], Outcome],
        on_done: Callable[[Outcome], None],
    ) -> None:
        self._reactor = reactor
        self._stream = stream
        self._open_answer = open_answer
        self._on_done = on_done
        self._unsent = first_frame
        self._inbox = Inbox(stream, FrameReader(frozenset({answer_type}), max_answer_bytes), buffers)
        self._timer: Timer = reactor.call_at(reactor.now() + HANDSHAKE_SECONDS, self._on_timeout)
        self._done = False
        reactor.watch(stream, self._on_readable, self._on_writable)

    def cancel(self) -> None:
        """Give up without a word to anybody."""
        if not self._done:
            self._done = True
            self._timer.cancel()
            self._reactor.unwatch(self._stream)
            self._stream.close()

    def _on_writable(self) -> None:
        try:
            self._unsent = self._unsent[self._stream.send(self._unsent) :]
        except ConnectionError as error:
            self._fail(f"connection lost: {error.strerror or error}")
            return
        if not self._unsent:
            self._reactor.watch(self._stream, self._on_readable, None)

    def _on_readable(self) -> None:
        try:
            received = self._inbox.begin(receive=True)
            if received is None:
                return
            if received == 0:
                self._fail(CLOSED_SILENTLY)
                return
            found = self._inbox.next_frame()
            frame = bytes(found[1]) if found is not None else None
            self._inbox.end()
            if frame is not None:
                self._finish(self._open_answer(frame, self._inbox.held))
        except ConnectionError:
            self._fail(CLOSED_SILENTLY)
        except ProtocolError as error:
            self._fail(f"this is no answer of a rustun server that has our key (and our psk_file, if any): {error}")

    def _on_timeout(self) -> None:
        self._fail(f"no answer to the handshake within {HANDSHAKE_SECONDS:.0f} s")

    def _fail(self, reason: str) -> None:
        self._finish(reason)

    def _finish(self, outcome: Outcome) -> None:
        if self._done:
            return
        self._done = True
        self._timer.cancel()
        self._reactor.unwatch(self._stream)
        if isinstance(outcome, str | RefusedError):
            self._stream.close()
        self._on_done(outcome)


def begin_handshake(
    reactor: Reactor,
    buffers: Buffers,
    stream: Stream,
    secret: SeedCipher | Credentials,
    hello: Hello,
    random_bytes: Callable[[int], bytes],
    on_done: Callable[[Outcome], None],
) -> ClientHandshake:
    """Begin the handshake of the tier that this client speaks.

    Args:
        secret: credentials of a Noise tier, or the cipher of the seed's wire.
        hello: what to say of ourselves; the seed's wire takes the identity alone.
        random_bytes: for the ephemeral key, or the nonces.
        on_done: as for ClientHandshake, like the others.
    Raises: ProtocolError when the identity does not fit the first message.
    """
    if isinstance(secret, Credentials):
        initiator = Initiator(secret, hello, random_bytes(32), random_bytes(12))
        first_frame, answer_type, max_answer_bytes = initiator.first_frame, secret.suite.reply_type, MAX_REPLY_BYTES
        open_answer = partial(_open_noise, secret, initiator, hello, str(stream.remote))
    else:
        codec = SeedCodec(secret, random_bytes)
        first_frame = codec.seal_message(FrameType.SEED_HANDSHAKE, SeedHandshake(hello.identity).encode())
        answer_type, max_answer_bytes = FrameType.SEED_HANDSHAKE_REPLY, MAX_PAYLOAD_BYTES
        open_answer = partial(_open_seed, codec, buffers)
    return ClientHandshake(
        reactor,
        buffers,
        stream,
        first_frame=first_frame,
        answer_type=answer_type,
        max_answer_bytes=max_answer_bytes,
        open_answer=open_answer,
        on_done=on_done,
    )


def _open_noise(
    credentials: Credentials, initiator: Initiator, hello: Hello, server: str, frame: bytes, held: bytes
) -> Outcome:
    answer = initiator.receive(frame[HEADER_BYTES:])
    if isinstance(answer, Refusal):
        return refusal_error(answer, hello.identity, server)
    if answer.cipher not in hello.ciphers or initiator.keys is None:
        raise ProtocolError("the server chose a cipher that was not offered")
    return NoiseAccepted(credentials, answer, initiator.keys, held)


def _open_seed(codec: SeedCodec, buffers: Buffers, frame: bytes, held: bytes) -> Outcome:
    message = codec.open_message(memoryview(frame), buffers.plain)
    return SeedAccepted(SeedHandshakeReply.decode(message), codec, held)


def refusal_error(refusal: Refusal, identity: str, server: str) -> RefusedError:
    """Say a sealed refusal as an operator of this host needs to hear it."""
    if refusal.code == "unknown-identity":
        return RefusedError(
            refusal.code,
            f'the server at {server} does not know "{identity}" (log in server: unknown identity)',
            "ask the server's operator whether an entry of routes.json has exactly this identity; not retrying",
        )
    remedies = {
        "method": "choose that method with -c, or cipher in client.toml",
        "tier": "the server's operator needs what `rustun keygen --public FILE` shows here, or has the key to be used",
        "disabled": "ask the server's operator to enable this member again",
        "expired": "ask the server's operator to extend this member's access",
    }
    remedy = remedies.get(refusal.code, "ask the server's operator")
    return RefusedError(refusal.code, f'the server at {server} refuses "{identity}": {refusal.reason}', remedy)
