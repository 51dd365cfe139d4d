"""What a connection still had to send when its owner let go of it."""

from __future__ import annotations

from tests.unit.link.test_outbox import World

UNSENT = bytes(range(256)) * 400
SECONDS = 2.0


def full(world: World) -> None:
    """Let go of an outbox whose stream has not taken all, and look that it is not watched any more for its owner."""
    world.outbox.transmit(UNSENT)
    assert world.outbox.unsent_bytes > 50_000
    assert world.outbox.close(SECONDS)
    assert world.outbox.unsent_bytes == 0


def is_over(world: World) -> bool:
    """Tell whether the peer is at the end of what came."""
    return world.peer.receive_into(memoryview(bytearray(1))) == 0


def test_the_rest_is_sent_and_then_the_stream_is_closed() -> None:
    """If this fails, what was sealed for a slow path is lost with its session, or the connection stays for good."""
    world = World(buffer_bytes=5000)
    full(world)
    for _ in range(100):
        world.drain()
    assert bytes(world.got) == UNSENT
    assert is_over(world)
    assert world.lost == []


def test_a_peer_that_takes_nothing_is_not_waited_for() -> None:
    """If this fails, a dead path keeps a connection and its bytes for as long as the kernel tries."""
    world = World(buffer_bytes=5000)
    full(world)
    world.reactor.run_for(SECONDS + 0.1)
    while world.drain():
        pass
    assert len(world.got) < len(UNSENT)
    assert is_over(world)


def test_a_peer_that_is_gone_ends_it() -> None:
    """If this fails, a reset while the rest is sent is an error of the relay."""
    world = World(buffer_bytes=5000)
    full(world)
    world.peer.reset()
    world.reactor.run_for(0.1)
    assert world.lost == []
    assert world.stream.fileno() < 0


def test_without_a_rest_the_stream_is_the_owners() -> None:
    """If this fails, a session that had nothing to send leaves its connection open."""
    world = World()
    world.outbox.transmit(b"all of it")
    assert not world.outbox.close(SECONDS)
