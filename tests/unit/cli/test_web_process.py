"""The web process beside a tunnel, in virtual time: started, watched, started again, and never waited for."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from socket import socket
from typing import cast

import pytest

from rustun.backends.base import Endpoint
from rustun.backends.memory.reactor import VirtualReactor
from rustun.cli import web_process
from rustun.cli.web_process import FIRST_PAUSE_SECONDS, MAX_PAUSE_SECONDS, STEADY_SECONDS, Program, WebProcess
from rustun.config.web import WebConfig
from rustun.errors import ConfigError, HostError, Problem

WANTED = WebConfig(http_port=8081)


class Door:
    """One end of a door; what came through is in `came`."""

    def __init__(self, reactor: VirtualReactor) -> None:
        self.reactor = reactor
        self.number = reactor.next_number()
        self.came: list[socket | None | EOFError] = []

    def fileno(self) -> int:
        return self.number

    def readable(self) -> bool:
        return bool(self.came)

    def writable(self) -> bool:
        return False

    def bring(self, *what: socket | None | EOFError) -> None:
        self.came += what
        self.reactor.poke(self)


class Recorded:
    """A program that does what a test says."""

    def __init__(self, reactor: VirtualReactor, arguments: Sequence[str], *, stubborn: bool) -> None:
        self.reactor = reactor
        self.arguments = list(arguments)
        self.stubborn = stubborn
        self.number = reactor.next_number()
        self.pid = 4711
        self.passage = Door(reactor)
        self.ended = False
        self.signals: list[int] = []
        self.closed: list[float] = []

    @property
    def door(self) -> socket:
        return cast(socket, self.passage)

    def fileno(self) -> int:
        return self.number

    def readable(self) -> bool:
        return self.ended

    def writable(self) -> bool:
        return False

    def die(self) -> None:
        self.ended = True
        self.reactor.poke(self)

    def connection(self) -> socket | None:
        found = self.passage.came.pop(0)
        if isinstance(found, EOFError):
            raise found
        return found

    def end(self, number: int = signal.SIGTERM) -> None:
        self.signals.append(number)
        if number == signal.SIGKILL or not self.stubborn:
            self.die()

    def close(self, patience_s: float) -> str:
        self.closed.append(patience_s)
        return "exit code 1"


class World:
    """A WebProcess and all that it started."""

    def __init__(self, config: WebConfig = WANTED) -> None:
        self.reactor = VirtualReactor()
        self.programs: list[Recorded] = []
        self.events: list[str] = []
        self.read: Callable[[], WebConfig] = lambda: config
        self.refused = False
        self.stubborn = False
        self.adopted: list[socket] = []
        self.process = WebProcess(self.reactor, self, config, self._read, ["--client"], self._start)

    def _read(self) -> WebConfig:
        return self.read()

    def _start(self, module: str, arguments: Sequence[str]) -> Program:
        assert module == "rustun.web"
        if self.refused:
            raise HostError("cannot start rustun.web: no memory", "see to it")
        self.programs.append(Recorded(self.reactor, arguments, stubborn=self.stubborn))
        return self.programs[-1]

    def event(self, level: str, name: str, message: str, /, **fields: object) -> None:
        self.events.append(f"{level} {name}")

    def more_than(self, count: int) -> bool:
        return len(self.programs) > count

    def begin(self) -> Recorded:
        self.process.start(self.adopted.append)
        self.reactor.run_until_idle()
        return self.programs[-1]


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the packages of the extra be there."""
    monkeypatch.setattr(web_process, "PACKAGES", ("json",))


def test_nothing_is_started_that_nobody_asked_for() -> None:
    """Every relay gets a second process."""
    world = World(WebConfig())
    world.process.start(world.adopted.append)
    world.reactor.run_for(100)
    assert world.programs == []


def test_it_is_told_whose_it_is() -> None:
    """A web process outlives the tunnel that it belongs to."""
    program = World().begin()
    assert program.arguments[0] == "--client"
    assert "--parent" in program.arguments


def test_one_that_dies_is_started_again_ever_later() -> None:
    """A web process that dies at once is started a thousand times a second, or never again."""
    world = World()
    pauses = []
    program = world.begin()
    for _ in range(9):
        died_at = world.reactor.now()
        program.die()
        count = len(world.programs)
        world.reactor.run_until_true(partial(world.more_than, count), 2 * MAX_PAUSE_SECONDS)
        pauses.append(world.reactor.now() - died_at)
        program = world.programs[-1]
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert world.events.count("warning web-ended") == 9
    assert all(one.closed for one in world.programs[:-1]), "a dead child stays as a zombie, with its descriptors"


def test_one_that_lived_long_is_started_again_soon() -> None:
    """A dashboard that failed for an hour last week is gone for a minute when it is restarted today."""
    world = World()
    program = world.begin()
    for _ in range(5):
        program.die()
        world.reactor.run_for(MAX_PAUSE_SECONDS)
        program = world.programs[-1]
    world.reactor.run_for(STEADY_SECONDS)
    program.die()
    world.reactor.run_for(FIRST_PAUSE_SECONDS)
    assert world.programs[-1] is not program


def test_one_that_cannot_be_started_is_tried_again() -> None:
    """A moment without memory, and there is no dashboard until the next restart; or the tunnel ends."""
    world = World()
    world.refused = True
    world.process.start(world.adopted.append)
    world.reactor.run_until_idle()
    assert world.events == ["error web-ended"]
    world.refused = False
    world.reactor.run_for(FIRST_PAUSE_SECONDS)
    assert len(world.programs) == 1


def test_missing_packages_are_told_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody asks for a dashboard and gets a traceback, or a command that installs nothing where rustun runs."""
    monkeypatch.setattr(web_process, "PACKAGES", ("no_such_package_here",))
    with pytest.raises(HostError, match="needs no-such-package-here") as raised:
        web_process.require_packages()
    assert raised.value.remedy == f"run: {sys.executable} -m pip install no-such-package-here"


def test_connections_go_to_the_control_server() -> None:
    """The web process cannot ask; or what is no connection, or a closed door, ends the tunnel."""
    world = World()
    program = world.begin()
    one, other = socket(), socket()
    with one, other:
        program.passage.bring(one, None, other, EOFError())
        world.reactor.run_until_idle()
        assert world.adopted == [one, other]
    assert program.passage.came == []


def test_a_stop_ends_it_for_good() -> None:
    """A web process is left when its tunnel is stopped, or is started anew meanwhile."""
    world = World()
    program = world.begin()
    world.process.stop()
    world.process.stop()
    world.reactor.run_for(MAX_PAUSE_SECONDS)
    assert program.signals == [signal.SIGTERM]
    assert len(program.closed) == 1
    assert len(world.programs) == 1


def test_a_stop_while_it_is_waited_for() -> None:
    """A tunnel that was stopped starts its web process once more."""
    world = World()
    world.begin().die()
    world.reactor.run_until_idle()
    world.process.stop()
    world.reactor.run_for(MAX_PAUSE_SECONDS)
    assert len(world.programs) == 1


def test_a_reload_that_changes_nothing_changes_nothing() -> None:
    """Whoever rotates the server's key logs everybody out of the dashboard."""
    world = World()
    program = world.begin()
    world.process.reload()
    world.reactor.run_for(10)
    assert program.signals == []


@pytest.mark.parametrize("stubborn", [False, True])
def test_a_reload_brings_what_has_changed(stubborn: bool) -> None:
    """A token that was given away stays in force after a reload; or one that hangs keeps the new one from coming."""
    world = World()
    world.stubborn = stubborn
    program = world.begin()
    world.read = lambda: replace(WANTED, metrics_listen=(Endpoint("127.0.0.1", 9),))
    world.process.reload()
    world.reactor.run_for(5)
    assert program.signals == ([signal.SIGTERM, signal.SIGKILL] if stubborn else [signal.SIGTERM])
    assert len(world.programs) == 2
    assert "warning web-ended" not in world.events


def test_a_reload_may_begin_and_end_it() -> None:
    """A dashboard that was taken out of the file goes on, or one that was added waits for a restart."""
    world = World(WebConfig())
    world.process.start(world.adopted.append)
    world.read = lambda: WANTED
    world.process.reload()
    world.reactor.run_for(1)
    [program] = world.programs
    world.read = WebConfig
    world.process.reload()
    world.reactor.run_for(100)
    assert program.signals == [signal.SIGTERM]
    assert len(world.programs) == 1


def test_a_file_that_is_wrong_changes_nothing() -> None:
    """A slip in server.toml takes the dashboard away."""
    world = World()
    program = world.begin()

    def refuse() -> WebConfig:
        raise ConfigError((Problem("server.toml", 1, "", "is wrong"),))

    world.read = refuse
    world.process.reload()
    world.reactor.run_for(10)
    assert program.signals == []
