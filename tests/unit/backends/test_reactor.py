"""EpollReactor against the real kernel, on socket pairs; nothing here waits for longer than an event."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from rustun.backends.base import Source
from rustun.backends.reactor import BUSY_CALLS, LOOK_S, EpollReactor


@pytest.fixture
def reactor() -> Iterator[EpollReactor]:
    with EpollReactor() as made:
        yield made


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    left, right = socket.socketpair()
    with left, right:
        yield left, right


def run_turns(reactor: EpollReactor, turns: int) -> None:
    """Run exactly that many turns, idle ones too."""

    def count(left: int) -> None:
        if left:
            reactor.call_soon(lambda: count(left - 1))
        else:
            reactor.stop()

    reactor.call_soon(lambda: count(turns - 1))
    reactor.run()


def test_readable_is_level_triggered(reactor: EpollReactor, pair: tuple[socket.socket, socket.socket]) -> None:
    """If this fails, a session that leaves bytes in its socket at the end of its budget stalls."""
    left, right = pair
    seen = bytearray()

    def read_one() -> None:
        seen.extend(left.recv(1))
        if len(seen) == 3:
            reactor.stop()

    reactor.watch(left, read_one, None)
    right.send(b"abc")
    reactor.run()
    assert seen == b"abc"


def test_hang_up_reaches_both_callbacks(reactor: EpollReactor, pair: tuple[socket.socket, socket.socket]) -> None:
    """If this fails, a dead connection that only waits to write is never noticed."""
    left, right = pair
    called: list[str] = []
    reactor.watch(left, lambda: called.append("readable"), lambda: called.append("writable"))
    right.close()
    run_turns(reactor, 1)
    assert called == ["readable", "writable"]


def test_each_ready_source_once_per_turn(reactor: EpollReactor) -> None:
    """If this fails, one busy connection starves the others."""
    pairs = [socket.socketpair() for _ in range(5)]
    called: list[int] = []
    try:
        for number, (left, _) in enumerate(pairs):
            reactor.watch(left, None, lambda number=number: called.append(number))  # type: ignore[misc]
        run_turns(reactor, 3)
    finally:
        for left, right in pairs:
            left.close()
            right.close()
    turns = [called[start : start + 5] for start in range(0, len(called), 5)]
    assert len(turns) == 3
    assert all(sorted(turn) == [0, 1, 2, 3, 4] for turn in turns)


CROWD = "abcdefgh"


@pytest.mark.parametrize("turn_s", [0.002, 0.0001])
def test_who_needs_little_does_not_wait_for_a_crowd(
    reactor: EpollReactor, monkeypatch: pytest.MonkeyPatch, turn_s: float
) -> None:
    """If this fails, a ping beside fifty members who send all they can takes fifty turns, or the crowd gets none."""
    clock = [0.0]
    monkeypatch.setattr(reactor, "now", lambda: clock[0])
    pairs = {name: socket.socketpair() for name in (*CROWD, "light")}
    called: list[str] = []
    warm: list[bool] = []

    def on_ready(name: str) -> None:
        called.append(name)
        clock[0] += turn_s
        if name == "light":
            pairs[name][0].recv(9)
        elif len(called) % 9 in (2, 6) and warm:  # twice in a turn a packet comes, while one of the crowd has his turn
            pairs["light"][1].send(b"x")

    try:
        for name, (near, far) in pairs.items():
            reactor.watch(near, lambda name=name: on_ready(name), None)  # type: ignore[misc]
            if name != "light":
                far.send(b"x")
        run_turns(reactor, BUSY_CALLS)
        warm.append(True)
        called.clear()
        run_turns(reactor, 1)
        first = list(called)
        run_turns(reactor, 2)
    finally:
        for near, far in pairs.values():
            near.close()
            far.close()
    assert sorted(set(first) - {"light"}) == list(CROWD)
    assert [first[place] for place in (2, 6)] == ["light"] * 2 if turn_s > LOOK_S else "light" not in first
    assert all(called.count(name) == 3 for name in CROWD), "none of the crowd is called twice in a turn, or left out"


def test_unwatch_silences_an_event_of_the_same_batch(reactor: EpollReactor) -> None:
    """If this fails, a session closed by another one's callback is called back after its end."""
    first, second = socket.socketpair()
    called: list[Source] = []

    def on_writable(me: socket.socket, other: socket.socket) -> Callable[[], None]:
        def call() -> None:
            called.append(me)
            reactor.unwatch(other)

        return call

    with first, second:
        reactor.watch(first, None, on_writable(first, second))
        reactor.watch(second, None, on_writable(second, first))
        run_turns(reactor, 1)
    assert len(called) == 1


def test_stale_event_is_not_given_to_the_next_owner_of_a_number(reactor: EpollReactor) -> None:
    """If this fails, a new connection reads because an old one with the same descriptor number was ready."""
    first, second = socket.socketpair()
    replacement, its_peer = socket.socketpair()
    reused: list[str] = []
    originals = {first: second, second: first}
    fresh: list[socket.socket] = []

    def replace_the_other(me: socket.socket) -> None:
        other = originals[me]
        number = other.fileno()
        reactor.unwatch(other)
        reactor.unwatch(me)
        other.detach()
        os.dup2(replacement.fileno(), number)
        fresh.append(socket.socket(fileno=number))
        reactor.watch(fresh[0], lambda: reused.append("called"), None)

    with first, second, replacement, its_peer:
        for sock in originals:
            reactor.watch(sock, None, lambda sock=sock: replace_the_other(sock))  # type: ignore[misc]
        run_turns(reactor, 3)
        assert reused == []
        its_peer.send(b"x")
        run_turns(reactor, 1)
        assert reused == ["called"]
        reactor.unwatch(fresh[0])
        fresh[0].close()


def test_watching_a_number_that_was_closed_without_unwatch(reactor: EpollReactor) -> None:
    """If this fails, one forgotten unwatch breaks the next connection that gets the number."""
    first, second = socket.socketpair()
    calls: list[str] = []
    reactor.watch(first, lambda: calls.append("old"), None)
    number = first.fileno()
    first.close()
    second.close()
    third, fourth = socket.socketpair()
    with third, fourth:
        assert number in (third.fileno(), fourth.fileno())
        again, other = (third, fourth) if third.fileno() == number else (fourth, third)
        reactor.watch(again, lambda: calls.append("new"), None)
        other.send(b"x")
        run_turns(reactor, 1)
    assert calls == ["new"]


def test_watch_replaces_what_was_watched(reactor: EpollReactor, pair: tuple[socket.socket, socket.socket]) -> None:
    """If this fails, a client that stops reading its TUN while the socket is full goes on reading."""
    left, right = pair
    calls: list[str] = []
    right.send(b"x")
    reactor.watch(left, lambda: calls.append("readable"), None)
    reactor.watch(left, None, lambda: calls.append("writable"))
    run_turns(reactor, 1)
    reactor.watch(left, None, None)
    run_turns(reactor, 1)
    assert calls == ["writable"]


def test_callback_that_fails_is_unwatched_and_reported(pair: tuple[socket.socket, socket.socket]) -> None:
    """If this fails, one broken callback takes a whole core or the whole server."""
    left, right = pair
    errors: list[tuple[Source | None, Exception]] = []
    with EpollReactor(lambda source, error: errors.append((source, error))) as reactor:
        calls: list[int] = []

        def broken() -> None:
            calls.append(1)
            raise LookupError("broken on purpose")

        right.send(b"x")
        reactor.watch(left, broken, broken)
        reactor.call_soon(broken)
        reactor.call_at(reactor.now(), broken)
        run_turns(reactor, 4)
    assert sorted(source is left for source, _ in errors) == [False, False, True]
    assert {str(error) for _, error in errors} == {"broken on purpose"}
    assert len(calls) == 3


def test_errors_end_run_by_default(reactor: EpollReactor) -> None:
    """If this fails, a test or a tool without an error hook hangs instead of showing what broke."""

    def broken() -> None:
        raise LookupError("broken on purpose")

    reactor.call_soon(broken)
    with pytest.raises(LookupError, match="broken on purpose"):
        reactor.run()


def test_timers_in_order_and_never_early(reactor: EpollReactor) -> None:
    """If this fails, timeouts come before their time or out of order."""
    start = reactor.now()
    seen: list[tuple[str, float]] = []

    def note(word: str) -> Callable[[], None]:
        return lambda: seen.append((word, reactor.now() - start))

    reactor.call_at(start + 0.004, reactor.stop)
    reactor.call_at(start + 0.003, note("later"))
    reactor.call_at(start + 0.001, note("first"))
    reactor.call_at(start + 0.001, note("second"))
    reactor.call_at(start + 0.002, note("cancelled")).cancel()
    reactor.run()
    assert [word for word, _ in seen] == ["first", "second", "later"]
    assert seen[0][1] >= 0.001
    assert seen[2][1] >= 0.003


def test_timer_and_soon_that_ask_for_themselves_do_not_starve_sources(
    reactor: EpollReactor, pair: tuple[socket.socket, socket.socket]
) -> None:
    """If this fails, a callback that asks for itself again at once keeps the server from serving anybody."""
    left, right = pair

    def again_soon() -> None:
        reactor.call_soon(again_soon)

    def again_now() -> None:
        reactor.call_at(reactor.now(), again_now)

    again_soon()
    again_now()
    reactor.watch(left, reactor.stop, None)
    right.send(b"x")
    reactor.run()


def test_call_soon_comes_after_sources(reactor: EpollReactor, pair: tuple[socket.socket, socket.socket]) -> None:
    """If this fails, a flush asked for by one session happens before the others of the batch had their turn."""
    left, right = pair
    order: list[str] = []
    right.send(b"x")
    reactor.watch(left, lambda: order.append("source"), None)
    reactor.call_soon(lambda: order.append("soon"))
    run_turns(reactor, 1)
    assert order == ["source", "soon"]


def test_thread_hands_back_results_and_exceptions(reactor: EpollReactor) -> None:
    """If this fails, resolving a name hangs the client or loses the reason why it failed."""
    got: list[object] = []
    threads: list[str] = []

    def done(result: object) -> None:
        got.append(result)
        threads.append(threading.current_thread().name)
        if len(got) == 2:
            reactor.stop()

    def fail() -> str:
        raise OSError("no such name")

    reactor.run_in_thread(lambda: "fine", done)
    reactor.run_in_thread(fail, done)
    reactor.run()
    assert {str(item) for item in got} == {"fine", "no such name"}
    assert set(threads) == {threading.current_thread().name}


def test_thread_that_ends_after_close_is_ignored() -> None:
    """If this fails, a name that resolves late calls into a client that has ended."""
    release, ended = threading.Event(), threading.Event()
    got: list[object] = []
    reactor = EpollReactor()

    def work() -> None:
        release.wait()

    def watch_end() -> None:
        for thread in threading.enumerate():
            if thread.name == "rustun-blocking":
                thread.join()
        ended.set()

    reactor.run_in_thread(work, got.append)
    watcher = threading.Thread(target=watch_end)
    watcher.start()
    reactor.close()
    release.set()
    assert ended.wait(5)
    watcher.join()
    assert got == []


def test_signal_is_a_callback_and_the_former_handler_returns() -> None:
    """If this fails, SIGTERM does not end the server in order, or a test runner loses its own handler."""
    before = signal.getsignal(signal.SIGUSR1)
    with EpollReactor() as reactor:
        seen: list[str] = []

        def on_signal() -> None:
            seen.append("usr1")
            reactor.stop()

        reactor.on_signal(signal.SIGUSR1, on_signal)
        reactor.call_soon(lambda: os.kill(os.getpid(), signal.SIGUSR1))
        reactor.run()
    assert seen == ["usr1"]
    assert signal.getsignal(signal.SIGUSR1) == before


def test_stop_before_run(reactor: EpollReactor) -> None:
    """If this fails, a client that is stopped while it sets itself up runs on."""
    reactor.stop()
    reactor.run()


def test_close_is_final_and_gives_descriptors_back() -> None:
    """If this fails, each restart inside one process leaks descriptors."""
    before = set(os.listdir("/proc/self/fd"))
    reactor = EpollReactor()
    reactor.close()
    reactor.close()
    assert set(os.listdir("/proc/self/fd")) == before
