"""The instrument that proves isolation: a relay that leaks turns just the right cells red, and each is explained."""

from __future__ import annotations

import signal
from pathlib import Path
from time import monotonic

from netlab.isolation import prove
from netlab.isolation.expectation import Expectation
from netlab.lab import Laboratory
from tests.netlab.faulty_lab import RETURNED, RULES, faulty_lab, red_cells
from tests.netlab.own_world import in_own_world


def come_again(lab: Laboratory, identity: str) -> None:
    """End a member's client and start it anew."""
    process = lab.processes.pop(identity)
    process.signal(signal.SIGTERM)
    assert process.reap(monotonic() + 3) == 0
    lab.start_client(identity)
    lab.wait_online()


@in_own_world
def test_each_fault_turns_just_the_right_cells_red(tmp_path: Path) -> None:
    """Isolation would be shown by an instrument that cannot see it break."""
    with faulty_lab(tmp_path) as (lab, set_fault):
        expectation = Expectation(lab.spec)
        whole = prove.probe(lab)
        assert whole.as_expected, (whole.red, whole.doubtful)
        for fault in RULES:
            set_fault(fault)
            if fault == "stale_session":
                prove.probe(lab)
                come_again(lab, RETURNED)
            found = prove.probe(lab)
            right = red_cells(expectation, fault)
            assert right
            assert set(found.red_cells) == right, (fault, set(found.red_cells) ^ right, found.red)
            if fault != "stale_session":  # markers to and from the member that came again are lost as well
                assert not found.doubtful, (fault, found.doubtful)
