"""Look, plan, write down, act: until a host is as wished.

Rules of this module
  1. The host is read anew each time, so it does not matter who changed what in between.
  2. Steps are carried out in the order of the plan, routes of one kind in one go. After the first kind of which the
     host refused something, and after an address went, the rest is planned anew, by a new look where anything was done.
  3. A refused address, route, rule, setting, table or name is a line in the report: a host without IPv6 has the rest.
     A refused device is an error.
  4. A hosts file that somebody wrote since it was looked at is looked at again.
  5. Without a journal nothing is set whose earlier value nobody could restore: no setting, no name.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Final

from rustun.backends import hosts_file
from rustun.backends.base import Forwarding, HostReport, HostState
from rustun.backends.forwarding import read_settings, write_setting
from rustun.backends.host_changes import Changes, Facts, plan_changes
from rustun.backends.host_journal import HostJournal, Kept
from rustun.backends.host_snapshot import Snapshot
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
from rustun.backends.host_table import HostTable
from rustun.backends.route_changes import add_routes, delete_routes
from rustun.backends.rtnetlink import RouteSocket
from rustun.errors import HostError, RightsError, RustunError

MOST_LOOKS: Final = 20  # each but the last found something refused, or took an address off
GONE: Final = frozenset({errno.ESRCH, errno.EADDRNOTAVAIL, errno.ENODEV, errno.ENOENT})


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of it, and the steps that were done."""

    report: HostReport
    done: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class Hands:
    """What a host is changed with: netlink, our firewall table, our journal."""

    netlink: RouteSocket
    table: HostTable
    journal: HostJournal


def bring_about(wished: HostState, hands: Hands, *, keep_table: bool = False, dead: bool = False) -> Outcome:
    """Make the host as wished; with an empty wish, take off everything that is ours.

    Args:
        keep_table: leave our firewall table as it is, whatever is wished.
        dead: the device's client is dead, and the device with it; its journal may be lost.

    Raises: OSError as the kernel says, about the device; HostError when somebody undoes each step.
    """
    journal = hands.journal
    refused: dict[Step, str] = {}
    done: list[Step] = []
    facts: Facts | None = None
    with journal.alone() if wished.forwarding != Forwarding() or journal.kept.settings else nullcontext():
        for _ in range(MOST_LOOKS):
            facts = facts or _see(wished, hands, keep_table=keep_table, dead=dead)
            changes = plan_changes(wished, facts, journal.kept, refused)
            if keep_table:
                changes = replace(changes, after=_with_table(changes.after, journal.kept))
            before = len(done)
            failed = _write_down(changes, journal) or _carry_out(changes.steps, hands, done)
            if not failed and not any(isinstance(step, RemoveAddress) for step in changes.steps):
                journal.put(changes.after)
                return Outcome(changes.report, tuple(done))
            refused |= failed
            if len(done) > before or any(isinstance(step, WriteHosts) for step in failed):
                facts = None
    raise HostError(f"somebody undoes what is set up at {wished.device}", "look who else configures its network")


def _see(wished: HostState, hands: Hands, *, keep_table: bool, dead: bool) -> Facts:
    snapshot = hands.netlink.snapshot()
    if dead:
        snapshot = replace(snapshot, links=tuple(link for link in snapshot.links if link.name != wished.device))
    facts = look(wished, snapshot, hands.table, hands.journal, names=dead)
    return replace(facts, table="") if keep_table else facts


def _with_table(after: Kept, kept: Kept) -> Kept:
    return replace(after, table=kept.table, kill_switch=kept.kill_switch)


def look(
    wished: HostState, snapshot: Snapshot, table: HostTable, journal: HostJournal, *, names: bool = False
) -> Facts:
    """Return what the plan needs to know of this host, and no more; `names`: our block may be in the hosts file."""
    forwards = wished.forwarding != Forwarding() or bool(journal.kept.settings)
    named = names or bool(wished.names) or journal.kept.hosts
    script: str | None
    try:
        script = table.script()
    except RustunError:  # no nft, or no right to ask: there is none of ours, or it is not known as what
        script = None if journal.kept.table else ""
    try:
        hosts = hosts_file.read_hosts(hosts_file.HOSTS) if named else None
    except RustunError:
        hosts = None
    return Facts(
        snapshot=snapshot,
        settings=read_settings() if forwards else {},
        table=script,
        table_name=table.name,
        hosts_path=str(hosts_file.HOSTS),
        hosts=hosts,
        others=dict(journal.others()),
        kernel=_kernel(),
    )


def _write_down(changes: Changes, journal: HostJournal) -> dict[Step, str]:
    """Write the journal; where that fails, return the steps that must not be done without it, with the reason."""
    try:
        journal.write(changes.during)
    except HostError as error:
        known = {change.name for change in journal.kept.settings}
        needing = [step for step in changes.steps if _needs_journal(step, known, journal.kept)]
        if needing:
            return {step: f"{_left_out(step)}: {_reason(error)}" for step in needing}
        journal.kept = changes.during
    return {}


def _needs_journal(step: Step, known: set[str], kept: Kept) -> bool:
    if isinstance(step, SetSysctl):
        return step.change.name not in known
    return isinstance(step, WriteHosts) and not kept.hosts


def _left_out(step: Step) -> str:
    return f"{step.change.name} is left as it is" if isinstance(step, SetSysctl) else "no names are written"


def _carry_out(steps: Sequence[Step], hands: Hands, done: list[Step]) -> dict[Step, str]:
    """Do the steps until something is refused or an address went; return what was refused, with the reason."""
    for kind, group in groupby(steps, key=lambda step: (type(step), getattr(step, "replace", False))):
        alike = list(group)
        failed = _many(alike) if kind[0] in (AddRoute, RemoveRoute) else _each(alike, hands)
        done += [step for step in alike if step not in failed]
        if failed or kind[0] is RemoveAddress:
            return failed
    return {}


def _many(steps: Sequence[Step]) -> dict[Step, str]:
    """Make or remove routes, all at once."""
    routes = [step.route for step in steps if isinstance(step, AddRoute | RemoveRoute)]
    first = steps[0]
    if isinstance(first, AddRoute):
        errors = add_routes(routes, replace=first.replace)
    else:
        errors = [0 if number in GONE else number for number in delete_routes(routes)]
    return {step: os.strerror(number) for step, number in zip(steps, errors, strict=True) if number}


def _each(steps: Sequence[Step], hands: Hands) -> dict[Step, str]:
    failed = {}
    for step in steps:
        try:
            _one(step, hands)
        except (HostError, RightsError) as error:
            failed[step] = _reason(error)
        except OSError as error:
            if isinstance(step, SetUp | RemoveAddress):
                raise
            failed[step] = error.strerror or str(error)
    return failed


def _one(step: Step, hands: Hands) -> None:
    match step:
        case SetUp():
            hands.netlink.set_up(step.link.index, step.mtu)
        case AddAddress():
            hands.netlink.add_address(step.link.index, step.address)
        case AddRule():
            hands.netlink.add_rule(step.rule)
        case RemoveAddress() | RemoveRule():
            _remove(step, hands.netlink)
        case SetSysctl():
            write_setting(step.change)
        case LoadTable():
            hands.table.load(step.script)
        case DeleteTable():
            hands.table.delete()
        case WriteHosts():
            _write_hosts(step)


def _remove(step: RemoveAddress | RemoveRule, netlink: RouteSocket) -> None:
    try:
        if isinstance(step, RemoveRule):
            netlink.delete_rule(step.rule)
        else:
            netlink.delete_address(step.link.index, step.address)
    except OSError as error:
        if error.errno not in GONE:
            raise


def _write_hosts(step: WriteHosts) -> None:
    if hosts_file.read_hosts(hosts_file.HOSTS) != step.found:  # another client, an editor: that is not to be lost
        raise HostError(f"{step.path} changes all the time", "look who writes it")
    try:
        hosts_file.write_in_place(step.after, hosts_file.HOSTS)
    except HostError:  # the disk is full, say: a part may be there
        hosts_file.write_in_place(step.before, hosts_file.HOSTS)
        raise


def _reason(error: RustunError) -> str:
    return f"{error.message}; {error.remedy}" if error.remedy else error.message


def _kernel() -> tuple[int, int]:
    """Return the kernel's version; what follows its first two numbers may be anything ("6.18-rc3")."""
    found = re.match(r"(\d+)\.(\d+)", os.uname().release)
    return (int(found[1]), int(found[2])) if found else (0, 0)
