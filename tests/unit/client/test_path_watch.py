"""When a session comes into doubt, and when the doubt is over: the rules at the top of path_watch.py, one by one."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import pytest

from rustun.backends.base import PathReport
from rustun.backends.memory import VirtualReactor
from rustun.client.path_watch import (
    LEAST_PROBE_SECONDS,
    LOOK_SECONDS,
    PATIENCE_SECONDS,
    PROBE_SECONDS,
    STALL_SECONDS,
    Doubt,
    PathWatch,
)
from rustun.client.session import ClientSession


class Stream:
    """A connection as a kernel would describe it."""

    def __init__(self) -> None:
        self.report: PathReport | None = PathReport(1000, 0, 0, 1448, 1000, 10, 536)
        self.stranded = False

    def path(self) -> PathReport | None:
        return self.report

    def is_stranded(self) -> bool:
        return self.stranded


class Session:
    """What a watch sees of a session; the test hears and answers for it."""

    def __init__(self, reactor: VirtualReactor) -> None:
        self.reactor = reactor
        self.stream = Stream()
        self.heard_at = self.proved_at = reactor.now()
        self.asked_at: float | None = None
        self.rtt_ms: float | None = None
        self.asks: list[float] = []
        self.answers = True

    def ask(self) -> None:
        self.asks.append(round(self.reactor.now(), 3))
        if self.answers:
            self.heard_at = self.proved_at = self.reactor.now()
        elif self.asked_at is None:
            self.asked_at = self.reactor.now()


class World:
    """A watch, and what it says."""

    def __init__(self) -> None:
        self.reactor = VirtualReactor()
        self.session = Session(self.reactor)
        self.doubts: list[Doubt] = []
        self.trusted: list[float] = []
        self.watch = PathWatch(
            self.reactor,
            cast(ClientSession, self.session),
            self.doubts.append,
            lambda: self.trusted.append(self.reactor.now()),
        )

    def path(self, **changes: int) -> None:
        """Change what the kernel says."""
        assert self.session.stream.report is not None
        self.session.stream.report = replace(self.session.stream.report, **changes)

    def run(self, seconds: float) -> None:
        self.reactor.run_for(seconds)


def test_an_idle_session_is_asked_once_and_left_alone() -> None:
    """If this fails, idle tunnels chatter, or a client that was told nothing at the start never finds out."""
    world = World()
    world.run(600.0)
    assert world.session.asks == [LOOK_SECONDS]
    assert world.doubts == []


def test_a_session_that_falls_silent_is_asked_once() -> None:
    """If this fails, a transfer that stands still on its way to us is noticed a keepalive later, or asked for ever."""
    world = World()
    world.run(5.5)
    world.session.heard_at = world.reactor.now()  # a packet came
    world.run(60.0)
    assert world.session.asks[1:] == [7.0]
    world.path(acked_bytes=5000)  # a packet went
    world.run(60.0)
    assert len(world.session.asks) == 3
    assert world.doubts == []


def test_what_goes_on_sending_is_asked_each_second() -> None:
    """If this fails, nobody notices that a server takes packets and gives none."""
    world = World()
    for number in range(20):
        world.path(acked_bytes=2000 + number)
        world.run(1.0)
    assert 8 <= len(world.session.asks) <= 20


@pytest.mark.parametrize(
    ("outstanding", "segment", "narrow"), [(5000, 1448, True), (100, 1448, False), (5000, 1208, False)]
)
def test_bytes_that_nobody_acknowledges(outstanding: int, segment: int, narrow: bool) -> None:
    """If this fails, a dead connection is kept for a minute, or small segments are taken where they do not help."""
    world = World()
    world.run(10.5)
    world.path(outstanding_bytes=outstanding, timeouts=1, segment_bytes=segment)
    world.run(PATIENCE_SECONDS - LOOK_SECONDS)
    assert world.doubts == [], "it was sent again once: the kernel is at it"
    world.path(timeouts=2)
    world.run(1.0)
    assert [(doubt.narrow, doubt.carried_full) for doubt in world.doubts] == [(narrow, False)]
    world.run(60.0)
    assert len(world.doubts) == 1
    assert world.trusted == []
    world.session.heard_at = world.reactor.now()
    world.run(2.0)
    assert world.trusted == [], "the other direction works, and that is not it"
    world.path(acked_bytes=1500)
    world.run(1.0)
    assert len(world.trusted) == 1
    assert world.watch.doubt is None


@pytest.mark.parametrize("answers", [True, False])
def test_a_standstill_tells_what_was_carried(answers: bool) -> None:
    """If this fails, whoever is cut off in the middle of a transfer has small segments for an hour."""
    world = World()
    world.run(10.5)
    world.path(received_segment_bytes=1448)
    world.run(1.0)
    world.path(received_segment_bytes=536)
    world.session.answers = answers
    if answers:
        world.path(outstanding_bytes=5000, timeouts=2)
    else:
        world.session.ask()
    world.run(5.0)
    assert [(doubt.narrow, doubt.carried_full) for doubt in world.doubts] == [(True, True)]


def test_a_standstill_takes_its_time() -> None:
    """If this fails, a packet that is lost twice costs a session, or a standstill is noticed late."""
    world = World()
    world.run(10.5)
    world.path(outstanding_bytes=5000, timeouts=3)
    world.run(STALL_SECONDS - 0.1)
    assert world.doubts == []
    world.run(LOOK_SECONDS)
    assert len(world.doubts) == 1
    assert not world.doubts[0].at_once


@pytest.mark.parametrize("timeouts", [0, 1])
def test_a_kernel_that_tries_again_seldom(timeouts: int) -> None:
    """If this fails, a host that was busy waits long for a dead path, or a session that waits its turn is doubted."""
    world = World()
    world.run(10.5)
    world.path(outstanding_bytes=5000, timeouts=timeouts)
    world.run(PATIENCE_SECONDS + LOOK_SECONDS)
    assert len(world.doubts) == timeouts


def test_a_question_that_is_not_answered() -> None:
    """If this fails, full segments that vanish on the way to us are never thought of."""
    world = World()
    world.run(10.5)
    world.session.answers = False
    world.session.ask()
    world.run(STALL_SECONDS - 0.1)
    assert world.doubts == []
    world.run(LOOK_SECONDS + 0.1)
    assert [doubt.narrow for doubt in world.doubts] == [True]
    world.path(acked_bytes=2000)
    world.run(2.0)
    assert world.trusted == [], "acknowledgements come all the time"
    world.session.heard_at = world.reactor.now()
    world.run(1.0)
    assert len(world.trusted) == 1


def test_an_answer_that_waits_behind_others_is_no_standstill() -> None:
    """If this fails, a download that fills a slow link is thrown away for a dead one."""
    world = World()
    world.run(10.5)
    world.session.answers = False
    world.session.ask()
    for _ in range(20):
        world.run(1.0)
        world.session.heard_at = world.reactor.now()
    assert world.doubts == []


@pytest.mark.parametrize(
    ("rtt_ms", "patience_s"), [(None, LEAST_PROBE_SECONDS), (50.0, 0.4), (150.0, PROBE_SECONDS), (600.0, 1.1)]
)
def test_a_probe_waits_some_round_trips(rtt_ms: float | None, patience_s: float) -> None:
    """If this fails, a host that changed networks waits longer than it must, or drops what only takes its time."""
    world = World()
    world.run(5.5)
    world.session.rtt_ms, world.session.answers = rtt_ms, False
    world.watch.probe()
    world.run(patience_s - 0.01)
    assert world.doubts == []
    world.run(0.02)
    assert [(doubt.at_once, doubt.final, doubt.narrow) for doubt in world.doubts] == [(True, False, False)]


@pytest.mark.parametrize("sign", ["a frame", "an acknowledgement"])
def test_any_sign_of_life_answers_a_probe(sign: str) -> None:
    """If this fails, a loaded session that works is left whenever a container starts on its host."""
    world = World()
    world.run(5.5)
    world.session.answers = False
    world.watch.probe()
    world.run(0.1)
    if sign == "a frame":
        world.session.heard_at = world.reactor.now()
    else:
        world.path(acked_bytes=1001)
    world.run(1.0)
    assert world.doubts == []


def test_an_answer_from_before_a_second_change_does_not_count() -> None:
    """If this fails, a cable that is pulled a moment after another change is noticed three seconds late."""
    world = World()
    world.run(5.5)
    world.watch.probe()
    world.run(0.1)
    world.session.heard_at = world.reactor.now()
    world.session.answers = False
    world.watch.probe()
    world.run(LEAST_PROBE_SECONDS - 0.01)
    assert world.doubts == []
    world.run(0.02)
    assert [doubt.at_once for doubt in world.doubts] == [True]


def test_changes_without_end_do_not_put_a_judgement_off() -> None:
    """If this fails, an interface that flaps keeps a dead session in use."""
    world = World()
    world.run(5.5)
    world.session.answers = False
    for _ in range(10):
        world.watch.probe()
        world.run(0.05)
    assert len(world.doubts) == 1
    assert len(world.session.asks) == 2, "at the start, and once for all these changes"


def test_a_stranded_session_is_not_asked() -> None:
    """If this fails, a host waits for an answer to an address that it does not have."""
    world = World()
    world.run(5.5)
    asks = len(world.session.asks)
    world.session.stream.stranded = True
    world.watch.probe()
    assert [doubt.final for doubt in world.doubts] == [True]
    assert len(world.session.asks) == asks


def test_a_doubt_that_is_over_is_found_when_somebody_looks() -> None:
    """If this fails, a session that recovered a moment ago is left for a new one."""
    world = World()
    world.run(5.5)
    world.session.answers = False
    world.watch.probe()
    world.run(PROBE_SECONDS)
    assert world.watch.review() is world.doubts[0]
    world.session.heard_at = world.reactor.now()
    assert world.watch.review() is None


def test_a_watch_that_was_stopped_says_nothing() -> None:
    """If this fails, a session that ended takes the next one with it."""
    world = World()
    world.run(5.5)
    world.session.answers = False
    world.watch.probe()
    world.path(outstanding_bytes=5000, timeouts=5)
    world.watch.stop()
    world.run(60.0)
    assert world.doubts == []


def test_a_kernel_that_does_not_say_is_believed() -> None:
    """If this fails, an old kernel has its sessions thrown away, or a traceback in its log."""
    world = World()
    world.session.stream.report = None
    world.run(60.0)
    world.watch.probe()
    world.run(0.1)
    world.session.heard_at = world.reactor.now()
    world.run(1.0)
    assert world.doubts == []
