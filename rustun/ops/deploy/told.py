"""What a host tells, and whether it can be used: shapes of its answers, value by value.

Rules of this module
  1. A host may be broken, or somebody else's by now. Whatever it tells is looked at by one of these checks before
     anything else sees it, and who tells nonsense counts as a host that does not answer.
  2. Only what is used later is looked at. What is used as a text may be any text: whoever shows it makes it printable.
  3. Numbers have a range, so that nobody's counting can be carried off by what one host says.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from rustun.config.findings import Complaint
from rustun.ops.deploy.far.system import CONFIG, PROGRAM, STATE
from rustun.ops.destination import parse_destination

Check = Callable[[object], bool]
MAX_NUMBER: Final = 10**9  # of a deployment
MAX_BYTES: Final = 1 << 63
MAX_PID: Final = 1 << 22
MAX_SECONDS: Final = 1e12
DIGEST: Final = "[0-9a-f]{64}"


def text(pattern: str = "") -> Check:
    """Return the check for a text, one that a pattern describes from end to end where there is one."""
    wanted = re.compile(pattern or ".*", re.DOTALL)
    return lambda value: isinstance(value, str) and wanted.fullmatch(value) is not None


def number(least: float, most: float) -> Check:
    """Return the check for a number in a range."""
    return lambda value: type(value) in (int, float) and least <= value <= most  # type: ignore[operator]


def whole(least: int, most: int) -> Check:
    """Return the check for a whole number in a range."""
    return lambda value: type(value) is int and least <= value <= most


def flag(value: object) -> bool:
    """Return whether it is true or false."""
    return isinstance(value, bool)


def nothing_or(check: Check) -> Check:
    """Return the check for what may also be missing, or null."""
    return lambda value: value is None or check(value)


def each(check: Check) -> Check:
    """Return the check for a list of equal things."""
    return lambda value: isinstance(value, list) and all(map(check, value))


def by_name(check: Check) -> Check:
    """Return the check for equal things under names."""
    return lambda value: isinstance(value, dict) and all(map(check, value.values()))


def record(**parts: Check) -> Check:
    """Return the check for named parts; there may be others."""
    return lambda value: isinstance(value, dict) and all(check(value.get(name)) for name, check in parts.items())


def both(one: Check, other: Check) -> Check:
    """Return the check for what passes two of them."""
    return lambda value: one(value) and other(value)


def only(**parts: Check) -> Check:
    """Return the check for named parts and no others."""
    has_all = record(**parts)
    return lambda value: isinstance(value, dict) and value.keys() == parts.keys() and has_all(value)


_TEXT: Final = text()
_TEXTS: Final = each(_TEXT)
_RIGHTS: Final = {"mode": text("[0-7]{4}"), "owner": _TEXT, "group": _TEXT}
_AGE: Final = nothing_or(number(-MAX_SECONDS, MAX_SECONDS))
_SESSION: Final = record(identity=_TEXT, state=_TEXT, proof_age_s=_AGE, last_seen_age_s=_AGE)
_MANIFEST: Final = record(
    names=_TEXTS,
    release=text("[A-Za-z0-9]*"),
    version=_TEXT,
    user=flag,
    files=by_name(only(**_RIGHTS, digest=text(DIGEST), reload=_TEXTS, restart=_TEXTS, fixed=_TEXT)),
    folders=by_name(only(**_RIGHTS)),
    services=by_name(only(runs=flag, identity=_TEXT, members=whole(0, MAX_NUMBER), verify=flag)),
    needs=_TEXTS,
)
_ROUTES: Final = nothing_or(record(file=nothing_or(_TEXT)))
_STATUS: Final = record(
    pid=nothing_or(whole(0, MAX_PID)),
    version=nothing_or(_TEXT),
    last_error=nothing_or(_TEXT),
    sessions=nothing_or(each(_SESSION)),
    offline=nothing_or(each(_SESSION)),
)


def _names_a_file(document: object) -> bool:
    """Return whether a server's document names its members' file as one; a client's `routes` are prefixes."""
    return isinstance(document, dict) and (document.get("role") == "client" or _ROUTES(document.get("routes")))


FACTS: Final[Mapping[str, Check]] = {
    "machine": _TEXT,
    "os": _TEXT,
    "arch": text("[A-Za-z0-9_]{1,32}"),
    "libc": text("[a-z]{1,16}"),
    "libc_version": text(r"[0-9]{1,3}(\.[0-9]{1,3}){1,3}"),
    "pythons": each(record(path=_TEXT, version=_TEXT)),
    "systemd": flag,
    "clock": number(-MAX_SECONDS, MAX_SECONDS),
    "free_bytes": record(**{place: whole(0, MAX_BYTES) for place in (CONFIG, PROGRAM, STATE)}),
    "has_user": flag,
    "releases": _TEXTS,
    "current": _TEXT,
    "files": by_name(record(**_RIGHTS, digest=text(DIGEST))),
    "folders": by_name(record(**_RIGHTS)),
    "units": by_name(record(active=_TEXT, enabled=flag, stale=flag, pid=whole(0, MAX_PID), release=_TEXT)),
    "generations": each(record(number=whole(1, MAX_NUMBER), manifest=_MANIFEST)),
    "status": each(both(_STATUS, _names_a_file)),
}
FILES: Final = by_name(nothing_or(_TEXT))  # Base64
ENDS: Final[Mapping[str, Check]] = {
    "done": record(),
    "failed": record(reason=_TEXT, remedy=_TEXT, log=_TEXTS, put_back_problem=_TEXT),
    "refused": record(reason=_TEXT, remedy=_TEXT),
}


def nonsense(facts: object) -> Iterator[str]:
    """Yield which facts of a host are missing or cannot be true."""
    if not isinstance(facts, dict):
        yield "all of it"
        return
    yield from (name for name, check in FACTS.items() if not check(facts.get(name)))


def read_hosts(document: object) -> dict[str, tuple[str, ...]]:
    """Return a server's list of hosts: names by how they are reached; nothing of what is no list."""
    listed = document.get("hosts") if isinstance(document, dict) else None
    if not by_name(_TEXTS)(listed) or not isinstance(listed, dict):
        return {}
    return {ssh: tuple(names) for ssh, names in listed.items() if ssh and _reaches(ssh)}


def _reaches(ssh: str) -> bool:
    try:
        parse_destination(ssh)
    except Complaint:
        return False
    return True
