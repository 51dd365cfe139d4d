"""From a name to a handshake's outcome: every try ends once, and a cancelled one not at all."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial

import pytest

from rustun.backends.base import Endpoint, Stream
from rustun.backends.memory import MemoryListener, MemoryNetwork, VirtualReactor
from rustun.client.connector import CONNECT_SECONDS, Connector
from rustun.client.handshake import CLOSED_SILENTLY, ClientHandshake, Outcome, begin_handshake
from rustun.errors import ProtocolError
from rustun.link.buffers import Buffers
from rustun.protocol.handshake import Hello
from rustun.protocol.records import Cipher
from rustun.protocol.suites import SHARED, Credentials

NAMED = Endpoint("relay.example", 8080)
ADDRESSES = ("192.0.2.1", "192.0.2.2", "192.0.2.3")
HELLO = Hello("bj-dev", "0.1.0", (Cipher.AES256,), frozenset(), 10, 1500)


class World:
    """A connector on one host; what it tells is written down."""

    def __init__(self, *listening: str) -> None:
        self.reactor = VirtualReactor()
        self.network = MemoryNetwork(self.reactor, 0, "192.0.2.7")
        self.network.faults.names["relay.example"] = list(ADDRESSES)
        self.listeners: list[MemoryListener] = [self.network.listen(Endpoint(host, 8080)) for host in listening]
        self.told: list[object] = []
        self.begin: Callable[[Stream, Callable[[Outcome], None]], ClientHandshake] = self._begin
        self.connector = Connector(
            self.reactor,
            self.network,
            lambda found: self.told.append([endpoint.host for endpoint in found]),
            self._begin_handshake,
            lambda remote: self.told.append(remote.host),
            self._on_outcome,
        )

    def _begin_handshake(self, stream: Stream, on_done: Callable[[Outcome], None]) -> ClientHandshake:
        return self.begin(stream, on_done)

    def _begin(self, stream: Stream, on_done: Callable[[Outcome], None]) -> ClientHandshake:
        random_bytes = random.Random(1).randbytes
        secret = Credentials(SHARED, bytes(32))
        return begin_handshake(self.reactor, Buffers(), stream, secret, HELLO, random_bytes, on_done)

    def _on_outcome(self, stream: Stream | None, outcome: Outcome) -> None:
        assert isinstance(outcome, str)
        assert stream is None or stream.fileno() < 0
        self.told.append((outcome,))

    def accept_and_close(self, listener: MemoryListener) -> None:
        accepted = listener.accept()
        assert accepted is not None
        accepted.close()


def test_addresses_are_tried_in_order() -> None:
    """If this fails, a server with a dead address in front of a living one is never reached."""
    world = World("192.0.2.2", "192.0.2.3")
    world.connector.begin(NAMED)
    world.reactor.run_for(1)
    assert world.told == [list(ADDRESSES), "192.0.2.2"]
    world.accept_and_close(world.listeners[0])
    world.reactor.run_for(1)
    assert world.told[2:] == [(f"192.0.2.2:8080: {CLOSED_SILENTLY}",)]
    assert world.listeners[1].accept() is None


def test_a_silent_address_is_given_up_after_a_while() -> None:
    """If this fails, a client hangs on an address whose packets a firewall drops."""
    world = World("192.0.2.1", "192.0.2.2")
    world.network.faults.cut.add("192.0.2.1")
    world.connector.begin(NAMED)
    world.reactor.run_for(CONNECT_SECONDS - 0.1)
    assert world.told == [list(ADDRESSES)]
    world.reactor.run_for(1)
    assert world.told[1:] == ["192.0.2.2"]


def test_when_nothing_answers_the_last_reason_is_told() -> None:
    """If this fails, a client stops trying, or does not say what is wrong."""
    world = World()
    world.connector.begin(NAMED)
    world.reactor.run_for(1)
    assert world.told == [list(ADDRESSES), ("cannot connect to 192.0.2.3:8080: Connection refused",)]


def test_every_try_asks_for_the_name_again() -> None:
    """If this fails, a server that moved to another address is lost until the client is restarted."""
    world = World("192.0.2.9")
    world.network.faults.names["relay.example"] = []
    world.connector.begin(NAMED)
    world.reactor.run_for(1)
    assert world.told == [("cannot resolve relay.example: no address for relay.example",)]
    world.network.faults.names["relay.example"] = ["192.0.2.9"]
    world.connector.begin(NAMED)
    world.reactor.run_for(1)
    assert world.told[1:] == [["192.0.2.9"], "192.0.2.9"]


@pytest.mark.parametrize("after_s", [0.0, 0.0015, 0.5, 15.0])
def test_a_cancelled_try_says_nothing_more(after_s: float) -> None:
    """If this fails, a client that gave a try up gets its outcome in the middle of the next one."""
    world = World("192.0.2.3")
    world.network.faults.cut.add("192.0.2.2")
    world.connector.begin(NAMED)
    if after_s:
        world.reactor.run_for(after_s)
    world.connector.cancel()
    before = list(world.told)
    world.network.mend("192.0.2.2")
    world.reactor.run_for(60)
    assert world.told == before
    while (accepted := world.listeners[0].accept()) is not None:
        assert accepted.receive_into(memoryview(bytearray(1000))) is not None  # it was closed, not left open


def test_a_second_try_replaces_the_first() -> None:
    """If this fails, two sessions of one client fight for one place."""
    world = World("192.0.2.1", "192.0.2.2")
    world.network.faults.cut.add("192.0.2.1")
    world.connector.begin(NAMED)
    world.reactor.run_for(1)
    world.connector.begin(Endpoint("192.0.2.2", 8080))
    world.reactor.run_for(30)
    hosts = [told for told in world.told if isinstance(told, str)]
    assert hosts == ["192.0.2.2"]
    assert len([told for told in world.told if isinstance(told, tuple)]) == 1


def test_a_handshake_that_cannot_begin_is_an_outcome() -> None:
    """If this fails, a configured name that does not fit the wire ends the process with a traceback."""
    world = World("192.0.2.1")
    streams: list[Stream] = []

    def refuse(stream: Stream, on_done: Callable[[Outcome], None]) -> ClientHandshake:
        streams.append(stream)
        raise ProtocolError("too long")

    world.begin = refuse
    world.connector.begin(NAMED)
    world.reactor.run_for(1)
    assert world.told == [list(ADDRESSES), "192.0.2.1", ("too long",)]
    assert streams[0].fileno() < 0


def test_a_network_that_cannot_even_start_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """If this fails, a host without IPv6 does not get to a server's IPv4 address."""
    world = World("192.0.2.2")
    connect = world.network.connect

    def connect_some(network_connect: Callable[[Endpoint], Stream], endpoint: Endpoint) -> Stream:
        if endpoint.host == "192.0.2.1":
            raise OSError(101, "Network is unreachable")
        return network_connect(endpoint)

    monkeypatch.setattr(world.network, "connect", partial(connect_some, connect))
    world.connector.begin(NAMED)
    world.reactor.run_for(1)
    assert world.told == [list(ADDRESSES), "192.0.2.2"]
