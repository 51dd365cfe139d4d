"""The model: a server, its clients, all that may happen to them, and beside them a reference that says what may not.

    model_reference.py  who may reach whom, slow and obvious
    model_setting.py    who there is, and what may be chosen from
    model_fleet.py      a world, and the reference told of everything that is done to it
    model_judge.py      compares the two: what must never be, after every step; what must be, once things are quiet
    model_machine.py    the rules that Hypothesis orders, and shortens where they fail
    model_path.py       the middleman and the stranger; model_keys.py sees every use of a record key
    model_coverage.py   what a run has covered; the table stands at the end of the test run

A failure prints the shortest steps that lead to it, and the seed; MODEL_SEED=... repeats the run that found it.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from rustun.protocol.tiers import Tier
from tests.simulation.model_coverage import PROPERTY, Coverage
from tests.simulation.model_keys import KeyWitness
from tests.simulation.model_machine import RULES, FleetMachine
from tests.simulation.model_setting import MEMBERS
from tests.simulation.world import World

METHODS: Final = ("aes256", "chacha20poly1305", "aes256", "chacha20poly1305")  # one run each
RULES_PER_WORLD: Final = 60
IS_SOAK: Final = not settings.default.derandomize  # type: ignore[union-attr]
WORLDS: Final = 250 if IS_SOAK else 17
LEAST: Final = {"steps": 25_000, "simulated hours": 2.5, "rekeys": 100, "takeovers": 5, "revocations": 5, "replays": 5}


@pytest.mark.parametrize("run", range(len(METHODS)))
def test_whatever_happens(
    run: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, record_property: Callable[[str, object], None]
) -> None:
    """If this fails, some order of events lets a packet go where it must not, or keeps a member away for good."""
    coverage, witness = Coverage(), KeyWitness()
    witness.install(monkeypatch)
    number = int(os.environ.get("MODEL_SEED") or (random.SystemRandom().getrandbits(32) if IS_SOAK else run))
    entries = [member.entry(identity) for identity, member in MEMBERS.items()]

    def make_machine() -> FleetMachine:
        return FleetMachine(lambda: World(tmp_path, entries, method=METHODS[run], tier=Tier.KEY), coverage, witness)

    try:
        run_state_machine_as_test(
            seed(number)(make_machine),  # type: ignore[arg-type]  # any maker of machines will do
            settings=settings(
                max_examples=WORLDS,
                stateful_step_count=RULES_PER_WORLD,
                deadline=None,
                database=None,
                phases=[Phase.generate, Phase.shrink],
                suppress_health_check=list(HealthCheck),
            ),
        )
    except BaseException as error:
        error.add_note(f"MODEL_SEED={number} repeats this run")
        raise
    witness.add_to(coverage)
    record_property(PROPERTY, coverage.as_property())
    assert len(coverage.rules) > 0.8 * len(RULES), "Hypothesis leaves rules out of each world, but not of all"
    too_little = {name: coverage.counts.get(name, 0) for name in LEAST if coverage.counts.get(name, 0) < LEAST[name]}
    assert not too_little, "the model has become too tame"
