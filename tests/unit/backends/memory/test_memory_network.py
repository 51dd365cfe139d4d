"""MemoryNetwork behaves as TCP does, and fails as it is told to."""

from __future__ import annotations

import errno
import random

import pytest

from rustun.backends.base import Endpoint
from rustun.backends.memory import MemoryListener, MemoryNetwork, MemoryStream, VirtualReactor
from rustun.errors import HostError

SERVER = Endpoint("192.0.2.1", 8080)


class World:
    """A server's host with a listener, and a client's host."""

    def __init__(self, seed: int = 0) -> None:
        self.reactor = VirtualReactor(seed)
        self.network = MemoryNetwork(self.reactor, seed, SERVER.host)
        self.client_network = self.network.host("192.0.2.7")
        self.listener: MemoryListener = self.network.listen(SERVER)

    def pair(self) -> tuple[MemoryStream, MemoryStream]:
        """Return client's and server's end of a new connection."""
        client = self.client_network.connect(SERVER)
        self.reactor.run_for(0.01)
        assert client.connect_error() is None
        server = self.listener.accept()
        assert server is not None
        return client, server


def read(stream: MemoryStream) -> bytes | None:
    buffer = bytearray(65536)
    length = stream.receive_into(memoryview(buffer))
    return None if length is None else bytes(buffer[:length])


def test_bytes_take_their_time_both_ways() -> None:
    """If this fails, simulated round trips mean nothing."""
    world = World()
    client, server = world.pair()
    assert server.remote.host == "192.0.2.7"
    assert client.remote == SERVER
    client.send(b"ping")
    assert read(server) is None
    world.reactor.run_for(world.network.faults.latency_s)
    assert read(server) == b"ping"
    server.send(b"pong")
    world.reactor.run_for(world.network.faults.latency_s)
    assert read(client) == b"pong"


def test_stream_is_intact_under_short_and_refused_writes() -> None:
    """If this fails, the simulation itself corrupts streams, or hides what a half-taking socket does."""
    world = World(seed=5)
    client, server = world.pair()
    faults = world.network.faults
    faults.short_writes, faults.refused_writes, faults.buffer_bytes, faults.receive_bytes = True, 0.3, 1000, 7
    data = random.Random(1).randbytes(20_000)
    sent, got = 0, bytearray()
    short = 0

    def write() -> None:
        nonlocal sent, short
        taken = client.send(data[sent : sent + 500])
        short += taken < 500
        sent += taken
        if sent == len(data):
            world.reactor.unwatch(client)
            client.close()

    def on_readable() -> None:
        chunk = read(server)
        got.extend(chunk or b"")
        if chunk == b"":
            world.reactor.unwatch(server)

    world.reactor.watch(client, None, write)
    world.reactor.watch(server, on_readable, None)
    world.reactor.run_until_true(lambda: len(got) == len(data), 1000)
    assert got == data
    assert short > 10


def test_full_buffer_takes_nothing_until_read() -> None:
    """If this fails, backpressure is not simulated."""
    world = World()
    client, server = world.pair()
    world.network.faults.buffer_bytes = 100
    assert client.send(bytes(150)) == 100
    assert client.send(b"x") == 0
    assert not client.writable()
    world.reactor.run_for(1)
    read(server)
    assert not client.writable()
    world.reactor.run_for(world.network.faults.latency_s)
    assert client.writable()


def test_end_comes_after_the_bytes() -> None:
    """If this fails, a goodbye is lost in simulation though TCP would deliver it."""
    world = World()
    client, server = world.pair()
    client.send(b"goodbye")
    client.close()
    client.close()
    world.reactor.run_for(1)
    assert read(server) == b"goodbye"
    assert read(server) == b""
    server.send(b"too late")
    world.reactor.run_for(1)
    with pytest.raises(ConnectionError):
        server.send(b"x")
    with pytest.raises(ConnectionError):
        client.send(b"x")


def test_reset_reaches_the_peer() -> None:
    """If this fails, a killed peer looks like a silent one."""
    world = World()
    client, server = world.pair()
    server.reset()
    world.reactor.run_for(1)
    assert client.readable()
    with pytest.raises(ConnectionError):
        read(client)


def test_connection_refused_and_port_taken() -> None:
    """If this fails, a dead server cannot be simulated."""
    world = World()
    world.listener.close()
    client = world.client_network.connect(SERVER)
    world.reactor.run_for(1)
    error = client.connect_error()
    assert error is not None
    assert error.errno == errno.ECONNREFUSED
    world.network.listen(SERVER)
    with pytest.raises(HostError, match="taken"):
        world.network.listen(SERVER)


def test_listener_that_closes_resets_who_waits() -> None:
    """If this fails, connections to a stopped server stay half open for ever."""
    world = World()
    client = world.client_network.connect(SERVER)
    world.reactor.run_for(1)
    world.listener.close()
    world.reactor.run_for(1)
    with pytest.raises(ConnectionError):
        read(client)


def test_cut_link_is_silent_and_mending_delivers() -> None:
    """If this fails, half-open connections cannot be simulated, or bytes come out of order after them."""
    world = World()
    client, server = world.pair()
    client.send(b"before")
    world.reactor.run_for(1)
    world.network.faults.cut.add("192.0.2.7")
    client.send(b" while")
    server.send(b"news")
    world.reactor.run_for(3600)
    assert read(server) == b"before"
    assert read(server) is None
    assert read(client) is None
    attempt = world.client_network.connect(SERVER)
    world.reactor.run_for(3600)
    assert not attempt.writable()
    world.network.mend("192.0.2.7")
    client.send(b" after")
    world.reactor.run_for(1)
    assert read(server) == b" while after"
    assert read(client) == b"news"
    assert attempt.writable()


def test_shrinking_latency_does_not_reorder() -> None:
    """If this fails, a simulation that speeds up corrupts streams."""
    world = World()
    client, server = world.pair()
    world.network.faults.latency_s = 1.0
    client.send(b"first ")
    world.network.faults.latency_s = 0.001
    client.send(b"second")
    world.reactor.run_for(2)
    assert read(server) == b"first second"


def test_no_descriptors_left_on_demand() -> None:
    """If this fails, a server's recovery from EMFILE cannot be simulated."""
    world = World()
    world.client_network.connect(SERVER)
    world.reactor.run_for(1)
    world.network.faults.accept_errno = errno.EMFILE
    with pytest.raises(OSError) as caught:
        world.listener.accept()
    assert caught.value.errno == errno.EMFILE
    world.network.faults.accept_errno = 0
    assert world.listener.accept() is not None
    assert world.listener.accept() is None


def test_names() -> None:
    """If this fails, a server whose address changes cannot be simulated."""
    world = World()
    name = Endpoint("vpn.example", 8080)
    with pytest.raises(OSError):
        world.network.resolve(name)
    world.network.faults.names["vpn.example"] = ["192.0.2.1", "2001:db8::1"]
    assert world.network.resolve(name) == [SERVER, Endpoint("2001:db8::1", 8080)]
    assert world.network.resolve(SERVER) == [SERVER]


def test_same_seed_same_run() -> None:
    """If this fails, a failure found in simulation cannot be replayed."""

    def trace(seed: int) -> list[int]:
        world = World(seed)
        client, _ = world.pair()
        world.network.faults.short_writes = True
        return [client.send(bytes(1000)) for _ in range(20)]

    assert trace(3) == trace(3)
    assert trace(3) != trace(4)


@pytest.mark.parametrize("upwards", [True, False])
def test_a_narrow_way_swallows_full_segments_and_all_behind(upwards: bool) -> None:
    """If this fails, tests of narrow paths see packets that no such path would carry."""
    world = World()
    world.network.faults.narrow.add("192.0.2.7")
    ends = world.pair()
    sender, receiver = ends if upwards else ends[::-1]
    sender.send(b"small")
    world.reactor.run_for(0.01)
    assert read(receiver) == b"small"
    sender.send(bytes(5000))
    sender.send(b"small")
    world.reactor.run_for(3.0)
    assert read(receiver) is None
    report = sender.path()
    assert (report.acked_bytes, report.outstanding_bytes) == (5, 5005)
    assert report.timeouts == 4  # after 0.2, 0.6, 1.4 and 3.0 s
    receiver.send(b"the other direction")
    world.reactor.run_for(0.01)
    assert read(sender) == b"the other direction"
    sender.close()
    world.reactor.run_for(0.01)
    assert read(receiver) is None


def test_small_segments_pass_a_narrow_way() -> None:
    """If this fails, a client that does the right thing looks as if it did not."""
    world = World()
    world.network.faults.narrow.add("192.0.2.7")
    client = world.client_network.connect(SERVER, 1220)
    world.reactor.run_for(0.01)
    server = world.listener.accept()
    assert server is not None
    for sender, receiver in ((client, server), (server, client)):
        sender.send(bytes(5000))
        world.reactor.run_for(0.01)
        assert read(receiver) == bytes(5000)
        assert sender.path().segment_bytes == 1220


def test_a_host_that_moved_is_stranded_on_its_old_connections() -> None:
    """If this fails, tests of roaming see connections live on that no kernel would carry."""
    world = World()
    client, server = world.pair()
    assert not client.is_stranded()
    world.client_network.move("192.0.2.8")
    assert client.is_stranded()
    assert not server.is_stranded()
    client.send(b"lost")
    world.reactor.run_for(5.0)
    assert read(server) is None
    another, at_server = world.pair()
    assert not another.is_stranded()
    assert at_server.remote.host == "192.0.2.8"
