"""All steps that take a host from what it has to what a client wishes, in a safe order; a pure function.

    wish, facts, journal, what was refused  ->  steps, what the journal has to say meanwhile and then, report

Rules of this module
  1. The order: settings that go, the firewall, the device with its addresses, routes and rules, settings that come,
     names, and last the routes that nobody needs any more. So nothing is forwarded that the firewall has not judged,
     and nothing is sent into a tunnel whose server is not pinned.
  2. A step that was refused is not tried again in the same `apply`; what needs it is not done, with a reason or a
     warning. The firewall is tried once more without what only a gateway needs. A kill switch that stands is not given
     up because a newer one is refused.
  3. What the journal has to say before the first step is everything that stands or may come to stand.
  4. Settings are judged as if this client, and the others on this host, had not come yet; what two clients need stays
     until the last one goes.
  5. A setting that somebody else changed meanwhile is left alone, with a warning; one that cannot be taken back stays
     in the journal, with one as well. A hosts file whose writing was cut off is taken as it was before.
  6. An empty wish is the way out, and leaves the journal empty where nothing was refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from ipaddress import ip_network
from typing import Final

from rustun.backends import firewall, forwarding
from rustun.backends.base import Forwarding, HostReport, HostState, Prefix
from rustun.backends.forwarding import Change
from rustun.backends.host_journal import Kept
from rustun.backends.host_judgement import accept_addresses, local_addresses
from rustun.backends.host_plan import RoutePlan, plan_addresses, plan_routes
from rustun.backends.host_snapshot import Link, Route, Rule, Snapshot
from rustun.backends.host_steps import (
    AddAddress,
    AddRoute,
    AddRule,
    DeleteTable,
    LoadTable,
    RemoveAddress,
    RemoveRoute,
    RemoveRule,
    SetSysctl,
    SetUp,
    Step,
    WriteHosts,
)
from rustun.backends.hosts_file import with_block
from rustun.backends.surroundings import survey
from rustun.errors import HostError

HOSTS_HINT: Final = 'names = "off" in client.toml does without'
HOSTS_TRIES: Final = 3  # at a file that somebody else writes meanwhile
Refusals = Mapping[Step, str]


@dataclass(frozen=True, slots=True)
class Facts:
    """What a host has at one moment.

    Attributes:
        snapshot: its links, addresses, routes and rules.
        settings: name -> value of the kernel's forwarding settings; empty where nobody needs to know.
        table: the script of our firewall table that stands, "" where there is none, None where it is unknown.
        table_name: family and name of that table.
        hosts_path: the file of host names.
        hosts: its content; None where nobody needs to know, or it cannot be read.
        others: device -> journal of other clients on this host.
        kernel: version of the kernel.
    """

    snapshot: Snapshot
    settings: Mapping[str, str] = field(default_factory=dict)
    table: str | None = ""
    table_name: str = ""
    hosts_path: str = ""
    hosts: str | None = None
    others: Mapping[str, Kept] = field(default_factory=dict)
    kernel: tuple[int, int] = (0, 0)


@dataclass(frozen=True, slots=True)
class Changes:
    """Steps, what the journal has to say while they are done (`during`) and then (`after`), and what comes of it."""

    steps: tuple[Step, ...]
    during: Kept
    after: Kept
    report: HostReport


@dataclass(frozen=True, slots=True)
class _Table:
    """What becomes of the firewall.

    Attributes:
        steps: what makes it so.
        stands: whether there is a table then.
        wished: the wish that it holds.
        settings: what has to be set for forwarding.
        warnings: lines for people.
    """

    steps: tuple[Step, ...]
    stands: bool
    wished: HostState
    settings: tuple[Change, ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Undone:
    """What becomes of settings that go: steps, lines for people, and what the journal keeps since some did not go."""

    steps: list[SetSysctl]
    warnings: tuple[str, ...]
    stuck: tuple[Change, ...]


@dataclass(frozen=True, slots=True)
class _Hosts:
    """What becomes of the hosts file: steps, lines for people, and whether it is known what stands there then."""

    steps: tuple[WriteHosts, ...]
    warnings: tuple[str, ...]
    known: bool


def plan_changes(wished: HostState, facts: Facts, kept: Kept, refused: Refusals) -> Changes:
    """Return what is to be done.

    Args:
        wished: what the client wants; with nothing but the device's name, all that is ours goes.
        facts: what the host has.
        kept: what the journal of this device says.
        refused: steps that the host refused a moment ago, with its reason.
    """
    snapshot = facts.snapshot
    link = snapshot.link(wished.device)
    accepted, unset = accept_addresses(wished, snapshot, link) if link is not None else (wished, {})
    table = _table(accepted, facts, kept, refused)
    accepted, unset = _settable(accepted, unset, refused)
    undo = _undone(kept, table.settings, facts, refused)
    set_, failed = _set(table.settings, facts, refused)
    routes = _routes(accepted, facts, kept, link, refused)
    hosts = _hosts(wished, facts, kept, refused)
    steps: tuple[Step, ...] = (
        *undo.steps,
        *table.steps,
        *_device(accepted, snapshot, link),
        *(AddRoute(route, replace=True) for route in routes.pin),
        *(AddRoute(route) for route in routes.add),
        *(AddRule(rule) for rule in routes.add_rules),
        *set_,
        *hosts.steps,
        *(RemoveRule(rule) for rule in routes.remove_rules),
        *(RemoveRoute(route) for route in (*routes.remove, *routes.unpin)),
    )
    after = _after(wished, kept, routes, table, hosts, undo.stuck)
    return Changes(
        steps=tuple(step for step in steps if step not in refused),
        during=_during(kept, after, hosts.steps),
        after=after,
        report=HostReport(
            tuple(route.prefix for route in routes.routes),
            {**dict(routes.refused), **unset},
            accepted.addresses,
            (*table.warnings, *undo.warnings, *failed, *hosts.warnings, *_leaks(accepted, routes, snapshot, link)),
            elsewhere=routes.elsewhere,
            local=local_addresses(snapshot, link),
            offers_exit=table.stands and table.wished.forwarding.offer_exit,
        ),
    )


def _settable(accepted: HostState, unset: dict[Prefix, str], refused: Refusals) -> tuple[HostState, dict[Prefix, str]]:
    """Return the wish without the own addresses that the kernel refused, and why the device has not all."""
    failed = {step.address: reason for step, reason in refused.items() if isinstance(step, AddAddress)}
    reasons = {}
    for address, reason in failed.items():
        off = "is IPv6 off on this host? " if address.version == 6 else ""
        reasons[ip_network(address.ip)] = f"not set as own address: {off}the kernel says: {reason}"
    addresses = tuple(address for address in accepted.addresses if address not in failed)
    return replace(accepted, addresses=addresses), {**unset, **reasons}


def _table(wished: HostState, facts: Facts, kept: Kept, refused: Refusals) -> _Table:
    """Return what becomes of the firewall: as wished, else without what a gateway needs, else nothing."""
    bare = replace(wished, forwarding=Forwarding())
    reasons: list[str] = []
    for candidate in dict.fromkeys((wished, bare)):
        around = survey(candidate, facts.snapshot)
        settings = forwarding.needed(candidate, around, _without_us(facts, kept))
        try:
            script = firewall.script(candidate, around, forwarding.opened(settings, wished.device))
        except HostError as error:
            reasons.append(f"{error.message}; {error.remedy}")
            continue
        if not script:
            break
        load = LoadTable(script)
        if load not in refused:
            _, lost = firewall.without_firewall(HostState(wished.device, 0, forwarding=wished.forwarding))
            lines = (*_reasons(reasons, lost), *firewall.warnings(candidate, around, facts.kernel))
            return _Table(() if facts.table == script else (load,), True, candidate, settings, lines)
        reasons.append(refused[load])
    if reasons and wished.kill_switch and _holds_kill_switch(facts, kept):
        _, lost = firewall.without_firewall(replace(wished, addresses=(), kill_switch=False))
        lost = ("the kill switch is the one from before, and knows no other servers than then", *lost)
        return _Table((), True, HostState(wished.device, 0, kill_switch=True), (), _reasons(reasons, lost))
    without, lost = firewall.without_firewall(wished)
    gone = DeleteTable(facts.table_name)
    if gone in refused:
        lost = (*lost, f"the table {facts.table_name} is left: {refused[gone]}")
        return _Table((), True, replace(without, kill_switch=kept.kill_switch), (), lost)
    return _Table(() if facts.table == "" else (gone,), False, without, (), _reasons(reasons, lost))


def _holds_kill_switch(facts: Facts, kept: Kept) -> bool:
    """Return whether a kill switch stands; where the table is not the one that was loaded, by what the journal says."""
    return kept.kill_switch if facts.table is None else firewall.KILL_SWITCH in facts.table


def _reasons(reasons: list[str], lost: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(f"{line} ({reasons[0]})" for line in lost) if reasons else ()


def _without_us(facts: Facts, kept: Kept) -> dict[str, str]:
    """Return the settings as they would be if no client had come to this host."""
    journals = (kept, *facts.others.values())
    return forwarding.without((change for journal in journals for change in journal.settings), facts.settings)


def _undone(kept: Kept, wanted: tuple[Change, ...], facts: Facts, refused: Refusals) -> _Undone:
    """Return what takes settings back that nobody needs any more."""
    needed = {change.name for change in wanted}
    needed.update(change.name for other in facts.others.values() for change in other.settings)
    going = tuple(change for change in kept.settings if change.name not in needed)
    back, left = forwarding.undone(going, facts.settings)
    steps = [SetSysctl(change) for change in back]
    stuck = tuple(refused[step] for step in steps if step in refused)
    return _Undone(steps, (*left, *stuck), going if stuck else ())


def _set(wanted: tuple[Change, ...], facts: Facts, refused: Refusals) -> tuple[list[Step], list[str]]:
    """Return the steps for settings that come, and a line for each that the host refused."""
    steps: list[Step] = []
    warnings = []
    for change in wanted:
        step = SetSysctl(change)
        if step in refused:
            warnings.append(refused[step])
        elif change.before != change.ours and facts.settings.get(change.name) != change.ours:
            steps.append(step)
    return steps, warnings


def _device(wished: HostState, snapshot: Snapshot, link: Link | None) -> Iterator[Step]:
    if link is None:
        return
    if wished.mtu and (not link.up or link.mtu != wished.mtu):
        yield SetUp(link, wished.mtu)
    plan = plan_addresses(wished, snapshot, link)
    yield from (AddAddress(link, address) for address in plan.add)
    yield from (RemoveAddress(link, address) for address in plan.remove)


def _routes(wished: HostState, facts: Facts, kept: Kept, link: Link | None, refused: Refusals) -> RoutePlan:
    failed: dict[Route | Rule, str] = {}
    for step, reason in refused.items():
        if isinstance(step, AddRoute):
            failed[step.route] = reason
        elif isinstance(step, AddRule):
            failed[step.rule] = reason
    others = frozenset[Prefix]().union(*(other.pins for other in facts.others.values()))
    return plan_routes(wished, facts.snapshot, link, kept.pins, other_pins=others, failed=failed)


def _hosts(wished: HostState, facts: Facts, kept: Kept, refused: Refusals) -> _Hosts:
    if facts.hosts is None:
        unread = f"{facts.hosts_path} cannot be read: no names are written; {HOSTS_HINT}"
        return _Hosts((), (unread,) if wished.names else (), not kept.hosts)
    before = facts.hosts
    if kept.hosts_write is not None and torn(facts.hosts, *kept.hosts_write):
        before = kept.hosts_write[0]
    step = WriteHosts(facts.hosts_path, facts.hosts, before, with_block(before, wished.device, wished.names))
    if step.after == facts.hosts:
        return _Hosts((), (), True)
    reasons = [reason for other, reason in refused.items() if isinstance(other, WriteHosts)]
    if step in refused or len(reasons) >= HOSTS_TRIES:
        return _Hosts((), (reasons[-1],), False)
    return _Hosts((step,), (), True)


def torn(text: str, before: str, after: str) -> bool:
    """Return whether a file is what a write of `after` over `before` leaves wherever it is cut off."""
    found, old, new = (one.encode("utf-8", "surrogateescape") for one in (text, before, after))
    written = next((at for at, (left, right) in enumerate(zip(found, new, strict=False)) if left != right), None)
    if written is None:  # all of it is there, as far as it goes; what follows is of the old content
        written = min(len(found), len(new))
    return found[written:] == old[written:]


def _after(
    wished: HostState, kept: Kept, routes: RoutePlan, table: _Table, hosts: _Hosts, stuck: tuple[Change, ...]
) -> Kept:
    return Kept(
        routes.pinned,
        (*stuck, *table.settings),
        hosts=bool(wished.names) or (kept.hosts and not hosts.known),
        hosts_write=None if hosts.known else kept.hosts_write,
        table=table.stands,
        kill_switch=table.stands and table.wished.kill_switch,
    )


def _during(kept: Kept, after: Kept, hosts: tuple[WriteHosts, ...]) -> Kept:
    write = next(((step.before, step.after) for step in hosts), None)
    coming = {change.name: change for change in after.settings}
    staying = tuple(change for change in kept.settings if change.name not in coming)
    return Kept(
        kept.pins | after.pins,
        staying + after.settings,
        kept.hosts or after.hosts,
        write or kept.hosts_write,
        kept.table or after.table,
        kept.kill_switch or after.kill_switch,
    )


def _leaks(wished: HostState, routes: RoutePlan, snapshot: Snapshot, link: Link | None) -> Iterator[str]:
    """Yield a line for each family that goes beside the exit node."""
    standing = {route.prefix.version for route in routes.routes if route.prefix.prefixlen == 0}
    index = link.index if link is not None else -1
    for version in (4, 6) if standing and not wished.kill_switch else ():
        outside = any(
            route.prefix.version == version and route.prefix.prefixlen == 0 and route.device != index
            for route in snapshot.routes
        )
        if outside and version not in standing:
            advice = "kill_switch = true keeps it in"
            yield f"IPv{version} leaves this host beside the exit node, which takes no IPv{version}: {advice}"
