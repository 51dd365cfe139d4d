"""Whole clients that are killed at random moments, and a host that is exactly as it was afterwards.

Rules of this module
  1. The host is compared whole (host_picture.py). The gateway has addresses, routes, rules, pins, settings, a table
     and names to take off.
  2. Twenty crashes here, a hundred in `./invoke soak`.
"""

from __future__ import annotations

import signal
from pathlib import Path
from random import Random

import pytest

from netlab.worlds.host_picture import assert_same, host_picture, settle
from tests.netlab.crashes import BATCHES, CRASHES, STATE, World
from tests.netlab.own_world import in_own_world


@in_own_world
def restored_after_each_crash(folder: Path) -> None:
    random = Random(folder.name)
    with World(folder, kill_switch=False) as world:
        world.host.do(settle)
        before = world.host.do(host_picture)
        world.start_whole()
        world.stop_in_order()
        assert_same(before, world.host.do(host_picture), "the host after an orderly end")
        for crash in range(CRASHES):
            when = "at the end" if random.random() < 0.4 else "at the start"
            moment = random.uniform(0, 1.2)
            then = "clean-up" if crash % 2 else "another start"
            die(world, when, moment)
            if then == "clean-up":
                world.client.start("cleanup", "--state-dir", str(STATE))
                assert world.client.code() == 0, world.client.log
            else:
                world.start_whole()
                world.stop_in_order()
            what = f"the host after crash {crash}, {when}, moment {moment:.3f}, and {then}"
            assert_same(before, world.host.do(host_picture), what)
            assert not list(STATE.glob("*.json")), what


def die(world: World, when: str, moment: float) -> None:
    """Kill the client at a moment after it was started, or told to stop."""
    seconds = moment * (world.end_s if when == "at the end" else world.start_s)
    if when == "at the end":
        world.start_whole()
        world.client.tell(signal.SIGTERM)
    else:
        world.start_client()
    if world.client.lives_for(seconds):
        world.client.tell(signal.SIGKILL)
    code = world.client.code()
    assert code == -signal.SIGKILL or (code == 0 and when == "at the end"), world.client.log


@pytest.mark.parametrize("batch", range(BATCHES))
def test_the_host_is_as_it_was_after_any_crash(tmp_path: Path, batch: int) -> None:
    """If this fails, a crash leaves routes, rules, settings or names behind that nothing takes off any more."""
    folder = tmp_path / f"batch-{batch}"
    folder.mkdir()
    restored_after_each_crash(folder)
