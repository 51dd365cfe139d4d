"""The life of a running command, with a service that records what is asked of it and real signals."""

from __future__ import annotations

import io
import json
import os
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rustun.admin.control_client import read_status
from rustun.cli import running
from rustun.cli.running import Command, Control
from rustun.cli.supervision import Vitals
from rustun.errors import HostError, Problem, RefusedError, RightsError


class Recorded:
    """A service that notes its calls; `on_start` is run on the loop's first turn."""

    def __init__(self, command: Command, on_start: Callable[[], None], *, polite: bool = True) -> None:
        self.command = command
        self.on_start = on_start
        self.polite = polite
        self.calls: list[str] = []

    def start(self) -> None:
        self.calls.append("start")
        self.command.reactor.call_soon(self.on_start)

    def stop(self, reason: str, done: Callable[[], None]) -> None:
        self.calls.append(f"stop: {reason}")
        if self.polite:
            self.command.reactor.call_soon(done)

    def reload(self) -> None:
        self.calls.append("reload")

    def status(self, cluster: str, member: str, since: str) -> dict[str, object]:
        return {"state": "online"}


@pytest.fixture
def command() -> Iterator[Command]:
    made = Command("client", 0, "text")
    yield made
    made.reactor.close()


def raise_signals(*numbers: int) -> Callable[[], None]:
    def raise_all() -> None:
        for number in numbers:
            signal.raise_signal(number)

    return raise_all


def run(command: Command, service: Recorded, path: Path) -> None:
    command.run(service, Control(lambda: path, required=True))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_in_order(command: Command, tmp_path: Path, number: int) -> None:
    """A stop leaves peers without a goodbye, or routes on the host."""
    service = Recorded(command, raise_signals(number))
    run(command, service, tmp_path / "s.sock")
    assert service.calls == ["start", f"stop: stopped by {signal.Signals(number).name}"]
    assert not (tmp_path / "s.sock").exists()


def test_handlers_come_back(command: Command, tmp_path: Path) -> None:
    """Ctrl-C after the end of a run is swallowed."""
    before = signal.getsignal(signal.SIGINT)
    run(command, Recorded(command, raise_signals(signal.SIGTERM)), tmp_path / "s.sock")
    assert signal.getsignal(signal.SIGINT) is before


def test_hangup_reloads_and_goes_on(command: Command, tmp_path: Path) -> None:
    """SIGHUP ends the process, as it does by default."""

    def on_start() -> None:
        signal.raise_signal(signal.SIGHUP)
        command.reactor.call_at(command.reactor.now() + 0.01, raise_signals(signal.SIGTERM))

    service = Recorded(command, on_start)
    run(command, service, tmp_path / "s.sock")
    assert service.calls[1] == "reload"


def test_a_stop_that_hangs_ends_at_the_deadline(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A peer that takes no goodbye keeps the process alive for ever."""
    monkeypatch.setattr(running, "STOP_SECONDS", 0.02)
    service = Recorded(command, raise_signals(signal.SIGTERM), polite=False)
    command.run(service, Control(lambda: tmp_path / "s.sock", required=True))
    assert service.calls[-1] == "stop: stopped by SIGTERM"


def test_the_promise_of_two_seconds() -> None:
    """A stop takes longer than service managers and users were promised."""
    assert running.STOP_SECONDS < 2


def test_a_second_interrupt_ends_at_once(command: Command, tmp_path: Path) -> None:
    """A user who presses Ctrl-C again has to wait, or it passes as a clean stop."""

    def on_start() -> None:
        signal.raise_signal(signal.SIGINT)
        command.reactor.call_at(command.reactor.now() + 0.01, raise_signals(signal.SIGINT))

    with pytest.raises(HostError, match="interrupted twice"):
        run(command, Recorded(command, on_start, polite=False), tmp_path / "s.sock")


def test_a_failure_stops_in_order_and_is_raised(command: Command, tmp_path: Path) -> None:
    """A refused client hangs, exits 0, or leaves what it put on the host."""
    first = RefusedError("unknown-identity", "the server does not know bj-dev")

    def on_start() -> None:
        command.fail(first)
        command.fail(HostError("a later one"))

    service = Recorded(command, on_start)
    with pytest.raises(RefusedError) as caught:
        run(command, service, tmp_path / "s.sock")
    assert caught.value is first
    assert service.calls == ["start", "stop: stopped by a failure"]


def test_a_failure_before_the_loop_runs(command: Command, tmp_path: Path) -> None:
    """A service that fails while it starts leaves a process that does nothing for ever."""
    service = Recorded(command, lambda: None)
    service.start = lambda: command.fail(RightsError("no TUN"))  # type: ignore[method-assign]
    service.stop = lambda reason, done: done()  # type: ignore[method-assign]
    with pytest.raises(RightsError):
        run(command, service, tmp_path / "s.sock")


def test_a_start_that_raises_leaves_nothing(command: Command, tmp_path: Path) -> None:
    """A failed start leaves a control socket that answers for nobody."""

    def start() -> None:
        raise HostError("port taken")

    service = Recorded(command, lambda: None)
    service.start = start  # type: ignore[method-assign]
    with pytest.raises(HostError, match="port taken"):
        run(command, service, tmp_path / "s.sock")
    assert not (tmp_path / "s.sock").exists()


def test_status_while_it_runs(command: Command, tmp_path: Path) -> None:
    """The control socket does not show the service's own status."""
    path = tmp_path / "s.sock"
    documents: list[dict[str, object]] = []

    def on_start() -> None:
        command.reactor.run_in_thread(lambda: read_status(path), stop)

    def stop(result: dict[str, object] | Exception) -> None:
        assert isinstance(result, dict)
        documents.append(result)
        signal.raise_signal(signal.SIGTERM)

    run(command, Recorded(command, on_start), path)
    assert documents[0]["role"] == "client"
    assert documents[0]["state"] == "online"


def test_a_control_socket_that_was_asked_for_must_work(command: Command, tmp_path: Path) -> None:
    """A mistyped --control passes unseen, and the service that was started for it runs on."""
    service = Recorded(command, lambda: None)
    with pytest.raises(HostError, match="control socket"):
        run(command, service, tmp_path / "none" / "there" / "s.sock")
    assert service.calls[-1] == "stop: stopped by a failure"


def test_without_rights_to_the_default_place_it_runs_on() -> None:
    """An ordinary user cannot run a relay because /run/rustun is root's, or is not told about the missing status."""
    forbidden = Path("/sys/rustun/server.sock")  # where nobody, not even root, may make a folder
    with Logged() as log:
        command = Command("server", 0, "json")
        service = Recorded(command, raise_signals(signal.SIGTERM))
        command.run(service, Control(lambda: forbidden))
    warnings = [line for line in log.lines() if line["level"] == "warning"]
    assert len(warnings) == 1
    assert "--control PATH" in str(warnings[0]["message"])


class Logged(io.StringIO):
    """Collects what goes to standard error meanwhile, as lines of JSON."""

    def __enter__(self) -> Logged:
        self._patch = pytest.MonkeyPatch()
        self._lines: list[str] = []
        self._patch.setattr("sys.stderr", self)
        return self

    def __exit__(self, *error: object) -> None:
        self._patch.undo()

    def write(self, text: str) -> int:
        self._lines.append(text)
        return len(text)

    def flush(self) -> None:
        pass

    def lines(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self._lines]


def test_a_bug_in_a_callback_is_logged_and_the_rest_goes_on(tmp_path: Path) -> None:
    """One unforeseen exception ends every tunnel, or happens without a trace."""
    with Logged() as log:
        command = Command("server", 0, "json")

        def on_start() -> None:
            command.reactor.call_at(command.reactor.now() + 0.01, raise_signals(signal.SIGTERM))
            raise ValueError("marked-secret")

        service = Recorded(command, on_start)
        command.run(service, Control(lambda: tmp_path / "s.sock", required=True))
    errors = [line for line in log.lines() if line["level"] == "error"]
    assert [line["event"] for line in errors] == ["internal-error"]
    assert "ValueError at test_running.py:" in str(errors[0]["message"])
    assert "marked-secret" not in str(errors)
    assert service.calls[-1] == "stop: stopped by SIGTERM"


def test_notes_of_the_configuration_are_logged() -> None:
    """The operator does not hear of a weak key at start."""
    with Logged() as log:
        command = Command("server", 0, "json")
        command.note((Problem("server.toml", 3, "crypto", "weak", "make it longer", "warning"),))
        command.note((Problem("server.toml", 0, "routes_file", "taken from here", level="note"),))
        command.reactor.close()
    assert [(line["level"], line["message"]) for line in log.lines()] == [
        ("warning", "server.toml:3: crypto: weak; make it longer"),
        ("info", "server.toml: routes_file: taken from here"),
    ]


class Manager:
    """A service manager that started this process: a real socket, and what came by it."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._socket.bind(str(folder / "notify"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(folder / "notify"))
        monkeypatch.setenv("WATCHDOG_USEC", "30000000")
        self.stacks: list[str] = []  # the interpreter's own handlers belong to pytest here
        monkeypatch.setattr("faulthandler.enable", lambda: self.stacks.append("on"))

    def heard(self) -> list[str]:
        """Return the messages that wait, without the time of a reload; nobody sends any more."""
        messages = []
        with self._socket, pytest.raises(BlockingIOError):
            while True:
                messages.append(self._socket.recv(4096).decode().split("\nMONOTONIC_USEC=")[0])
        return messages


def test_a_service_manager_hears_of_the_whole_life(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A unit with Type=notify never gets ready, or a program that this one runs may speak for it."""
    manager = Manager(tmp_path, monkeypatch)
    environment: list[str] = []
    order = iter([signal.SIGHUP, signal.SIGTERM])

    def look() -> bool:  # asked after the reload: it is over, and the next signal comes
        command.reactor.call_soon(raise_signals(next(order)))
        return False

    def on_start() -> None:
        environment.extend(os.environ)
        command.reactor.call_soon(raise_signals(next(order)))

    vitals = Vitals(lambda: "fine", look)
    service = Recorded(command, on_start)
    command.run(service, None, vitals=vitals)
    assert service.calls == ["start", "reload", "stop: stopped by SIGTERM"]
    said = ["READY=1\nSTATUS=fine", "WATCHDOG=1", "RELOADING=1", "READY=1", "STOPPING=1\nSTATUS=stopped by SIGTERM"]
    assert manager.heard() == said
    assert manager.stacks == ["on"], "where a loop hangs is shown when the watchdog ends it"
    assert not {"NOTIFY_SOCKET", "WATCHDOG_USEC"} & set(environment)


def test_a_service_that_fails_is_never_ready(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """systemd goes on with what waits for the tunnel, though it cannot be had."""
    manager = Manager(tmp_path, monkeypatch)
    service = Recorded(command, lambda: None)
    service.start = lambda: command.fail(RightsError("no TUN"))  # type: ignore[method-assign]
    service.stop = lambda reason, done: done()  # type: ignore[method-assign]
    with pytest.raises(RightsError):
        command.run(service, None, vitals=Vitals(lambda: "fine", lambda: False))
    assert manager.heard() == ["STOPPING=1\nSTATUS=no TUN"]
