"""What is expected of every probe, and the judgement of what was seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from ipaddress import ip_address

import pytest

from netlab.isolation.reachability import Counts, Probe, Sighting, Verdict, alone, judge, plan_probes, receiver, sites
from netlab.topology import HostSpec, LabSpec
from tests.unit.netlab.fleets import member, twins, two_tenants, with_a_lone_member


def faithful(probes: Sequence[Probe]) -> list[Sighting]:
    """Return what is seen when everything is as the inventory says."""
    arrivals = [Sighting(probe.number, probe.receiver, answer=False) for probe in probes if probe.receiver]
    return arrivals + [Sighting(probe.number, probe.sender, answer=True) for probe in probes if probe.answered]


def judged(spec: LabSpec, *more: Sighting) -> Verdict:
    """Judge a faithful run in which more was seen."""
    probes = plan_probes(spec)
    return judge(spec, probes, [*faithful(probes), *more])


def first(spec: LabSpec, sender: str, target: str, what: str = "icmp") -> Probe:
    """Return the first probe of a pair."""
    wanted = (sender, target, what)
    return next(probe for probe in plan_probes(spec) if (probe.sender, probe.target, probe.what) == wanted)


@pytest.mark.parametrize("spec", [two_tenants(), twins()], ids=lambda spec: spec.name)
def test_a_faithful_run_is_as_expected(spec: LabSpec) -> None:
    """Nobody believes an instrument that cries wolf."""
    verdict = judged(spec)
    assert verdict.as_expected, verdict
    assert set(verdict.cells.values()) == {"yes", "no"}


def test_expectations_follow_prefixes_and_clusters() -> None:
    """Everything else is judged against these."""
    spec = two_tenants()
    by_name = {site.node: site for site in sites(spec)}

    def reached(sender: str, source: str, destination: str) -> str:
        return receiver(spec, by_name[sender], ip_address(source), ip_address(destination))

    assert reached("a1", "10.0.1.1", "10.0.1.2") == "a2"
    assert reached("a1", "192.168.1.77", "10.0.1.2") == "a2"
    assert reached("a1", "10.0.1.2", "10.0.1.2") == ""
    assert reached("a1", "10.0.1.1", "10.0.2.2") == ""
    assert reached("b2", "10.0.2.2", "192.168.10.7") == "printer"
    assert reached("printer", "192.168.10.7", "10.0.2.2") == "b2"
    assert reached("b2", "10.0.2.2", "10.0.2.255") == ""


def test_equal_addresses_lead_into_the_own_cluster() -> None:
    """With equal addresses in two clusters a leak would look like a hit."""
    spec = twins()
    probe = first(spec, "a1", "b2")
    assert probe.receiver == "a2"
    leak = Sighting(probe.number, "b2", answer=False)
    assert judged(spec, leak).cells["a1", "b2"] == "!"


@pytest.mark.parametrize("answer", [False, True])
def test_one_leaked_packet_turns_just_its_cell(answer: bool) -> None:
    """A leak that drowns among hundreds of good probes is the worst that could happen."""
    spec = two_tenants()
    probe = first(spec, "a1", "b2", "udp")
    verdict = judged(spec, Sighting(probe.number, probe.sender if answer else "b2", answer))
    assert [cell for cell, found in verdict.cells.items() if found == "!"] == [("a1", "b2")]
    assert len(verdict.surprises) == 1


def test_a_spoofed_source_that_passes_is_a_surprise() -> None:
    """Members could speak in each other's name."""
    spec = two_tenants()
    probe = first(spec, "a1", "a2", "source of another cluster")
    assert not judged(spec, Sighting(probe.number, "a2", answer=False)).as_expected


def test_a_probe_that_comes_back_to_its_sender_is_a_surprise() -> None:
    """Loops would go unseen."""
    probe = first(two_tenants(), "a1", "a2")
    assert not judged(two_tenants(), Sighting(probe.number, "a1", answer=False)).as_expected


def test_altered_bytes_are_a_surprise() -> None:
    """A broken checksum or a cut packet would count as a success."""
    probe = first(two_tenants(), "a1", "a2")
    verdict = judged(two_tenants(), Sighting(probe.number, "a2", answer=False, altered=True))
    assert "other bytes" in verdict.surprises[0]


@pytest.mark.parametrize("missing", [False, True], ids=["arrival", "answer"])
def test_what_does_not_arrive_is_a_surprise(missing: bool) -> None:
    """Unreachable neighbours would pass."""
    spec = two_tenants()
    probe = first(spec, "a1", "a2", "tcp-open")
    probes = plan_probes(spec)
    seen = [s for s in faithful(probes) if (s.number, s.answer) != (probe.number, missing)]
    assert judge(spec, probes, seen).cells["a1", "a2"] == "!"


def test_silence_proves_nothing() -> None:
    """A dead laboratory would look perfectly isolated."""
    spec = two_tenants()
    verdict = judge(spec, plan_probes(spec), [])
    assert set(verdict.cells.values()) == {"!", "?"}
    assert not verdict.as_expected


@pytest.mark.parametrize("phase", [1, 2])
def test_a_denial_without_a_later_marker_is_unproven(phase: int) -> None:
    """A packet that was only late would count as dropped."""
    spec = two_tenants()
    probes = plan_probes(spec)
    markers = {p.number for p in probes if p.phase == phase and "a1" in (p.sender if phase == 1 else p.target,)}
    seen = [sighting for sighting in faithful(probes) if sighting.number not in markers]
    verdict = judge(spec, probes, seen)
    cell = ("a1", "b1") if phase == 1 else ("b1", "a1")
    assert verdict.cells[cell] == "?"


def test_a_denial_without_a_control_of_its_kind_is_unproven() -> None:
    """A kind of probe that never works anywhere would prove everything."""
    spec = two_tenants()
    probes = plan_probes(spec)
    udp = {probe.number for probe in probes if probe.kind == "udp"}
    verdict = judge(spec, probes, [sighting for sighting in faithful(probes) if sighting.number not in udp])
    assert any(line.startswith("udp from a1") for line in verdict.unproven)


def test_no_probe_is_no_success() -> None:
    """Not run is not passed."""
    assert not judge(two_tenants(), (), ()).as_expected


def lone_run(**counted: int) -> Verdict:
    """Judge a faithful run with a member that is alone; its counters are right but for those given."""
    spec = with_a_lone_member()
    probes = plan_probes(spec)
    own = sum(probe.sender == "lone" for probe in probes)
    at_gateway = [Sighting(probe.number, "lone", answer=False) for probe in probes if probe.sender == "shed"]
    right = {"into_tunnel": own, "out_of_tunnel": 0, "relay_took": 0, "relay_dropped": own, "relay_gave": 0}
    return judge(spec, probes, [*faithful(probes), *at_gateway], {"lone": Counts(**{**right, **counted})})


def test_counters_prove_the_denials_of_a_member_alone_in_its_cluster() -> None:
    """A fleet with such a member would never come out as expected."""
    assert alone(with_a_lone_member()) == ("lone",)
    verdict = lone_run()
    assert verdict.as_expected, (verdict.surprises, verdict.unproven)
    assert verdict.counted == ("lone",)


@pytest.mark.parametrize("counter", ["into_tunnel", "out_of_tunnel", "relay_took", "relay_dropped", "relay_gave"])
@pytest.mark.parametrize("off", [-1, 1])
def test_counters_that_do_not_agree_prove_nothing(counter: str, off: int) -> None:
    """A tunnel that swallows packets, or a relay that hands one over, would pass for isolation."""
    right = {"into_tunnel": 0, "relay_dropped": 0}
    own = sum(probe.sender == "lone" for probe in plan_probes(with_a_lone_member()))
    verdict = lone_run(**{counter: off + (own if counter in right else 0)})
    assert not verdict.as_expected
    assert verdict.cells["a1", "lone"] == verdict.cells["lone", "a1"] == "?"


def test_an_own_address_that_another_cluster_has_too_may_answer_at_home() -> None:
    """A LAN host that asks its own gateway would look like a leak."""
    spec = with_a_lone_member()
    probe = first(spec, "shed", "a2")
    assert not judged(spec, Sighting(probe.number, "shed", answer=True)).surprises
    assert judged(spec, Sighting(probe.number, "a2", answer=False)).cells["shed", "a2"] == "!"


def test_hosts_of_equal_address_in_equal_lans() -> None:
    """Two tenants with identical LANs: a host that sends to its own address gets it back from its own gateway."""
    members = tuple(
        member(f"{c}{n}", c, f"10.0.0.{n}/24", *["192.168.7.0/24"] * (n == 1)) for c in "ab" for n in (1, 2)
    )
    hosts = tuple(HostSpec(f"{c}-printer", f"{c}1", (ip_address("192.168.7.7"),)) for c in "ab")
    spec = LabSpec("identical", ("relay.example",), members, hosts)
    probe = first(spec, "a-printer", "b-printer")
    back = Sighting(probe.number, "a-printer", answer=False)
    assert not judged(spec, back).surprises
    assert judged(spec, back, replace(back, node="b-printer")).surprises
    other = first(spec, "a-printer", "b2")
    assert judged(spec, replace(back, number=other.number)).surprises


def test_a_forged_source_is_no_address_of_the_own_gateway() -> None:
    """The gateway's kernel drops what comes in with its own address: nothing would be shown of the relay."""
    spec = with_a_lone_member()
    forged = [probe for probe in plan_probes(spec) if probe.sender == "shed" and "another cluster" in probe.what]
    assert {probe.source for probe in forged} == {"10.0.0.1"}
