"""The receiving half of a connection against the stream as it was sent."""

from __future__ import annotations

import random

import pytest

from rustun.backends.base import Endpoint
from rustun.backends.memory import MemoryNetwork, MemoryStream, VirtualReactor
from rustun.errors import ProtocolError
from rustun.link.buffers import TURN_BYTES, Buffers
from rustun.link.inbox import Inbox
from rustun.protocol.frames import (
    MAX_FRAME_BYTES,
    MAX_PAYLOAD_BYTES,
    RECORD_TYPES,
    FrameReader,
    FrameType,
    encode_frame,
)

SERVER = Endpoint("192.0.2.1", 8080)


class World:
    """Connections whose ends a test holds."""

    def __init__(self, seed: int = 0) -> None:
        self.reactor = VirtualReactor(seed)
        self.network = MemoryNetwork(self.reactor, seed, SERVER.host)
        self.network.faults.buffer_bytes = 1 << 24
        self._listener = self.network.listen(SERVER)

    def pair(self) -> tuple[MemoryStream, MemoryStream]:
        """Return the sending and the receiving end of a new connection."""
        sender = self.network.host("192.0.2.7").connect(SERVER)
        self.reactor.run_for(0.01)
        receiver = self._listener.accept()
        assert receiver is not None
        return sender, receiver

    def arrive(self) -> None:
        self.reactor.run_for(0.01)


def inbox(stream: MemoryStream, buffers: Buffers, held: bytes = b"") -> Inbox:
    return Inbox(stream, FrameReader(RECORD_TYPES), buffers, held)


def turn(box: Inbox, *, receive: bool = True, max_bytes: int = TURN_BYTES, max_frames: int = 1 << 30) -> list[bytes]:
    """Take one turn and return its frames."""
    frames: list[bytes] = []
    box.begin(receive=receive, max_bytes=max_bytes)
    while len(frames) < max_frames and (found := box.next_frame()) is not None:
        frame_type, frame = found
        assert frame[5] == frame_type
        frames.append(bytes(frame))
    box.end()
    return frames


def random_frames(rng: random.Random, count: int) -> list[bytes]:
    sizes = (0, 1, 60, 1500, 20_000, MAX_PAYLOAD_BYTES)
    return [encode_frame(rng.choice(list(RECORD_TYPES)), rng.randbytes(rng.choice(sizes))) for _ in range(count)]


@pytest.mark.parametrize("seed", range(4))
def test_frames_survive_any_cutting_of_the_stream(seed: int) -> None:
    """If this fails, what a member sent is lost or doubled, depending on how the network cut it."""
    rng = random.Random(seed)
    world, buffers = World(seed), Buffers()
    connections = []
    for _ in range(3):  # three sessions share the scratch memory, turn by turn
        sender, receiver = world.pair()
        frames = random_frames(rng, 40)
        sent = b"".join(frames)
        assert sender.send(sent) == len(sent)
        connections.append((inbox(receiver, buffers), frames, list[bytes]()))
    world.arrive()
    while any(len(got) < len(frames) for _, frames, got in connections):
        box, _, got = rng.choice(connections)
        world.network.faults.receive_bytes = rng.choice((0, 1, 7, 1000, 70_000))
        got += turn(
            box,
            receive=rng.random() < 0.9 or not box.held,
            max_bytes=rng.choice((3, 1024, TURN_BYTES)),
            max_frames=rng.choice((0, 1, 3, 100)) if len(box.held) < TURN_BYTES - MAX_FRAME_BYTES else 100,
        )
    assert all(got == frames and not box.held for box, frames, got in connections)


def test_what_came_behind_the_handshake_comes_first() -> None:
    """If this fails, records that arrive together with the end of the handshake are lost."""
    sender, receiver = (world := World()).pair()
    frame = encode_frame(FrameType.CONTROL, b"a first record")
    box = inbox(receiver, Buffers(), held=frame[:10])
    assert turn(box, receive=False) == []
    assert box.held == frame[:10]
    sender.send(frame[10:] + frame)
    world.arrive()
    assert turn(box) == [frame, frame]
    assert box.held == b""


def test_begin_tells_nothing_end_and_loss_apart() -> None:
    """If this fails, a quiet peer is taken for one that left, or the other way round."""
    world = World()
    (first, one), (second, two) = world.pair(), world.pair()
    box = inbox(one, Buffers())
    assert box.begin(receive=True) is None
    box.end()
    assert box.begin(receive=False) is None
    box.end()
    first.close()
    second.reset()
    world.arrive()
    assert box.begin(receive=True) == 0
    with pytest.raises(ConnectionError):
        inbox(two, Buffers()).begin(receive=True)


def test_a_turn_reads_no_more_than_it_may() -> None:
    """If this fails, one busy member keeps the loop from all others."""
    sender, receiver = (world := World()).pair()
    sender.send(bytes(1 << 20))
    world.arrive()
    box = inbox(receiver, Buffers())
    assert box.begin(receive=True, max_bytes=1000) == 1000
    box.end()
    assert len(box.held) == 1000
    assert box.begin(receive=True) == TURN_BYTES
    box.end()
    assert len(box.held) == TURN_BYTES + 1000


def test_lost_framing_is_found_at_the_header() -> None:
    """If this fails, garbage is waited for and held."""
    sender, receiver = (world := World()).pair()
    sender.send(encode_frame(FrameType.DATA, b"good") + b"GET / HTTP/1.1")
    world.arrive()
    box = inbox(receiver, Buffers())
    box.begin(receive=True)
    assert box.next_frame() is not None
    with pytest.raises(ProtocolError, match="magic"):
        box.next_frame()
