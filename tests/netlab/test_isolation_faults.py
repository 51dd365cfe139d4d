"""The instrument that proves isolation: a relay that leaks turns just the right cells red, and each is explained."""

from __future__ import annotations

import signal
from dataclasses import replace
from pathlib import Path
from time import monotonic

from netlab.capture import pcapng
from netlab.isolation import prove
from netlab.isolation.expectation import Expectation
from netlab.isolation.judgement import RED
from netlab.isolation.why import MOST_LINES, Explanation
from netlab.lab import Laboratory
from tests.netlab.faulty_lab import RETURNED, RULES, faulty_lab, red_cells
from tests.netlab.own_world import in_own_world

MEANINGS = {
    "isolation_off": ("the server does not keep clusters apart", "is let into the LAN"),
    "source_check_off": ("the server does not check sources",),
    "prefix_leak": ("is let into the LAN",),
    "broadcast_leak": ("the server passes on what is sent to a group",),
    "stale_session": (f"the server has a session of {RETURNED}",),
}


def come_again(lab: Laboratory, identity: str) -> None:
    """End a member's client and start it anew."""
    process = lab.processes.pop(identity)
    process.signal(signal.SIGTERM)
    assert process.reap(monotonic() + 3) == 0
    lab.start_client(identity)
    lab.wait_online()


@in_own_world
def test_each_fault_turns_just_the_right_cells_red(tmp_path: Path) -> None:
    """Isolation would be shown by an instrument that cannot see it break, or that says nothing of why."""
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
            some = dict.fromkeys(found.red_cells[::3], RED)
            explanations = prove.explain(lab, replace(found, cells=some), tmp_path / fault)
            assert [one.cell for one in explanations] == list(some)
            for one in explanations:
                assert any(meant in str(one) for meant in MEANINGS[fault]), (fault, str(one))
                assert len(one.lines) <= MOST_LINES
                check_capture(one)


def check_capture(explanation: Explanation) -> None:
    """See that the file that an explanation names shows the probe where it says that it was seen last."""
    said = {line[2:14].rstrip(): line[14:] for line in explanation.lines[1:]}
    packets = [one for one in pcapng.read(Path(said["capture"])) if isinstance(one, pcapng.Packet)]
    seen = {packet.interface.name for packet in packets}
    assert said["last seen"].partition(",")[0] in seen
    missed = said.get("not seen", "")
    assert missed not in seen or missed.startswith("server:")  # which the probe may have passed the other way
