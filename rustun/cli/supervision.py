"""What the service manager that started this process is told of it: sd_notify(3), the units of docs/systemd.md.

    start -> READY=1 --(SIGHUP)--> RELOADING=1 --(all is read)--> READY=1 --(end)--> STOPPING=1
             WATCHDOG=1 and STATUS=... now and then, from the first READY=1 on

Rules of this module
  1. READY=1 means: it serves; of a client: its device is there, and it tries to reach its servers.
  2. A sign of life comes from the event loop and from nowhere else, so a loop that hangs is silent. It is given three
     times in the interval, so that one that found no room kills nobody. It is never made up for later.
  3. Everything else is told in its order, if need be later.
  4. STATUS= is one line, told when it has changed.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from rustun.backends.base import Reactor, Timer
from rustun.printable import printable

STATUS_SECONDS: Final = 2.0  # between looks at the status line
SIGNS_PER_INTERVAL: Final = 3
LOOK_SECONDS: Final = 0.05  # between looks whether a reload is over, and between tries to tell
STATUS_CHARACTERS: Final = 300  # `systemctl status` shows one line


class Manager(Protocol):
    """The service manager's ear (rustun.backends.notify_socket)."""

    @property
    def watchdog_s(self) -> float | None:
        """After how many seconds of silence this process is killed, None for never."""

    def send(self, message: str) -> bool:
        """Tell one thing; return False where there is no room for it now."""

    def close(self) -> None:
        """Tell no more."""


@dataclass(frozen=True, slots=True)
class Vitals:
    """What a service says of itself: its state in a line, and whether something of its configuration is being read."""

    headline: Callable[[], str]
    is_reloading: Callable[[], bool]


class Supervision:
    """Keeps a service manager informed until `close`.

    Args:
        reactor: of the service; a sign of life is a timer of its.
        manager: who is told.
        vitals: of the service.
    """

    def __init__(self, reactor: Reactor, manager: Manager, vitals: Vitals) -> None:
        self._reactor = reactor
        self._manager = manager
        self._vitals = vitals
        self._untold: deque[str] = deque()
        self._status = ""
        self._timers: dict[Callable[[], None], Timer] = {}

    def ready(self) -> None:
        """Tell that it serves, and from now on that it lives."""
        self._tell(f"READY=1{self._new_status(self._vitals.headline())}")
        self._live()
        self._plan(STATUS_SECONDS, self._tell_status)

    def reloading(self) -> None:
        """Tell that the configuration is being read again, and when that is over."""
        self._tell(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")
        self._plan(LOOK_SECONDS, self._look)

    def stopping(self, reason: str) -> None:
        """Tell that it ends, and why."""
        self._tell(f"STOPPING=1{self._new_status(reason)}")
        self._cancel(self._look)

    def close(self) -> None:
        """Tell no more."""
        for callback in list(self._timers):
            self._cancel(callback)
        self._manager.close()

    def _live(self) -> None:
        if self._manager.watchdog_s:
            self._manager.send("WATCHDOG=1")
            self._plan(self._manager.watchdog_s / SIGNS_PER_INTERVAL, self._live)

    def _tell_status(self) -> None:
        self._plan(STATUS_SECONDS, self._tell_status)
        if status := self._new_status(self._vitals.headline()):
            self._tell(status.lstrip())

    def _look(self) -> None:
        if self._vitals.is_reloading():
            self._plan(LOOK_SECONDS, self._look)
        else:
            self._tell(f"READY=1{self._new_status(self._vitals.headline())}")

    def _new_status(self, text: str) -> str:
        """Return the line for a status, empty where it was told already."""
        line = printable(text, STATUS_CHARACTERS)
        if line == self._status:
            return ""
        self._status = line
        return f"\nSTATUS={line}"

    def _tell(self, message: str) -> None:
        self._untold.append(message)
        self._retell()

    def _retell(self) -> None:
        while self._untold and self._manager.send(self._untold[0]):
            self._untold.popleft()
        if self._untold:
            self._plan(LOOK_SECONDS, self._retell)

    def _plan(self, seconds: float, callback: Callable[[], None]) -> None:
        self._cancel(callback)
        self._timers[callback] = self._reactor.call_at(self._reactor.now() + seconds, callback)

    def _cancel(self, callback: Callable[[], None]) -> None:
        timer = self._timers.pop(callback, None)
        if timer is not None:
            timer.cancel()
