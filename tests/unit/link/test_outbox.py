"""The sending half of a connection, on a stream that takes little, late or nothing."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from rustun.backends.base import Endpoint
from rustun.backends.memory import MemoryNetwork, MemoryStream, VirtualReactor
from rustun.link.outbox import PROGRESS_BYTES, Outbox

SERVER = Endpoint("192.0.2.1", 8080)


class World:
    """An outbox on one end of a connection; the test is the other end."""

    def __init__(self, seed: int = 0, buffer_bytes: int = 1 << 16) -> None:
        self.reactor = VirtualReactor(seed)
        self.network = MemoryNetwork(self.reactor, seed, SERVER.host)
        self.network.faults.buffer_bytes = buffer_bytes
        listener = self.network.listen(SERVER)
        self.stream: MemoryStream = self.network.host("192.0.2.7").connect(SERVER)
        self.reactor.run_for(0.01)
        peer = listener.accept()
        assert peer is not None
        self.peer = peer
        self.refill: Callable[[], None] = lambda: None
        self.refills = self.reads = 0
        self.lost: list[ConnectionError] = []
        self.got = bytearray()
        self.outbox = Outbox(self.reactor, self.stream, self._on_readable, self._refill, self._on_lost)

    def _on_readable(self) -> None:
        self.reads += 1
        try:
            self.stream.receive_into(memoryview(bytearray(1000)))
        except ConnectionError as error:
            self._on_lost(error)

    def _on_lost(self, error: ConnectionError) -> None:
        self.lost.append(error)
        self.outbox.close()

    def _refill(self) -> None:
        self.refills += 1
        self.refill()

    def drain(self, most: int = 1 << 20) -> int:
        """Let the peer read up to `most` bytes and time pass."""
        buffer = bytearray(most)
        length = self.peer.receive_into(memoryview(buffer)) or 0
        self.got += buffer[:length]
        self.reactor.run_for(0.01)
        return length


@pytest.mark.parametrize("seed", range(4))
def test_everything_is_sent_once_and_in_order(seed: int) -> None:
    """If this fails, a slow link loses or doubles sealed bytes, and the record that follows does not open."""
    rng = random.Random(seed)
    world = World(seed, buffer_bytes=5000)
    faults = world.network.faults
    faults.short_writes, faults.refused_writes = True, 0.3
    frames = [rng.randbytes(rng.randint(1, 9000)) for _ in range(40)]
    waiting = list(frames)

    def refill() -> None:
        while waiting and not world.outbox.blocked:
            scratch = bytearray(waiting.pop(0))
            world.outbox.transmit(memoryview(scratch))
            scratch[:] = bytes(len(scratch))  # the shared buffer is somebody else's a moment later

    world.refill = refill
    refill()
    for _ in range(5000):
        world.drain(rng.choice((1, 100, 4000)))
        if len(world.got) == sum(map(len, frames)):
            break
    assert bytes(world.got) == b"".join(frames)
    assert not world.outbox.blocked
    assert world.outbox.unsent_bytes == 0


def test_blocked_until_the_last_byte_went_out() -> None:
    """If this fails, a queue is sealed early, and what should have been dropped or overtaken cannot be any more."""
    world = World(buffer_bytes=1000)
    world.outbox.transmit(bytes(2500))
    world.reactor.run_for(0.01)
    seen = []
    for _ in range(3):
        seen.append((world.outbox.blocked, world.outbox.unsent_bytes, world.refills))
        world.drain()
        world.reactor.run_for(0.01)
    assert seen == [(True, 1500, 0), (True, 500, 0), (False, 0, 1)]


def test_an_open_stream_is_not_watched_for_writing() -> None:
    """If this fails, an idle session takes a whole core: a socket is writable nearly always."""
    world = World()
    world.outbox.transmit(b"short")
    world.reactor.run_for(1)  # the virtual loop refuses to spin
    assert world.refills == 0
    assert not world.outbox.blocked


def test_a_wanted_turn_comes_once() -> None:
    """If this fails, the rest of a long queue is never sent, or sent without a pause for others."""
    world = World()
    wishes = [True, True, False]

    def refill() -> None:
        if wishes.pop(0):
            world.outbox.want_turn()

    world.refill = refill
    world.outbox.want_turn()
    world.reactor.run_for(1)
    assert world.refills == 3


def test_progress_is_counted_in_large_steps() -> None:
    """If this fails, a receiver that takes one byte a second holds its queue for ever."""
    world = World(buffer_bytes=1000)
    world.reactor.run_until(100)
    world.outbox.transmit(bytes(PROGRESS_BYTES + 5000))
    began = world.outbox.moved_at
    assert began == 100
    for _ in range(PROGRESS_BYTES // 1000 - 2):
        world.drain()
    assert world.outbox.moved_at == began
    for _ in range(5):
        world.drain()
    assert world.outbox.moved_at > began


def test_a_lost_connection_is_told() -> None:
    """If this fails, a session stays although its peer is gone."""
    world = World()
    world.outbox.pause_reading(True)
    world.peer.reset()
    world.reactor.run_for(0.01)
    world.outbox.transmit(b"x")
    assert [type(error) for error in world.lost] == [ConnectionError]
    assert not world.outbox.blocked


def test_a_connection_lost_while_blocked_is_told_once() -> None:
    """If this fails, a full connection that dies is noticed only when it stalls, or its owner closes it twice."""
    world = World(buffer_bytes=1000)
    world.outbox.transmit(bytes(2000))
    world.reactor.run_for(0.01)
    world.peer.reset()
    world.reactor.run_for(1)
    assert [type(error) for error in world.lost] == [ConnectionError]
    assert world.refills == 0


def test_reading_can_rest() -> None:
    """If this fails, a session that has more than it can handle goes on reading."""
    world = World()
    world.outbox.pause_reading(True)
    world.peer.send(b"x" * 1500)
    world.reactor.run_for(0.01)
    assert world.reads == 0
    world.outbox.transmit(bytes(1 << 17))  # watching for room does not bring reading back
    world.reactor.run_for(0.01)
    assert world.reads == 0
    world.outbox.pause_reading(False)
    world.reactor.run_for(0.01)
    assert world.reads == 2


def test_after_close_nothing_is_called_back() -> None:
    """If this fails, a closed session is brought back to life by its own socket, or by the next one of that number."""
    world = World(buffer_bytes=1000)
    world.outbox.transmit(bytes(2000))
    world.outbox.close()
    world.outbox.pause_reading(False)
    world.outbox.want_turn()
    world.peer.send(b"hello")
    world.drain()
    world.drain()
    assert (world.reads, world.refills, world.lost) == (0, 0, [])
