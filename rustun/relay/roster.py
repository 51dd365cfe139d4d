"""routes.json at run time: watched, read in short steps, taken whole or not at all.

Rules of this module
  1. The file is looked at every POLL_SECONDS by its metadata, so an atomic rename counts as much as a write.
  2. It is read a step at a time between other work: a file of 10,000 members pauses nobody.
  3. A file that cannot be used changes nothing. The last good set stays, and `problems` and `not_in_force` say what
     the operator believes to be true and is not.
  4. An entry that has lost its public key keeps it until the operator says otherwise (rustun.config.known_keys).
  5. A file that could not even be read is tried again at each look: a host that had no descriptor left changes nothing
     of the file's metadata when it has one again.
  6. A newer content replaces one that is being read, but the one that has replaced another is read to its end first: a
     file that changes faster than it can be read would else never be in force.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Collection, Generator, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rustun.backends.base import Reactor, Timer
from rustun.config.files import MAX_ROUTES_BYTES, read_bytes
from rustun.config.member import Member
from rustun.config.routes import RoutesFile, at_once, parse_routes
from rustun.errors import ConfigError
from rustun.logs import EventLog
from rustun.relay.difference import NAMED, Difference, difference
from rustun.relay.known_keys import KnownKeys

TURN_SECONDS: Final = 0.001  # of reading between two turns of the loop: 10,000 members take 0.6 s of them
STEPS_PER_TURN: Final = 16
MEMBERS_PER_STEP: Final = 32  # compared in 0.1 ms
POLL_SECONDS: Final = 0.25  # a change has to be in force within 1 s
IDENTITY: Final = re.compile(rb'"identity"\s*:\s*("(?:[^"\\]|\\.)*")')  # found in broken JSON as well

Signature = tuple[int, int, int, int] | None


@dataclass(frozen=True, slots=True)
class Change:
    """A good set, and the identities whose entry may differ from the set before."""

    routes: RoutesFile
    maybe: frozenset[str]


def differing(before: Iterable[Member], after: Iterable[Member]) -> Generator[None, None, frozenset[str]]:
    """Return the identities whose entries differ, in short steps: at once, 10,000 members would take 30 ms."""
    left = {member.identity: member for member in before}
    yield
    found = set()
    for number, member in enumerate(after, start=1):
        if left.pop(member.identity, None) != member:
            found.add(member.identity)
        if not number % MEMBERS_PER_STEP:
            yield
    return frozenset(found | left.keys())


class Roster:
    """The present set of members and the file that it comes from.

    Args:
        path: of routes.json.
        on_change: called with every new good set, and the identities whose entry may differ from the set before.
        known_keys: what is remembered of the members' public keys.
    Attributes:
        routes: the set in force.
        loaded_at: when it was loaded, unix seconds.
        problems: why the file as it is now was refused, one line each; empty when it is in force.
        not_in_force: identities that are still members although the refused file no longer names them.
    """

    def __init__(
        self,
        path: Path,
        reactor: Reactor,
        log: EventLog,
        on_change: Callable[[RoutesFile, Collection[str]], None],
        known_keys: KnownKeys,
    ) -> None:
        self.path = path
        self.known_keys = known_keys
        self._reactor = reactor
        self._log = log
        self._on_change = on_change
        self.routes = RoutesFile((), ())
        self.loaded_at = 0.0
        self.problems: tuple[str, ...] = ()
        self.not_in_force: tuple[str, ...] = ()
        self._seen: Signature = None
        self._steps: Generator[None, None, Change] | None = None
        self._replaced = False  # what is being read has replaced another content
        self._again = False  # there is a newer one
        self._data = b""
        self._unreadable = ""  # what was said of a file that could not be read, so that it is said once
        self._timer: Timer | None = None

    def load(self) -> None:
        """Read the file at once, for the start. Raises: ConfigError."""
        self._seen = self._signature()
        self._accept(at_once(self._read(read_bytes(self.path, MAX_ROUTES_BYTES))))

    def watch(self) -> None:
        """Look at the file from now on."""
        self._timer = self._reactor.call_at(self._reactor.now() + POLL_SECONDS, self._poll)

    @property
    def is_reading(self) -> bool:
        """Whether a content of the file is being read that is not in force yet."""
        return self._steps is not None

    def stop(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()
        self._steps = None
        self._again = False
        self.known_keys.stop()

    def reload(self) -> None:
        """Read the file again, whether it looks changed or not."""
        self._unreadable = ""
        self._begin()

    def _signature(self) -> Signature:
        try:
            status = os.stat(self.path)
        except OSError:
            return None
        return status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino

    def _poll(self) -> None:
        self.watch()
        if self._signature() != self._seen:
            self._begin()

    def _begin(self) -> None:
        busy = self._steps is not None
        self._again = busy and self._replaced
        if self._again:
            return
        self._replaced = busy
        self._seen = self._signature()
        try:
            self._data = read_bytes(self.path, MAX_ROUTES_BYTES)
        except ConfigError as error:
            self._steps = None  # an older content that is still being read is outdated too
            self._seen = None  # rule 5
            if self._unreadable != str(error):
                self._unreadable = str(error)
                self._refuse(error, readable=False)
            return
        self._unreadable = ""
        self._steps = self._read(self._data)
        if not busy:
            self._reactor.call_soon(self._step)

    def _read(self, data: bytes) -> Generator[None, None, Change]:
        routes = yield from parse_routes(data, str(self.path))
        maybe = yield from differing(self.routes.members, routes.members)
        kept = yield from self.known_keys.keep(routes, str(self.path))
        pairs = zip(routes.members, kept.members, strict=True)
        return Change(kept, maybe.union(after.identity for before, after in pairs if after is not before))

    def _step(self) -> None:
        steps, self._steps = self._steps, None  # should a step fail as nobody foresaw, the next change begins anew
        if steps is None:
            return
        until = self._reactor.now() + TURN_SECONDS
        try:
            for _ in range(STEPS_PER_TURN):
                next(steps)
                if self._reactor.now() >= until:
                    break
        except StopIteration as stop:
            self._accept(stop.value)
        except ConfigError as error:
            self._refuse(error, readable=True)
        else:
            self._steps = steps
            self._reactor.call_soon(self._step)
            return
        if self._again:
            self._begin()

    def _accept(self, change: Change) -> None:
        self._data = b""
        before, routes = self.routes, change.routes
        found = difference(before, routes, change.maybe) if self.loaded_at else Difference()  # nothing to compare with
        self.routes = routes
        self.loaded_at = self._reactor.wall_clock()
        self.problems = self.not_in_force = ()
        for note in routes.notes:
            self._log.event("info" if note.level == "note" else "warning", "routes-note", str(note))
        self._log.event(
            "info", "routes-loaded", f"{len(routes.members)} members from {self.path}", members=len(routes.members),
            added=found.added, removed=found.removed, changed=found.changed, unnamed=found.unnamed or None,
        )  # fmt: skip
        self._on_change(routes, change.maybe)

    def _refuse(self, error: ConfigError, *, readable: bool) -> None:
        data, self._data = self._data if readable else b"", b""
        self.problems = tuple(str(problem) for problem in error.errors)
        # A refused file cannot be read as a whole, but an identity that stands nowhere in it is surely meant to go.
        # One pass over the file: a search for each of 10,000 members would stop every packet for seconds.
        named = set(IDENTITY.findall(data))
        is_whole = bool(named) and data.rstrip().endswith(b"]")  # who would stand behind a cut was not taken out
        self.not_in_force = tuple(
            member.identity for member in self.routes.members if is_whole and named.isdisjoint(_spellings(member))
        )
        kept = f"the server keeps the {len(self.routes.members)} members it had"
        for problem in self.problems:
            self._log.event("error", "routes-problem", problem)
        gone = "" if is_whole else "; nobody can tell which removals are not in force"
        if self.not_in_force:
            gone = f"; STILL MEMBERS although removed there: {', '.join(self.not_in_force)}"
        self._log.event(
            "error", "routes-refused", f"{self.path} is not in force; {kept}{gone}",
            problems=len(self.problems), not_in_force=self.not_in_force[:NAMED],
        )  # fmt: skip


def _spellings(member: Member) -> tuple[bytes, bytes]:
    return json.dumps(member.identity, ensure_ascii=False).encode(), json.dumps(member.identity).encode()
