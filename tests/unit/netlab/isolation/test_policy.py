"""Assertions tried with packets: what is planned, and what is made of what was seen."""

from __future__ import annotations

from pathlib import Path

import pytest

from netlab.errors import BadInput
from netlab.isolation import expectation
from netlab.isolation.policy import Rehearsal, judge, probes_of, rehearse
from netlab.isolation.prober import Observed, Trace
from netlab.spec import lab_spec
from netlab.topology import lan_of
from rustun.ops.inventory import load_inventory

FLEET = """
[fleet]
name = "twins"
servers = [{ address = "198.18.0.1:8080" }]
[cluster.red]
network = "10.0.1.0/24"
[cluster.red.member.gate]
address = "10.0.1.1"
ciders = ["192.168.11.0/24"]
cider_mapping = { "192.168.11.0/24" = "192.168.10.0/24" }
[cluster.red.member.alice]
address = "10.0.1.2"
[cluster.blue]
network = "10.0.1.0/24"
[cluster.blue.member.mallory]
address = "10.0.1.2"
[cluster.blue.member.trent]
address = "10.0.1.1"
"""


HERMIT = """
[cluster.green]
network = "10.0.3.0/24"
[cluster.green.member.hermit]
"""


def rehearsed(folder: Path, policy: str, fleet: str = FLEET) -> Rehearsal:
    """Plan the trials of a policy on two clusters with equal addresses."""
    (folder / "twins.toml").write_text(fleet)
    (folder / "twins.policy").write_text(policy)
    inventory = load_inventory(folder / "twins.toml")
    return rehearse(folder / "twins.toml", inventory, lab_spec(inventory))


def verdict(rehearsal: Rehearsal, *, lost: bool = False, also: tuple[tuple[int, str], ...] = ()) -> dict[str, str]:
    """Judge a run in which what is allowed arrived (or, `lost`, nothing did), and some packets elsewhere too."""
    sites = [site.node for site in expectation.sites(rehearsal.spec)]
    markers = frozenset() if lost else frozenset((node, version) for node in sites for version in (4, 6))
    traces: dict[str, list[Trace]] = {}
    for number, (probe, trial) in enumerate(zip(probes_of(rehearsal), rehearsal.trials, strict=True), start=1):
        passes = trial.assertion.reaches and not lost
        arrived = {node for seen, node in also if seen == number} | ({min(trial.meant)} if passes else set())
        answered = frozenset({probe.sender} if passes else ())
        traces.setdefault(probe.sender, []).append(Trace(probe, 1, 1, frozenset(arrived), answered, altered=False))
    observed = {sender: Observed(tuple(own), markers, markers) for sender, own in traces.items()}
    return {place.rpartition(":")[2]: against for place, against in judge(rehearsal, observed).items()}


def test_a_host_stands_where_an_assertion_points(tmp_path: Path) -> None:
    """Nobody would answer at an address in a LAN, behind a mapping least of all."""
    rehearsal = rehearsed(tmp_path, "alice can reach 192.168.11.7\n")
    assert [(host.behind, *map(str, host.addresses)) for host in rehearsal.spec.hosts] == [("gate", "192.168.10.7")]


def test_what_arrives_and_is_answered_holds(tmp_path: Path) -> None:
    """A policy that is kept would be called broken."""
    rehearsal = rehearsed(tmp_path, "alice can reach gate\nnobody in blue can reach red\n")
    assert verdict(rehearsal) == {"1": "", "2": ""}


def test_what_does_not_arrive_is_named(tmp_path: Path) -> None:
    """An assertion would hold although nothing works."""
    found = verdict(rehearsed(tmp_path, "alice can reach gate\nmallory cannot reach gate\n"), lost=True)
    assert found["1"] == "alice (10.0.1.2) to 10.0.1.1: did not arrive"
    assert found["2"] == "mallory (10.0.1.2) to 10.0.1.1: nothing arrived, but neither did a marker from mallory"


def test_a_packet_that_crosses_over_is_found_and_one_that_stays_at_home_is_not(tmp_path: Path) -> None:
    """Equal addresses in two clusters would hide a leak, or look like one."""
    rehearsal = rehearsed(tmp_path, "mallory cannot reach gate\n")
    assert verdict(rehearsal, also=((1, "gate"),)) == {"1": "mallory (10.0.1.2) to 10.0.1.1: arrived at gate"}
    assert verdict(rehearsal, also=((1, "trent"),)) == {"1": ""}


def test_an_answer_that_stays_away_is_no_success(tmp_path: Path) -> None:
    """A one-way path would be called reachable."""
    rehearsal = rehearsed(tmp_path, "alice can reach gate\n")
    assert verdict(rehearsal, lost=True, also=((1, "gate"),)) == {
        "1": "alice (10.0.1.2) to 10.0.1.1: no answer came back"
    }


def test_the_internet_is_judged_by_configuration(tmp_path: Path) -> None:
    """A packet would leave this machine, or an assertion would be passed over in silence."""
    rehearsal = rehearsed(tmp_path, "nobody can reach the internet\nalice can reach the internet\n")
    assert rehearsal.trials == ()
    assert [outcome.holds for outcome in rehearsal.by_configuration] == [True, False]


def test_who_has_no_ipv6_address_sends_no_such_packet(tmp_path: Path) -> None:
    """An assertion about IPv6 in a fleet with members without it would end in a traceback."""
    plan = rehearsed(tmp_path, "everybody cannot reach fd00:99::1")
    assert plan.trials == ()
    assert [(outcome.assertion.text, outcome.holds) for outcome in plan.by_configuration] == [
        ("everybody cannot reach fd00:99::1", True)
    ]


KEPT_BACK = """
[fleet]
name = "kept"
servers = [{ address = "198.18.0.1:8080" }]
[cluster.red]
network = "10.0.1.0/24"
[cluster.red.member.alice]
accept_routes = ["10.0.1.0/24"]
[cluster.red.member.gate]
ciders = ["192.168.11.0/24", "0.0.0.0/0"]
cider_mapping = { "192.168.11.0/24" = "192.168.50.0/24" }
offer_exit = true
"""


def test_what_only_the_senders_host_keeps_back_is_not_sent(tmp_path: Path) -> None:
    """Packets that are put into a tunnel would contradict a host that never puts them there."""
    plan = rehearsed(tmp_path, "alice cannot reach 192.168.11.5\nalice can reach 192.168.11.6\n", KEPT_BACK)
    assert plan.trials == ()
    assert [outcome.holds for outcome in plan.by_configuration] == [True, False]
    assert len(plan.unsent) == 2


def test_a_packet_has_arrived_where_its_address_is(tmp_path: Path) -> None:
    """What a gateway's host drops would count as having reached what it was meant for."""
    open_to_all = KEPT_BACK.replace("accept_routes", "#")
    plan = rehearsed(tmp_path, "alice can reach 192.168.11.5\nalice cannot reach 10.0.1.77\n", open_to_all)
    assert [(str(trial.destination), trial.meant) for trial in plan.trials] == [
        ("192.168.11.5", frozenset(("policy-3",))),
        ("10.0.1.77", frozenset()),
    ]
    (host,) = plan.spec.hosts
    (gate,) = (member for member in plan.spec.members if member.identity == "gate")
    assert str(lan_of(gate, host.addresses[0])) == "192.168.50.0/24"


def test_without_assertions_no_lab_is_built(tmp_path: Path) -> None:
    """A misplaced policy file would be a green check for ever."""
    with pytest.raises(BadInput, match="no assertion beside"):
        rehearsed(tmp_path, "# nothing yet\n")


def test_who_is_alone_is_not_called_unreachable(tmp_path: Path) -> None:
    """A member whose tunnel is dead would pass for one that is well kept apart."""
    rehearsal = rehearsed(tmp_path, "alice cannot reach hermit\n", FLEET + HERMIT)
    assert "hermit is alone in its cluster" in verdict(rehearsal)["1"]
