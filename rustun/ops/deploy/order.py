"""In which order hosts are visited; pure.

Rules of this module
  1. Servers first: who comes in new, with another key or from another address, finds a server that knows; who is
     removed is out at once, whatever becomes of its own host. One server after another: members have the others.
  2. Then the hosts that have left the fleet, so that nobody's place is taken twice.
  3. Then members. Where they get a new release one of them goes first, alone: if it fails, nobody else is touched.
  4. A server that runs gets a new release last, when members have shown that it works. What it reads goes before,
     with the release that it has. So does the word that a host has left: when it has.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from rustun.ops.deploy.records import HostPlan, HostWish, Json, Release
from rustun.ops.deploy.steps import plan_host
from rustun.ops.deploy.wish import Roster
from rustun.ops.units import SERVER_UNIT

BATCH: Final = 20  # members at once


@dataclass(frozen=True, slots=True)
class Known:
    """A host that was looked at.

    Attributes:
        wish: what it shall have.
        release: its wish's release, as it would be installed.
    """

    wish: HostWish
    facts: Json
    release: Release


@dataclass(frozen=True, slots=True)
class Visit:
    """One application of steps to one host.

    Attributes:
        number: of the deployment.
        last: a server's, after everybody else's.
    """

    known: Known
    plan: HostPlan
    number: int
    last: bool = False

    @property
    def is_server(self) -> bool:
        """Whether others depend on this host."""
        return SERVER_UNIT in self.known.wish.services

    @property
    def ssh(self) -> str:
        """How the host is reached."""
        return self.known.wish.ssh


def number_of(hosts: Iterable[Known]) -> int:
    """Return the number of the next deployment of a fleet: one more than any host has."""
    numbers = (entry["number"] for known in hosts for entry in known.facts["generations"])
    return 1 + max(numbers, default=0)


def order(hosts: Sequence[Known], roster: Roster, now: float) -> tuple[tuple[Visit, ...], ...]:
    """Return the visits, group after group; those of one group at once.

    Args:
        hosts: that shall be visited; those that need nothing get no visit.
        roster: all hosts of the fleet, and which of them leave.
        now: unix seconds.
    """
    number = number_of(hosts)
    first: list[tuple[Visit, ...]] = []
    last: list[tuple[Visit, ...]] = []
    left: list[Visit] = []
    members: list[Visit] = []
    for known in hosts:
        if SERVER_UNIT in known.wish.services:
            early, late = _server_visits(known, roster, now, number)
            first.append((early,))
            last.append((late,))
        else:
            visit = Visit(known, plan_host(known.facts, known.wish, known.release, now, number), number)
            (left if known.wish.ssh in roster.leaving else members).append(visit)
    groups = (*first, tuple(left), *_batches(members), *last)
    with_steps = (tuple(visit for visit in group if visit.plan.steps) for group in groups)
    return tuple(group for group in with_steps if group)


def _server_visits(known: Known, roster: Roster, now: float, number: int) -> tuple[Visit, Visit]:
    """Return a server's two visits; either may have no steps."""
    early = replace(known, wish=roster.on(known.wish, all_left=False))
    if runs_elsewhere(known):
        running = known.facts["current"]
        wish = replace(early.wish, release=running, version=known.facts["generations"][-1]["manifest"]["version"])
        early = replace(early, wish=wish, release=Release(running))
    first = plan_host(known.facts, early.wish, early.release, now, number)
    late = replace(known, wish=roster.on(known.wish, all_left=True), facts=after(known.facts, first))
    second = plan_host(late.facts, late.wish, late.release, now, number)
    return Visit(early, first, number), Visit(late, second, number, last=True)


def runs_elsewhere(known: Known) -> bool:
    """Return whether a server runs from another release than it shall."""
    state = known.facts["units"].get(SERVER_UNIT, {})
    has_manifest = bool(known.facts["generations"])
    current = known.facts["current"]
    runs = state.get("active") == "active" and state.get("release") == current
    return runs and has_manifest and current in known.facts["releases"] and current != known.wish.release


def _batches(members: Sequence[Visit]) -> Iterator[tuple[Visit, ...]]:
    """Yield members in groups; where a release is new, one of them alone before all others."""
    ready = [visit for visit in members if visit.plan.steps]
    renewed = [visit for visit in ready if any(step["do"] == "switch" for step in visit.plan.steps)]
    rest = ready
    if len(ready) > 1 and renewed:
        yield (renewed[0],)
        rest = [visit for visit in ready if visit is not renewed[0]]
    for start in range(0, len(rest), BATCH):
        yield tuple(rest[start : start + BATCH])


def after(facts: Json, plan: HostPlan) -> Json:
    """Return the facts of a host when the steps of a plan will have been taken."""
    if not plan.steps:
        return facts
    wish = plan.wish
    files = {
        path: {"digest": file.digest, "mode": file.mode, "owner": file.owner, "group": file.group}
        for path, file in wish.files.items()
    }
    dropped = {step["path"] for step in plan.steps if step["do"] == "remove"}
    kept = {path: file for path, file in facts["files"].items() if path not in dropped}
    units = {
        unit: {**facts["units"].get(unit, {}), "enabled": service.runs, "stale": False, "release": wish.release,
               "active": "active" if service.runs else "inactive"}
        for unit, service in wish.services.items()
    }  # fmt: skip
    recorded = [step["generation"] for step in plan.steps if step["do"] == "record"]
    others = [entry for entry in facts["generations"] if entry["number"] not in recorded]
    folders = {path: {"mode": one.mode, "owner": one.owner, "group": one.group} for path, one in wish.folders.items()}
    return {
        **facts,
        "has_user": facts["has_user"] or wish.user,
        "files": {**kept, **files},
        "folders": {**facts["folders"], **folders},
        "units": {**facts["units"], **units},
        "releases": sorted({*facts["releases"], *([wish.release] if wish.release else [])}),
        "current": wish.release or facts["current"],
        "generations": [*others, *({"number": number, "manifest": wish.manifest()} for number in recorded)],
    }
