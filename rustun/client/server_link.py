"""One server of the list: a session with it, as soon and as long as that can be had.

    connecting -> handshaking -> online -> waiting -> connecting ...
                              -> refused (the client ends, or this link waits REFUSED_SECONDS)

Rules of this module
  1. Nothing unauthenticated is terminal (see handshake.py). A sealed refusal is told to the client, which knows of the
     other servers, and tried again after a while.
  2. A session hands over to the next one where the tier allows two; what is known of the cluster stays meanwhile.
  3. A session that may have lost its way (path_watch.py) is left when another one stands; where the tier allows only
     one, when a connection does; and at once where it cannot recover.
  4. A change of this host's network ends a wait of our own, not one that a server asked for.
  5. A link touches neither the host nor the device: it tells the client what it has learnt.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeGuard

from rustun.backends.base import Endpoint, Stream, Timer
from rustun.client.attempts import Attempts
from rustun.client.backoff import Backoff
from rustun.client.connector import Connector
from rustun.client.handshake import ClientHandshake, NoiseAccepted, Outcome, SeedAccepted, begin_handshake
from rustun.client.link_owner import LinkOwner, Surroundings
from rustun.client.narrow_paths import SMALL_SEGMENT_BYTES
from rustun.client.noise_session import ClientNoiseSession
from rustun.client.path_watch import Doubt, PathWatch
from rustun.client.peers import OwnEntry, Peers
from rustun.client.place import OURS, Place
from rustun.client.seed_session import ClientSeedSession
from rustun.client.session import ClientSession, Owner
from rustun.client.welcome import open_session
from rustun.errors import ProtocolError, RefusedError
from rustun.logs import describe_bug
from rustun.protocol.tiers import Tier

REFUSED_SECONDS: Final = 60.0
STEADY_SECONDS: Final = 5.0  # a session that broke sooner counts as one more try that failed
NEXT_SECONDS: Final = 0.1  # before the next of several keys or addresses is tried; the usual wait follows the last


class ServerLink:
    """One server and what there is of a session with it.

    Args:
        around: what all links share.
        attempts: what may be tried.
        owner: the client.
    Attributes:
        state: as in the picture above; "online" as long as there is a session.
        remote: the server's address that was reached last.
        outside: addresses of the server, as far as they are known.
        session: in use, or None.
        peers: the cluster as this server tells it; stays while the link reconnects.
        configured: whether the session has told all of this member's own entry; the first word may lack its prefixes.
        refused: whether the last of all keys that were tried met a sealed refusal.
        reconnects: how often a session ended.
        last_error: why there is no session, or no newer one.
        next_try_at: seconds of `now()`, None while one is under way or none is needed.
    """

    def __init__(self, around: Surroundings, attempts: Attempts, owner: LinkOwner) -> None:
        self.attempts = attempts
        self.state = "connecting"
        self.remote: Endpoint | None = None
        self.outside: tuple[Endpoint, ...] = ()
        self.session: ClientSession | None = None
        self.peers = Peers(around.settings.config.identity)
        self.configured = False
        self.refused = False
        self.reconnects = 0
        self.last_error = ""
        self.next_try_at: float | None = None
        self._around = around
        self._owner = owner
        self._successor: ClientSession | None = None  # what the session in use hands over to
        self._backoff = Backoff(around.random_bytes)
        self._connector = Connector(
            around.reactor, around.network, self._on_resolved, self._begin_handshake, self._on_connected,
            self._on_outcome,
        )  # fmt: skip
        self._connector.on_unresolved = lambda reason: around.log.event("warning", "not-resolved", reason)
        self._watch: PathWatch | None = None  # of the session in use
        self._out_of_doubt = False  # a try is made for no other reason
        self._timer: Timer | None = None
        self._firm = False  # whether the wait is not ours to end
        self._stopped = False
        self._place = Place()

    @property
    def server(self) -> Endpoint:
        """The server's address as it was configured, of several the one that is tried or in use."""
        return self.attempts.present.address

    # --- start and end -----------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Begin a try now; one that is under way is given up, a session stays until the new one stands."""
        self._cancel_try()
        if self._stopped:
            return
        self.next_try_at = None
        problem = self._owner.prepare_device()
        if problem:
            self._failed(problem)
            return
        self._show("connecting")
        self._connector.begin(self.server)

    def begin_anew(self, attempts: Attempts) -> None:
        """Connect with what may be tried now, name resolution included.

        In the key tier the present session serves until the new one stands; elsewhere it ends first, since the shared
        tier lets nobody in whose place is taken.
        """
        self.attempts = attempts
        self._out_of_doubt = False
        if self.session is not None and not self._stays_beside(self.session):
            self.session.close("asked to reconnect", say="reconnecting")
        self._backoff.reset()
        self.begin()

    def network_changed(self) -> None:
        """Look whether the session still has a way to the server; what is tried, or would be soon, is tried now."""
        self._connector.narrow.forget()
        self._backoff.reset()
        if self._watch is not None:
            self._watch.probe()
        if self._timer is None:
            self._connector.network_changed()
        elif not self._firm:
            self.begin()

    def place_freed(self) -> None:
        """A session elsewhere has ended: try soon, if it may have been what kept this link out."""
        if self._place.free() and self._timer is not None and self._owner.tun is not None:
            self._wait(NEXT_SECONDS, self.last_error, level="debug")

    def stop(self, reason: str, say: str) -> None:
        """End the session with a word to the server, and try no more."""
        self._stopped = True
        self._cancel_try()
        if self.session is not None:
            self.session.close(reason, say=say)

    def leave(self, reason: str, say: str) -> None:
        """Try no more, and end the session with a word once nothing is on its way any more, a second later at most.

        A session that does not stay beside another one (see `begin_anew`), that owes an answer, or that is handing over
        ends at once.
        """
        session, now = self.session, self._around.reactor.now()
        waits = session is not None and session.proven(now) and self._successor is None
        if session is not None and waits and self._stays_beside(session):
            self._stopped = True
            self._cancel_try()
            self._look_after(None)
            session.hand_over(lambda: self._left(session, reason, say))
        else:
            self.stop(reason, say)

    def _left(self, session: ClientNoiseSession, reason: str, say: str) -> None:
        self.session = None
        session.close(reason, say=say)
        self._owner.ways_changed()
        self._owner.link_news()  # its address need not stay outside any more

    def ask_presence(self, identities: tuple[str, ...]) -> None:
        """Ask who of these is online, where that is not told."""
        if isinstance(self.session, ClientNoiseSession):
            self.session.ask_presence(identities)

    def device_gone(self, reason: str, wait_seconds: float) -> None:
        """End the session for want of a device, and try again after a while."""
        if self.session is not None:
            self.session.close(reason, say="device gone")
        self._wait(wait_seconds, reason, firm=True)

    # --- one try -----------------------------------------------------------------------------------------------------

    def _show(self, state: str) -> None:
        """Tell what this link is doing; while a session serves, a try beside it does not count."""
        self.state = "online" if self.session is not None else state

    def _cancel_try(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._connector.cancel()

    def _on_resolved(self, found: list[Endpoint]) -> None:
        in_use = [one.stream.remote for one in (self.session, self._successor) if one is not None]
        self.outside = tuple(dict.fromkeys((*in_use, *found)))
        self._owner.link_resolved()

    def _on_connected(self, remote: Endpoint) -> None:
        doubt = self._doubt
        if doubt is None and self._out_of_doubt:
            self._on_trust()
            return
        if doubt is not None and self.session is not None and not self._stays_beside(self.session):
            self._leave(doubt.reason)
        self._show("handshaking")
        self.remote = remote

    def _begin_handshake(self, stream: Stream, on_done: Callable[[Outcome], None]) -> ClientHandshake:
        around = self._around
        tun = self._owner.tun
        hello = around.settings.hello(tun.offloads if tun is not None else frozenset())
        secret = self.attempts.present.secret
        try:
            return begin_handshake(around.reactor, around.buffers, stream, secret, hello, around.random_bytes, on_done)
        except ProtocolError:
            raise
        except Exception as error:  # else nobody would begin the next try
            around.log.event("error", "internal-error", describe_bug(error))
            raise ProtocolError("a fault of this program; see the log") from error

    # --- what came of it ---------------------------------------------------------------------------------------------

    def _on_outcome(self, stream: Stream | None, outcome: Outcome) -> None:
        self.refused = False
        if isinstance(outcome, str):
            self._failed(outcome)
        elif isinstance(outcome, RefusedError):
            self._on_refused(outcome)
        elif stream is not None:
            try:
                self._begin_session(stream, outcome)
            except ProtocolError as error:
                stream.close()
                self._failed(str(error))

    def _on_refused(self, error: RefusedError) -> None:
        if self.attempts.next():
            self._wait(NEXT_SECONDS, error.message)  # the server may know this member by another key
        else:
            self.refused = True
            self.last_error = error.message
            if self._owner.link_refused(error):
                self._wait(REFUSED_SECONDS, error.message, firm=True)
        self._show("refused")

    def _begin_session(self, stream: Stream, accepted: NoiseAccepted | SeedAccepted) -> None:
        config = self._around.settings.config
        owner = Owner(
            config.keepalive_interval,
            config.keepalive_interval * config.keepalive_threshold,
            self._on_config,
            self._owner.link_news,
            self._on_session_closed,
        )
        own, session = open_session(self._owner.tools, stream, accepted, owner, config, self.peers)
        doubt = self._doubt
        if doubt is not None:
            self._leave(doubt.reason)
        present = self.session
        if isinstance(present, ClientNoiseSession):
            earlier, self._successor = self._successor, session
            if earlier is not None:
                earlier.close("another session takes its turn")
            present.hand_over(lambda: self._go_online(stream, own, session))
        else:
            self._go_online(stream, own, session)

    def _go_online(self, stream: Stream, own: OwnEntry, session: ClientSession) -> None:
        if self._stopped or self._owner.tun is None:
            session.close("the device is gone")
        if session.closed:
            return
        self.session, self._successor = session, None
        self.state = "online"
        self.last_error = ""
        self._look_after(session)
        self.peers.own = own
        self.outside = (stream.remote,)
        self.configured = isinstance(session, ClientSeedSession)
        if self.configured:
            self._log_online(session)
        self._owner.link_online()
        if self.session is session:
            session.begin()
        self._owner.ways_changed()

    def _log_online(self, session: ClientSession) -> None:
        """Say that there is a session, once the server has given it this member's place, where it tells that."""
        self._around.log.event(
            "info", "online", f"connected to {session.stream.remote}", server=self.server, tier=session.tier.value,
            cipher=session.cipher_name, public_key=session.public_key,
        )  # fmt: skip

    def _on_session_closed(self, session: ClientSession, reason: str, wait_seconds: float) -> None:
        """The session in use has ended, or the one that was about to follow it; of others nobody needs to hear."""
        if session not in (self.session, self._successor):
            return
        present, self.session, self._successor = self.session, None, None
        if present is not None and self._around.reactor.now() - present.began_at >= STEADY_SECONDS:
            self._backoff.reset()
        self._look_after(None)
        for one in (present, session):
            if one is not None:
                one.close(reason)  # the one in use has handed over already: nothing is sent on it any more
        self.reconnects += 1
        ours = session.tier is Tier.SHARED and self._owner.has_session_beside(self)
        if session.place_lost and ours and not self._stopped:
            seconds, level = self._place.next_wait(wait_seconds)
            self._wait(seconds, f"{reason}: {OURS}", firm=True, level=level)
        elif not self._stopped:
            self._wait(wait_seconds or self._backoff.next_wait(), reason, firm=wait_seconds > 0)
        self._owner.ways_changed()
        if not session.place_lost:
            self._owner.session_ended()

    def _failed(self, reason: str) -> None:
        self._connector.narrow.acquit()
        self._wait(NEXT_SECONDS if self.attempts.next() else self._backoff.next_wait(), reason)

    def _wait(self, seconds: float, reason: str, *, firm: bool = False, level: str = "warning") -> None:
        self._cancel_try()
        self._firm = firm
        self._show("waiting")
        self.last_error = reason
        reactor = self._around.reactor
        self.next_try_at = reactor.now() + seconds
        self._timer = reactor.call_at(self.next_try_at, self.begin)
        name = "not-connected" if self.session is None else "not-changed-over"
        text = f"{reason}; trying again in {seconds:.1f} s"
        self._around.log.event(level, name, text, server=self.server)

    # --- a session in doubt ------------------------------------------------------------------------------------------

    def _stays_beside(self, session: ClientSession) -> TypeGuard[ClientNoiseSession]:
        """Return whether a session may serve until the next one stands."""
        return isinstance(session, ClientNoiseSession) and self._around.settings.config.tier is Tier.KEY

    @property
    def _doubt(self) -> Doubt | None:
        return self._watch.review() if self._watch is not None else None

    def _look_after(self, session: ClientSession | None) -> None:
        """Watch the way of the session in use from now on."""
        self._out_of_doubt = False
        if self._watch is not None:
            self._watch.stop()
            self._watch = None
        if session is not None:
            self._watch = PathWatch(self._around.reactor, session, self._on_doubt, self._on_trust)
            host = session.stream.remote.host
            if self._connector.narrow.confirm(host, self._around.reactor.now()):
                text = f"the way to {host} seems to swallow full segments: {SMALL_SEGMENT_BYTES} bytes for an hour"
                self._around.log.event("warning", "narrow-path", text, remote=host)

    def _on_doubt(self, doubt: Doubt) -> None:
        session = self.session
        if session is None or self._successor is not None:
            return
        text = f"{doubt.reason}; trying another connection"
        self._around.log.event("info", "path-doubt", text, server=self.server)
        if doubt.narrow:
            host, now = session.stream.remote.host, self._around.reactor.now()
            self._connector.narrow.suspect(host, now, carried_full=doubt.carried_full)
        if doubt.final:
            self._leave(doubt.reason)
        else:
            self._out_of_doubt = True
        if self._around.reactor.now() - session.began_at >= STEADY_SECONDS:
            self._backoff.reset()
            self.begin()
        elif doubt.at_once:
            self.begin()
        else:
            self._wait(self._backoff.next_wait(), doubt.reason)

    def _on_trust(self) -> None:
        self._connector.narrow.acquit()
        if self._out_of_doubt:
            self._out_of_doubt = False
            self._cancel_try()
            self.next_try_at = None
            self.last_error = ""

    def _leave(self, reason: str) -> None:
        """Let go of a session that has no way to its server."""
        session, self.session = self.session, None
        self._look_after(None)
        if session is not None:
            session.close(reason)
            self.reconnects += 1
        self._owner.ways_changed()
        self._owner.session_ended()

    def _on_config(self, own: OwnEntry) -> None:
        if not self.configured and self.session is not None:
            self._place.free()
            self._log_online(self.session)
        if own != self.peers.own or not self.configured:
            self.peers.own, self.configured = own, True
            self._owner.link_news()
