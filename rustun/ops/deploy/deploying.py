"""`invoke deploy` and `invoke rollback`: show, ask, write what is generated, visit the hosts, and say how it ended.

Exit codes: 0 every host that was named is as wished; 5 some are not; 3 there was something to do, and nothing was done.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

from rustun.ops.deploy.document import plan_document
from rustun.ops.deploy.looking import Target, columns, guarded, look, note, say, show
from rustun.ops.deploy.order import Known, number_of, order
from rustun.ops.deploy.plan import show_plan, what_changes
from rustun.ops.deploy.progress import progress
from rustun.ops.deploy.records import Json, Release, wish_of
from rustun.ops.deploy.rollout import Outcome, Rollout
from rustun.ops.deploy.survey import Survey
from rustun.ops.ending import InputError
from rustun.ops.exit_codes import DIFFERS, FAILED, OK

SCHEMA = 1
WORDS: Mapping[str, str] = {"failed": "FAILED", "lost": "LOST", "not begun": "not begun"}


@dataclass(frozen=True, slots=True)
class Manner:
    """How it is done.

    Attributes:
        as_json: the report is JSON; then `yes` is needed.
        yes: nobody is asked.
        max_failures: so many hosts may fail before nobody new is begun.
        dry: the plan is shown, and nothing done.
    """

    as_json: bool = False
    yes: bool = False
    max_failures: int = 1
    dry: bool = False


def deploy(target: Target, manner: Manner) -> int:
    """Make the hosts of a fleet what its inventory says; return the exit code."""

    def work() -> int:
        prepared = target.prepare()
        found = look(target, prepared, target.connect, target.wheels())
        try:
            document = plan_document(prepared, found, diff=False)
            return _carry_out(target, found, document, manner, "deploy", prepared.write)
        finally:
            found.close()

    return guarded("deploy", work)


def rollback(target: Target, manner: Manner, to: int | None) -> int:
    """Bring hosts back to what they were after an earlier deployment; return the exit code.

    Args:
        to: its number; None for the one before the last.
    """

    def work() -> int:
        prepared = target.prepare()
        found = look(target, prepared, target.connect, target.wheels())
        try:
            number = number_of(found.hosts) - 2 if to is None else to
            if number < 1:
                raise InputError("there is no earlier deployment", "./invoke status shows what there is")
            found.hosts = tuple(_earlier(found, number))
            found.roster = replace(found.roster, leaving=frozenset())
            found.groups = order(found.hosts, found.roster, time.time())
            document = {**plan_document(prepared, found, diff=False), "files": [], "new_secrets": [], "members": []}
            return _carry_out(target, found, document, manner, f"rollback to {number}", lambda: None)
        finally:
            found.close()

    return guarded("rollback", work)


def _earlier(found: Survey, number: int) -> Iterator[Known]:
    """Yield the hosts that have something of a deployment or one before it, with that as their wish."""
    for known in found.hosts:
        if known.wish.ssh in found.roster.leaving:
            continue  # what has left the inventory does not come back
        old = [entry["manifest"] for entry in known.facts["generations"] if entry["number"] <= number]
        if not old:
            note(f"{', '.join(known.wish.names)}: nothing was deployed there by deployment {number}; left as it is")
            continue
        wish = wish_of(known.wish.ssh, old[-1])
        gone = wish.release not in known.facts["releases"]
        yield Known(
            wish, known.facts, Release(wish.release, missing="its release is not kept any more" if gone else "")
        )


def _carry_out(
    target: Target, found: Survey, document: Json, manner: Manner, what: str, before: Callable[[], None]
) -> int:
    """Show a plan, ask, and do it; return the exit code. `before` is done before the first host is touched."""
    if manner.dry or not manner.as_json:
        show(document, manner.as_json, lambda plan: show_plan(plan, hint=False))
    if manner.dry:
        note(f"{what}: nothing was done; leave --dry-run out to do it")
        return FAILED if found.unreachable else OK
    if not found.visits:
        before()
        show(_report(what, (), found, 0.0), manner.as_json, _show_report)
        return FAILED if found.unreachable else OK
    if not _confirmed(what, found, manner):
        note(f"{what}: nothing was done")
        return DIFFERS
    if _begins(found):
        before()
    started = time.monotonic()
    with progress(found.visits) as tell:
        rollout = Rollout(found, target.connect, target.wheels().content, tell, manner.max_failures)
        outcomes = rollout.run()
    report = _report(what, outcomes, found, time.monotonic() - started)
    show(report, manner.as_json, _show_report)
    return OK if report["all_as_wished"] else FAILED


def _begins(found: Survey) -> bool:
    """Return whether a host will be touched: not where the first server, or nobody, can be as wished."""
    first = found.groups[0]
    return not all(visit.plan.problems for visit in (first if first[0].is_server else found.visits))


def _confirmed(what: str, found: Survey, manner: Manner) -> bool:
    if manner.yes:
        return True
    if manner.as_json or not sys.stdin.isatty():
        raise InputError(f"{what}: nobody is here to be asked", "look at ./invoke plan, then say --yes")
    hosts = len({visit.ssh for visit in found.visits})
    sys.stderr.write(f"{what}: change {hosts} host{'' if hosts == 1 else 's'}? [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _report(what: str, outcomes: tuple[Outcome, ...], found: Survey, seconds: float) -> Json:
    return {
        "schema": SCHEMA,
        "what": what,
        "seconds": round(seconds, 3),
        "all_as_wished": all(outcome.result == "done" for outcome in outcomes) and not found.unreachable,
        "hosts": [_told(outcome) for outcome in outcomes],
        "unreachable": {ssh: why.reason for ssh, why in found.unreachable.items()},
        "unchanged": [
            known.wish.ssh for known in found.hosts if known.wish.ssh not in {visit.ssh for visit in found.visits}
        ],
    }


def _told(outcome: Outcome) -> Json:
    visit = outcome.visit
    return {
        "ssh": visit.ssh,
        "names": list(visit.known.wish.names),
        "deployment": visit.number,
        "last": visit.last,
        "result": outcome.result,
        "what": what_changes(list(visit.plan.steps)),
        "reason": outcome.reason,
        "remedy": outcome.remedy,
        "log": list(outcome.log),
        "put_back_problem": outcome.put_back_problem,
        "seconds": round(outcome.seconds, 3),
    }


def _show_report(report: Json) -> None:
    rows: list[tuple[str, ...]] = [
        (
            ", ".join(host["names"]) or host["ssh"],
            WORDS.get(host["result"], host["result"]),
            f"{host['seconds']:.1f} s",
            host["what"],
        )
        for host in report["hosts"]
    ]
    for line, host in zip(columns(rows), report["hosts"], strict=True):
        print(line)
        _show_details(host)
    results = Counter(host["result"] for host in report["hosts"])
    results.update(unreachable=len(report["unreachable"]), unchanged=len(report["unchanged"]))
    counts = ", ".join(f"{number} {result}" for result, number in results.items() if number)
    print(f"{report['what']}: {counts or 'nothing to do'}, {report['seconds']:.1f} s")


def _show_details(host: Json) -> None:
    """Print why a host is not as wished, and what became of it."""
    for text in (host["reason"], host["remedy"]):
        if text:
            say(f"    {text}")
    for line in host["log"]:
        say(f"    | {line}")
    if host["result"] == "failed":
        problem = host["put_back_problem"]
        say(f"    {f'NOT all put back: {problem}' if problem else 'put back: it runs what it ran before'}")
