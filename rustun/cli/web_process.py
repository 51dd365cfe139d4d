"""The web process beside a tunnel: started when it is asked for, started again when it dies, and never waited for.

Rules of this module
  1. What happens to it happens to it alone: its failure is a line of the log, never the tunnel's.
  2. It asks this process through its door, by connections that it hands over; the control socket's rules are theirs.
     So it needs no right to that socket's file, and may be a user who has none.
  3. It is started after this process has given up its rights, with what is left of them; what is root then leaves it
     for the user UNPRIVILEGED as soon as it has read its tokens (rustun/web/__main__.py).
  4. One that ends is started again after FIRST_PAUSE_SECONDS, twice as long each time it lives shorter than
     STEADY_SECONDS, MAX_PAUSE_SECONDS at most.
  5. A reload starts it anew where what it was told has changed, and only there: logins end with it.
"""

from __future__ import annotations

import os
import shlex
import signal
import sys
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from socket import socket
from typing import Final, Protocol

from rustun.backends.base import Reactor, Timer
from rustun.config.web import WebConfig
from rustun.errors import ConfigError, HostError
from rustun.logs import EventLog

MODULE: Final = "rustun.web"
PACKAGES: Final = ("aiohttp", "prometheus_client")  # of the extra `web`
FIRST_PAUSE_SECONDS: Final = 1.0
MAX_PAUSE_SECONDS: Final = 60.0
STEADY_SECONDS: Final = 60.0
PATIENCE_SECONDS: Final = 0.3  # at the end of this process, which waits for it; it holds nothing that wants saving
KILL_SECONDS: Final = 2.0  # after which one that was asked to end does not get more time


class Program(Protocol):
    """A running program, as OwnProgram is one."""

    @property
    def door(self) -> socket: ...
    @property
    def pid(self) -> int: ...
    def fileno(self) -> int: ...
    def connection(self) -> socket | None: ...
    def end(self, number: int = signal.SIGTERM) -> None: ...
    def close(self, patience_s: float) -> str: ...


def _start(module: str, arguments: Sequence[str]) -> Program:
    from rustun.backends.own_program import OwnProgram  # a relay without a web process does not carry it

    return OwnProgram(module, arguments)


class WebProcess:
    """Keeps the web process alive while there is something for it to do.

    Args:
        reactor, log: of this process.
        config: as it was read for the start.
        read: returns what the configuration says now; raises ConfigError.
        arguments: of its command line.
        start_program: runs `MODULE` with arguments; raises HostError.
    """

    def __init__(
        self,
        reactor: Reactor,
        log: EventLog,
        config: WebConfig,
        read: Callable[[], WebConfig],
        arguments: Sequence[str],
        start_program: Callable[[str, Sequence[str]], Program] = _start,
    ) -> None:
        self._reactor = reactor
        self._log = log
        self._read = read
        self._arguments = arguments
        self._start_program = start_program
        self._config = config
        self._adopt: Callable[[socket], None] | None = None
        self._program: Program | None = None
        self._started_at = 0.0
        self._pause_s = FIRST_PAUSE_SECONDS
        self._replaced: Program | None = None  # the one that ends because something else is to be served
        self._retry: Timer | None = None

    def start(self, adopt: Callable[[socket], None]) -> None:
        """Begin; `adopt` takes the connections by which it asks. Where nothing is to be served, nothing is started."""
        self._adopt = adopt
        self._run()

    def reload(self) -> None:
        """Read the configuration again; what is wrong with it others tell."""
        if self._adopt is not None:
            self._reactor.run_in_thread(self._read, self._on_read)

    def stop(self) -> None:
        """End it and start no other; a second call is harmless."""
        self._adopt = None
        if self._retry is not None:
            self._retry.cancel()
        if self._program is not None:
            self._program.end()
            self._let_go(self._program)

    def _run(self) -> None:
        if self._retry is not None:
            self._retry.cancel()
        if self._adopt is None or not self._config.wanted:
            return
        try:
            require_packages()
            program = self._start_program(MODULE, [*self._arguments, "--parent", str(os.getpid())])
        except HostError as error:
            self._log.event("error", "web-ended", f"the web process: {error.message}; {error.remedy}")
            self._plan()
            return
        self._program, self._started_at = program, self._reactor.now()
        self._reactor.watch(program, lambda: self._on_end(program), None)
        self._reactor.watch(program.door, lambda: self._on_door(program), None)
        self._log.event("info", "web-started", f"the web process runs (pid {program.pid})", pid=program.pid)

    def _plan(self) -> None:
        self._retry = self._reactor.call_at(self._reactor.now() + self._pause_s, self._run)
        self._pause_s = min(2 * self._pause_s, MAX_PAUSE_SECONDS)

    def _on_end(self, program: Program) -> None:
        words = self._let_go(program)
        if self._replaced is program:
            self._run()
            return
        if self._reactor.now() - self._started_at >= STEADY_SECONDS:
            self._pause_s = FIRST_PAUSE_SECONDS
        message = f"the web process ended ({words}); it is started again in {self._pause_s:g} s"
        self._log.event("warning", "web-ended", message)
        self._plan()

    def _let_go(self, program: Program) -> str:
        self._reactor.unwatch(program)
        self._reactor.unwatch(program.door)
        self._program = None
        return program.close(PATIENCE_SECONDS)

    def _on_door(self, program: Program) -> None:
        try:
            connection = program.connection()
        except EOFError:
            self._reactor.unwatch(program.door)  # its end is told by `_on_end`
            return
        if connection is not None and self._adopt is not None:
            self._adopt(connection)
        elif connection is not None:
            connection.close()

    def _on_read(self, found: WebConfig | Exception) -> None:
        if isinstance(found, ConfigError):
            return  # the service reads the same file, and says so
        if isinstance(found, Exception):
            raise found
        if self._adopt is None or found == self._config:
            return
        self._config, self._pause_s = found, FIRST_PAUSE_SECONDS
        if self._program is not None:
            self._replace(self._program)
        else:
            self._run()

    def _replace(self, program: Program) -> None:
        """Have it end; the next one is started as soon as it has."""
        self._replaced = program
        program.end()
        self._reactor.call_at(self._reactor.now() + KILL_SECONDS, lambda: self._kill(program))

    def _kill(self, program: Program) -> None:
        if self._program is program:
            program.end(signal.SIGKILL)


def require_packages() -> None:
    """See to it that the web process can run at all. Raises: HostError: its packages are not installed."""
    missing = [name.replace("_", "-") for name in PACKAGES if find_spec(name) is None]
    if missing:
        # By their own names: under ours no package index has anything, or has somebody else's.
        remedy = f"run: {shlex.join([sys.executable, '-m', 'pip', 'install', *missing])}"
        raise HostError(f"the web process needs {' and '.join(missing)}", remedy)


def log_options(verbosity: int, log_format: str) -> list[str]:
    """Return the options by which its log looks like this process's."""
    return [*["-v"] * verbosity, "--log-format", log_format]
