"""What happens in a laboratory, for `lab-events`: what it is at first, then each change as a line of JSON.

    {"time": "2027-01-31T12:00:00.123+00:00", "event": "snapshot", "schema": 1, "fleet": NAME,
     "nodes": [{"node", "role", "cluster", "pid", "ended", "online"}], "links": [{"link": "A->B", "settings": {...}}]}
    {"time": ..., "event": "node-up" or "node-down", "node": NAME}
    {"time": ..., "event": "process-started", "node": NAME, "pid": 12}
    {"time": ..., "event": "process-ended", "node": NAME, "code": -9}
    {"time": ..., "event": "session-online" or "session-offline", "node": MEMBER}
    {"time": ..., "event": "link-changed", "link": "A->B", "settings": {...}}
    {"time": ..., "event": "apply-step", "text": "the relay read its files"}

Rules of this module
  1. Every change is found by comparing two pictures of the laboratory, whoever made it; only steps of a command, which
     change nothing that shows by itself, are told by who does them (`Journal`).
  2. Of sessions, what the relay says counts. While it does not answer, nothing is said of them.
  3. Pictures are taken only while somebody listens, each listener's own. What begins and ends between two is not seen.
"""

from __future__ import annotations

import datetime as dt
import json
import socket
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from threading import Condition
from typing import Any, Final

from netlab.lab import Laboratory
from netlab.links.impairment import settings
from netlab.topology import SERVER
from netlab.waiting import readable

SCHEMA: Final = 1
LOOK_SECONDS: Final = 0.2  # between two pictures
KEPT_WORDS: Final = 1000
Event = dict[str, Any]


class Journal:
    """Words of commands that are at work, for everybody who listens."""

    def __init__(self) -> None:
        self._news = Condition()
        self._events: deque[Event] = deque(maxlen=KEPT_WORDS)
        self.told = 0

    def tell(self, words: str) -> None:
        """Let all who listen hear of a step."""
        with self._news:
            self._events.append({"event": "apply-step", "text": words})
            self.told += 1
            self._news.notify_all()

    def after(self, heard: int, seconds: float) -> list[Event]:
        """Return what was told after the first `heard` events; wait so long for something, if there is nothing yet."""
        with self._news:
            self._news.wait_for(lambda: self.told > heard, seconds)
            new = min(self.told - heard, len(self._events))
            return list(self._events)[len(self._events) - new :]


@dataclass(frozen=True, slots=True)
class Picture:
    """A laboratory at one moment.

    Attributes:
        nodes: role by name.
        processes: process id and exit code (None while it runs) by node.
        online: members that have a session, None where the relay does not say.
        links: settings of the directions that are not plain.
    """

    nodes: Mapping[str, str]
    processes: Mapping[str, tuple[int, int | None]]
    online: frozenset[str] | None = None
    links: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


def picture(lab: Laboratory) -> Picture:
    """Return what a laboratory is now."""
    words = lab.status(SERVER)
    online = None if words is None else frozenset(str(one["identity"]) for one in words["sessions"])
    return Picture(
        {node.name: node.role for node in lab.topology.nodes},
        {name: (process.pid, process.ended()) for name, process in dict(lab.processes).items()},
        online,
        {one.name: settings(one.impairment) for one in lab.links.impaired()},
    )


def changes(before: Picture, after: Picture) -> Iterator[Event]:
    """Yield an event for each difference: what went before what came."""
    for name in sorted(before.nodes.keys() - after.nodes.keys()):
        yield {"event": "node-down", "node": name}
    for name in sorted(after.nodes.keys() - before.nodes.keys()):
        yield {"event": "node-up", "node": name}
    for name, (pid, code) in after.processes.items():
        was_pid, was_code = before.processes.get(name, (None, None))
        if pid != was_pid:
            yield {"event": "process-started", "node": name, "pid": pid}
        if code is not None and (pid, code) != (was_pid, was_code):
            yield {"event": "process-ended", "node": name, "code": code}
    if before.online is not None and after.online is not None:
        yield from ({"event": "session-offline", "node": name} for name in sorted(before.online - after.online))
        yield from ({"event": "session-online", "node": name} for name in sorted(after.online - before.online))
    for name in sorted({**before.links, **after.links}):
        if before.links.get(name, {}) != after.links.get(name, {}):
            yield {"event": "link-changed", "link": name, "settings": after.links.get(name, {})}


def report(lab: Laboratory, journal: Journal, connection: socket.socket) -> None:
    """Write the first picture and then all that happens, until whoever listens has gone. Raises OSError then."""
    heard, seen = journal.told, picture(lab)
    _write(connection, _snapshot(lab, seen))
    while not _gone(connection):
        told = journal.after(heard, LOOK_SECONDS)
        now = picture(lab)
        for event in (*told, *changes(seen, now)):
            _write(connection, event)
        heard += len(told)
        seen = now if now.online is not None else Picture(now.nodes, now.processes, seen.online, now.links)


def _snapshot(lab: Laboratory, seen: Picture) -> Event:
    clusters = {member.identity: member.cluster for member in lab.spec.members}
    nodes = []
    for name, role in seen.nodes.items():
        pid, ended = seen.processes.get(name, (None, None))
        online = name in seen.online if seen.online is not None and role == "member" else None
        common = {"node": name, "role": role, "cluster": clusters.get(name, "")}
        nodes.append({**common, "pid": pid, "ended": ended, "online": online})
    links = [{"link": name, "settings": does} for name, does in seen.links.items()]
    return {"event": "snapshot", "schema": SCHEMA, "fleet": lab.spec.name, "nodes": nodes, "links": links}


def _write(connection: socket.socket, event: Event) -> None:
    time = dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds")
    connection.sendall(json.dumps({"time": time, **event}).encode() + b"\n")


def _gone(connection: socket.socket) -> bool:
    return bool(readable((connection,), 0)) and not connection.recv(1)
