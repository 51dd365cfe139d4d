"""Rates between two documents of one process, in the place of those that it tells itself (of the last 5 to 10 s)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Document = Mapping[str, Any]


def with_rates(before: Document, after: Document) -> dict[str, Any]:
    """Return the later document with the rates since the earlier one; what cannot be compared keeps its own.

    Args:
        before, after: two documents of the same kind; where they are of two processes, `after` is returned as it is.
    """
    seconds = (after.get("uptime_s") or 0) - (before.get("uptime_s") or 0)
    if before.get("pid") != after.get("pid") or seconds <= 0:
        return dict(after)
    earlier = {_who(session): session for session in before.get("sessions") or ()}
    sessions = [_compared(earlier.get(_who(one)), one, seconds) for one in after.get("sessions") or ()]
    return {**_compared(before, after, seconds), **({"sessions": sessions} if "sessions" in after else {})}


def _who(session: Document) -> tuple[object, object]:
    return session.get("cluster"), session.get("identity")


def _compared(before: Document | None, after: Document, seconds: float) -> dict[str, Any]:
    """Return counters with their rates; a session that began anew meanwhile counts from 0 again."""
    found = dict(after)
    for direction in ("received", "sent"):
        count = after.get(f"{direction}_bytes")
        if count is None:
            continue
        counted = before.get(f"{direction}_bytes") if before is not None else None
        began = counted if counted is not None and counted <= count else 0
        found[f"{direction}_bytes_per_s"] = round((count - began) / seconds)
    return found
