"""The client's handshake: one tier, one answer, and nothing unauthenticated is the end."""

from __future__ import annotations

import random

import pytest

from rustun.backends.base import Endpoint
from rustun.backends.memory import MemoryNetwork, MemoryStream, VirtualReactor
from rustun.client.handshake import (
    CLOSED_SILENTLY,
    HANDSHAKE_SECONDS,
    NoiseAccepted,
    Outcome,
    SeedAccepted,
    begin_handshake,
    refusal_error,
)
from rustun.errors import ProtocolError, RefusedError
from rustun.link.buffers import Buffers
from rustun.protocol.ciphers import SeedMethod, seed_cipher
from rustun.protocol.codec import SeedCodec
from rustun.protocol.frames import FrameType, encode_frame
from rustun.protocol.handshake import Hello, Refusal, RefusalCode, Responder, SessionKeys, Welcome
from rustun.protocol.records import Cipher
from rustun.protocol.seed_messages import SeedHandshake, SeedHandshakeReply
from rustun.protocol.suites import SHARED, Credentials

SERVER = Endpoint("192.0.2.1", 8080)
PSK = bytes(range(32))
CIPHER = seed_cipher(SeedMethod.AES256, "a key of the seed")
HELLO = Hello("bj-dev", "0.1.0", (Cipher.AES256,), frozenset(), 10, 1500)
WELCOME = Welcome(Cipher.AES256, "10.0.1.2/24", "", "Development", "0.1.0")


class World:
    """A client that shakes hands with a server whom the test plays."""

    def __init__(self, *, legacy: bool = False, hello: Hello = HELLO) -> None:
        self.reactor = VirtualReactor()
        self.network = MemoryNetwork(self.reactor, 0, SERVER.host)
        listener = self.network.listen(SERVER)
        self.stream: MemoryStream = self.network.host("192.0.2.7").connect(SERVER)
        self.reactor.run_for(0.01)
        server = listener.accept()
        assert server is not None
        self.server = server
        self.outcomes: list[Outcome] = []
        secret = CIPHER if legacy else Credentials(SHARED, PSK)
        rng = random.Random(7)
        self.handshake = begin_handshake(
            self.reactor, Buffers(), self.stream, secret, hello, rng.randbytes, self.outcomes.append
        )
        self.reactor.run_for(0.01)

    def read(self) -> bytes:
        buffer = bytearray(10_000)
        length = self.server.receive_into(memoryview(buffer))
        return bytes(buffer[: length or 0])

    def say(self, data: bytes, pieces: int = 1) -> None:
        size = -(-len(data) // pieces)
        for at in range(0, len(data), size):
            self.server.send(data[at : at + size])
            self.reactor.run_for(0.01)

    def outcome(self) -> Outcome:
        assert len(self.outcomes) == 1
        return self.outcomes[0]

    def failure(self) -> str:
        """Return the reason of a failure that may be tried again; the stream is closed."""
        outcome = self.outcome()
        assert isinstance(outcome, str)
        assert self.stream.fileno() < 0
        return outcome


def shared_answer(world: World, answer: Welcome | Refusal = WELCOME, psk: bytes = PSK) -> tuple[bytes, SessionKeys]:
    responder = Responder(Credentials(SHARED, psk), bytes([5]) * 32)
    assert responder.receive(world.read()) == HELLO
    return responder.answer(answer)


@pytest.mark.parametrize("pieces", [1, 2, 50])
def test_a_welcome_makes_a_session(pieces: int) -> None:
    """If this fails, no client of the shared tier gets in, or only on a kind network."""
    world = World()
    answer, keys = shared_answer(world)
    world.say(answer + b"what follows", pieces)
    outcome = world.outcome()
    assert isinstance(outcome, NoiseAccepted)
    assert (outcome.welcome, outcome.keys) == (WELCOME, keys)
    assert b"what follows".startswith(outcome.held)  # the rest is still in the stream
    assert world.stream.fileno() >= 0
    world.reactor.run_for(2 * HANDSHAKE_SECONDS)
    assert len(world.outcomes) == 1


def test_a_seed_server_is_understood() -> None:
    """If this fails, a legacy client cannot talk to a server of the seed."""
    world = World(legacy=True)
    codec = SeedCodec(CIPHER, random.Random(9).randbytes)
    first = codec.open_message(memoryview(world.read()), memoryview(bytearray(1000)))
    assert SeedHandshake.decode(first).identity == "bj-dev"
    reply = SeedHandshakeReply(name="n", private_ip="10.0.1.2", mask="255.255.255.0")
    world.say(codec.seal_message(FrameType.SEED_HANDSHAKE_REPLY, reply.encode(60_000)) + b"more")
    outcome = world.outcome()
    assert isinstance(outcome, SeedAccepted)
    assert (outcome.reply, outcome.held) == (reply, b"more")


@pytest.mark.parametrize("code", list(RefusalCode))
def test_a_sealed_refusal_is_told_with_a_remedy(code: RefusalCode) -> None:
    """If this fails, a refused client retries for ever, or its operator does not learn what to do."""
    world = World()
    world.say(shared_answer(world, Refusal(code, "because"))[0])
    outcome = world.outcome()
    assert isinstance(outcome, RefusedError)
    assert outcome.code == code
    assert "192.0.2.1:8080" in outcome.message
    assert "bj-dev" in outcome.message
    assert outcome.remedy
    assert world.stream.fileno() < 0


def test_refusals_of_a_later_release_are_told_too() -> None:
    """If this fails, a code that is unknown here ends the process with a traceback."""
    error = refusal_error(Refusal("too-old", "update first"), "bj-dev", "host:1")
    assert "update first" in error.message
    assert error.remedy == "ask the server's operator"


FOREIGN = [
    b"HTTP/1.1 400 Bad Request\r\n\r\n",
    encode_frame(FrameType.SEED_HANDSHAKE_REPLY, b"{}"),
    encode_frame(FrameType.DATA, b""),
    encode_frame(FrameType.SHARED_REPLY, bytes(48)),
    encode_frame(FrameType.SHARED_REPLY, b""),
    encode_frame(FrameType.SHARED_REPLY, bytes(1025))[:8],
    bytes(8),
]


@pytest.mark.parametrize("answer", FOREIGN, ids=range(len(FOREIGN)))
def test_a_foreign_answer_is_tried_again(answer: bytes) -> None:
    """If this fails, whoever sits on the path ends a client's process, or makes it speak another tier."""
    world = World()
    world.read()
    world.say(answer)
    assert world.failure()


def test_a_right_answer_under_another_type_is_foreign() -> None:
    """If this fails, somebody on the path makes an answer pass for that of another tier."""
    world = World()
    answer = bytearray(shared_answer(world)[0])
    answer[5] = FrameType.KEY_REPLY
    world.say(bytes(answer))
    assert "not expected" in world.failure()


def test_another_key_is_no_answer() -> None:
    """If this fails, a server that does not hold our key is believed."""
    world = World()
    first = world.read()
    with pytest.raises(ProtocolError):
        Responder(Credentials(SHARED, bytes(32)), bytes([5]) * 32).receive(first)
    world.server.close()
    world.reactor.run_for(0.01)
    assert world.failure() == CLOSED_SILENTLY


@pytest.mark.parametrize("answer", ["end", "reset", "nothing", "half"])
def test_silence_and_loss_are_tried_again(answer: str) -> None:
    """If this fails, a client waits for ever, or gives up for good, because of one lost connection."""
    world = World()
    frame = shared_answer(world)[0]
    if answer == "end":
        world.server.close()
    elif answer == "reset":
        world.server.reset()
    elif answer == "half":
        world.say(frame[:-1])
    world.reactor.run_for(1)
    assert len(world.outcomes) == (1 if answer in ("end", "reset") else 0)
    world.reactor.run_for(HANDSHAKE_SECONDS)
    assert (world.failure() == CLOSED_SILENTLY) == (answer in ("end", "reset"))


def test_a_cipher_that_was_not_offered_is_refused() -> None:
    """If this fails, a server makes a client use what its operator excluded."""
    world = World()
    world.say(shared_answer(world, Welcome(Cipher.CHACHA20, "10.0.1.2/24", "", "", ""))[0])
    assert "not offered" in world.failure()


def test_a_cancelled_handshake_says_nothing() -> None:
    """If this fails, a try that was given up comes back and disturbs the next one."""
    world = World()
    frame = shared_answer(world)[0]
    world.handshake.cancel()
    world.handshake.cancel()
    world.say(frame)
    world.reactor.run_for(2 * HANDSHAKE_SECONDS)
    assert world.outcomes == []
    assert world.stream.fileno() < 0


def test_an_identity_that_does_not_fit_is_said_at_once() -> None:
    """If this fails, a client with too long a name is refused by every server without a word."""
    with pytest.raises(ProtocolError, match="first message"):
        World(hello=Hello('"' * 255, "0.1.0", (Cipher.AES256,), frozenset(), 10, 1500))


def test_the_first_frame_survives_a_full_stream() -> None:
    """If this fails, a handshake on a stream that takes little at a time is cut."""
    reactor = VirtualReactor(3)
    network = MemoryNetwork(reactor, 3, SERVER.host)
    network.faults.short_writes, network.faults.refused_writes, network.faults.buffer_bytes = True, 0.5, 20
    listener = network.listen(SERVER)
    stream = network.host("192.0.2.7").connect(SERVER)
    reactor.run_for(0.01)
    server = listener.accept()
    assert server is not None
    secret = Credentials(SHARED, PSK)
    begin_handshake(reactor, Buffers(), stream, secret, HELLO, random.Random(1).randbytes, lambda outcome: None)
    got, buffer = b"", bytearray(1000)
    for _ in range(200):
        reactor.run_for(0.01)
        got += bytes(buffer[: server.receive_into(memoryview(buffer)) or 0])
    assert Responder(Credentials(SHARED, PSK), bytes([5]) * 32).receive(got) == HELLO
