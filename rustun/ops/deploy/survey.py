"""Look at the hosts of a fleet, all at once, and make of it what a deployment would do; nothing is changed.

Rules of this module
  1. A host that cannot be reached is a result like others. So is one that cannot be as wished.
  2. Hosts that have left the inventory are known from the servers, which keep a list (wish.HOSTS_FILE). What a member's
     host tells concerns that host alone: it names no others to be cleared.
  3. Connections stay open: what is shown and what is done afterwards are of the same hosts.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Final, Protocol

from rustun.ops.deploy.order import Known, Visit, order
from rustun.ops.deploy.records import HostWish, Json, Release
from rustun.ops.deploy.ssh import Far, Unreachable
from rustun.ops.deploy.told import read_hosts
from rustun.ops.deploy.wheelhouse import Platform, platform_of
from rustun.ops.deploy.wish import HOSTS_FILE, Roster
from rustun.ops.ending import InputError
from rustun.ops.units import SERVER_UNIT

AT_ONCE: Final = 32  # connections that are made at the same time
MAX_AHEAD: Final = 10_000  # deployments of single hosts, with no other since
UNKNOWN_RELEASE: Final = "unknown"  # of a host that cannot have any

Connect = Callable[[str], Far]
Wishes = Mapping[str, tuple[HostWish, Mapping[str, bytes]]]


class Wheels(Protocol):
    """Where releases come from: wheelhouse.Wheelhouse."""

    def digest(self, platform: Platform, *, web: bool = False) -> str:
        """Return the digest of the release for a platform, with the web process's packages or without."""

    def release(self, platform: Platform, *, web: bool = False) -> Release:
        """Return the release for a platform, with the web process's packages or without."""


@dataclass(slots=True)
class Survey:
    """What was found.

    Attributes:
        hosts: that answered, and what each shall have.
        lines: open connections, by `ssh`.
        unreachable: those that did not answer.
        roster: hosts that the fleet has, and which of them leave.
        groups: visits in their order; none of hosts that need nothing.
        contents: bytes of files by digest.
    """

    hosts: tuple[Known, ...] = ()
    lines: dict[str, Far] = field(default_factory=dict)
    unreachable: dict[str, Unreachable] = field(default_factory=dict)
    roster: Roster = field(default_factory=lambda: Roster({}))
    groups: tuple[tuple[Visit, ...], ...] = ()
    contents: dict[str, bytes] = field(default_factory=dict)

    @property
    def visits(self) -> tuple[Visit, ...]:
        """All visits, in order."""
        return tuple(visit for group in self.groups for visit in group)

    @property
    def problems(self) -> dict[str, tuple[str, ...]]:
        """Why hosts cannot be as wished, by `ssh`."""
        return {visit.ssh: visit.plan.problems for visit in self.visits if visit.plan.problems}

    def close(self) -> None:
        """End all connections."""
        with ThreadPoolExecutor(AT_ONCE) as pool:
            list(pool.map(Far.close, self.lines.values()))


def survey(wishes: Wishes, limit: str, connect: Connect, wheels: Wheels, now: float, forget: str = "") -> Survey:
    """Look at the hosts that a limit names, and at all servers, and plan what the named ones need.

    Args:
        limit: patterns by comma, of names of servers and members; empty for all hosts.
        now: unix seconds.
        forget: such patterns, of hosts that have left the inventory and will never be cleared; empty for none.
    Raises: InputError: two names reach one machine.
    """
    found = Survey()
    try:
        _fill(found, wishes, limit, connect, wheels, now, forget)
    except BaseException:
        found.close()
        raise
    return found


def _fill(found: Survey, wishes: Wishes, limit: str, connect: Connect, wheels: Wheels, now: float, forget: str) -> None:
    asked = {
        ssh: wish for ssh, (wish, _) in wishes.items() if SERVER_UNIT in wish.services or is_named(wish.names, limit)
    }
    facts = dict(_ask_all({ssh: wish.services for ssh, wish in asked.items()}, connect, found))
    of_servers = {ssh: told for ssh, told in facts.items() if SERVER_UNIT in asked[ssh].services}
    staying = {ssh: wish.names for ssh, (wish, _) in wishes.items()}
    gone = {ssh: names for ssh, names in _remembered(found, of_servers).items() if ssh not in staying}
    if forget:
        gone = {ssh: names for ssh, names in gone.items() if not is_named(names, forget)}
    leaving = {ssh: HostWish(ssh, names) for ssh, names in gone.items() if is_named(names, limit)}
    facts.update(_ask_all(dict.fromkeys(leaving, ()), connect, found))
    _refuse_far_ahead(found, facts, of_servers)
    wanted = {ssh: wish for ssh, wish in {**asked, **leaving}.items() if is_named(wish.names, limit) and ssh in facts}
    _refuse_twins(facts)
    releases: dict[tuple[Platform, bool], Release] = {}
    found.hosts = tuple(_known(wish, facts[ssh], wheels, releases) for ssh, wish in wanted.items())
    found.roster = Roster({**staying, **gone}, frozenset(leaving) & facts.keys())
    found.groups = order(found.hosts, found.roster, now)
    for _, contents in wishes.values():
        found.contents.update(contents)
    found.contents.update(found.roster.contents())


def is_named(names: Iterable[str], limit: str) -> bool:
    """Return whether a limit names one of these names, or is empty."""
    patterns = [pattern.strip() for pattern in limit.split(",") if pattern.strip()]
    return not patterns or any(fnmatchcase(name, pattern) for name in names for pattern in patterns)


def _ask_all(units: Mapping[str, Iterable[str]], connect: Connect, found: Survey) -> Iterator[tuple[str, Json]]:
    """Yield the facts of each host that answers; keep its connection, or why there is none."""

    def ask(ssh: str) -> tuple[Far, Json] | Unreachable:
        try:
            far = connect(ssh)
            return far, far.facts(units[ssh])
        except Unreachable as error:
            return error

    with ThreadPoolExecutor(AT_ONCE) as pool:
        for ssh, answer in zip(units, pool.map(ask, units), strict=True):
            if isinstance(answer, Unreachable):
                found.unreachable[ssh] = answer
            else:
                found.lines[ssh], facts = answer
                yield ssh, facts


def _refuse_far_ahead(found: Survey, facts: dict[str, Json], of_servers: Mapping[str, Json]) -> None:
    """Take a host that tells of far more deployments than any other for one that tells nonsense.

    A deployment has one number in the whole fleet: a single host could carry it off for all of them, and for ever.
    """
    newest = {ssh: max((entry["number"] for entry in told["generations"]), default=0) for ssh, told in facts.items()}
    for ssh, number in newest.items():
        others = max((one for other, one in newest.items() if other != ssh), default=number)
        if number > others + MAX_AHEAD and ssh not in of_servers:
            reason = f"it tells of deployment {number}, all others of {others} at most"
            found.unreachable[ssh] = Unreachable(reason, "is this the right host, and still yours alone?")
            found.lines.pop(ssh).close()
            del facts[ssh]


def _refuse_twins(facts: Mapping[str, Json]) -> None:
    """Raise InputError where two names reach one machine: each would take away what the other has put there."""
    machines: dict[str, str] = {}
    for ssh, told in facts.items():
        other = machines.setdefault(told["machine"], ssh) if told["machine"] else ssh
        if other != ssh:
            raise InputError(f'ssh: "{ssh}" and "{other}" are one machine', "write the same for all who are on it")


def _remembered(found: Survey, facts: Mapping[str, Json]) -> dict[str, tuple[str, ...]]:
    """Return the hosts that servers know, with the names on them; `facts` are those of servers."""
    hosts: dict[str, tuple[str, ...]] = {}
    for ssh, told in facts.items():
        if HOSTS_FILE not in told["files"]:
            continue
        try:
            hosts.update(read_hosts(json.loads(found.lines[ssh].read([HOSTS_FILE])[HOSTS_FILE] or b"{}")))
        except (Unreachable, ValueError, RecursionError):
            continue
    return hosts


def _known(wish: HostWish, facts: Json, wheels: Wheels, releases: dict[tuple[Platform, bool], Release]) -> Known:
    """Return a host with the release that it shall have, fetched only where it does not have it."""
    if not wish.services:
        return Known(wish, facts, Release(""))
    platform = platform_of(facts)
    if isinstance(platform, str):
        return Known(replace(wish, release=UNKNOWN_RELEASE), facts, Release(UNKNOWN_RELEASE, missing=platform))
    digest = wheels.digest(platform, web=wish.web)
    if digest in facts["releases"]:
        release = Release(digest)
    else:
        kind = platform, wish.web
        release = releases[kind] = releases.get(kind) or wheels.release(platform, web=wish.web)
    return Known(replace(wish, release=digest), facts, release)
