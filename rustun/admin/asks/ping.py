"""`{"ask": "ping", "member": ...}`: one round trip of a session's own ping, and what it was measured to.

Rules of this module
  1. Each question sends one ping; who wants a series asks again.
  2. Pings are PAUSE_SECONDS apart, however many ask: a server closes sessions that send it too many messages.
  3. It is answered within the seconds that were asked for, from when it was sent, whether the other end answers or not;
     after that, or once nobody listens, a late answer is nobody's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from rustun.admin.asking import Answers, Ask, Document, Handler
from rustun.admin.control import SCHEMA
from rustun.backends.base import Callback, Reactor, Timer

USUAL_SECONDS: Final = 1.0
LEAST_SECONDS: Final = 0.05
MOST_SECONDS: Final = 10.0
PAUSE_SECONDS: Final = 0.1  # half of the 20 messages a second that a server takes from a client
# What is told of the other end, and what sends it a ping and calls back at the answer; None: "why_not" says why not
# ("error" would say that the question has no answer).
Target = tuple[Document, Callable[[Callback], None] | None]


def ping_handler(role: str, reactor: Reactor, find: Callable[[str], Target]) -> Handler:
    """Return who answers about round trips.

    Args:
        role: "server" or "client".
        find: returns whom a text means, an empty one too. Raises UsageError.
    """

    pace = _Pace(reactor)

    def answer(ask: Ask) -> Document | Answers:
        member = ask.text("member")
        seconds = ask.number("seconds", USUAL_SECONDS, LEAST_SECONDS, MOST_SECONDS)
        ask.close()
        facts, send = find(member)
        told = {"schema": SCHEMA, "role": role, "rtt_ms": None, "why_not": "", **facts}
        if send is None:
            return told
        echo = _Echo(reactor, pace, told, send, seconds)
        return Answers(echo.begin, echo.end)

    return answer


class _Pace:
    """Sends pings one after the other; who goes before its turn gives it up to the next."""

    def __init__(self, reactor: Reactor) -> None:
        self._reactor = reactor
        self._free_at = 0.0
        self._waiting: dict[Callback, None] = {}  # who came first at the beginning
        self._timer: Timer | None = None

    def wait(self, send: Callback) -> None:
        """Call `send` when its turn is, perhaps at once."""
        self._waiting[send] = None
        if self._timer is None:
            self._go_on()

    def forget(self, send: Callback) -> None:
        """Do not call it any more."""
        self._waiting.pop(send, None)

    def _go_on(self) -> None:
        self._timer = None
        now, send = self._reactor.now(), next(iter(self._waiting), None)
        if send is None:
            return
        is_due = now >= self._free_at
        if is_due:
            del self._waiting[send]
            self._free_at = now + PAUSE_SECONDS
        if self._waiting:
            self._timer = self._reactor.call_at(self._free_at, self._go_on)
        if is_due:
            send()


class _Echo:
    """One ping on its way."""

    def __init__(
        self, reactor: Reactor, pace: _Pace, told: Document, send: Callable[[Callback], None], seconds: float
    ) -> None:
        self._reactor = reactor
        self._pace = pace
        self._told = told
        self._send = send
        self._seconds = seconds
        self._sent_at = 0.0
        self._over = False
        self._timer: Timer | None = None
        self._tell: Callable[[Document], bool]
        self._done: Callable[[], None]

    def begin(self, tell: Callable[[Document], bool], done: Callable[[], None]) -> None:
        """Send it when its turn is."""
        self._tell, self._done = tell, done
        self._pace.wait(self._send_now)

    def end(self) -> None:
        """Wait no longer; a second call is harmless."""
        self._over = True
        self._pace.forget(self._send_now)
        if self._timer is not None:
            self._timer.cancel()

    def _send_now(self) -> None:
        self._sent_at = self._reactor.now()
        late = {"why_not": f"no answer within {self._seconds:g} s"}
        self._timer = self._reactor.call_at(self._sent_at + self._seconds, lambda: self._finish(late))
        self._send(self._on_answer)

    def _on_answer(self) -> None:
        self._finish({"rtt_ms": round((self._reactor.now() - self._sent_at) * 1e3, 3)})

    def _finish(self, news: Document) -> None:
        if not self._over:
            self.end()
            self._tell({**self._told, **news})
            self._done()
