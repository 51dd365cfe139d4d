"""Status documents of relays that are not there, as docs/status.md describes them: a small fleet, and a large one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from zlib import crc32

Document = dict[str, Any]

HOSTILE = "<img src=x onerror=alert(1)>"
MARKUP = "a[/b][link=http://x]\x1b[31m\u202e&lt;${x}"
SMALL = (
    ("beijing", "bj-office-gw", "10.0.1.1", ("192.168.1.0/24",), "online"),
    ("beijing", "bj-dev", "10.0.1.2", (), "online"),
    ("beijing", "bj-old", "10.0.1.9", (), "disabled"),
    ("shanghai", "sh-office-gw", "10.0.2.1", ("192.168.10.0/24", "192.168.11.0/24"), "online"),
    ("shanghai", "sh-db", "10.0.2.2", (), "offline"),
    ("shanghai", "sh-guest", "10.0.2.7", (), "expired"),
)
Entry = tuple[str, str, str, tuple[str, ...], str]

NAMES = {
    "bj-office-gw": "Beijing office",
    "bj-dev": "Development",
    "bj-old": "Build host of 2024",
    "sh-office-gw": "Shanghai office",
    "sh-db": "Database",
    "sh-guest": "Auditor",
}


def large(members: int, clusters: int = 8) -> tuple[Entry, ...]:
    """Return so many members in so many clusters, most of them online."""
    return tuple(
        (
            f"site-{number % clusters:02}",
            f"host-{number:05}",
            f"10.{number % clusters}.{number // clusters // 250}.{number // clusters % 250 + 1}",
            (f"192.168.{number % 250}.0/24",) if number % 10 == 0 else (),
            "offline" if number % 37 == 0 else "online",
        )
        for number in range(members)
    )


def status(entries: Iterable[Entry] = SMALL, uptime_s: float = 100.0, flow: int = 0, **more: Any) -> Document:
    """Return a server's document.

    Args:
        entries: (cluster, identity, address, ciders, state).
        flow: bytes that each member has sent since its session began; twice as many it was sent.
        more: keys of the document that stand above these.
    """
    entries = tuple(entries)
    sessions = [session(entry, uptime_s, flow, number) for number, entry in enumerate(entries) if entry[4] == "online"]
    absent = [offline(entry, uptime_s) for entry in entries if entry[4] != "online"]
    return {
        "schema": 1,
        "role": "server",
        "version": "0.8.0",
        "pid": 4711,
        "uptime_s": uptime_s,
        "listen": ["0.0.0.0:8080"],
        "members": len(entries),
        "online": len(sessions),
        "pending": 0,
        "alarms": [],
        "routes": {
            "file": "/etc/rustun/routes.json",
            "loaded_at": "2026-11-23T12:00:00+00:00",
            "members": len(entries),
            "problems": [],
            "not_in_force": [],
            "keeping_keys": [],
        },
        "drops": {},
        "closes": {},
        "queued_bytes": 0,
        "sessions": sessions,
        "offline": absent,
        **more,
    }


def session(entry: Entry, uptime_s: float, flow: int, number: int = 0) -> Document:
    """Return the part of a member that is online; its session began with the relay."""
    return {
        **member(entry),
        "number": number_of(entry),
        "state": "online",
        "remote": f"203.0.113.{number % 250 + 1}:40000",
        "version": "0.8.0",
        "tier": "key",
        "cipher": "AES-256-GCM",
        "age_s": uptime_s - 1.0,
        "proof_age_s": 3.0,
        "rtt_ms": 0.6 + number % 7,
        "received_bytes": flow,
        "received_packets": flow // 1000,
        "sent_bytes": 2 * flow,
        "sent_packets": flow // 500,
        "drops": {"no-route": dropped} if (dropped := flow // 1_000_000) else {},
        "queued_bytes": 0,
        "queued_packets": 0,
        "offloads": ["csum"],
        "mtu": 1500,
    }


def offline(entry: Entry, uptime_s: float) -> Document:
    """Return the part of a member that is not there, since before the relay was."""
    state = entry[4]
    error = {"offline": "refused: wrong key", "disabled": "disabled", "expired": "expired"}[state]
    ages = {"last_seen_age_s": uptime_s + 7100.0, "last_error_age_s": uptime_s + 20.0}
    return {**member(entry), "number": number_of(entry), "state": state, "last_error": error, **ages}


def number_of(entry: Entry) -> int:
    """Return what a relay calls the session of an entry, or the entry where it has none."""
    return crc32(f"{entry[1]} {entry[4]}".encode())


def member(entry: Entry) -> Document:
    """Return what a member's entry says."""
    cluster, identity, address, ciders, state = entry
    expires_at = {"expired": "2026-01-31T00:00:00+00:00"}.get(state, "2099-06-30T00:00:00+00:00")
    return {
        "cluster": cluster,
        "identity": identity,
        "name": NAMES.get(identity, ""),
        "address": address,
        "address6": "",
        "ciders": list(ciders),
        "expires_at": expires_at if state == "expired" or identity == "bj-dev" else "",
    }
