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
import os
import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, Protocol

from rustun import __version__
from rustun.admin.asking import Document, Handler, Steps
from rustun.admin.asks.events import RecentEvents
from rustun.admin.control_server import ControlServer
from rustun.audit import AuditFile, AuditLog, counted_together
from rustun.backends.base import Source
from rustun.backends.notify_socket import NotifySocket
from rustun.backends.process import spare_the_collector
from rustun.backends.reactor import EpollReactor
from rustun.cli.failures import TRACEBACK_VERBOSITY, print_traceback
from rustun.cli.supervision import Supervision, Vitals
from rustun.cli.web_process import WebProcess
from rustun.config.audit import AuditConfig
from rustun.errors import HostError, Problem, RightsError, RustunError
from rustun.log_output import log_output
from rustun.logs import Log, LogFormat, RateLimited, Sink, describe_bug

STOP_SECONDS: Final = 1.5  # the promise is 2 s; goodbyes take one round trip


class Service(Protocol):
    """What `Command.run` keeps alive: the relay's server or the tunnel's client."""

    def start(self) -> None:
        """Begin; raises RustunError, with nothing left behind, when that is not possible."""

    def stop(self, reason: str, done: Callable[[], None]) -> None:
        """Say goodbye to peers, take off what was put on the host, then call `done` once."""

    def reload(self) -> None:
        """Read the configuration again and apply what changed."""

    def status(self, cluster: str, member: str, since: str) -> Document | Steps:
        """Return the role's part of the status document; of a cluster or member, and since `as_of`, if not ""."""


@dataclass(frozen=True, slots=True)
class Control:
    """The control socket of a command.

    Attributes:
        path: asked once the service is up: a client's default path holds its device's name.
        required: without a place for it: fail, or only warn.
        group: whose users may ask too; empty for the usual one, where there is such a group.
        handlers: who answers what beside the status, by the word that is asked.
    """

    path: Callable[[], Path]
    required: bool = False
    group: str = ""
    handlers: Mapping[str, Handler] = field(default_factory=dict)


class Command:
    """One run of `rustun serve` or `rustun connect`.

    Args:
        role: "server" or "client", as the status document names it.
        verbosity: how often -v was given.
        log_format: of the log on standard error.
    Attributes:
        log: where everything of this process reports what happened.
        audit: None where no audit log is kept.
    """

    def __init__(self, role: str, verbosity: int, log_format: LogFormat) -> None:
        self._role = role
        self._verbosity = verbosity
        self.reactor = EpollReactor(self._on_bug)
        self.log = Log(self.reactor.wall_clock)
        self._recent = RecentEvents(self.reactor)
        for sink in (log_output(log_format, verbosity, sys.stderr, os.environ), self._recent):
            self.log.add(self._limited(sink))
        self.audit: AuditLog | None = None
        self._service: Service | None = None
        self._control: ControlServer | None = None
        self._supervision: Supervision | None = None
        self._web: WebProcess | None = None
        self._failure: RustunError | None = None
        self._stopping = False
        self._ended = False

    def note(self, problems: tuple[Problem, ...]) -> None:
        """Log what the configuration's reader found worth knowing."""
        for problem in problems:
            level = "info" if problem.level == "note" else "warning"
            text = str(replace(problem, level="error"))  # without its level: the log shows one of its own
            self.log.event(level, "config-note", text)

    def keep_audit(self, config: AuditConfig) -> None:
        """Write an audit log, where one is named, of all that is reported from now on."""
        if config.file is not None:
            file = AuditFile(config.file, config.max_bytes, config.files)
            self.audit = AuditLog(file, self.reactor, self.log)
            self.log.add(RateLimited(self.audit, self.reactor.now, self.reactor.call_at, counted_together))

    def _limited(self, sink: Sink) -> RateLimited:
        return RateLimited(sink, self.reactor.now, self.reactor.call_at)

    def run(
        self,
        service: Service,
        control: Control | None,
        *,
        when_bound: Callable[[], None] | None = None,
        vitals: Vitals | None = None,
        web: WebProcess | None = None,
    ) -> None:
        """Start the service and return when it was stopped.

        Args:
            service: started here, stopped here.
            control: its control socket; None for none.
            when_bound: called once, when everything is bound, before anything of a peer is read.
            vitals: what the service manager is told, if one started this process.
            web: started once all that is bound, with the rights that are left then.

        Raises: RustunError, what `start` or `when_bound` raised or `fail` was told; everything is closed by then.
        """
        self._service, self._web = service, web
        self._begin(service)
        if vitals is not None:
            self._supervise(vitals)
        try:
            service.start()
            spare_the_collector()
            if control is not None:
                self._open_control(service, control)
            if when_bound is not None:
                when_bound()
            self._accompany()
            if not self._ended:
                self.reactor.run()
        finally:
            self._close()
        if self._failure is not None:
            raise self._failure

    def _accompany(self) -> None:
        """Start what goes along with the service, with the rights that are left."""
        if self.audit is not None:
            self.audit.start()  # as the user that this process stays: the file is that user's
        if self._web is not None and self._control is not None and not self._stopping:
            self._web.start(self._control.adopt)
        if self._supervision is not None and not self._stopping:
            self._supervision.ready()

    def _close(self) -> None:
        if self._web is not None:
            self._web.stop()
        for companion in (self._supervision, self._control):
            if companion is not None:
                companion.close()
        self.log.close()
        self.reactor.close()

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

    def _begin(self, service: Service) -> None:
        text = f"rustun {__version__}, {self._role}"
        self.log.event("debug", "started", text, role=self._role, version=__version__, pid=os.getpid())
        self.reactor.on_signal(signal.SIGTERM, lambda: self.stop("stopped by SIGTERM"))
        self.reactor.on_signal(signal.SIGINT, self._on_interrupt)
        self.reactor.on_signal(signal.SIGHUP, lambda: self._reload(service))

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
        if self._web is not None:
            self._web.reload()
        service.reload()

    def _open_control(self, service: Service, wanted: Control) -> None:
        path = wanted.path()
        handlers = {**wanted.handlers, **self._recent.handlers(self.log)}
        control = ControlServer(self.reactor, path, self._role, service.status, handlers, wanted.group)
        self._control = control
        try:
            control.start()
        except RightsError as error:
            if wanted.required or wanted.group:
                self.fail(error)
            else:
                message = f"{error.message}; `rustun status` cannot see this process: {error.remedy}"
                self.log.event("warning", "no-control-socket", message, path=path)
        except HostError as error:
            self.fail(error)
        else:
            self.log.event("info", "control-socket", f"control socket {path}", path=path)

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
