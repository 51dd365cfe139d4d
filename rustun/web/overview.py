"""What the dashboard shows, made from one status document after the other: members as rows, rates, and what changed.

Rules of this module
  1. Pure: documents and times in, records out. The relay's counters and its `uptime_s` give the rates, so that neither
     a late answer nor a clock that was set makes a peak.
  2. A counter that went back began again with a new session: what it shows is what came since then.
  3. An age becomes a point in time, and one that moved by less than its jitter stays as it was: a member that does
     nothing makes no difference that anybody has to be sent.
  4. A key that the relay does not tell is None, "" or empty, never a guess.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

Document = Mapping[str, Any]
Row = dict[str, Any]
Counted = tuple[int, int, int]  # bytes in, bytes out, drops
Session = tuple[float, Counted]  # when it began, by the relay's uptime, and what it counted

JITTER_SECONDS: Final = 1.5  # between two documents, of a point in time that was told as an age
TOLD_ONCE: Final = ("cluster", "identity", "name", "address", "address6", "remote", "tier", "cipher", "mtu", "version")
SERVER_KEYS: Final = ("version", "listen", "members", "online", "pending", "alarms", "drops", "closes", "queued_bytes")
ROUTES_KEYS: Final = ("file", "loaded_at", "members", "problems", "not_in_force")
ONLINE: Final = "online"
NOTHING: Final[Counted] = (0, 0, 0)


@dataclass(frozen=True, slots=True)
class Overview:
    """One moment of a relay.

    Attributes:
        time: when, in seconds since 1970.
        uptime_s: of the relay then, by its own clock.
        server: what concerns all members.
        members: a row each, by identity; its keys are listed in docs/dashboard.md.
        sessions: what to compare the next moment with, by identity.
    """

    time: float
    uptime_s: float
    server: Row
    members: dict[str, Row]
    sessions: dict[str, Session] = field(repr=False)


def overview(document: Document, time: float, before: Overview | None) -> Overview:
    """Return the moment that a server's status document describes.

    Args:
        document: schema 1, role "server".
        time: when it was read, in seconds since 1970.
        before: the moment before, for rates; None for the first, which has none.
    """
    uptime = float(document.get("uptime_s") or 0.0)
    if before is not None and uptime <= before.uptime_s:  # another process answers: its counters began anew
        before = None
    members: dict[str, Row] = {}
    sessions: dict[str, Session] = {}
    for session in document.get("sessions") or ():
        identity = str(session.get("identity"))
        sessions[identity] = uptime - float(session.get("age_s") or 0.0), _counted(session)
        members[identity] = _online(session, time, uptime, before, sessions[identity])
    for absent in document.get("offline") or ():
        identity = str(absent.get("identity"))
        members[identity] = _absent(absent, time, before.members.get(identity) if before is not None else None)
    return Overview(time, uptime, _server(document, time, before), members, sessions)


def difference(before: Overview, now: Overview) -> Row:
    """Return what a reader who knows `before` needs to know `now`: changed keys, whole rows of members that are new."""
    known = before.members
    changed: dict[str, Row] = {}
    for identity, row in now.members.items():
        old = known.get(identity)
        if old is None:
            changed[identity] = row
        elif old != row:
            changed[identity] = {key: value for key, value in row.items() if old.get(key) != value}
    return {
        "time": round(now.time, 1),
        "server": {key: value for key, value in now.server.items() if before.server.get(key) != value},
        "members": changed,
        "gone": [identity for identity in known if identity not in now.members],
    }


def whole(now: Overview) -> Row:
    """Return all that a reader needs who knows nothing."""
    return {"time": round(now.time, 1), "server": now.server, "members": now.members, "gone": []}


def _server(document: Document, time: float, before: Overview | None) -> Row:
    routes = document.get("routes") or {}
    began = time - float(document.get("uptime_s") or 0.0)
    return {
        **{key: document.get(key) for key in SERVER_KEYS},
        "began": _steady(began, before.server.get("began") if before is not None else None),
        "routes": {key: routes.get(key) for key in ROUTES_KEYS},
    }


def _online(session: Document, time: float, uptime: float, before: Overview | None, own: Session) -> Row:
    identity = str(session.get("identity"))
    old = before.members.get(identity, {}) if before is not None else {}
    began_at, counted = own
    in_rate, out_rate, drop_rate = None, None, None
    if before is not None:
        earlier_at, earlier = before.sessions.get(identity, (began_at, NOTHING))
        if abs(began_at - earlier_at) >= JITTER_SECONDS:
            earlier = NOTHING
        in_rate, out_rate, drop_rate = _rates(earlier, counted, uptime - before.uptime_s)
    return {
        **{key: session.get(key) for key in TOLD_ONCE},
        "state": str(session.get("state") or ONLINE),
        "ciders": list(session.get("ciders") or ()),
        "expires_at": session.get("expires_at") or "",
        "began": _moment(time, session.get("age_s"), old.get("began")),
        "proved": _moment(time, session.get("proof_age_s"), old.get("proved")),
        "rtt_ms": _rounded(session.get("rtt_ms"), 2),
        "in_rate": in_rate,
        "out_rate": out_rate,
        "drop_rate": drop_rate,
        "in_bytes": counted[0],
        "out_bytes": counted[1],
        "drops": {reason: count for reason, count in (session.get("drops") or {}).items() if count},
        "queued_bytes": session.get("queued_bytes"),
        "refused": session.get("refused") or {},
        "lost_to": session.get("lost_to") or "",
        "error": "",
        "error_at": None,
    }


def _absent(member: Document, time: float, old: Row | None) -> Row:
    old = old or {}
    return {
        **dict.fromkeys(TOLD_ONCE),
        **{key: member[key] for key in TOLD_ONCE if key in member},
        "state": str(member.get("state") or "offline"),
        "ciders": list(member.get("ciders") or ()),
        "expires_at": member.get("expires_at") or "",
        "began": None,
        "proved": _moment(time, member.get("last_seen_age_s"), old.get("proved")),
        **dict.fromkeys(("rtt_ms", "in_rate", "out_rate", "drop_rate", "in_bytes", "out_bytes", "queued_bytes")),
        "drops": {},
        "refused": {},
        "lost_to": "",
        "error": str(member.get("last_error") or ""),
        "error_at": _moment(time, member.get("last_error_age_s"), old.get("error_at")),
    }


def _counted(session: Document) -> Counted:
    drops = session.get("drops") or {}
    return int(session.get("received_bytes") or 0), int(session.get("sent_bytes") or 0), sum(drops.values())


def _rates(earlier: Counted, counted: Counted, elapsed: float) -> tuple[float, float, float]:
    """Return bytes a second in and out, and drops a second."""
    in_rate, out_rate, drop_rate = (
        (now - then if now >= then else now) / elapsed for then, now in zip(earlier, counted, strict=True)
    )
    return round(in_rate), round(out_rate), round(drop_rate, 1)


def _moment(time: float, age: float | None, old: float | None) -> float | None:
    return None if age is None else _steady(time - age, old)


def _steady(moment: float, old: float | None) -> float:
    """Return a point in time, or the one that was told before where only jitter is between them."""
    return old if old is not None and abs(moment - old) < JITTER_SECONDS else round(moment, 1)


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)
