"""Somebody on the path who has no key: sees every frame of both directions, and does with them what a test says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from rustun.backends.base import Endpoint
from rustun.backends.memory import MemoryStream
from rustun.protocol.frames import HEADER_BYTES
from tests.simulation.world import SERVER, World

ADDRESS = Endpoint("192.0.2.66", 8080)
Change = Callable[[bytes], list[bytes]]
Direction = Literal["to_server", "to_client"]


def pass_on(frame: bytes) -> list[bytes]:
    """Change nothing."""
    return [frame]


class Middleman:
    """Passes frames between clients, who take it for the server, and the server.

    Attributes:
        to_server, to_client: what to do with a frame: return what is sent instead.
        from_client, from_server: all frames that came.
        links: (client's stream, server's stream) of each connection, the newest last.
        link: that of the frame that is being passed.
        answered: for each connection whether the server has said anything.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self.to_server: Change = pass_on
        self.to_client: Change = pass_on
        self.from_client: list[bytes] = []
        self.from_server: list[bytes] = []
        self.links: list[tuple[MemoryStream, MemoryStream]] = []
        self.link: tuple[MemoryStream, ...] = ()
        self.answered: list[bool] = []
        self._network = world.network.host(ADDRESS.host)
        self._listener = self._network.listen(ADDRESS)
        world.reactor.watch(self._listener, self._accept, None)

    def outlet(self, direction: Direction) -> Callable[..., None]:
        """Return what sends frames to one end of the newest connection, also later; a dead end is passed over."""
        stream = self.links[-1][direction == "to_server"]

        def put(*frames: bytes) -> None:
            for frame in frames:
                try:
                    stream.send(frame)
                except ConnectionError:
                    return

        return put

    def end(self, how: Literal["closed", "reset"]) -> None:
        """End the newest connection towards both sides, as anybody on the path can."""
        for stream in self.links[-1]:
            self.world.reactor.unwatch(stream)
            stream.close() if how == "closed" else stream.reset()

    def _accept(self) -> None:
        client = self._listener.accept()
        assert client is not None
        server = self._network.connect(SERVER)
        number = len(self.links)
        self.links.append((client, server))
        self.answered.append(False)

        def connected() -> None:
            _OneWay(self, client, server, "to_server", self.from_client.append)
            _OneWay(self, server, client, "to_client", heard)

        def heard(frame: bytes) -> None:
            self.from_server.append(frame)
            self.answered[number] = True

        self.world.reactor.watch(server, None, connected)


class _OneWay:
    def __init__(
        self,
        man: Middleman,
        source: MemoryStream,
        target: MemoryStream,
        direction: Direction,
        see: Callable[[bytes], None],
    ) -> None:
        self._reactor = man.world.reactor
        self._source = source
        self._target = target
        self._see = see
        self._man = man
        self._direction = direction
        self._received = bytearray()
        self._reactor.watch(source, self._on_readable, None)

    def _on_readable(self) -> None:
        buffer = bytearray(65536)
        try:
            length = self._source.receive_into(memoryview(buffer))
        except ConnectionError:
            length = 0
        if not length:
            self._reactor.unwatch(self._source)
            self._source.close()
            self._target.close()
            return
        self._received += buffer[:length]
        while (end := HEADER_BYTES + int.from_bytes(self._received[6:8], "big")) <= len(self._received):
            frame = bytes(self._received[:end])
            del self._received[:end]
            self._see(frame)
            ends = self._source, self._target
            self._man.link = ends if self._direction == "to_server" else ends[::-1]
            change: Change = getattr(self._man, self._direction)
            for sent in change(frame):
                try:
                    self._target.send(sent)
                except ConnectionError:
                    break  # the other end has closed; its end is on the way
