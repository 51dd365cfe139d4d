"""Whether the way that a session's packets take still works, noticed long before the server has been silent for long.

Rules of this module
  1. Where this host's network changed, a session has a few round trips to show that it lives, PROBE_SECONDS at most, or
     one and a half where that is more (a satellite's takes 0.6 s, and a container that starts is news as well): by
     anything that it hears, or by an acknowledgement of the server's kernel. One whose own address has left the host is
     not even asked. Where it changes again, an answer that has come says nothing any more: another one is asked for.
  2. A session stands still when STALL_SECONDS pass in which
       nothing that was sent is acknowledged, although it was sent again twice, or once in PATIENCE_SECONDS (a path
       that is dead, a NAT box that forgot the connection, or full segments that vanish on the way to the server), or
       everything is acknowledged and a question is not answered (the same on the way from the server).
     So that the second is noticed, a session is asked a second after it began (it is told a lot then), and when it
     falls silent: once, or once a second while it goes on sending.
  3. The segments may be too large where the connection uses large ones and some may be on the way: upwards when more is
     unacknowledged than a small segment holds; downwards always, since nobody here knows. Where the session has carried
     full ones before (full_segments.py), that speaks against it.
  4. All of this is doubt, never proof: the link tries a second connection beside, and the session in doubt is left when
     that stands. Doubt ends when what was missing comes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from rustun.backends.base import Callback, PathReport, Reactor, Timer
from rustun.client.full_segments import FullSegments
from rustun.client.narrow_paths import SMALL_SEGMENT_BYTES
from rustun.client.session import ClientSession

PROBE_SECONDS: Final = 0.5  # a round trip around the world, and a busy relay
LEAST_PROBE_SECONDS: Final = 0.2  # a busy relay
PROBE_ROUND_TRIPS: Final = 4
LEAST_ROUND_TRIPS: Final = 1.5  # that any session has
STALL_SECONDS: Final = 2.5  # what is over sooner the kernel mends by itself
STALL_TIMEOUTS: Final = 2
PATIENCE_SECONDS: Final = 5.0  # a kernel that is used to late acknowledgements, of a busy host, tries again seldom
LOOK_SECONDS: Final = 1.0
SILENT_SECONDS: Final = 1.0  # after which a session is asked once


@dataclass(frozen=True, slots=True)
class Doubt:
    """Why a session may have no way to its server any more.

    Attributes:
        reason: in words.
        narrow: whether segments that are too large may be the cause.
        carried_full: whether the session has carried full segments before.
        at_once: whether the cause is known and over, so that the next try should not wait.
        final: whether the session cannot recover.
        acked_bytes: an acknowledgement beyond this ends the doubt; None where none would.
        heard_at: a frame heard after this ends the doubt; None where none would.
    """

    reason: str
    narrow: bool = False
    carried_full: bool = False
    at_once: bool = False
    final: bool = False
    acked_bytes: int | None = None
    heard_at: float | None = None


class PathWatch:
    """Watches one session.

    Args:
        reactor: where it runs.
        session: that is in use.
        on_doubt: called when the session comes into doubt.
        on_trust: called when the doubt has gone.
    Attributes:
        doubt: about the session, None as long as it seems to work.
    """

    def __init__(
        self, reactor: Reactor, session: ClientSession, on_doubt: Callable[[Doubt], None], on_trust: Callback
    ) -> None:
        self.doubt: Doubt | None = None
        self._reactor = reactor
        self._session = session
        self._on_doubt = on_doubt
        self._on_trust = on_trust
        self._full = FullSegments()
        self._acked_bytes = 0
        self._asked = False
        self._settled_at = 0.0  # when the last answer came that a look has seen
        self._settled_bytes = -1  # what had been sent then
        self._moved_at = reactor.now()  # when something was acknowledged, or nothing had to be
        self._probe: Timer | None = None
        self._missing: Doubt | None = None  # what the probe comes to unless a sign of life comes
        self._timer = reactor.call_at(reactor.now() + LOOK_SECONDS, self._look)

    def stop(self) -> None:
        """The session is not in use any more; nobody is called back."""
        self._timer.cancel()
        if self._probe is not None:
            self._probe.cancel()

    def probe(self) -> None:
        """This host's network has changed: ask for a sign of life; one that is being waited for has to come first."""
        session = self._session
        if session.stream.is_stranded():
            self._doubt(Doubt("this end's address has left the host", at_once=True, final=True))
        elif self.doubt is None:
            path = session.stream.path()
            if self._missing is not None and not self._is_over(self._missing, path):
                return
            if self._probe is not None:
                self._probe.cancel()
            now = self._reactor.now()
            session.ask()
            acked_bytes = path.acked_bytes if path is not None else None
            reason = "no answer after a change of this host's network"
            self._missing = Doubt(reason, at_once=True, acked_bytes=acked_bytes, heard_at=now)
            rtt = (session.rtt_ms or 0.0) / 1e3
            patience = min(LEAST_PROBE_SECONDS + PROBE_ROUND_TRIPS * rtt, PROBE_SECONDS)
            when = now + max(patience, LEAST_PROBE_SECONDS + LEAST_ROUND_TRIPS * rtt)
            self._probe = self._reactor.call_at(when, self._judge_probe)

    def _judge_probe(self) -> None:
        missing, self._missing, self._probe = self._missing, None, None
        if missing is not None and not self._is_over(missing, self._session.stream.path()):
            self._doubt(missing)

    def _look(self) -> None:
        self._timer = self._reactor.call_at(self._reactor.now() + LOOK_SECONDS, self._look)
        doubt, path = self.doubt, self._session.stream.path()
        if path is not None:
            self._full.look(path)
        if doubt is not None and self._is_over(doubt, path):
            self.doubt = None
            self._on_trust()
        elif doubt is None and path is not None:
            self._look_for_standstill(path)

    def review(self) -> Doubt | None:
        """Return the doubt about the session, unless what was missing has come meanwhile."""
        if self.doubt is not None and self._is_over(self.doubt, self._session.stream.path()):
            self.doubt = None
        return self.doubt

    def _look_for_standstill(self, path: PathReport) -> None:
        now, session = self._reactor.now(), self._session
        sent_bytes = path.acked_bytes + path.outstanding_bytes
        if session.proved_at > self._settled_at:
            self._settled_at, self._settled_bytes = session.proved_at, sent_bytes
        if path.acked_bytes != self._acked_bytes or not path.outstanding_bytes:
            self._acked_bytes, self._moved_at = path.acked_bytes, now
        large = path.segment_bytes > SMALL_SEGMENT_BYTES
        if path.outstanding_bytes:
            waited = now - self._moved_at
            if waited >= (STALL_SECONDS if path.timeouts >= STALL_TIMEOUTS else PATIENCE_SECONDS) and path.timeouts:
                narrow = large and path.outstanding_bytes > SMALL_SEGMENT_BYTES
                reason = f"nothing is acknowledged for {waited:.0f} s"
                self._doubt(Doubt(reason, narrow, self._full.carried, acked_bytes=path.acked_bytes))
        elif session.asked_at is not None:
            waited = now - max(session.asked_at, session.heard_at)
            if waited >= STALL_SECONDS:
                reason = f"everything is acknowledged, nothing answered for {waited:.0f} s"
                self._doubt(Doubt(reason, large, self._full.carried, heard_at=session.heard_at))
        elif not self._asked or self._fell_silent(now, sent_bytes):
            self._asked = True
            session.ask()

    def _fell_silent(self, now: float, sent_bytes: int) -> bool:
        """Tell whether nothing is heard any more, although there was traffic after the last answer."""
        session = self._session
        traffic = session.heard_at > session.proved_at or sent_bytes > self._settled_bytes
        return traffic and now - session.heard_at >= SILENT_SECONDS

    def _is_over(self, doubt: Doubt, path: PathReport | None) -> bool:
        heard = doubt.heard_at is not None and self._session.heard_at > doubt.heard_at
        return heard or (path is not None and doubt.acked_bytes is not None and path.acked_bytes > doubt.acked_bytes)

    def _doubt(self, doubt: Doubt) -> None:
        if self.doubt is None or doubt.final:
            self.doubt = doubt
            self._on_doubt(doubt)
