"""What a service manager hears, in virtual time."""

from __future__ import annotations

import pytest

from rustun.backends.memory.reactor import VirtualReactor
from rustun.cli.supervision import LOOK_SECONDS, STATUS_SECONDS, Supervision, Vitals

WATCHDOG_S = 9.0


class Listener:
    """A service manager that notes what it hears and when; `room` is how much it takes before somebody reads."""

    def __init__(self, reactor: VirtualReactor, watchdog_s: float | None = None) -> None:
        self.watchdog_s = watchdog_s
        self.room = 1000
        self.heard: list[tuple[float, str]] = []
        self.closed = False
        self._reactor = reactor

    def send(self, message: str) -> bool:
        assert not self.closed
        if len(self.heard) >= self.room:
            return False
        self.heard.append((round(self._reactor.now(), 3), message))
        return True

    def close(self) -> None:
        self.closed = True

    @property
    def words(self) -> list[str]:
        return [message.split("\nMONOTONIC_USEC=")[0] for _, message in self.heard]


class World:
    """A service that says `line` of itself, and its supervision."""

    def __init__(self, watchdog_s: float | None = None) -> None:
        self.reactor = VirtualReactor()
        self.listener = Listener(self.reactor, watchdog_s)
        self.line = "0 of 3 members online"
        self.is_reloading = False
        self.supervision = Supervision(
            self.reactor, self.listener, Vitals(lambda: self.line, lambda: self.is_reloading)
        )  # fmt: skip

    def run(self, seconds: float) -> None:
        self.reactor.run_until(self.reactor.now() + seconds)


def test_ready_comes_with_the_first_status() -> None:
    """systemd waits for a service that serves, or shows nothing of it."""
    world = World()
    world.supervision.ready()
    assert world.listener.words == ["READY=1\nSTATUS=0 of 3 members online"]


def test_the_status_is_told_when_it_has_changed() -> None:
    """`systemctl status` shows how the service did an hour ago, or the service manager is told the same for ever."""
    world = World()
    world.supervision.ready()
    world.run(4 * STATUS_SECONDS)
    world.line = "1 of 3 members online"
    world.run(4 * STATUS_SECONDS)
    assert world.listener.words[1:] == ["STATUS=1 of 3 members online"]


@pytest.mark.parametrize(("watchdog_s", "every_s"), [(9.0, 3.0), (600.0, 200.0)])
def test_signs_of_life(watchdog_s: float, every_s: float) -> None:
    """A service that does well is killed for its silence."""
    world = World(watchdog_s)
    world.supervision.ready()
    world.run(5.5 * every_s)
    times = [time for time, message in world.listener.heard if message == "WATCHDOG=1"]
    assert times == [number * every_s for number in range(6)]
    assert every_s <= watchdog_s / 3


def test_nobody_who_looks_no_sign() -> None:
    """A unit without WatchdogSec= is woken up, and its service manager, for nothing."""
    world = World()
    world.supervision.ready()
    world.run(10 * STATUS_SECONDS)
    assert "WATCHDOG=1" not in world.listener.words


def test_a_status_that_cannot_be_told_does_not_end_the_signs() -> None:
    """A defect in a line for people gets the service killed."""
    errors: list[Exception] = []
    world = World(WATCHDOG_S)
    world.reactor = VirtualReactor(on_error=lambda source, error: errors.append(error))
    world.listener = Listener(world.reactor, WATCHDOG_S)

    def headline() -> str:
        if world.reactor.now() > 1:
            raise ValueError("a defect")
        return "fine"

    supervision = Supervision(world.reactor, world.listener, Vitals(headline, lambda: False))
    supervision.ready()
    world.run(3 * WATCHDOG_S)
    assert len(errors) == 3 * WATCHDOG_S // STATUS_SECONDS
    assert world.listener.words.count("WATCHDOG=1") == 10


def test_a_reload_is_told_from_its_beginning_to_its_end() -> None:
    """`systemctl reload` comes back before the configuration is in force, or never."""
    world = World()
    world.supervision.ready()
    world.is_reloading = True
    world.supervision.reloading()
    world.run(1.0)
    assert world.listener.words[1:] == ["RELOADING=1"]
    assert world.listener.heard[1][1].rpartition("=")[2].isdecimal()
    world.is_reloading = False
    world.run(LOOK_SECONDS)
    assert world.listener.words[2:] == ["READY=1"]
    world.run(1.0)
    assert len(world.listener.heard) == 3


def test_two_reloads_at_once_end_once() -> None:
    """The second of two reloads is told as over while the first one runs, or one is never over."""
    world = World()
    world.supervision.ready()
    world.is_reloading = True
    world.supervision.reloading()
    world.run(0.6 * LOOK_SECONDS)
    world.supervision.reloading()
    world.run(1.0)
    world.is_reloading = False
    world.run(1.0)
    assert world.listener.words[1:] == ["RELOADING=1", "RELOADING=1", "READY=1"]


def test_the_end_is_told_with_its_reason() -> None:
    """A service that ends by a failure leaves no word of it in `systemctl status`."""
    world = World()
    world.supervision.ready()
    world.is_reloading = True
    world.supervision.reloading()
    world.supervision.stopping('the server does not know "bj-\ndev"')
    world.is_reloading = False
    world.run(LOOK_SECONDS)
    assert world.listener.words[2:] == ['STOPPING=1\nSTATUS=the server does not know "bj-\\ndev"']


def test_a_busy_service_manager_hears_it_later_and_in_order() -> None:
    """One datagram that found no room leaves a service that never gets ready."""
    world = World(WATCHDOG_S)
    world.listener.room = 0
    world.supervision.ready()
    world.supervision.reloading()
    world.run(1.0)
    assert world.listener.heard == []
    world.listener.room = 1000
    world.run(LOOK_SECONDS)
    assert world.listener.words == ["READY=1\nSTATUS=0 of 3 members online", "RELOADING=1", "READY=1"]


def test_after_the_end_nothing_is_told() -> None:
    """A timer fires into a closed socket."""
    world = World(WATCHDOG_S)
    world.listener.room = 0
    world.supervision.ready()
    world.supervision.reloading()
    world.supervision.close()
    assert world.listener.closed
    world.run(10 * WATCHDOG_S)
    assert world.listener.heard == []
