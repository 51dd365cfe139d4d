"""Every event that a process may report: its name, its levels, its fields, what it means, whether it is audited.

Rules of this module
  1. One name per thing, the same in log, journal, audit log and on the control socket. A name that was released stays;
     what is told besides becomes a new field.
  2. An event has just the fields that stand here, each time. FIELDS says what each of them is.
  3. `audit` is for what an operator is asked about months later: who came in, who did not, and who changed what.
     "each": only who has proved its keys, or the operator, causes it; it is limited per identity. "limited": strangers
     cause it; all of them together are limited, so that nobody writes the others out of the file.
  4. docs/events.md shows these tables.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

Audit = Literal["no", "each", "limited"]

DEBUG: Final = ("debug",)
INFO: Final = ("info",)
WARNING: Final = ("warning",)
ERROR: Final = ("error",)
NOTE: Final = ("info", "warning")  # of what may be as somebody wants it, and of what may not
WAIT: Final = ("warning", "debug")  # a wait of the client; debug where it repeats what was said


@dataclass(frozen=True, slots=True)
class Event:
    """One kind of event.

    Attributes:
        levels: that it comes with.
        fields: what goes with it, in the order in which people read it.
        meaning: one sentence.
    """

    levels: tuple[str, ...]
    fields: tuple[str, ...]
    meaning: str
    audit: Audit = "no"


SERVER: Final[Mapping[str, Event]] = {
    # who comes in, and who does not
    "session-up": Event(
        INFO, ("cluster", "identity", "tier", "cipher", "public_key", "remote"), "A member is online.", "each"
    ),
    "session-closed": Event(
        INFO, ("cluster", "identity", "reason", "remote", "age_s", "received_bytes", "sent_bytes"),
        "A session has ended.", "each",
    ),
    "session-unproved": Event(
        INFO, ("cluster", "identity", "reason", "remote"),
        "A session has ended before whoever claimed the identity proved its keys.", "limited",
    ),
    "session-revoked": Event(
        INFO, ("cluster", "identity", "reason"), "A session ends because routes.json or server.toml has changed.",
        "each",
    ),
    "takeover": Event(
        DEBUG, ("cluster", "identity", "remote", "former_remote"), "A new session has taken its identity's place.",
        "each",
    ),
    "takeover-alarm": Event(
        WARNING, ("identity",), "More takeovers within a minute than `takeovers_per_minute`.", "each"
    ),
    "two-hosts": Event(WARNING, ("identity",), "Two addresses take one place from each other: a stolen key?", "each"),
    "refused": Event(
        WARNING, ("identity", "code", "remote"), "The key was right, and the policy says no.", "limited"
    ),
    "wrong-key": Event(
        WARNING, ("identity", "remote"), "A known identity with a key that is not its own.", "limited"
    ),
    "handshake-failed": Event(INFO, ("remote",), "A first frame that is none of ours, or altered, or repeated."),
    "protocol-error": Event(
        WARNING, ("identity", "remote"), "A member breaks the protocol; its session ends."
    ),
    "directory-too-long": Event(
        WARNING, ("identity", "left_out"), "Members that do not fit a frame of the seed's wire are left out."
    ),
    # the members
    "routes-loaded": Event(
        INFO, ("members", "added", "removed", "changed", "unnamed"), "A set of members is in force.", "each"
    ),
    "routes-refused": Event(
        ERROR, ("problems", "not_in_force"), "routes.json cannot be used; the last good set stays.", "each"
    ),
    "routes-problem": Event(ERROR, (), "One thing for which routes.json is refused."),
    "routes-note": Event(NOTE, (), "Something in routes.json that is worth knowing."),
    "key-kept": Event(
        WARNING, (), "An entry has lost its public key; the member keeps the one that was known.", "each"
    ),
    "known-keys-unreadable": Event(ERROR, (), "The file of known keys cannot be read, and is not written over."),
    "known-keys-unwritable": Event(WARNING, (), "The file of known keys cannot be written; it is tried again."),
    # the server itself
    "listening": Event(INFO, ("endpoint",), "Members can connect there."),
    "no-room": Event(WARNING, ("endpoint",), "The host has no descriptor or memory for another connection."),
    "config-loaded": Event(INFO, ("changed",), "Keys and tiers of server.toml are in force.", "each"),
    "advice": Event(NOTE, (), "What an operator should do about keys, tiers and dates."),
    "rights": Event(INFO, (), "Which user the server runs as, and with which rights."),
    "management": Event(
        INFO, ("action", "cluster", "identity", "by", "changed"),
        "Somebody has changed the members by the dashboard, or a control plane has.",
        "each",
    ),
    "audit-unwritable": Event(
        WARNING, ("lost",), "The audit log cannot be written: its lines wait in memory, and then the newest are lost."
    ),
    "audit-writable": Event(INFO, (), "It can be written again."),
}  # fmt: skip

CLIENT: Final[Mapping[str, Event]] = {
    "online": Event(INFO, ("server", "tier", "cipher", "public_key"), "There is a session with a server."),
    "not-connected": Event(WAIT, ("server",), "There is none; when it is tried again, the message says."),
    "not-changed-over": Event(
        WAIT, ("server",), "A session beside the present one could not be had; the present one goes on."
    ),
    "not-resolved": Event(WARNING, (), "A server's name has no address now; those known from earlier are tried."),
    "path-doubt": Event(INFO, ("server",), "A session may have lost its way; another connection is tried."),
    "narrow-path": Event(WARNING, ("remote",), "A way swallows full segments; smaller ones are sent."),
    "servers-differ": Event(WARNING, ("server",), "Two servers do not tell the same of this member."),
    "route-refused": Event(
        NOTE,
        ("prefix", "reason"),
        "A prefix is not routed into the tunnel; info where it is a default route of who was not chosen as exit node.",
    ),
    "host-routes": Event(DEBUG, ("prefixes",), "What is routed into the tunnel has changed."),
    "host-warning": Event(WARNING, (), "Something that is wished of this host cannot be had, or is not as it says."),
    "host-network": Event(ERROR, (), "This host's network cannot be changed."),
    "host-left": Event(WARNING, (), "Something stays on this host after the client's end, and why."),
    "put-right": Event(WARNING, ("device", "steps"), "Somebody changed what was set up; it is as it was again."),
    "device-gone": Event(ERROR, (), "Somebody took the TUN device away; it is made anew."),
    "network-monitor": Event(WARNING, (), "The kernel does not tell changes of this host's network."),
    "key-in-argv": Event(WARNING, (), "The key stands in the command line."),
}

BOTH: Final[Mapping[str, Event]] = {
    "started": Event(DEBUG, ("role", "version", "pid"), "A process begins.", "each"),
    "stopped": Event(INFO, (), "It has said goodbye to everybody, and ends.", "each"),
    "stop-deadline": Event(WARNING, (), "Not everybody took the goodbye in time."),
    "control-socket": Event(INFO, ("path",), "`rustun status` can ask there."),
    "no-control-socket": Event(WARNING, ("path",), "This user may make no control socket in the usual place."),
    "config-note": Event(NOTE, (), "Something in a configuration file that is worth knowing."),
    "config-waits": Event(WARNING, ("keys",), "Changes that take effect at the next start."),
    "config-refused": Event(ERROR, ("problems",), "A configuration that was read again cannot be used.", "each"),
    "config-problem": Event(ERROR, (), "One thing for which it is refused."),
    "internal-error": Event(ERROR, (), "A defect of rustun: please report it."),
    "log-lost": Event(WARNING, ("lost",), "Lines of this log, or of the audit log, could not be written.", "each"),
}

WEB: Final[Mapping[str, Event]] = {
    "web-started": Event(INFO, ("pid",), "The web process runs; told by the process beside which it does."),
    "web-ended": Event(("warning", "error"), (), "It does not run; told by that too, with when it is started again."),
    "web-rights": Event(INFO, (), "Which user it runs as, and with which rights."),
    "web-listening": Event(INFO, ("endpoint",), "Browsers and programs can ask there."),
    "web-wrong-token": Event(WARNING, ("remote",), "Somebody offers a token that is none."),
    "control-plane": Event(
        ("info", "error"), ("exchange",), "An exchange with a control plane fails, or works again; what was good stays."
    ),
}

EVENTS: Final[Mapping[str, Event]] = {**SERVER, **CLIENT, **BOTH, **WEB}

# What each line has of itself; no event has a field of these names.
HEAD: Final = ("time", "level", "event", "message", "schema", "number", "held_back")

FIELDS: Final[Mapping[str, str]] = {
    "action": "`add`, `change`, `remove`, or `replace` for all of them at once",
    "added": "identities that are members now, the first of them",
    "age_s": "seconds since the session was confirmed",
    "by": "who asked for it: where the change came from",
    "changed": "keys that differ: of each entry by identity, or of a file",
    "cipher": "of records",
    "cluster": "of the member",
    "code": "the refusal's word on the wire",
    "device": "the TUN device's name",
    "endpoint": "address and port that is listened on",
    "exchange": "`members`, that a control plane tells, or `report`, that it is told",
    "former_remote": "address and port of the session that was there",
    "identity": "of the member; claimed and not proved in `refused`, `wrong-key` and `session-unproved`",
    "keys": "names of settings",
    "left_out": "how many",
    "lost": "how many lines",
    "members": "how many are in force",
    "not_in_force": "identities that are still members although the file no longer names them, the first of them",
    "path": "of the socket",
    "pid": "of the process",
    "prefix": "network and length",
    "prefixes": "how many",
    "problems": "how many",
    "public_key": "that the session was made with; empty but on the key tier",
    "reason": "a word of [status.md](status.md#reasons); of a route, a sentence",
    "received_bytes": "that came from the peer, inside the tunnel",
    "remote": "the peer's address, with its port where it is one connection's",
    "removed": "identities that are members no more, the first of them",
    "role": "`server` or `client`",
    "sent_bytes": "that went to the peer, inside the tunnel",
    "server": "as it was configured",
    "steps": "how many",
    "tier": "`key`, `shared` or `legacy`",
    "unnamed": "how many more were added, removed or changed; null where all are named",
    "version": "of rustun",
}


def is_audited(name: str) -> bool:
    """Return whether events of this name belong into the audit log."""
    event = EVENTS.get(name)
    return event is not None and event.audit != "no"
