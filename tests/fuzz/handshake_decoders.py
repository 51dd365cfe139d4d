"""Decoders of the handshakes and rekeys of both Noise tiers, each with keys that are the same in every run."""

from __future__ import annotations

from typing import Final

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from rustun.errors import ProtocolError
from rustun.protocol.control import RekeyInit, RekeyReply, RekeySwitch
from rustun.protocol.envelope import Envelope
from rustun.protocol.frames import HEADER_BYTES
from rustun.protocol.handshake import MAX_INIT_BYTES, MAX_REPLY_BYTES, Initiator, Responder
from rustun.protocol.noise import NoiseHandshake
from rustun.protocol.rekey import RekeyClient, RekeyServer
from rustun.protocol.suites import KEY, SHARED, Credentials, Suite, public_key
from tests.fuzz.decoders import Decoder
from tests.fuzz.wire_decoders import HELLO, WELCOME

PSK: Final = bytes(range(32))
CLIENT_STATIC: Final = X25519PrivateKey.from_private_bytes(b"\x11" * 32)
SERVER_STATIC: Final = X25519PrivateKey.from_private_bytes(b"\x22" * 32)
CLIENT: Final = {
    SHARED: Credentials(SHARED, PSK),
    KEY: Credentials(KEY, PSK, CLIENT_STATIC, public_key(SERVER_STATIC)),
}
SERVER: Final = {SHARED: Credentials(SHARED, PSK), KEY: Credentials(KEY, PSK, SERVER_STATIC)}
SERVER_IN_SESSION: Final = {
    SHARED: Credentials(SHARED, PSK),
    KEY: Credentials(KEY, PSK, SERVER_STATIC, public_key(CLIENT_STATIC)),
}
EPHEMERALS: Final = (b"\x33" * 32, b"\x44" * 32)
CHAIN: Final = bytes(32)
ENVELOPE: Final = Envelope(public_key(SERVER_STATIC))


def begun(suite: Suite) -> Initiator:
    """Return a client that has sent its first message."""
    return Initiator(CLIENT[suite], HELLO, EPHEMERALS[0], bytes(12))


def received(suite: Suite, frame: bytes) -> Responder:
    """Return a server that has opened a first frame, as PendingConnection does it."""
    opened = ENVELOPE.open(frame) if suite is KEY else frame
    if opened is None:
        raise ProtocolError("not for this server")
    responder = Responder(SERVER[suite], EPHEMERALS[1])
    responder.receive(opened)
    return responder


def first_frame(suite: Suite) -> Decoder:
    """Return the server's reader of message 1."""
    name = f"handshake.Responder.receive, {suite.tier}"
    limit = HEADER_BYTES + MAX_INIT_BYTES
    frame = begun(suite).first_frame
    return Decoder(name, (frame,), lambda data: received(suite, data).answer(WELCOME), ProtocolError, max_bytes=limit)


def answer(suite: Suite) -> Decoder:
    """Return the client's reader of message 2."""
    initiator = begun(suite)
    message = received(suite, initiator.first_frame).answer(WELCOME)[0][HEADER_BYTES:]
    name = f"handshake.Initiator.receive, {suite.tier}"
    return Decoder(name, (message,), lambda data: begun(suite).receive(data), ProtocolError, max_bytes=MAX_REPLY_BYTES)


def rekey(suite: Suite) -> tuple[Decoder, Decoder]:
    """Return both sides' readers of a rekey's messages."""

    def begin() -> tuple[RekeyClient, RekeyInit]:
        client = RekeyClient(CLIENT[suite], CHAIN)
        return client, client.begin(EPHEMERALS[0])

    def serve(data: bytes) -> RekeyReply:
        server = RekeyServer(SERVER_IN_SESSION[suite], CHAIN)
        reply, _ = server.receive(RekeyInit(data), EPHEMERALS[1])
        server.switch(RekeySwitch())
        return reply

    init = begin()[1].noise
    return (
        Decoder(f"rekey.RekeyServer.receive, {suite.tier}", (init,), serve, ProtocolError, max_bytes=512),
        Decoder(
            f"rekey.RekeyClient.receive, {suite.tier}",
            (serve(init).noise,),
            lambda data: begin()[0].receive(RekeyReply(data)),
            ProtocolError,
            max_bytes=512,
        ),
    )


def noise(name: str) -> Decoder:
    """Return the reader of a pattern's first two messages, one behind the other, each with its length in front."""
    with_static = "NN" not in name

    def side(*, initiator: bool) -> NoiseHandshake:
        static = CLIENT_STATIC if initiator else SERVER_STATIC
        return NoiseHandshake(
            name,
            initiator=initiator,
            prologue=b"prologue",
            psk=PSK if "psk" in name else None,
            static_private=static if with_static else None,
            remote_static=public_key(SERVER_STATIC) if initiator and "IK" in name else None,
            ephemeral_private=EPHEMERALS[not initiator],
        )

    def read(data: bytes) -> None:
        end = data[0] if data else 0
        initiator, responder = side(initiator=True), side(initiator=False)
        responder.read_message(data[1 : 1 + end])
        responder.write_message(b"")
        initiator.write_message(b"first")
        initiator.read_message(data[1 + end :])

    first, second = side(initiator=True), side(initiator=False)
    message = first.write_message(b"first")
    second.read_message(message)
    example = bytes([len(message)]) + message + second.write_message(b"second")
    return Decoder(f"noise.NoiseHandshake.read_message, {name}", (example,), read, ProtocolError)


PATTERNS: Final = (KEY.protocol_name, SHARED.protocol_name, "Noise_XX_25519_AESGCM_BLAKE2s")
HANDSHAKES: Final = (
    *(first_frame(suite) for suite in (SHARED, KEY)),
    *(answer(suite) for suite in (SHARED, KEY)),
    *(decoder for suite in (SHARED, KEY) for decoder in rekey(suite)),
    *(noise(name) for name in PATTERNS),
)
