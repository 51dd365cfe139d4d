"""What happened lately, and what happens from now on (docs/events.md).

Rules of this module
  1. The last KEPT entries are kept, as they were made for the log: bounded, printable. What the log limits is limited
     here too.
  2. Each has a number, counted from the start of the process. Who reads on after a pause says the last one that it has
     seen (`since`); a gap in the numbers is what it has missed.
  3. A reader that is slow is told at its own pace, and never more than is still kept.
  4. What management has done it says itself (`management`), since only who may change something may add a line here.

    {"ask": "events", "since": 4711}     {"schema": 1, "number": 4712, "time": ..., "level": "info", "event": ..., ...}
                                         {"schema": 1, "number": 4713, ...}      and so on, a line each
    {"ask": "recent"}                    {"schema": 1, "events": [{"number": 4711, ...}, {"number": 4712, ...}]}
    {"ask": "management", "action": "change", "cluster": "beijing", "identity": "bj-dev", "changed": "ciders, tier",
     "by": "198.18.0.9"}                 {"schema": 1, "noted": true}
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Final

from rustun.admin.asking import Answers, Ask, AskError, Document, Handler
from rustun.admin.control import SCHEMA
from rustun.backends.base import Reactor, Timer
from rustun.events import is_audited
from rustun.logs import Entry, EventLog

KEPT: Final = 1000  # typically 0.6 MB
PAUSE_SECONDS: Final = 0.02  # before a slow reader is told more
HIGHEST: Final = 1 << 53  # of the numbers that every reader of JSON understands
ACTIONS: Final = ("add", "change", "remove", "replace")


class RecentEvents:
    """A sink that keeps the last entries, and tells them to whoever asks.

    Args:
        reactor: whose loop calls back.
    """

    def __init__(self, reactor: Reactor) -> None:
        self.reactor = reactor
        self.count = 0  # of all entries; the number of the newest
        self._entries: deque[Entry] = deque(maxlen=KEPT)
        self._followers: dict[_Follower, None] = {}

    def wants(self, level: str, name: str) -> bool:
        """Say whether entries of this level and name are kept."""
        return level != "debug" or is_audited(name)

    def write(self, entry: Entry) -> None:
        """Keep one, and tell it to who follows."""
        self._entries.append(entry)
        self.count += 1
        for follower in list(self._followers):
            follower.go_on()

    def close(self) -> None:
        """Nothing is held back here."""

    def after(self, number: int) -> Iterator[tuple[int, Entry]]:
        """Return what is kept of the entries behind one, with their numbers; taken at one moment.

        A number that was not given yet is another process's: then all are returned.
        """
        first = self.count - len(self._entries) + 1
        left_out = max(number + 1 - first, 0) if number <= self.count else 0
        return iter([*enumerate(islice(self._entries, left_out, None), first + left_out)])

    def handlers(self, log: EventLog) -> dict[str, Handler]:
        """Return who answers what; `log` takes what management says."""
        return {"events": self._follow, "recent": self._recent, "management": lambda ask: note_management(ask, log)}

    def _follow(self, ask: Ask) -> Answers:
        follower = _Follower(self, since(ask))
        ask.close()
        return Answers(follower.begin, follower.end)

    def _recent(self, ask: Ask) -> Document:
        found = self.after(since(ask))
        ask.close()
        return {"schema": SCHEMA, "events": ({"number": number, **entry.document()} for number, entry in found)}

    def follow(self, follower: _Follower) -> None:
        """Tell it of every entry from now on."""
        self._followers[follower] = None

    def forget(self, follower: _Follower) -> None:
        """Tell it of none any more."""
        self._followers.pop(follower, None)


class _Follower:
    """One reader, who has seen everything up to a number."""

    def __init__(self, recent: RecentEvents, seen: int) -> None:
        self._recent = recent
        self._seen = seen
        self._tell: Callable[[Document], bool]
        self._pause: Timer | None = None

    def begin(self, tell: Callable[[Document], bool], done: Callable[[], None]) -> None:
        self._tell = tell
        self._recent.follow(self)
        self.go_on()

    def go_on(self) -> None:
        """Tell what is new, as far as there is room for it."""
        if self._pause is not None:
            return
        for number, entry in self._recent.after(self._seen):
            if not self._tell({"schema": SCHEMA, "number": number, **entry.document()}):
                reactor = self._recent.reactor
                self._pause = reactor.call_at(reactor.now() + PAUSE_SECONDS, self._after_pause)
                return
            self._seen = number

    def end(self) -> None:
        self._recent.forget(self)
        if self._pause is not None:
            self._pause.cancel()

    def _after_pause(self) -> None:
        self._pause = None
        self.go_on()


def since(ask: Ask) -> int:
    """Return the number behind which somebody wants to read. Raises: AskError."""
    return int(ask.number("since", 0, 0, HIGHEST))


def note_management(ask: Ask, log: EventLog) -> Document:
    """Report a change that the dashboard or a control plane made.

    Raises: AskError: who asks may change nothing, or does not say what was done.
    """
    if not ask.peer.may_change:
        raise AskError("only root and the user of this process may say what was changed")
    action = ask.text("action")
    if action not in ACTIONS:
        raise AskError('"action" is none', f"one of {', '.join(ACTIONS)}")
    cluster, identity, by = ask.text("cluster"), ask.text("identity"), ask.text("by")
    changed = [key.strip() for key in ask.text("changed").split(",") if key.strip()]
    ask.close()
    what = identity or cluster or "the members"
    log.event(
        "info", "management", f"{what}: {action}", action=action, cluster=cluster, identity=identity, by=by,
        changed=changed,
    )  # fmt: skip
    return {"schema": SCHEMA, "noted": True}
