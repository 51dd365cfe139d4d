"""What the dashboard shows, made from one status document after the other: members as rows, rates, and what changed.

Rules of this module
  1. Documents and times in, records out. The relay's counters and its `uptime_s` give the rates, so that neither a late
     answer nor a clock that was set makes a peak.
  2. A counter that went back began again with a new session: what it shows is what came since then.
  3. An age becomes a point in time, and one that moved by less than its jitter stays as it was: a member that does
     nothing makes no difference that anybody has to be sent.
  4. Rows go over from a moment to the next one, which changes in them what changed: to copy a thousand takes longer.
     A document that cannot be read has changed nothing.
  5. A key that the relay does not tell is None, "" or empty, never a guess.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

Document = Mapping[str, Any]
Row = dict[str, Any]
Counted = tuple[int, int, int]  # bytes in, bytes out, drops
Rates = tuple[float, float, float] | tuple[None, None, None]  # as RATES; None: not known

JITTER_SECONDS: Final = 1.5  # between two documents, of a point in time that was told as an age
TOLD_ONCE: Final = ("cluster", "identity", "name", "address", "address6", "remote", "tier", "cipher", "mtu", "version")
STANDING: Final = (*TOLD_ONCE, "state", "ciders", "expires_at", "refused", "lost_to")
SERVER_KEYS: Final = ("version", "listen", "members", "online", "pending", "alarms", "drops", "closes", "queued_bytes")
ROUTES_KEYS: Final = ("file", "loaded_at", "members", "problems", "not_in_force")
RATES: Final = ("in_rate", "out_rate", "drop_rate")  # bytes/s, bytes/s, packets/s
ONLINE: Final = "online"
NOTHING: Final[Counted] = (0, 0, 0)
NO_ROW: Final[Row] = {}
NO_RATES: Final[Rates] = (None, None, None)
# What changes all the time while a session lasts, in the order of _flowing.
FLOWING: Final = ("began", "proved", "rtt_ms", "in_bytes", "out_bytes", "queued_bytes", "drops", *RATES)


class Said(NamedTuple):
    """What a document said of a session, as far as the next one is compared with it."""

    standing: tuple[Any, ...]  # as STANDING
    age_s: float
    counted: Counted


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
        sessions: what to compare the next moment with, by identity.
    """

    time: float
    uptime_s: float
    server: Row
    members: dict[str, Row]
    change: Row | None
    sessions: dict[str, Said] = field(repr=False)


def overview(document: Document, time: float, before: Overview | None) -> Overview:
    """Return the moment that a server's status document describes.

    Args:
        document: schema 1, role "server".
        time: when it was read, in seconds since 1970.
        before: the moment before, for rates; None for the first, which has none. Its rows are the new one's, so that
            it is not to be used any more; where this raises, it is as it was.
    """
    uptime = float(document.get("uptime_s") or 0.0)
    last = before if before is not None and uptime > before.uptime_s else None  # else its counters began anew
    known = before.members if before is not None else {}
    absent = {str(one.get("identity")): one for one in document.get("offline") or ()}
    sessions: dict[str, Said] = {}
    changes: dict[str, Row] = {}
    for session in document.get("sessions") or ():
        identity = str(session.get("identity"))
        if identity in absent:  # it went while the document was made
            continue
        sessions[identity] = said = _said(session)
        was = last.sessions.get(identity) if last is not None else None
        rates = _rates(said, was, uptime - last.uptime_s) if last is not None else NO_RATES
        changes[identity] = _online(session, said, was, rates, time, known.get(identity, NO_ROW))
    for identity, one in absent.items():
        old = known.get(identity, NO_ROW)
        changes[identity] = _changed(old, _absent(one, time, old))
    server = _server(document, time, last)
    members = {identity: _gone_on(known.get(identity), new) for identity, new in changes.items()}
    if before is None:
        return Overview(time, uptime, server, members, None, sessions)
    change = {
        "time": round(time, 1),
        "server": _changed(before.server, server),
        "members": {identity: new for identity, new in changes.items() if new},
        "gone": [identity for identity in known if identity not in members],
    }
    return Overview(time, uptime, server, members, change, sessions)


def whole(now: Overview) -> Row:
    """Return all that a reader needs who knows nothing."""
    return {"time": round(now.time, 1), "server": now.server, "members": now.members, "gone": []}


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


def _said(session: Document) -> Said:
    drops = session.get("drops")
    dropped = sum(drops.values()) if drops else 0
    counted = int(session.get("received_bytes") or 0), int(session.get("sent_bytes") or 0), dropped
    return Said(tuple(map(session.get, STANDING)), float(session.get("age_s") or 0.0), counted)


def _gone_on(row: Row | None, change: Row) -> Row:
    """Return a member's row with what changed in it."""
    if row is None:
        return dict(change)
    row.update(change)
    return row


def _online(session: Document, said: Said, was: Said | None, rates: Rates, time: float, old: Row) -> Row:
    """Return what changed in a member's row; all of it where the `old` one is empty."""
    flowing = zip(FLOWING, _flowing(session, said, rates, time, old), strict=True)
    if was is not None and was.standing == said.standing:
        return {key: value for key, value in flowing if old[key] != value}
    return _changed(old, {**_described(session), **dict(flowing)})


def _described(session: Document) -> Row:
    """Return of a row what seldom changes while a session lasts: what STANDING and a session itself say."""
    return {
        **{key: session.get(key) for key in TOLD_ONCE},
        "state": str(session.get("state") or ONLINE),
        "ciders": list(session.get("ciders") or ()),
        "expires_at": session.get("expires_at") or "",
        "refused": session.get("refused") or {},
        "lost_to": session.get("lost_to") or "",
        "error": "",
        "error_at": None,
    }


def _flowing(session: Document, said: Said, rates: Rates, time: float, old: Row) -> tuple[Any, ...]:
    """Return FLOWING of a session; `old` is the last row, for points in time."""
    in_bytes, out_bytes, drops = said.counted
    rtt = session.get("rtt_ms")
    return (
        _moment(time, session.get("age_s"), old.get("began")),
        _moment(time, session.get("proof_age_s"), old.get("proved")),
        None if rtt is None else round(rtt, 2),
        in_bytes,
        out_bytes,
        session.get("queued_bytes"),
        {reason: count for reason, count in session["drops"].items() if count} if drops else {},
        *rates,
    )


def _absent(member: Document, time: float, old: Row) -> Row:
    return {
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
        "error_at": _moment(time, member.get("last_error_age_s"), old.get("error_at")),
    }


def _rates(said: Said, was: Said | None, elapsed: float) -> tuple[float, float, float]:
    """Return RATES of a session over the seconds since the relay said `was` of that member; None: it had no session."""
    # A session whose age did not grow by what has passed is another one.
    is_new = was is None or abs(said.age_s - was.age_s - elapsed) >= JITTER_SECONDS
    in_then, out_then, dropped_then = NOTHING if was is None or is_new else was.counted
    in_now, out_now, dropped_now = said.counted
    return (
        round((in_now - in_then if in_now >= in_then else in_now) / elapsed),
        round((out_now - out_then if out_now >= out_then else out_now) / elapsed),
        round((dropped_now - dropped_then if dropped_now >= dropped_then else dropped_now) / elapsed, 1),
    )


def _moment(time: float, age: float | None, old: float | None) -> float | None:
    """Return a point in time, or the one that was told before where only jitter is between them."""
    if age is None:
        return None
    moment = time - age
    return old if old is not None and -JITTER_SECONDS < moment - old < JITTER_SECONDS else round(moment, 1)
