"""`invoke policy-test`: read the policies beside an inventory, judge them, and say what does not hold.

Exit codes as in tasks.py: 2 the inventory or a policy cannot be read, or there is none, 5 an assertion does not hold.
"""

from __future__ import annotations

import datetime as dt
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from rustun.config.consent import HostConsent
from rustun.config.findings import Complaint
from rustun.config.member import parse_moment
from rustun.errors import ConfigError, Problem, RustunError
from rustun.ops.consent import host_config
from rustun.ops.exit_codes import BAD_INPUT, ENVIRONMENT, FAILED, OK
from rustun.ops.fleet import Inventory
from rustun.ops.halves import in_halves
from rustun.ops.inventory import load_inventory
from rustun.ops.policy.assertions import Assertion, policy_files, read_policy
from rustun.ops.policy.judge import Outcome, judge
from rustun.ops.policy.reach import Nodes, Reach
from rustun.ops.templating import render_routes

ASSERTION_US: Final = 500.0  # to judge one; those about whole clusters take most of it


def check(path: Path, inventory: Inventory, routes: bytes, now: dt.datetime) -> tuple[Outcome, ...]:
    """Judge every policy kept beside an inventory.

    Args:
        path: of the inventory.
        inventory: as it was read from there.
        routes: the routes.json generated from it.
        now: members whose time is over by then are not there.
    Raises: ConfigError: policies cannot be read; with every problem of all of them.
    """
    if not (assertions := read_assertions(path, inventory)):
        return ()
    reach = reach_of(inventory, routes, now)
    by_cluster = sorted(range(len(assertions)), key=lambda at: _cluster(reach, assertions[at]))  # each in one half

    def judged(some: Sequence[int]) -> list[tuple[int, Outcome]]:
        return [(at, judge(assertions[at], reach)) for at in some]

    return tuple(outcome for _, outcome in sorted(in_halves(judged, by_cluster, lambda _: ASSERTION_US), key=_place))


def _cluster(reach: Reach, assertion: Assertion) -> str:
    """Return the cluster whose table most likely decides about an assertion, empty where none does."""
    node = reach.nodes.get(assertion.who[0])
    return node.cluster if node else ""


def _place(judged: tuple[int, Outcome]) -> int:
    return judged[0]


def read_assertions(path: Path, inventory: Inventory) -> tuple[Assertion, ...]:
    """Return all assertions beside an inventory. Raises: ConfigError: with every problem of every file."""
    found: list[Assertion] = []
    problems: list[Problem] = []
    for file in policy_files(path):
        try:
            found += read_policy(file, inventory)
        except ConfigError as error:
            problems += error.problems
    if problems:
        raise ConfigError(tuple(problems))
    return tuple(found)


def reach_of(inventory: Inventory, routes: bytes, now: dt.datetime) -> Reach:
    """Return who gets what, by a generated routes.json and what the inventory has the hosts agree to."""
    entries = [entry for entry in json.loads(routes) if _in_force(entry, now)]
    members = {member.identity: member for member in inventory.members}
    return Reach(Nodes(entries, lambda identity: _consent(host_config(members[identity]))))


def _in_force(entry: dict[str, Any], now: dt.datetime) -> bool:
    if entry.get("enabled") is False:
        return False
    try:
        return "expires_at" not in entry or now < parse_moment(entry["expires_at"])
    except Complaint:  # whoever reads the file back says what is wrong with it
        return False


def _consent(keys: dict[str, Any]) -> HostConsent:
    mapping = tuple(keys.get("cider_mapping", {}).items())
    return HostConsent(**{**keys, "cider_mapping": mapping})


def run(path: Path, *, as_json: bool) -> int:
    """Judge the policies beside an inventory; return the exit code."""
    started = time.monotonic()
    try:
        inventory = load_inventory(path)
        files = policy_files(path)
        outcomes = check(path, inventory, render_routes(inventory), dt.datetime.now(dt.UTC))
    except ConfigError as error:
        print(error, file=sys.stderr)
        return BAD_INPUT
    except RustunError as error:
        print(f"policy-test: {error.message}\n  {error.remedy}", file=sys.stderr)
        return ENVIRONMENT
    if not outcomes:
        where = f"in {path}" if path.is_dir() else f"beside {path}"
        print(f"policy-test: no assertion {where}", file=sys.stderr)
        example = (path / "fleet.policy") if path.is_dir() else path.with_suffix(".policy")
        print(f'  write some into {example}, such as "alice can reach 192.168.10.5"', file=sys.stderr)
        return BAD_INPUT
    if as_json:
        print(json.dumps(_facts(path, outcomes), indent=2))
    else:
        _print_text(files, outcomes, time.monotonic() - started)
    return OK if all(outcome.holds for outcome in outcomes) else FAILED


def failures(outcomes: Sequence[Outcome]) -> list[str]:
    """Return two lines for each assertion that does not hold: which, and the first case against it."""
    return [
        f'{one.assertion.place}: "{one.assertion.text}" does not hold\n  {one.against}'
        for one in outcomes
        if not one.holds
    ]


def _print_text(files: Sequence[Path], outcomes: Sequence[Outcome], seconds: float) -> None:
    for failure in failures(outcomes):
        print(failure)
    failed = sum(not one.holds for one in outcomes)
    verdict = f"{failed} of {len(outcomes)} do not hold" if failed else f"all {len(outcomes)} hold"
    cases = sum(one.cases for one in outcomes)
    names = ", ".join(file.name for file in files)
    print(f"policy-test {names}: {verdict}; {cases} cases, {seconds:.1f} s")


def _facts(path: Path, outcomes: Sequence[Outcome]) -> dict[str, object]:
    return {
        "schema": 1,
        "inventory": str(path),
        "holds": all(one.holds for one in outcomes),
        "assertions": [
            {
                "place": one.assertion.place,
                "text": one.assertion.text,
                "holds": one.holds,
                "cases": one.cases,
                "against": one.against,
            }
            for one in outcomes
        ],
    }
