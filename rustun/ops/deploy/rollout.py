"""Carry out visits: group after group, at once within a group, until too many hosts failed.

Rules of this module
  1. What is done is what was shown: each host is asked again before it is touched, and where the steps would be others
     by now it is left alone.
  2. A server that cannot be as wished ends it before anybody else is touched. Of the others `max_failures` may fail;
     then nobody new is begun. Hosts that did not answer from the start count for nothing: they were not touched.
  3. A host that fails puts itself back (far/execution.py). Its reason and the last lines of its log are kept.
  4. A server's last visit (a new release) is left out once a host has failed.
  5. Interrupted, it begins with nobody new and waits for those under way; interrupted again it leaves them to
     themselves. Either way every host is as it was, or as wished, and the outcomes say which.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from rustun.ops.deploy.order import Visit
from rustun.ops.deploy.records import HostPlan, Json
from rustun.ops.deploy.ssh import Far, Unreachable
from rustun.ops.deploy.steps import plan_host
from rustun.ops.deploy.survey import AT_ONCE, Connect, Survey

Result = Literal["done", "failed", "changed", "unfit", "unreachable", "lost", "not begun"]
LOOK_SECONDS: Final = 0.2  # how long Ctrl-C may wait


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one visit.

    Attributes:
        result: done; failed, and put back; not touched: changed meanwhile, unfit, unreachable, not begun; lost: the
            connection ended, and the host goes on by itself.
        steps: that changed something.
        put_back_problem: why a failed host is not quite as it was; empty where it is.
    """

    visit: Visit
    result: Result
    reason: str = ""
    remedy: str = ""
    log: tuple[str, ...] = ()
    steps: int = 0
    seconds: float = 0.0
    put_back_problem: str = ""


Progress = Callable[[Visit, str], None]
Fetch = Callable[[str, str], Path]


@dataclass(slots=True)
class Rollout:
    """One deployment of what a survey found.

    Attributes:
        connect: makes a connection in place of one that broke while somebody thought about the plan.
        fetch: returns where the wheel of a name and digest is.
        progress: called with a visit and what happens to it, from several threads.
        max_failures: so many hosts may fail before nobody new is begun, 1 or more.
    """

    found: Survey
    connect: Connect
    fetch: Fetch
    progress: Progress
    max_failures: int = 1
    interrupted: bool = False

    def run(self) -> tuple[Outcome, ...]:
        """Visit all hosts; return what became of each visit, in order. Takes over Ctrl-C: for the main thread alone."""
        outcomes: list[Outcome] = []
        before = signal.signal(signal.SIGINT, self._interrupt)
        try:
            for group in self.found.groups:
                if self._must_end(outcomes) or (group[0].last and not _may_finish(outcomes)):
                    outcomes += [Outcome(visit, "not begun") for visit in group]
                else:
                    outcomes += self._visit_all(group, outcomes)
        finally:
            signal.signal(signal.SIGINT, before)
        return tuple(outcomes)

    def _interrupt(self, *_: object) -> None:
        if self.interrupted:
            for far in self.found.lines.values():
                far.give_up()
        self.interrupted = True

    def _must_end(self, outcomes: Iterable[Outcome]) -> bool:
        not_done = [outcome for outcome in outcomes if outcome.result != "done"]
        servers = any(outcome.visit.is_server and not outcome.visit.last for outcome in not_done)
        failures = sum(outcome.result in ("failed", "lost", "changed") for outcome in not_done)
        return self.interrupted or servers or failures >= self.max_failures

    def _visit_all(self, group: tuple[Visit, ...], before: list[Outcome]) -> list[Outcome]:
        """Visit the hosts of one group at once; return their outcomes in the group's order."""
        outcomes: dict[int, Outcome] = {}

        def visit(number: int) -> None:
            if self._must_end([*before, *list(outcomes.values())]):
                outcomes[number] = Outcome(group[number], "not begun")
            else:
                outcomes[number] = self._visit(group[number])

        with ThreadPoolExecutor(AT_ONCE) as pool:
            futures = [pool.submit(visit, number) for number in range(len(group))]
            while wait(futures, LOOK_SECONDS).not_done:
                pass  # a signal is only seen between two waits
        for future in futures:
            future.result()
        return [outcomes[number] for number in range(len(group))]

    def _visit(self, visit: Visit) -> Outcome:
        started = time.monotonic()
        if visit.plan.problems:
            return Outcome(visit, "unfit", "; ".join(visit.plan.problems))
        try:
            far, plan = self._look_again(visit)
        except Unreachable as error:
            return Outcome(visit, "unreachable", error.reason, error.remedy)
        if plan.steps != visit.plan.steps or plan.expect != visit.plan.expect:
            return Outcome(visit, "changed", "the host is not as it was shown", "look at a new plan")
        try:
            end, steps = self._apply(far, visit)
        except Unreachable as error:
            return Outcome(visit, "lost", error.reason, error.remedy, seconds=time.monotonic() - started)
        took = time.monotonic() - started
        if end["end"] == "done":
            return Outcome(visit, "done", steps=steps, seconds=took)
        if end["end"] == "refused":
            return Outcome(visit, "changed", end["reason"], end["remedy"], seconds=took)
        told = {"reason": end["reason"], "remedy": end["remedy"], "log": tuple(end["log"])}
        return Outcome(visit, "failed", **told, seconds=took, put_back_problem=end["put_back_problem"])

    def _look_again(self, visit: Visit) -> tuple[Far, HostPlan]:
        """Return a host's connection, made anew where it broke, and what it needs now."""
        wish, release = visit.known.wish, visit.known.release
        units = [*wish.services, *(unit for unit in visit.known.facts["units"] if unit not in wish.services)]
        far = self.found.lines[visit.ssh]
        try:
            facts = far.facts(units)
        except Unreachable:
            far = self.found.lines[visit.ssh] = self.connect(visit.ssh)
            facts = far.facts(units)
        return far, plan_host(facts, wish, release, facts["clock"], visit.number)

    def _apply(self, far: Far, visit: Visit) -> tuple[Json, int]:
        """Have a host take its steps; return how it ended, and how many of them changed something."""
        plan, changed = visit.plan, 0

        def report(said: Json) -> None:
            nonlocal changed
            if "begin" in said:
                self.progress(visit, describe(plan.steps[said["begin"]]))
            changed += bool(said.get("changed"))

        request = {"expect": plan.expect, "steps": list(plan.steps), "manifest": plan.wish.manifest()}
        return far.apply(request, self._blobs(visit), report), changed

    def _blobs(self, visit: Visit) -> Mapping[str, bytes]:
        """Return what the steps need and the host does not have."""
        kept = {
            file["digest"] for entry in visit.known.facts["generations"] for file in entry["manifest"]["files"].values()
        }
        blobs = {}
        for step in visit.plan.steps:
            if step["do"] == "put" and step["digest"] not in kept:
                blobs[step["digest"]] = self.found.contents[step["digest"]]
            elif step["do"] == "release":
                blobs.update({digest: self.fetch(name, digest).read_bytes() for name, digest in step["wheels"]})
        return blobs


def _may_finish(outcomes: Sequence[Outcome]) -> bool:
    """Return whether nobody failed, and, of hosts that leave, all have left."""
    left = (outcome for outcome in outcomes if not outcome.visit.known.wish.services)
    bad = any(outcome.result not in ("done", "unfit") for outcome in outcomes)
    return not bad and all(outcome.result == "done" for outcome in left)


def describe(step: Json) -> str:
    """Return a step in a few words."""
    what = step.get("unit") or step.get("path") or step.get("release") or step.get("generation") or step.get("name", "")
    return f"{step['do']} {what}".strip()
