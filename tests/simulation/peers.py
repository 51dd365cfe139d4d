"""Peers that no client is: raw bytes, and a hand on every record of a session.

RawPeer    a connection that sends whatever a test wants
NoisePeer  a client of the world's Noise tier by hand: a handshake, records in any order, rekeys that go wrong
NoiseServer  a server of that tier by hand, for our client
"""

from __future__ import annotations

from rustun.backends.base import Endpoint
from rustun.protocol.codec import RecordCodec
from rustun.protocol.control import Message, Ping, Pong, decode, encode
from rustun.protocol.envelope import Envelope
from rustun.protocol.frames import HEADER_BYTES, FrameType
from rustun.protocol.handshake import OFFLOADS, Hello, Initiator, Refusal, Responder, Welcome
from rustun.protocol.packet import ITEM
from rustun.protocol.records import Cipher
from rustun.protocol.rekey import RekeyClient, RekeyServer
from rustun.protocol.suites import KEY as KEY_SUITE
from rustun.protocol.suites import NO_PSK, SHARED, Credentials, public_key
from rustun.protocol.tiers import Tier
from tests.simulation.stretched import stretched
from tests.simulation.world import KEY, SERVER, World, private_key

CONNECT_S = 0.01


class RawPeer:
    """A TCP connection to the server, driven by hand.

    Attributes:
        received: everything that came.
        ended: "" while the connection stands, else "end" or "reset".
    """

    def __init__(self, world: World, address: str = "") -> None:
        self.world = world
        network = world.network.host(address) if address else world.new_host()
        self.stream = network.connect(SERVER)
        self.received = bytearray()
        self.ended = ""
        world.reactor.watch(self.stream, self._on_readable, None)

    def stop_reading(self) -> None:
        """Read nothing from now on; the connection stays."""
        self.world.reactor.unwatch(self.stream)

    def read_on(self) -> None:
        """Read again."""
        self.world.reactor.watch(self.stream, self._on_readable, None)

    def send(self, data: bytes) -> None:
        """Send all of `data`, which has to fit, and let it arrive and be answered."""
        if self.stream.peer is None:
            self.world.run(CONNECT_S)
        assert self.stream.send(data) == len(data)
        self.world.run(CONNECT_S)

    def send_slowly(self, data: bytes) -> None:
        """Send `data` as one segment a byte."""
        for byte in data:
            self.send(bytes([byte]))

    def close(self) -> None:
        """Close in order."""
        self.world.reactor.unwatch(self.stream)
        self.stream.close()
        self.world.run(CONNECT_S)

    def reset(self) -> None:
        """Close with a reset."""
        self.world.reactor.unwatch(self.stream)
        self.stream.reset()
        self.world.run(CONNECT_S)

    def _on_readable(self) -> None:
        buffer = bytearray(65536)
        try:
            length = self.stream.receive_into(memoryview(buffer))
        except ConnectionError:
            self.ended = "reset"
        else:
            self.received += buffer[: length or 0]
            if length == 0:
                self.ended = "end"
        if self.ended:
            self.world.reactor.unwatch(self.stream)


def hello(identity: str, *, keepalive_s: int = 10, ciphers: tuple[Cipher, ...] = (Cipher.CHACHA20,)) -> Hello:
    """Return what an ordinary client says of itself."""
    return Hello(identity, "0", ciphers, OFFLOADS, keepalive_s, 1500)


def item(packet: bytes, flags: int = 0, segment_bytes: int = 0) -> bytes:
    """Return a packet as an item of a data record."""
    return ITEM.pack(flags, segment_bytes, len(packet)) + packet


def credentials(world: World, identity: str) -> Credentials:
    """Return what an honest member of this world proves itself with."""
    if world.tier is Tier.KEY:
        return Credentials(KEY_SUITE, NO_PSK, private_key(identity), public_key(private_key("server")))
    return proof(KEY)


def proof(key: str | Credentials) -> Credentials:
    """Return credentials as they are, or those of a shared key."""
    return key if isinstance(key, Credentials) else Credentials(SHARED, stretched(key))


class NoisePeer(RawPeer):
    """A client of a Noise tier, driven by hand; answers nothing by itself.

    Args:
        world: where.
        first: what it says of itself, or an identity.
        key: the shared key, or what to prove in the key tier; that of the identity in a world of that tier.
        connected: False leaves everything to `shake_hands`.
    """

    def __init__(
        self, world: World, first: Hello | str, key: str | Credentials = KEY, *, connected: bool = True
    ) -> None:
        super().__init__(world)
        self.first = hello(first) if isinstance(first, str) else first
        self.credentials = credentials(world, self.first.identity) if key == KEY else proof(key)
        self.initiator = Initiator(self.credentials, self.first, world.random_bytes(32), world.random_bytes(12))
        self._read = 0
        self._messages: list[Message] = []
        self.items: list[bytes] = []
        if connected:
            self.confirm()

    def shake_hands(self) -> Welcome | Refusal:
        """Send the first message and open the answer."""
        self.send(self.initiator.first_frame)
        frame = self._take_frame()
        assert frame is not None and frame[5] == self.credentials.suite.reply_type, f"no answer; {self.ended or 'open'}"
        answer = self.initiator.receive(frame[HEADER_BYTES:])
        if isinstance(answer, Welcome):
            keys = self.initiator.keys
            assert keys is not None
            self.keys = keys
            self.codec = RecordCodec(answer.cipher, keys, is_client=True, now=self.world.reactor.now())
            self.rekey = RekeyClient(self.credentials, keys.handshake_hash)
        return answer

    def confirm(self) -> None:
        """Shake hands and prove the keys."""
        assert isinstance(self.shake_hands(), Welcome)
        self.say(Ping(0))

    def say(self, message: Message) -> None:
        """Send a control message."""
        self.send(self.codec.seal_control(encode(message)))

    def data(self, *items: bytes) -> bytes:
        """Return a sealed data record of items."""
        run = b"".join(items)
        sealed = memoryview(bytearray(len(run) + 64))
        return bytes(sealed[: self.codec.seal_items(run, sealed, 0)])

    def send_packets(self, *packets: bytes) -> None:
        """Send packets in one record."""
        self.send(self.data(*(item(packet) for packet in packets)))

    def messages(self) -> list[Message]:
        """Open all that came and return the control messages since the last call; data goes to `items`."""
        while (frame := self._take_frame()) is not None:
            scratch = memoryview(bytearray(len(frame)))
            if frame[5] == FrameType.CONTROL:
                self._messages.append(decode(self.codec.open_control(memoryview(frame), scratch), 60_000))
            else:
                end = self.codec.open_data(memoryview(frame), scratch, 0)
                self.items.append(bytes(scratch[:end]))
        messages, self._messages = self._messages, []
        return messages

    def answer_pings(self) -> None:
        """Answer every ping that came."""
        for message in self.messages():
            if isinstance(message, Ping):
                self.say(Pong(message.id))

    def _take_frame(self) -> bytes | None:
        left = self.received[self._read :]
        if len(left) < HEADER_BYTES:
            return None
        end = HEADER_BYTES + int.from_bytes(left[6:8], "big")
        if len(left) < end:
            return None
        self._read += end
        return bytes(left[:end])


class NoiseServer:
    """A server of the world's tier, driven by hand, at the usual address or another; it takes one connection.

    Args:
        key: name of its key pair.
    Attributes:
        ended: whether the client has closed.
    """

    def __init__(self, world: World, endpoint: Endpoint = SERVER, key: str = "server") -> None:
        self.world = world
        self._key = private_key(key)
        self.ended = False
        self.listener = world.network.listen(endpoint)
        self._received = bytearray()
        world.reactor.watch(self.listener, self._accept, None)

    @property
    def got_first_frame(self) -> bool:
        """Whether a client has said its first word."""
        return len(self._received) > HEADER_BYTES

    def refuse(self, code: str) -> None:
        """Answer the client's first message with a refusal."""
        self.send(self._responder().answer(Refusal(code, "for the test"))[0])

    def _responder(self) -> Responder:
        world = self.world
        if world.tier is Tier.KEY:
            own = Credentials(KEY_SUITE, static=self._key)
            first = Envelope(public_key(self._key)).open(self._take_frame())
            assert first is not None
        else:
            own, first = proof(KEY), self._take_frame()
        responder = Responder(own, world.random_bytes(32))
        self.hello = responder.receive(first)
        return responder

    def welcome(self) -> None:
        """Answer the client's first message, as a server does."""
        world = self.world
        responder = self._responder()
        answer, keys = responder.answer(Welcome(self.hello.ciphers[0], "10.0.1.1/24", "", "", "0"))
        self.codec = RecordCodec(self.hello.ciphers[0], keys, is_client=False, now=world.reactor.now())
        self.rekey = RekeyServer(responder.credentials, keys.handshake_hash)
        self.send(answer)

    def say(self, *messages: Message) -> None:
        """Send control messages in one segment."""
        self.send(b"".join(self.codec.seal_control(encode(message)) for message in messages))

    def send(self, data: bytes) -> None:
        """Send bytes and let them be answered."""
        assert self.stream.send(data) == len(data)
        self.world.run(CONNECT_S)

    def send_items(self, *items: bytes) -> None:
        """Send a data record."""
        run = b"".join(items)
        sealed = memoryview(bytearray(len(run) + 64))
        self.send(bytes(sealed[: self.codec.seal_items(run, sealed, 0)]))

    def messages(self) -> list[Message]:
        """Return the control messages that came since the last call."""
        found = []
        while len(self._received) >= HEADER_BYTES:
            frame = self._take_frame()
            scratch = memoryview(bytearray(len(frame)))
            if frame[5] == FrameType.CONTROL:
                found.append(decode(self.codec.open_control(memoryview(frame), scratch), 60_000))
            else:
                self.codec.open_data(memoryview(frame), scratch, 0)
        return found

    def close(self) -> None:
        """Close everything."""
        self.world.reactor.unwatch(self.listener)
        self.listener.close()
        self.world.reactor.unwatch(self.stream)
        self.stream.close()

    def _take_frame(self) -> bytes:
        end = HEADER_BYTES + int.from_bytes(self._received[6:8], "big")
        frame = bytes(self._received[:end])
        assert len(frame) == end
        del self._received[:end]
        return frame

    def _accept(self) -> None:
        stream = self.listener.accept()
        assert stream is not None
        self.stream = stream
        self.world.reactor.unwatch(self.listener)
        self.world.reactor.watch(stream, self._on_readable, None)

    def _on_readable(self) -> None:
        buffer = bytearray(65536)
        try:
            length = self.stream.receive_into(memoryview(buffer))
        except ConnectionError:
            length = 0
        self._received += buffer[: length or 0]
        if length == 0:
            self.ended = True
            self.world.reactor.unwatch(self.stream)
