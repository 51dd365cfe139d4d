"""The life of a command that keeps running: loop, log, signals, control socket, and an end within STOP_SECONDS.

Rules of this module
  1. SIGTERM and SIGINT stop in order: the service says goodbye and takes off what it put on the host. After
     STOP_SECONDS, or at a second SIGINT, the process ends all the same.
  2. SIGHUP reloads. A reload that fails changes nothing; the service says so in log and status.
  3. A failure that the service reports (`Command.fail`) stops it in the same order and then becomes the exit code.
  4. A service manager that started this process is told how the service does (supervision.py).
  5. An exception that nobody foresaw costs the callback in which it happened, is logged, and leaves the rest running.
"""

from __future__ import annotations

import faulthandler
import gc
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final, Protocol

from rustun.admin.control_server import ControlServer
from rustun.backends.base import Source
from rustun.backends.notify_socket import NotifySocket
from rustun.backends.reactor import EpollReactor
from rustun.cli.failures import TRACEBACK_VERBOSITY, print_traceback
from rustun.cli.supervision import Supervision, Vitals
from rustun.errors import HostError, Problem, RightsError, RustunError
from rustun.logs import LineWriter, LogFormat, RateLimitedLog, describe_bug

STOP_SECONDS: Final = 1.5  # the promise is 2 s; goodbyes take one round trip


COLLECT_AFTER: Final = (50_000, 20, 50)  # objects, then generations; by default 700, 10, 10


def spare_the_collector() -> None:
    """Keep the cycle collector off the data path: what was made so far stays, the rest is looked at rarely.

    Each packet makes a few short-lived views, which would start the collector after every 100 packets; it would walk
    all members and sessions every so often, 15 ms or more with 10,000 of them.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECT_AFTER)


class Service(Protocol):
    """What `Command.run` keeps alive: the relay's server or the tunnel's client."""

    def start(self) -> None:
        """Begin; raises RustunError, with nothing left behind, when that is not possible."""

    def stop(self, reason: str, done: Callable[[], None]) -> None:
        """Say goodbye to peers, take off what was put on the host, then call `done` once."""

    def reload(self) -> None:
        """Read the configuration again and apply what changed."""

    def status(self) -> dict[str, object]:
        """Return the role's part of the status document."""


class Command:
    """One run of `rustun serve` or `rustun connect`.

    Args:
        role: "server" or "client", as the status document names it.
        verbosity: how often -v was given.
        log_format: of the log on standard error.
    """

    def __init__(self, role: str, verbosity: int, log_format: LogFormat) -> None:
        self._role = role
        self._verbosity = verbosity
        self.reactor = EpollReactor(self._on_bug)
        writer = LineWriter(sys.stderr, log_format, "debug" if verbosity else "info", self.reactor.wall_clock)
        self.log = RateLimitedLog(writer, self.reactor.now, self.reactor.call_at)
        self._service: Service | None = None
        self._control: ControlServer | None = None
        self._supervision: Supervision | None = None
        self._failure: RustunError | None = None
        self._stopping = False
        self._ended = False

    def note(self, problems: tuple[Problem, ...]) -> None:
        """Log what the configuration's reader found worth knowing."""
        for problem in problems:
            level = "info" if problem.level == "note" else "warning"
            text = str(replace(problem, level="error"))  # without its level: the log shows one of its own
            self.log.event(level, "config", text)

    def run(
        self,
        service: Service,
        control_path: Callable[[], Path] | None,
        *,
        control_required: bool = False,
        when_bound: Callable[[], None] | None = None,
        vitals: Vitals | None = None,
    ) -> None:
        """Start the service and return when it was stopped.

        Args:
            service: started here, stopped here.
            control_path: asked once the service is up (a client's default path holds its device's name); None: no
                control socket.
            control_required: without a place for the control socket: fail, or only warn.
            when_bound: called once, when everything is bound, before anything of a peer is read.
            vitals: what the service manager is told, if one started this process.

        Raises: RustunError, what `start` or `when_bound` raised or `fail` was told; everything is closed by then.
        """
        self._service = service
        self.reactor.on_signal(signal.SIGTERM, lambda: self.stop("stopped by SIGTERM"))
        self.reactor.on_signal(signal.SIGINT, self._on_interrupt)
        self.reactor.on_signal(signal.SIGHUP, lambda: self._reload(service))
        if vitals is not None:
            self._supervise(vitals)
        try:
            service.start()
            spare_the_collector()
            if control_path is not None:
                self._open_control(service, control_path(), control_required)
            if when_bound is not None:
                when_bound()
            if self._supervision is not None and not self._stopping:
                self._supervision.ready()
            if not self._ended:
                self.reactor.run()
        finally:
            if self._supervision is not None:
                self._supervision.close()
            if self._control is not None:
                self._control.close()
            self.log.flush()
            self.reactor.close()
        if self._failure is not None:
            raise self._failure

    def fail(self, failure: RustunError) -> None:
        """Stop because of an error that only a person can mend; the first one counts."""
        self._failure = self._failure or failure
        self.stop("stopped by a failure")

    def stop(self, reason: str) -> None:
        """Stop in order; harmless while that is under way."""
        if self._stopping or self._service is None:
            return
        self._stopping = True
        if self._supervision is not None:
            self._supervision.stopping(reason if self._failure is None else self._failure.message)
        self.reactor.call_at(self.reactor.now() + STOP_SECONDS, self._on_deadline)
        self._service.stop(reason, self._end)

    def _supervise(self, vitals: Vitals) -> None:
        manager = NotifySocket.take_from(os.environ)
        if manager is not None:
            self._supervision = Supervision(self.reactor, manager, vitals)
            if manager.watchdog_s is not None:
                faulthandler.enable()  # a loop that hangs gets SIGABRT: the log then shows where it hung

    def _reload(self, service: Service) -> None:
        if self._stopping:
            return
        if self._supervision is not None:
            self._supervision.reloading()
        service.reload()

    def _open_control(self, service: Service, path: Path, required: bool) -> None:
        control = ControlServer(self.reactor, path, self._role, service.status)
        try:
            control.start()
        except RightsError as error:
            if required:
                self.fail(error)
            else:
                message = f"{error.message}; `rustun status` cannot see this process: {error.remedy}"
                self.log.event("warning", "control-socket", message)
        except HostError as error:
            self.fail(error)
        else:
            self._control = control
            self.log.event("info", "control-socket", f"control socket {path}")

    def _on_interrupt(self) -> None:
        if self._stopping:
            self._failure = self._failure or HostError("interrupted twice: ended at once, without a goodbye to peers")
            self._end()
        else:
            self.stop("stopped by SIGINT")

    def _on_deadline(self) -> None:
        self.log.event("warning", "stop-deadline", f"not everybody took the goodbye within {STOP_SECONDS} s")
        self._end()

    def _end(self) -> None:
        self._ended = True
        self.reactor.stop()

    def _on_bug(self, source: Source | None, error: Exception) -> None:
        self.log.event("error", "internal-error", f"a defect of rustun, please report it: {describe_bug(error)}")
        if self._verbosity >= TRACEBACK_VERBOSITY:
            print_traceback(error)
