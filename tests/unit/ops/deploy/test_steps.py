"""Facts and a wish to steps: one case file per behaviour in tests/golden/deploy/."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rustun.ops.deploy.order import after
from rustun.ops.deploy.records import HostPlan, HostWish, Release, wish_of
from rustun.ops.deploy.steps import plan_host

CASES = sorted((Path(__file__).resolve().parents[3] / "golden" / "deploy").glob("*.json"))
NOW = 1_800_000_000.0


def read(path: Path) -> dict[str, Any]:
    """Return a case."""
    case: dict[str, Any] = json.loads(path.read_text())
    return case


def release_of(case: dict[str, Any]) -> Release:
    """Return the release of a case."""
    release = Release(**case["release"])
    return replace(release, wheels=tuple((name, digest) for name, digest in release.wheels))


def plan_of(case: dict[str, Any], wish: HostWish | None = None, facts: dict[str, Any] | None = None) -> HostPlan:
    """Return the plan of a case, or of another wish or other facts."""
    facts = facts or case["facts"]
    number = 1 + max((entry["number"] for entry in facts["generations"]), default=0)
    return plan_host(facts, wish or wish_of("root@host", case["wish"]), release_of(case), NOW, number)


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_the_steps_of_each_behaviour(path: Path) -> None:
    """A deployment would do more to a host, or less, than its case says; `about` tells which."""
    case = read(path)
    plan = plan_of(case)
    found = {name: list(getattr(plan, name)) for name in ("steps", "problems", "notes", "notices")}
    assert found == case["expected"], case["about"]


def test_there_are_cases() -> None:
    """With the folder renamed nothing would be compared."""
    assert len(CASES) >= 25


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_a_manifest_is_a_wish_again(path: Path) -> None:
    """A host could not come back to what an older toolkit recorded."""
    case = read(path)
    assert wish_of("", case["wish"]).manifest() == {"schema": 1, **case["wish"]}


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_after_the_steps_there_is_nothing_to_do(path: Path) -> None:
    """A second deployment would restart what the first one has just brought up."""
    case = read(path)
    plan = plan_of(case)
    if case["wish"]["services"]:
        assert plan_of(case, facts=after(case["facts"], plan)).steps == ()
