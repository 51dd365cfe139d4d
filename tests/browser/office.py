"""The small fleet on a working day: what it carries, what has happened, who reaches whom, and its last hour."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from itertools import count
from math import sin
from random import Random
from typing import Any

from playwright.sync_api import Route

from rustun.web.history import STEP_SECONDS, STEPS
from tests.browser.documents import SMALL, status
from tests.browser.pretended_relay import PretendedRelay, passes

PARTS = (0.64, 0.21, 1)  # of the flow, that the members who are online have
ENDS = {
    "sh-guest": "2026-01-31T00:00:00+00:00",
    "bj-dev": f"{datetime.now(UTC) + timedelta(days=12):%Y-%m-%d}T16:00:00+00:00",
    "sh-office-gw": f"{datetime.now(UTC) + timedelta(days=219):%Y-%m-%d}T16:00:00+00:00",
}
REMOTE = "203.0.113.7:40000"
HAPPENED: tuple[tuple[str, dict[str, Any]], ...] = (
    ("listening", {"endpoint": "0.0.0.0:8080", "message": "listening on 0.0.0.0:8080"}),
    ("session-up", {"cluster": "beijing", "identity": "bj-dev", "tier": "key", "cipher": "AES-256-GCM",
                    "remote": REMOTE, "message": "bj-dev is online"}),
    ("wrong-key", {"identity": "sh-db", "remote": "203.0.113.8:51312", "level": "warning",
                   "message": "sh-db came with a key that is not its own"}),
    ("session-up", {"cluster": "shanghai", "identity": "sh-office-gw", "tier": "key", "cipher": "AES-256-GCM",
                    "remote": "203.0.113.9:40112", "message": "sh-office-gw is online"}),
    ("routes-loaded", {"members": 6, "changed": ["bj-old: enabled"], "message": "6 members from routes.json"}),
    ("management", {"action": "change", "cluster": "beijing", "identity": "bj-old", "by": "198.51.100.20",
                    "changed": ["enabled"], "message": "bj-old: change"}),
)  # fmt: skip
LEVELS = {"relay": (23e6, 1.6), "cluster": (11e6, 1.6), "member": (12e6, 3.6)}  # bytes a second from members; ms


def flowing(relay: PretendedRelay) -> None:
    """Let the fleet carry something that changes a little from second to second."""
    seconds = count(7300)

    def now() -> dict[str, Any]:
        second = next(seconds)
        document = status(SMALL, uptime_s=second, flow=second * 12_500_000 + (second % 5) * 3_000_000)
        for part, one in zip(PARTS, document["sessions"], strict=True):
            one.update({key: int(one[key] * part) for key in ("received_bytes", "sent_bytes")})
            one["drops"] = {"no-route": 3, "queue-full": second if part == 1 else 0}
        for one in (*document["sessions"], *document["offline"]):
            one["expires_at"] = ENDS.get(one["identity"], "")
        return document

    relay.status = now
    relay.trace = verdict
    for event, told in HAPPENED:
        relay.happen(event, **told)


def verdict(source: str, destination: str) -> dict[str, Any]:
    """Return what a relay says of two members of the small fleet."""
    states = {identity: state for _, identity, _, _, state in SMALL}
    if states[source] != "online":
        return {"verdict": "not-connected", "reason": "", "text": f"{source} is not connected: {states[source]}"}
    if states[destination] != "online":
        return {"verdict": "drop", "reason": "offline", "text": f"{destination} is not connected"}
    return passes(source, destination)


def hour(route: Route) -> None:
    """Answer what a page asks of the last hour: a day at the office, seen by a relay that is up for long."""
    chance = Random(route.request.url.partition("?")[2])
    level, trip = LEVELS[re.findall(r"kind=(\w+)", route.request.url)[0]]
    wave = [1 + 0.4 * sin(step / 23) + 0.2 * sin(step / 7) + 0.15 * chance.random() for step in range(STEPS)]
    told = {
        "in_rate": [level * height for height in wave],
        "out_rate": [2 * level * height * (0.9 + 0.2 * chance.random()) for height in wave],
        "rtt_ms": [trip * (0.8 + 0.2 * height) + 0.3 * chance.random() for height in wave],
        "drop_rate": [max(0.0, round(20 * chance.random() - 17, 1)) for _ in wave],
    }
    route.fulfill(json={"code": 200, "message": "success", "data": {"step_s": STEP_SECONDS, "kept_bytes": 0, **told}})
