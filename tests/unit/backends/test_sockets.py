"""LinuxNetwork over loopback, with the ports that the kernel chooses."""

from __future__ import annotations

import errno
import os
import resource
import select
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from rustun.backends import sockets
from rustun.backends.base import Endpoint, Source
from rustun.backends.sockets import LinuxListener, LinuxNetwork, LinuxStream
from rustun.errors import HostError, RightsError

ROOT = Path(__file__).parents[3]
LOOPBACK = Endpoint("127.0.0.1", 0)
WAIT_MS = 5000  # only reached where something is broken


def wait_for(source: Source, event: int = select.POLLIN) -> None:
    poll = select.poll()
    poll.register(source.fileno(), event)
    assert poll.poll(WAIT_MS), "nothing happened"


@pytest.fixture
def network() -> LinuxNetwork:
    return LinuxNetwork()


@pytest.fixture
def listener(network: LinuxNetwork) -> Iterator[LinuxListener]:
    with closing(network.listen(LOOPBACK)) as made:
        yield made


def connect_pair(
    network: LinuxNetwork, listener: LinuxListener, max_segment_bytes: int = 0
) -> tuple[LinuxStream, LinuxStream]:
    """Return both ends of a connection; the greeting that DEFER_ACCEPT waits for has been read."""
    client = network.connect(listener.endpoint, max_segment_bytes)
    wait_for(client, select.POLLOUT)
    assert client.connect_error() is None
    assert client.send(b"hello") == 5
    wait_for(listener)
    server = listener.accept()
    assert server is not None
    wait_for(server)
    assert server.receive_into(memoryview(bytearray(5))) == 5
    return client, server


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "::1", "::"])
def test_listens_and_carries_bytes(network: LinuxNetwork, host: str) -> None:
    """If this fails, the server cannot be reached over one of the address families."""
    with closing(network.listen(Endpoint(host, 0))) as listener:
        target = "::1" if ":" in host else "127.0.0.1"
        client = network.connect(Endpoint(target, listener.endpoint.port))
        wait_for(client, select.POLLOUT)
        client.send(b"hello")
        wait_for(listener)
        server = listener.accept()
        assert server is not None
        assert server.remote.host == target
        buffer = bytearray(10)
        wait_for(server)
        assert server.receive_into(memoryview(buffer)) == 5
        assert buffer[:5] == b"hello"
        client.close()
        server.close()


def test_both_families_on_one_port(network: LinuxNetwork, listener: LinuxListener) -> None:
    """If this fails, `listen_addr = ["0.0.0.0:8080", "[::]:8080"]` does not start."""
    with closing(network.listen(Endpoint("::", listener.endpoint.port))) as beside:
        assert beside.endpoint.port == listener.endpoint.port


def test_nothing_to_accept_or_read_is_none(network: LinuxNetwork, listener: LinuxListener) -> None:
    """If this fails, an event that was not one ends a session or blocks the loop."""
    assert listener.accept() is None
    client, server = connect_pair(network, listener)
    assert server.receive_into(memoryview(bytearray(10))) is None
    client.close()
    wait_for(server)
    assert server.receive_into(memoryview(bytearray(10))) == 0
    server.close()


def test_options_of_both_ends() -> None:
    """If this fails, small packets wait for acknowledgements or queues in the kernel grow to megabytes."""
    network = LinuxNetwork(notsent_lowat_bytes=30_000, congestion="reno")
    with closing(network.listen(LOOPBACK)) as listener:
        client, server = connect_pair(network, listener)
        for stream in (client, server):
            sock = stream._sock
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT) == 30_000
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, 16).rstrip(b"\0") == b"reno"
            assert not sock.getblocking()
            assert not sock.get_inheritable()
            stream.close()


@pytest.mark.parametrize(("max_segment_bytes", "least", "most"), [(1220, 1000, 1220), (0, 1221, 65536)])
def test_small_segments_hold_for_both_ends(
    network: LinuxNetwork, listener: LinuxListener, max_segment_bytes: int, least: int, most: int
) -> None:
    """If this fails, narrow paths lose what is sent, or a path that was cut off is taken for a narrow one."""
    client, server = connect_pair(network, listener, max_segment_bytes)
    room, left = memoryview(bytearray(1 << 20)), 400_000
    while left:
        left -= client.send(bytes(min(left, 64_000)))
        wait_for(server)
        server.receive_into(room)
    sent, received = client.path(), server.path()
    assert sent is not None
    assert received is not None
    assert sent.sent_bytes == 400_005
    for size in (sent.segment_bytes, sent.sent_bytes // sent.sent_segments, received.received_segment_bytes):
        assert least <= size <= most
    assert least <= server._sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG) <= most
    client.close()
    server.close()


def test_a_path_is_told_from_what_the_kernel_knows(network: LinuxNetwork, listener: LinuxListener) -> None:
    """If this fails, a client cannot tell a connection that stands still from one that works."""
    client, server = connect_pair(network, listener)
    before = client.path()
    assert before is not None
    assert (before.acked_bytes, before.outstanding_bytes, before.timeouts) == (6, 0, 0)  # the SYN counts as one
    assert before.segment_bytes > 1220
    while client.send(bytes(100_000)):
        pass
    full = client.path()
    assert full is not None
    assert full.outstanding_bytes > 0
    assert full.acked_bytes > before.acked_bytes
    assert not client.is_stranded()
    client.reset()
    assert client.path() is None
    assert client.is_stranded()
    server.close()


def test_absent_congestion_control_is_no_error() -> None:
    """If this fails, hosts without BBR cannot run the tunnel."""
    with closing(LinuxNetwork(congestion="no-such").listen(LOOPBACK)) as listener:
        assert listener.endpoint.port


def test_send_is_short_when_the_receiver_does_not_read(network: LinuxNetwork, listener: LinuxListener) -> None:
    """If this fails, a receiver that stops reading blocks the relay."""
    client, server = connect_pair(network, listener)
    data = bytes(1 << 20)
    sent = 0
    while (taken := client.send(data)) > 0:
        sent += taken
    assert 0 < sent < 1 << 30
    assert client.send(data) == 0
    client.reset()
    server.reset()


def test_refused_connection_says_so(network: LinuxNetwork) -> None:
    """If this fails, the client waits for a server that has said no."""
    with closing(network.listen(LOOPBACK)) as listener:
        free = listener.endpoint
    client = network.connect(free)
    wait_for(client, select.POLLOUT)
    error = client.connect_error()
    assert error is not None
    assert error.errno == errno.ECONNREFUSED
    client.close()


def test_reset_reaches_the_peer_as_connection_error(network: LinuxNetwork, listener: LinuxListener) -> None:
    """If this fails, a client notices a killed server only after its keepalive budget."""
    client, server = connect_pair(network, listener)
    server.reset()
    server.reset()
    wait_for(client)
    with pytest.raises(ConnectionError):
        client.receive_into(memoryview(bytearray(10)))
    with pytest.raises(ConnectionError):
        client.send(b"x")
    client.close()


def test_every_error_of_a_stream_is_a_connection_error(network: LinuxNetwork, listener: LinuxListener) -> None:
    """If this fails, an error such as EBADF or ETIMEDOUT leaves a data-path method and ends the process."""
    client, server = connect_pair(network, listener)
    for stream in (client, server):
        stream.close()
        stream.close()
        assert stream.fileno() == -1
        with pytest.raises(ConnectionError):
            stream.send(b"x")
        with pytest.raises(ConnectionError):
            stream.receive_into(memoryview(bytearray(1)))


def test_close_with_unread_bytes_still_delivers_the_goodbye(network: LinuxNetwork, listener: LinuxListener) -> None:
    """If this fails, peers that are sending get a reset instead of the server's goodbye."""
    client, server = connect_pair(network, listener)
    client.send(bytes(100_000))
    wait_for(server)
    server.send(b"goodbye")
    server.close()
    buffer = bytearray(20)
    wait_for(client)
    assert client.receive_into(memoryview(buffer)) == 7
    assert client.receive_into(memoryview(buffer)) == 0
    client.close()


def test_silent_connections_do_not_reach_the_process(network: LinuxNetwork, listener: LinuxListener) -> None:
    """If this fails, every port scan costs the server a descriptor and a session."""
    client = network.connect(listener.endpoint)
    wait_for(client, select.POLLOUT)
    poll = select.poll()
    poll.register(listener.fileno(), select.POLLIN)
    assert not poll.poll(0)
    client.send(b"x")
    assert poll.poll(WAIT_MS)
    client.reset()


def test_connection_reset_before_accept(network: LinuxNetwork, listener: LinuxListener) -> None:
    """If this fails, connect-then-reset stops the server."""
    dead = network.connect(listener.endpoint)
    wait_for(dead, select.POLLOUT)
    dead.send(b"x")
    dead.reset()
    client = network.connect(listener.endpoint)
    wait_for(client, select.POLLOUT)
    client.send(b"hello")
    greetings = []
    while b"hello" not in greetings:
        wait_for(listener)
        server = listener.accept()
        assert server is not None
        wait_for(server)
        buffer = bytearray(5)
        try:
            server.receive_into(memoryview(buffer))
        except ConnectionError:
            buffer = bytearray(b"dead!")
        greetings.append(bytes(buffer))
        server.close()
    assert len(greetings) <= 2
    client.close()


def test_no_descriptors_left_is_an_os_error_and_passes(network: LinuxNetwork, listener: LinuxListener) -> None:
    """If this fails, a server that ran out of descriptors never accepts again, or spins."""
    client = network.connect(listener.endpoint)
    wait_for(client, select.POLLOUT)
    client.send(b"x")
    wait_for(listener)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest_free = os.dup(0)
    os.close(lowest_free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, hard))
    try:
        with pytest.raises(OSError) as caught:
            listener.accept()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert caught.value.errno == errno.EMFILE
    server = listener.accept()
    assert server is not None
    server.close()
    client.close()


@pytest.mark.parametrize("number", sorted(sockets.DEAD_BEFORE_ACCEPT))
def test_what_died_before_accept_is_passed_over(listener: LinuxListener, number: int) -> None:
    """If this fails, connect-then-reset stops the server: accept(2) reports a newcomer's error too."""

    class DyingFirst:
        dead = 3

        def accept(self) -> tuple[socket.socket, tuple[str, int]]:
            self.dead -= 1
            raise OSError(number, os.strerror(number)) if self.dead >= 0 else BlockingIOError()

    real, listener._sock = listener._sock, DyingFirst()  # type: ignore[assignment]  # no kernel does this on demand
    assert listener.accept() is None
    listener._sock = real


RESERVE_SCRIPT = """
import errno, os, resource, socket
resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100))
from rustun.backends.base import Endpoint
from rustun.backends.sockets import RESERVED_DESCRIPTORS, LinuxNetwork
listener = LinuxNetwork().listen(Endpoint("127.0.0.1", 0))
accepted, clients = [], []
while True:
    client = socket.create_connection((listener.endpoint.host, listener.endpoint.port))
    client.send(b"x")
    clients.append(client.detach())
    os.close(clients.pop()) if len(clients) > 5 else None
    try:
        accepted.append(listener.accept())
    except OSError as error:
        assert error.errno == errno.EMFILE
        break
left = []
while True:
    try:
        left.append(os.open("/dev/null", os.O_RDONLY))
    except OSError:
        break
accepted.pop().close()
print(len(accepted), len(left) >= RESERVED_DESCRIPTORS)
"""


def test_descriptors_are_left_for_the_operator() -> None:
    """If this fails, a server without free descriptors answers no status and reads no changed file."""
    done = subprocess.run([sys.executable, "-c", RESERVE_SCRIPT], cwd=ROOT, capture_output=True, text=True, check=False)
    count, enough = done.stdout.split()
    assert int(count) > 20, done.stderr
    assert enough == "True"


def test_port_taken_names_the_remedy(network: LinuxNetwork, listener: LinuxListener) -> None:
    """If this fails, an operator who starts a second server is left without a hint."""
    with pytest.raises(HostError, match="taken") as caught:
        network.listen(listener.endpoint)
    assert f"sport = :{listener.endpoint.port}" in caught.value.remedy


@pytest.mark.parametrize(
    ("host", "words"),
    [("192.0.2.1", "does not have the address"), ("vpn.example", "not an address"), ("", "not an address")],
)
def test_bad_listen_addresses(network: LinuxNetwork, host: str, words: str) -> None:
    """If this fails, a wrong listen_addr ends in a traceback or listens somewhere else."""
    with pytest.raises(HostError, match=words) as caught:
        network.listen(Endpoint(host, 0))
    assert caught.value.remedy


def test_privileged_port_is_a_matter_of_rights() -> None:
    """If this fails, a server without rights exits with the wrong code and no hint."""
    error = sockets._listen_error(Endpoint("0.0.0.0", 80), PermissionError(errno.EACCES, "Permission denied"))
    assert isinstance(error, RightsError)
    assert "1024" in error.remedy


def test_resolve_gives_numeric_addresses_once(network: LinuxNetwork) -> None:
    """If this fails, the client tries the same address again and again, or a name that it cannot connect to."""
    found = network.resolve(Endpoint("127.0.0.1", 8080))
    assert found == [Endpoint("127.0.0.1", 8080)]
    assert network.resolve(Endpoint("::1", 1)) == [Endpoint("::1", 1)]
    with pytest.raises(OSError):
        network.resolve(Endpoint("no such name", 8080))


def test_connect_to_a_name_fails_at_once(network: LinuxNetwork) -> None:
    """If this fails, a forgotten `resolve` blocks the loop in DNS."""
    with pytest.raises(OSError):
        network.connect(Endpoint("localhost", 1))


def test_reset_is_sent_even_with_unsent_data(network: LinuxNetwork, listener: LinuxListener) -> None:
    """If this fails, a stuck receiver keeps its queue in the kernel after the relay gave it up."""
    client, server = connect_pair(network, listener)
    while server.send(bytes(1 << 20)):
        pass
    server.reset()
    buffer = memoryview(bytearray(1 << 20))
    with pytest.raises(ConnectionError):
        while True:
            wait_for(client)
            assert client.receive_into(buffer) != 0
    client.close()


def test_linger_struct_is_the_kernels() -> None:
    """If this fails, `reset` closes in order and waits for a dead peer."""
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, sockets.LINGER_NONE)
        raw = sock.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, 8)
    assert struct.unpack("ii", raw) == (1, 0)
