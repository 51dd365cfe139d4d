"""Somebody on the path between one host and the server, and strangers who have what he recorded. None of them has keys.

Rules of this module
  1. A Path changes at most one frame at a time, in the way that it was told, and passes everything else on.
  2. The server sees the host's own address behind a Path, as it would on a real path.
  3. A Recording is what a host sent on one connection, from its first byte. A Stranger sends it again from elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from rustun.backends.base import Endpoint
from rustun.backends.memory import MemoryNetwork, MemoryStream, VirtualReactor
from rustun.protocol.frames import HEADER_BYTES
from tests.simulation.world import SERVER

MAX_RECORDED_BYTES: Final = 20_000
MAX_RECORDINGS: Final = 8

Frames = list[bytes]
Tampering = Callable[["Way", bytes], Frames]  # returns what is sent instead of a frame


def _flip_a_bit(way: Way, frame: bytes) -> Frames:
    at = 7 * way.passed % len(frame)
    return [frame[:at] + bytes([frame[at] ^ 1 << way.passed % 8]) + frame[at + 1 :]]


def _swap(way: Way, frame: bytes) -> Frames:
    way.tamper(lambda _, later: [later, frame])
    return []


TAMPERINGS: Final[dict[str, Tampering]] = {
    "flip a bit": _flip_a_bit,
    "drop": lambda way, frame: [],
    "double": lambda way, frame: [frame, frame],
    "swap with the next": _swap,
    "repeat an older one": lambda way, frame: [frame, *way.seen[:1]],
    "reflect": lambda way, frame: way.back.inject(frame),
    "retype": lambda way, frame: [frame[:5] + bytes([frame[5] ^ 1]) + frame[6:]],
    "truncate": lambda way, frame: [frame[: len(frame) // 2]],
    "insert": lambda way, frame: [frame[:HEADER_BYTES] + bytes(len(frame) - HEADER_BYTES), frame],
}


@dataclass
class Recording:
    """What one host sent on one connection, and during which life of the server."""

    identity: str
    is_legacy: bool
    life: int
    data: bytearray = field(default_factory=bytearray)


class Path:
    """What lies between one host and the server.

    Args:
        network: of anybody.
        address: where the host believes the server to be.
        begin_recording: returns where to write down what a new connection sends.
    Attributes:
        behind: the network as the host sees it.
        is_damaged: whether frames were changed of which the ends may not know yet; set back by who has waited.
        tampering: what happens to the next frame "up", to the server, and "down", to the client.
    """

    def __init__(
        self,
        reactor: VirtualReactor,
        network: MemoryNetwork,
        address: Endpoint,
        begin_recording: Callable[[], Recording],
    ) -> None:
        self.address = address
        self.tampering: dict[str, Tampering] = {}
        self.is_damaged = False
        self.reactor = reactor
        self.behind = network
        self._begin_recording = begin_recording
        self._links: list[tuple[MemoryStream, MemoryStream]] = []
        self._listener = network.host(address.host).listen(address)
        self._watch()

    def _watch(self) -> None:
        self.reactor.watch(self._listener, self._accept, None)

    def reset(self) -> None:
        """Reset every connection, as anybody on the path can."""
        links, self._links = self._links, []
        for link in links:
            for stream in link:
                self.reactor.unwatch(stream)
                stream.reset()

    def _accept(self) -> None:
        try:
            client = self._listener.accept()
        except OSError:  # the weather is such that nobody can accept
            self.reactor.unwatch(self._listener)
            self.reactor.call_at(self.reactor.now() + 0.1, self._watch)
            return
        assert client is not None
        server = self.behind.connect(SERVER)
        recording = self._begin_recording()
        self._links = [link for link in self._links if link[0].fileno() >= 0] + [(client, server)]

        def connected() -> None:
            if server.connect_error() is not None:
                self.reactor.unwatch(server)
                client.reset()
                return
            up, down = Way(self, client, server, "up", recording), Way(self, server, client, "down", None)
            up.back, down.back = down, up

        self.reactor.watch(server, None, connected)


class Way:
    """Frames of one connection in one direction.

    Attributes:
        passed: how many frames came.
        seen: the last of them, oldest first.
        back: the other direction.
    """

    back: Way

    def __init__(
        self, path: Path, source: MemoryStream, target: MemoryStream, name: str, recording: Recording | None
    ) -> None:
        self._path = path
        self._source = source
        self._target = target
        self._name = name
        self._recording = recording
        self._received = bytearray()
        self._unsent = bytearray()
        self.passed = 0
        self.seen: Frames = []
        self._buffer = memoryview(bytearray(65536))
        path.reactor.watch(source, self._on_readable, None)

    def _on_readable(self) -> None:
        try:
            length = self._source.receive_into(self._buffer)
        except ConnectionError:
            length = 0
        if not length:
            self._end()
            return
        recording = self._recording
        if recording is not None and len(recording.data) < MAX_RECORDED_BYTES:
            recording.data += self._buffer[:length]
        self._received += self._buffer[:length]
        while (end := HEADER_BYTES + int.from_bytes(self._received[6:8], "big")) <= len(self._received):
            frame = bytes(self._received[:end])
            del self._received[:end]
            self._pass_on(frame)
        self._send()

    def tamper(self, tampering: Tampering) -> None:
        """Do that to the next frame."""
        self._path.tampering[self._name] = tampering

    def inject(self, frame: bytes) -> Frames:
        """Send a frame that nobody sent this way; nothing is left of it where it came from."""
        self._unsent += frame
        self._send()
        return []

    def _pass_on(self, frame: bytes) -> None:
        tampering = self._path.tampering.pop(self._name, None)
        sent = [frame]
        if tampering is not None:
            self._path.is_damaged = True
            sent = tampering(self, frame)
        self.passed += 1
        self.seen = [*self.seen[-3:], frame]
        self._unsent += b"".join(sent)

    def _send(self) -> None:
        """Send what the other end takes; the rest when it takes more."""
        try:
            del self._unsent[: self._target.send(self._unsent)]
        except ConnectionError:
            self._unsent.clear()  # the other end is gone; its end is on the way
        if self._unsent:
            self._path.reactor.call_at(self._path.reactor.now() + 0.01, self._send)

    def _end(self) -> None:
        self._path.reactor.unwatch(self._source)
        self._source.close()
        self._target.close()


class Stranger:
    """Somebody without keys who connects and sends what was recorded; goes on listening until he is thrown out."""

    def __init__(self, reactor: VirtualReactor, network: MemoryNetwork, data: bytes) -> None:
        self.address = network.address
        self._reactor = reactor
        self._unsent = data
        self._stream = network.connect(SERVER)
        reactor.watch(self._stream, self._on_readable, self._on_writable)

    @property
    def is_there(self) -> bool:
        """Whether he is still connected, or connecting."""
        return self._stream.fileno() >= 0

    def leave(self) -> None:
        """Close."""
        self._reactor.unwatch(self._stream)
        self._stream.close()

    def _on_writable(self) -> None:
        try:
            self._unsent = self._unsent[self._stream.send(self._unsent) :]
        except ConnectionError:
            self.leave()
            return
        if not self._unsent:
            self._reactor.watch(self._stream, self._on_readable, None)

    def _on_readable(self) -> None:
        try:
            length = self._stream.receive_into(memoryview(bytearray(4096)))
        except ConnectionError:
            length = 0
        if not length:
            self.leave()
