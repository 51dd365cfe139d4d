"""What the dashboard shows, made from one status document after the other: members as rows, rates, and what changed.

Rules of this module
  1. Documents and times in, records out. The relay's counters and its `uptime_s` give the rates, so that neither a late
     answer nor a clock that was set makes a peak.
  2. A session is the same one as long as it has its number. Another one counts from its beginning. Numbers and counters
     are those of one process: who was started again begins anew, however long it has been up since.
  3. An age becomes a point in time, and one that moved by less than its jitter stays as it was: a member that does
     nothing makes no difference that anybody has to be sent.
  4. Rows go over from a moment to the next one, which changes in them what changed: to copy a thousand takes longer.
     A document that cannot be read has changed nothing.
  5. A key that the relay does not tell is None, "" or empty, never a guess.
  6. Whom the relay knows to be known (`since`, docs/status.md) it tells of by number: with a list of what flows, or,
     where nothing does, by the number alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from rustun.admin.explain import hint_of

Document = Mapping[str, Any]
Row = dict[str, Any]

JITTER_SECONDS: Final = 1.5  # between two documents, of a point in time that was told as an age
TOLD_ONCE: Final = ("cluster", "identity", "name", "address", "address6", "remote", "tier", "cipher", "mtu", "version")
SERVER_KEYS: Final = ("version", "listen", "members", "online", "pending", "alarms", "drops", "closes", "queued_bytes")
ROUTES_KEYS: Final = ("file", "loaded_at", "members", "problems", "not_in_force")
RATES: Final = ("in_rate", "out_rate", "drop_rate")  # bytes/s, bytes/s, packets/s
ONLINE: Final = "online"
NO_ROW: Final[Row] = {}
# What changes in a row while a session lasts, in the order of _flowing.
FLOWING: Final = ("proved", "rtt_ms", "in_bytes", "out_bytes", "queued_bytes", "drops", "refused", "lost_to", *RATES)


class UnknownNumber(LookupError):
    """A number that stands for nothing that was told before: everything has to be asked for."""


@dataclass(frozen=True, slots=True)
class Overview:
    """One moment of a relay.

    Attributes:
        time: when, in seconds since 1970.
        uptime_s: of the relay then, by its own clock.
        server: what concerns all members.
        members: a row each, by identity; its keys are listed in docs/dashboard.md.
        change: what a reader who knows the moment before needs to know this one: changed keys, whole rows of members
            that are new, and who is gone; None where there is none before.
        numbers: whom the relay's numbers stand for.
        relay: what tells its process from another one's; empty where it does not say.
    """

    time: float
    uptime_s: float
    server: Row
    members: dict[str, Row]
    change: Row | None
    numbers: dict[int, str] = field(repr=False)
    relay: str


def overview(document: Document, time: float, before: Overview | None) -> Overview:
    """Return the moment that a server's status document describes.

    Args:
        document: schema 1, role "server".
        time: when it was read, in seconds since 1970.
        before: the moment before, for rates and numbers; None for the first, which has none. Its rows are the new
            one's, so that it is not to be used any more; where this raises, it is as it was.
    Raises: UnknownNumber.
    """
    relay = str(document.get("as_of") or "").partition("-")[0]
    step = _Step(before, time, float(document.get("uptime_s") or 0.0), relay)
    absent = {step.who(one): one for one in document.get("offline") or ()}
    changes: dict[str, Row] = {}
    for one in document.get("sessions") or ():
        identity = step.who(one)
        if identity not in absent:  # else it went while the document was made
            changes[identity] = step.flowed(one, identity) if type(one) is list else step.online(one, identity)
    for identity, one in absent.items():
        changes[identity] = {} if type(one) is int else step.absent(one, identity)
    server = _server(document, time, step.last)
    known = step.known
    members = {identity: _gone_on(known.get(identity), new) for identity, new in changes.items()}
    change = None
    if before is not None:
        change = {
            "time": round(time, 1),
            "server": _changed(before.server, server),
            "members": {identity: new for identity, new in changes.items() if new},
            "gone": [identity for identity in known if identity not in members],
        }
    return Overview(time, step.uptime_s, server, members, change, step.numbers, relay)


def whole(now: Overview) -> Row:
    """Return all that a reader needs who knows nothing."""
    return {"time": round(now.time, 1), "server": now.server, "members": now.members, "gone": []}


class _Step:
    """The way from one moment to the next.

    Attributes:
        known: the rows of the moment before.
        last: that moment, where its counters are those of this one's relay.
        numbers: of this moment, so far.
    """

    def __init__(self, before: Overview | None, time: float, uptime_s: float, relay: str) -> None:
        self.uptime_s = uptime_s
        self.known = before.members if before is not None else {}
        goes_on = before is not None and relay == before.relay and uptime_s > before.uptime_s
        self.last = before if goes_on else None  # else they began anew
        self.numbers: dict[int, str] = {}
        self._before = before.numbers if before is not None else {}
        self._elapsed = uptime_s - self.last.uptime_s if self.last is not None else None
        self._time = time

    def who(self, one: Any) -> str:
        """Return of whom this is, an object, a list or a number. Raises: UnknownNumber."""
        if isinstance(one, Mapping):
            number, identity = one.get("number"), str(one.get("identity"))
        else:
            number = one[0] if type(one) is list else one
            identity = self._before.get(number, "")
            if not identity:
                raise UnknownNumber(number)
        if number is not None:
            self.numbers[number] = identity
        return identity

    def flowed(self, told: list[Any], identity: str) -> Row:
        """Return what changed in the row of a session that is known. Raises: UnknownNumber."""
        old = self.known[identity]
        if old["state"] != ONLINE:
            raise UnknownNumber(told[0])
        return {key: value for key, value in self._flowing(told, old, old) if old[key] != value}

    def online(self, session: Document, identity: str) -> Row:
        """Return what changed in the row of a session that is told of whole; all of it where it is new."""
        old = self.known.get(identity, NO_ROW)
        number = session.get("number")
        goes_on = number in self._before and old.get("state") == ONLINE and self._before[number] == identity
        told = [
            number,
            session.get("proof_age_s"),
            session.get("rtt_ms"),
            int(session.get("received_bytes") or 0),
            int(session.get("sent_bytes") or 0),
            session.get("queued_bytes"),
            session.get("drops") or {},
            session.get("refused") or {},
            session.get("lost_to") or "",
        ]
        stays = {
            **{key: session.get(key) for key in TOLD_ONCE},
            "state": ONLINE,
            "ciders": list(session.get("ciders") or ()),
            "expires_at": session.get("expires_at") or "",
            "began": _moment(self._time, session.get("age_s"), old.get("began")),
            "error": "",
            "hint": "",
            "error_at": None,
        }
        return _changed(old, {**stays, **dict(self._flowing(told, old, old if goes_on else NO_ROW))})

    def absent(self, member: Document, identity: str) -> Row:
        """Return what changed in the row of a member that is not there."""
        old, time = self.known.get(identity, NO_ROW), self._time
        now = {
            **dict.fromkeys(TOLD_ONCE),
            **{key: member[key] for key in TOLD_ONCE if key in member},
            "state": str(member.get("state") or "offline"),
            "ciders": list(member.get("ciders") or ()),
            "expires_at": member.get("expires_at") or "",
            "began": None,
            "proved": _moment(time, member.get("last_seen_age_s"), old.get("proved")),
            **dict.fromkeys(("rtt_ms", *RATES, "in_bytes", "out_bytes", "queued_bytes")),
            "drops": {},
            "refused": {},
            "lost_to": "",
            "error": str(member.get("last_error") or ""),
            "hint": hint_of(member),
            "error_at": _moment(time, member.get("last_error_age_s"), old.get("error_at")),
        }
        return _changed(old, now)

    def _flowing(self, told: list[Any], old: Row, was: Row) -> Iterator[tuple[str, Any]]:
        """Return what flows, with its keys.

        Args:
            old: the member's row, for points in time.
            was: the session's; empty for one that is new.
        """
        number, proof_age, rtt, in_bytes, out_bytes, queued, drops, refused, lost_to = told
        drops_then = was.get("drops", NO_ROW)
        elapsed = self._elapsed
        rates: tuple[float | None, ...] = (None, None, None)
        if elapsed is not None and number is not None:
            dropped = 0 if drops == drops_then else sum(drops.values()) - sum(drops_then.values())
            rates = (
                round((in_bytes - was.get("in_bytes", 0)) / elapsed),
                round((out_bytes - was.get("out_bytes", 0)) / elapsed),
                round(dropped / elapsed, 1),
            )
        proved = _moment(self._time, proof_age, old.get("proved"))
        rtt = None if rtt is None else round(rtt, 2)
        return zip(FLOWING, (proved, rtt, in_bytes, out_bytes, queued, drops, refused, lost_to, *rates), strict=True)


def _server(document: Document, time: float, before: Overview | None) -> Row:
    routes = document.get("routes") or {}
    began_ago = float(document.get("uptime_s") or 0.0)
    return {
        **{key: document.get(key) for key in SERVER_KEYS},
        "began": _moment(time, began_ago, before.server.get("began") if before is not None else None),
        "routes": {key: routes.get(key) for key in ROUTES_KEYS},
    }


def _changed(old: Row, now: Row) -> Row:
    """Return what of `now` is new to who knows `old`."""
    return {key: value for key, value in now.items() if key not in old or old[key] != value}


def _gone_on(row: Row | None, change: Row) -> Row:
    """Return a member's row with what changed in it."""
    if row is None:
        return dict(change)
    row.update(change)
    return row


def _moment(time: float, age: float | None, old: float | None) -> float | None:
    """Return a point in time, or the one that was told before where only jitter is between them."""
    if age is None:
        return None
    moment = time - age
    return old if old is not None and -JITTER_SECONDS < moment - old < JITTER_SECONDS else round(moment, 1)
