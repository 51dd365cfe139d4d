"""From a name to a handshake's outcome: addresses race, every try ends once, and a cancelled one not at all."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial
from typing import TypeVar

import pytest

from rustun.backends.base import Endpoint, Stream
from rustun.backends.memory import MemoryListener, MemoryNetwork, MemoryStream, VirtualReactor
from rustun.client.connector import AGAIN_SECONDS, CONNECT_SECONDS, MAX_CONNECTING, STEP_SECONDS, Connector
from rustun.client.handshake import CLOSED_SILENTLY, ClientHandshake, Outcome, begin_handshake
from rustun.errors import ProtocolError
from rustun.link.buffers import Buffers
from rustun.protocol.handshake import Hello
from rustun.protocol.records import Cipher
from rustun.protocol.suites import SHARED, Credentials

NAMED = Endpoint("relay.example", 8080)
ADDRESSES = ("192.0.2.1", "192.0.2.2", "192.0.2.3")
T = TypeVar("T")
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
        self.connector.on_unresolved = lambda reason: self.told.append([reason])

    def resolver_takes(self, seconds: float) -> None:
        """Let every answer of the resolver come that late."""
        at_once = self.reactor.run_in_thread

        def later(work: Callable[[], T], done: Callable[[T | Exception], None]) -> None:
            self.reactor.call_at(self.reactor.now() + seconds, lambda: at_once(work, done))

        self.reactor.run_in_thread = later  # type: ignore[method-assign]

    def dials(self) -> list[tuple[float, str]]:
        """Return when each address is called from now on; filled as it happens."""
        connect, dials = self.network.connect, list[tuple[float, str]]()

        def note(endpoint: Endpoint, max_segment_bytes: int = 0) -> MemoryStream:
            dials.append((round(self.reactor.now(), 3), endpoint.host))
            return connect(endpoint, max_segment_bytes)

        self.network.connect = note  # type: ignore[method-assign]
        return dials

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


def test_a_silent_address_delays_by_a_step_only() -> None:
    """If this fails, a server's IPv6 address that a firewall swallows costs each try of a client ten seconds."""
    world = World("192.0.2.1", "192.0.2.2")
    world.network.faults.cut.add("192.0.2.1")
    world.connector.begin(NAMED)
    world.reactor.run_for(STEP_SECONDS - 0.01)
    assert world.told == [list(ADDRESSES)]
    world.reactor.run_for(0.02)
    assert world.told[1:] == ["192.0.2.2"]


def test_silent_addresses_are_given_up_after_a_while() -> None:
    """If this fails, a client hangs on addresses whose packets a firewall drops."""
    world = World()
    world.network.faults.cut.add("192.0.2.7")
    world.connector.begin(NAMED)
    world.reactor.run_for(CONNECT_SECONDS + 2 * STEP_SECONDS - 0.01)
    assert world.told == [list(ADDRESSES)]
    world.reactor.run_for(0.1)
    assert world.told[1:] == [("no answer from 192.0.2.3:8080 within 10 s",)]


def test_families_take_turns_and_steps() -> None:
    """If this fails, a host whose IPv6 leads nowhere waits for each IPv6 address before the first IPv4 one."""
    world = World()
    world.network.faults.names["relay.example"] = ["2001:db8::1", "2001:db8::2", "2001:db8::3", "192.0.2.1"]
    world.network.faults.cut.add("192.0.2.7")
    dials = world.dials()
    world.connector.begin(NAMED)
    world.reactor.run_for(3 * STEP_SECONDS + 0.01)
    assert dials == [(0.0, "2001:db8::1"), (0.25, "192.0.2.1"), (0.5, "2001:db8::2"), (0.75, "2001:db8::3")]


def test_the_first_that_connects_wins_and_the_others_are_closed() -> None:
    """If this fails, a client opens two sessions, or leaves connections open that nobody uses."""
    world = World("192.0.2.1", "192.0.2.2")
    world.network.faults.latency_s = STEP_SECONDS * 0.8  # both are on their way when the first answers
    world.connector.begin(NAMED)
    world.reactor.run_for(2.0)
    assert world.told == [list(ADDRESSES), "192.0.2.1"]
    loser = world.listeners[1].accept()
    assert loser is not None
    with pytest.raises(ConnectionError):
        loser.receive_into(memoryview(bytearray(10)))


def test_a_dead_resolver_leaves_the_known_addresses() -> None:
    """Row 32. If this fails, a name server that is down keeps a client away from a server that is up."""
    world = World("192.0.2.2")
    world.network.faults.names["relay.example"] = ["192.0.2.2"]
    world.connector.begin(NAMED)
    world.reactor.run_for(0.1)
    world.connector.cancel()
    world.network.faults.names["relay.example"] = []
    world.told.clear()
    world.connector.begin(NAMED)
    world.reactor.run_for(0.1)
    reason = "relay.example: no address for relay.example; trying the addresses known from earlier"
    assert world.told == [[reason], ["192.0.2.2"], "192.0.2.2"]


def test_a_slow_resolver_is_not_waited_for_and_still_heard() -> None:
    """Row 32. If this fails, a name server that hangs costs a client half a minute, or a server that moved is lost."""
    world = World("192.0.2.2")
    world.network.faults.names["relay.example"] = ["192.0.2.9"]
    world.connector.begin(NAMED)
    world.reactor.run_for(0.1)
    world.connector.cancel()
    world.network.faults.cut.add("192.0.2.9")
    world.network.faults.names["relay.example"] = ["192.0.2.9", "192.0.2.2"]
    world.resolver_takes(3.0)
    world.told.clear()
    world.connector.begin(NAMED)
    world.reactor.run_for(STEP_SECONDS + 0.01)
    assert world.told == [["relay.example: no answer yet; trying the addresses known from earlier"], ["192.0.2.9"]]
    world.reactor.run_for(3.0)
    assert world.told[2:] == [["192.0.2.9", "192.0.2.2"], "192.0.2.2"]


def test_known_addresses_that_refuse_wait_for_the_resolver() -> None:
    """If this fails, a try ends with the old address's refusal although the new one was about to come."""
    world = World("192.0.2.2")
    world.network.faults.names["relay.example"] = ["192.0.2.9"]
    world.connector.begin(NAMED)
    world.reactor.run_for(0.1)
    world.network.faults.names["relay.example"] = ["192.0.2.2"]
    world.resolver_takes(2.0)
    world.told.clear()
    world.connector.begin(NAMED)
    world.reactor.run_for(3.0)
    assert world.told[1:] == [["192.0.2.9"], ["192.0.2.9", "192.0.2.2"], "192.0.2.2"]


def test_known_addresses_are_tried_again_while_the_resolver_hangs() -> None:
    """Row 32. If this fails, a server that restarts beside a dead resolver is missed for that one's half a minute."""
    world = World()
    world.network.faults.names["relay.example"] = ["192.0.2.2"]
    world.connector.begin(NAMED)
    world.reactor.run_for(0.1)
    world.resolver_takes(30.0)
    world.told.clear()
    dials = world.dials()
    world.connector.begin(NAMED)
    world.reactor.run_for(STEP_SECONDS + 0.01)
    world.network.listen(Endpoint("192.0.2.2", 8080))
    world.reactor.run_for(AGAIN_SECONDS)
    assert world.told[1:] == [["192.0.2.2"], "192.0.2.2"]
    assert len(dials) == 2


def test_an_end_of_the_hanging_resolver_ends_the_try() -> None:
    """If this fails, a try goes on for ever beside a dead server and a dead resolver, or ends twice."""
    world = World()
    world.network.faults.names["relay.example"] = ["192.0.2.2"]
    world.connector.begin(NAMED)
    world.reactor.run_for(0.1)
    world.network.faults.names["relay.example"] = []
    world.resolver_takes(10.0)
    world.told.clear()
    dials = world.dials()
    world.connector.begin(NAMED)
    world.reactor.run_for(60.0)
    assert len(dials) == 10, "once a second"
    assert [told for told in world.told if isinstance(told, tuple)] == [
        ("cannot connect to 192.0.2.2:8080: Connection refused",)
    ]


def test_an_answer_that_comes_after_the_race_is_kept_for_the_next() -> None:
    """If this fails, a late answer starts a second race beside a session, or is forgotten."""
    world = World("192.0.2.2")
    world.network.faults.names["relay.example"] = ["192.0.2.2"]
    world.connector.begin(NAMED)
    world.reactor.run_for(0.1)
    world.resolver_takes(1.0)
    world.connector.begin(NAMED)
    world.reactor.run_for(0.5)
    world.told.clear()
    world.network.faults.names["relay.example"] = ["192.0.2.3"]
    world.reactor.run_for(1.0)
    assert world.told == []
    world.connector.begin(NAMED)
    world.reactor.run_for(0.5)
    assert world.told[1] == ["192.0.2.3"]


def test_a_changed_network_gets_new_connections_at_once() -> None:
    """If this fails, a host that has just got its new network waits for the repetition of a packet that was lost."""
    world = World("192.0.2.1")
    world.network.faults.names["relay.example"] = ["192.0.2.1"]
    world.network.faults.cut.add("192.0.2.7")
    dials = world.dials()
    world.connector.begin(NAMED)
    world.reactor.run_for(3.0)
    world.connector.network_changed()
    world.reactor.run_for(0.1)
    assert dials == [(0.0, "192.0.2.1"), (3.0, "192.0.2.1")]
    world.network.mend("192.0.2.7")
    world.reactor.run_for(0.1)
    assert [told for told in world.told if isinstance(told, str)] == ["192.0.2.1"]
    world.connector.network_changed()
    world.reactor.run_for(0.1)
    assert len(dials) == 2, "a handshake under way is left alone"


def test_a_network_that_changes_all_the_time_has_a_bounded_number_of_connections() -> None:
    """If this fails, a flapping interface makes a client open sockets without end."""
    world = World()
    world.network.faults.names["relay.example"] = ["192.0.2.1"]
    world.network.faults.cut.add("192.0.2.7")
    made: list[MemoryStream] = []
    connect = world.network.connect

    def note(endpoint: Endpoint, max_segment_bytes: int = 0) -> MemoryStream:
        made.append(connect(endpoint, max_segment_bytes))
        return made[-1]

    world.network.connect = note  # type: ignore[method-assign]
    world.connector.begin(NAMED)
    for _ in range(100):
        world.connector.network_changed()
        world.reactor.run_for(0.05)
    assert len(made) == 20, "those of the last step get their chance first"
    assert sum(stream.fileno() >= 0 for stream in made) == MAX_CONNECTING
    world.reactor.run_for(60.0)
    assert [told for told in world.told if isinstance(told, tuple)] == [("no answer from 192.0.2.1:8080 within 10 s",)]
    tried = len(made)
    world.connector.network_changed()
    world.reactor.run_for(60.0)
    assert len(made) == tried, "nothing is tried any more"


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
    world.reactor.run_for(0.1)
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

    def connect_some(network_connect: Callable[[Endpoint], Stream], endpoint: Endpoint, segment_bytes: int) -> Stream:
        if endpoint.host == "192.0.2.1":
            raise OSError(101, "Network is unreachable")
        assert segment_bytes == 0
        return network_connect(endpoint)

    monkeypatch.setattr(world.network, "connect", partial(connect_some, connect))
    world.connector.begin(NAMED)
    world.reactor.run_for(1)
    assert world.told == [list(ADDRESSES), "192.0.2.2"]
