"""Whose handshake comes next, and how much time all of them get, by a clock that the test drives."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from rustun.backends.memory import VirtualReactor
from rustun.relay.handshake_queue import DOUBT_SECONDS, SLICE_SECONDS, HandshakeQueue

HANDSHAKE_S = 0.0003
PACKETS_S = 0.0002


class Loop:
    """A loop in which handshakes take time, and packets too while there are some."""

    def __init__(self, max_sources: int = 100, max_doubtful: int = 1000) -> None:
        self.reactor = VirtualReactor()
        self.turns = 0
        self.done: list[str] = []
        self.spent = 0.0
        self.longest_slice = 0.0
        self.serve: Callable[[str], None] = lambda handshake: None
        self.queue: HandshakeQueue[str] = HandshakeQueue(
            self.reactor, lambda: self.turns, self._shake_hands, max_sources, max_doubtful
        )

    def _shake_hands(self, handshake: str) -> None:
        self.done.append(handshake)
        self.spent += HANDSHAKE_S
        self.reactor.suspend(HANDSHAKE_S)
        self.serve(handshake)

    def turn(self, packets_s: float = 0.0) -> None:
        """Take one turn of the loop; with packets they come first, as sources do. Without, it waits for a timer."""
        if packets_s:
            self.turns += 1
            self.reactor.suspend(packets_s)
        before = self.spent
        if not self.reactor._turn() and not packets_s:
            self.reactor.suspend(0.001)
        self.longest_slice = max(self.longest_slice, self.spent - before)

    def put(self, source: str, count: int = 1) -> None:
        """Let handshakes of a source wait, named by it."""
        for number in range(count):
            self.queue.put(f"{source}.{number}", source)


def test_while_packets_wait_handshakes_get_half_of_the_time() -> None:
    """If this fails, a fleet that comes back takes the loop from the members that are there."""
    loop = Loop(100_000)
    rng = random.Random(1)
    for number in range(5000):
        loop.put(f"source {number}")
    began = loop.reactor.now()
    for _ in range(3000):
        loop.turn(rng.choice((PACKETS_S / 10, PACKETS_S, 5 * PACKETS_S)))
        others = loop.reactor.now() - began - loop.spent
        assert loop.spent <= others + SLICE_SECONDS + HANDSHAKE_S
    assert loop.spent > 0.4 * (loop.reactor.now() - began)


def test_doubtful_sources_get_a_twentieth() -> None:
    """If this fails, a thousand handshakes a second that prove nothing take half of a member's transfer."""
    loop = Loop()
    for number in range(50):
        loop.put(f"source {number}")
    while loop.queue:
        loop.turn()
    for number in range(50):
        loop.put(f"source {number}", 16)
    loop.spent, began = 0.0, loop.reactor.now()
    for _ in range(5000):
        loop.turn(PACKETS_S)
    share = loop.spent / (loop.reactor.now() - began)
    assert 0.045 < share < 0.055


def test_while_nobody_waits_handshakes_take_all_the_time() -> None:
    """If this fails, an idle server takes twice as long to let a fleet in."""
    loop = Loop()
    for number in range(100):
        loop.put(f"source {number}", 2)
    while loop.queue:
        loop.turn()
    assert loop.reactor.now() == pytest.approx(200 * HANDSHAKE_S)
    assert loop.longest_slice <= SLICE_SECONDS + HANDSHAKE_S, "a packet that comes now waits too long"


def test_idle_time_is_not_saved_up() -> None:
    """If this fails, an hour without handshakes is followed by an hour without packets."""
    loop = Loop(100_000)
    loop.turn(PACKETS_S)
    loop.reactor.suspend(3600)
    for number in range(1000):
        loop.put(f"source {number}")
    for _ in range(20):
        loop.turn(PACKETS_S)
    assert loop.spent <= 20 * PACKETS_S + SLICE_SECONDS + HANDSHAKE_S


def test_what_one_slice_overdraws_is_missing_from_the_next() -> None:
    """If this fails, handshakes that come one by one are never charged."""
    loop = Loop(100_000)
    began = loop.reactor.now()
    for number in range(2000):
        loop.put(f"source {number}")
        loop.turn(PACKETS_S / 4)
    assert loop.spent <= 0.55 * (loop.reactor.now() - began)


@pytest.mark.parametrize("interrupted", ["source.0", "source.1"])
def test_a_host_that_slept_during_a_handshake_goes_on_as_before(interrupted: str) -> None:
    """If this fails, a server that was halted for a minute lets nobody in for as long, or for 19 times as long."""
    loop = Loop()
    loop.serve = lambda handshake: loop.reactor.suspend(60.0) if handshake == interrupted else None
    loop.put("source", 2)
    while interrupted not in loop.done:
        loop.turn(PACKETS_S)
    loop.put("newcomer", 2)
    awake = loop.reactor.now()
    while loop.queue:
        loop.turn(PACKETS_S)
    assert loop.reactor.now() - awake < 1.0


def test_sources_take_turns() -> None:
    """If this fails, who sends most handshakes is served most."""
    loop = Loop()
    loop.put("flood", 16)
    loop.put("a", 2)
    loop.put("b")
    while loop.queue:
        loop.turn()
    assert [one for one in loop.done if one.endswith(".0")] == ["flood.0", "a.0", "b.0"]
    assert loop.done.index("b.0") < 4
    assert loop.done.index("a.1") < loop.done.index("flood.3")
    assert len(loop.done) == 19


def test_a_newcomer_overtakes_those_who_prove_nothing() -> None:
    """If this fails, an honest newcomer waits behind a thousand handshakes that lead nowhere."""
    loop = Loop(1000)
    for number in range(500):
        loop.put(f"bad {number}", 3)
    for _ in range(500):
        loop.turn()
    loop.done.clear()
    loop.put("newcomer")
    loop.turn()
    loop.turn()
    assert "newcomer.0" in loop.done


def test_doubtful_sources_are_not_starved() -> None:
    """If this fails, a member whose last attempt broke off is locked out by a stream of new sources."""
    loop = Loop(1000)
    loop.put("unlucky")
    loop.turn()
    loop.done.clear()
    for number in range(100):
        loop.put(f"new {number}")
    loop.put("unlucky")
    while "unlucky.0" not in loop.done:
        loop.turn()
    assert len(loop.done) <= 20


def test_who_proved_its_keys_is_doubtful_no_more() -> None:
    """If this fails, a member behind a shared address waits like an attacker after its first connection."""
    loop = Loop()
    loop.put("member")
    loop.turn()
    for number in range(8):
        loop.put(f"bad {number}", 3)
    while "bad 7.0" not in loop.done:
        loop.turn()
    loop.put("member")
    loop.done.clear()
    loop.queue.proved("member")
    loop.queue.proved("nobody")
    loop.turn()
    loop.turn()
    assert "member.0" in loop.done[:2]


def test_who_left_is_not_served() -> None:
    """If this fails, closed connections cost Diffie-Hellman, or the queue grows without bound."""
    loop = Loop()
    loop.put("a", 3)
    loop.put("b")
    loop.queue.remove("a.1")
    loop.queue.remove("b.0")
    loop.queue.remove("b.0")
    loop.serve = lambda handshake: loop.queue.remove("a.2")  # as when one takeover closes another handshake
    while loop.queue:
        loop.turn()
    assert loop.done == ["a.0"]
    assert all(not of_round.sources for of_round in loop.queue._rounds)


def test_doubtful_sources_fill_part_of_the_queue() -> None:
    """If this fails, handshakes that lead nowhere crowd those out who have not said a word yet."""
    loop = Loop(max_doubtful=10)
    for number in range(12):
        loop.put(f"bad {number}")
    while loop.queue:
        loop.turn()
    victims = [loop.queue.put(f"bad {number}.1", f"bad {number}") for number in range(12)]
    assert victims == [None] * 10 + ["bad 10.1", "bad 11.1"], "who waits comes to its turn"
    assert [loop.queue.put(f"good {number}", f"good {number}") for number in range(12)] == [None] * 12
    assert len(loop.queue) == 22


def test_who_floods_pays_for_a_full_queue() -> None:
    """If this fails, a member whose first key failed is closed again and again, since others fill the queue."""
    loop = Loop(max_doubtful=10)
    for source in ("honest", "flood"):
        loop.put(source)
    while loop.queue:
        loop.turn()
    assert loop.queue.put("honest.1", "honest") is None
    victims = [loop.queue.put(f"flood.{number}", "flood") for number in range(1, 20)]
    assert victims == [None] * 9 + [f"flood.{number}" for number in range(1, 11)]


def test_doubt_ends() -> None:
    """If this fails, one failed attempt puts everybody behind an address among attackers until somebody proves keys."""
    loop = Loop()
    loop.put("neighbour")
    loop.turn()
    loop.reactor.suspend(DOUBT_SECONDS - 1)
    loop.put("neighbour")
    assert loop.queue._rounds[1].size == 1
    loop.turn()
    loop.reactor.suspend(DOUBT_SECONDS - 1)
    loop.put("neighbour")
    assert loop.queue._rounds[1].size == 1, "it failed again meanwhile"
    loop.reactor.suspend(1)
    loop.put("other")
    assert loop.queue._rounds[0].size == 2


@pytest.mark.parametrize("seed", range(4))
def test_nothing_is_lost_or_served_twice(seed: int) -> None:
    """If this fails, a client waits for an answer that nobody will give."""
    rng = random.Random(seed)
    loop = Loop(max_sources=16)
    waiting: set[str] = set()
    loop.serve = waiting.remove
    for number in range(3000):
        source = f"source {rng.randrange(40)}"
        roll = rng.random()
        if roll < 0.5:
            waiting.add(f"{number}")
            loop.queue.put(f"{number}", source)
        elif roll < 0.6 and waiting:
            left = rng.choice(sorted(waiting))
            waiting.remove(left)
            loop.queue.remove(left)
        elif roll < 0.7:
            loop.queue.proved(source)
        else:
            loop.turn(rng.choice((0.0, PACKETS_S)))
        assert len(loop.queue) == len(waiting)
        assert len(loop.queue._doubtful) <= 16
        for is_doubtful, of_round in enumerate(loop.queue._rounds):
            assert all((source in loop.queue._doubtful) == is_doubtful for source in of_round.sources)
            assert of_round.size == sum(map(len, of_round.sources.values()))
    while waiting:
        loop.turn()
