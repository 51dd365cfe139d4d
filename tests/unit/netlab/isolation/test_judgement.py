"""The judgement of what was seen and counted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from ipaddress import ip_address
from typing import Any

import pytest

from netlab.isolation.accounts import Counts
from netlab.isolation.expectation import Expectation
from netlab.isolation.judgement import RED, Tried, Verdict, judge
from netlab.isolation.plan import cells
from netlab.isolation.prober import Observed, Trace
from netlab.topology import HostSpec, LabSpec
from tests.unit.netlab.fleets import member, twins, two_tenants, with_a_lone_member
from tests.unit.netlab.isolation.runs import faithful, observe, probe_of, verdict, where


@pytest.mark.parametrize("spec", [two_tenants(), twins(), with_a_lone_member()], ids=lambda spec: spec.name)
@pytest.mark.parametrize("by_itself", [False, True])
def test_a_faithful_run_is_as_expected(spec: LabSpec, by_itself: bool) -> None:
    """Nobody believes an instrument that cries wolf."""
    found = verdict(spec, by_itself=by_itself)
    assert found.as_expected, (found.red, found.doubtful)
    assert set(found.cells.values()) == {"yes", "no"}


def test_a_leak_to_an_equal_address_is_seen() -> None:
    """With equal addresses in two clusters a leak would look like a hit."""
    probe = probe_of(twins(), "a1", "b2")
    found = verdict(twins(), where(probe, arrived=frozenset({"a2", "b2"})))
    assert found.red_cells == (("a1", "b2"),)


@pytest.mark.parametrize("seen", [{"arrived": frozenset({"b2"})}, {"answered": frozenset({"a1"})}], ids=str)
def test_one_leaked_packet_turns_just_its_cell(seen: Mapping[str, Any]) -> None:
    """A leak that drowns among hundreds of good probes is the worst that could happen."""
    found = verdict(two_tenants(), where(probe_of(two_tenants(), "a1", "b2", "udp"), **seen))
    assert found.red_cells == (("a1", "b2"),)
    assert len(found.red) == 1


@pytest.mark.parametrize(
    ("what", "seen", "said"),
    [
        ("forged-cluster", {"arrived": frozenset({"a2"})}, "found at a2"),
        ("icmp", {"arrived": frozenset({"a1", "a2"})}, "found at a1"),
        ("icmp", {"altered": True}, "other bytes"),
        ("tcp-open", {"arrived": frozenset()}, "did not arrive"),
        ("tcp-open", {"answered": frozenset()}, "no answer came back"),
    ],
)
def test_what_goes_wrong_between_two_that_may_talk_is_a_surprise(what: str, seen: Mapping[str, Any], said: str) -> None:
    """Members could speak in each other's name, loop, garble or lose packets, and nobody would see."""
    found = verdict(two_tenants(), where(probe_of(two_tenants(), "a1", "a2", what), **seen))
    assert found.red_cells == (("a1", "a2"),)
    assert said in found.red[0].text


def test_silence_proves_nothing() -> None:
    """A dead laboratory would look perfectly isolated."""

    def dead(trace: Trace) -> Trace:
        return Trace(trace.probe, trace.sent, 0, frozenset(), frozenset(), altered=False)

    found = verdict(two_tenants(), dead)
    assert set(found.cells.values()) == {"!", "?"}
    assert not found.as_expected


def changed_batch(sender: str, **changed: Any) -> Verdict:
    """Judge a faithful run in which one sender's batch tells something else."""
    expectation = Expectation(two_tenants())
    planned = cells(expectation)
    batches = {
        node: observe(expectation, [faithful(expectation, p) for c, ps in planned.items() if c[0] == node for p in ps])
        for node in expectation.site_of
    }
    batches[sender] = replace(batches[sender], **changed)
    return judge(expectation, [Tried(cell, batches[cell[0]], by_itself=False) for cell in planned])


def everybody_but(node: str) -> frozenset[tuple[str, int]]:
    """Return the markers of all but one."""
    return frozenset((site.node, 4) for site in Expectation(two_tenants()).sites if site.node != node)


def test_a_denial_without_a_later_marker_is_unproven() -> None:
    """A packet that was only late would count as dropped."""
    lost = changed_batch("a1", from_senders=everybody_but("a1"))
    assert lost.cells["a1", "b1"] == "?"
    assert "no later marker of its sender" in lost.doubtful[0].text
    unreached = changed_batch("a1", to_targets=everybody_but("b1"))
    assert (unreached.cells["a1", "b1"], unreached.cells["a1", "b2"]) == ("?", "no")
    assert unreached.cells["a1", "(broadcast)"] == "?"


def test_a_denial_whose_packets_the_counters_do_not_know_is_unproven() -> None:
    """A tunnel that swallows packets would pass for isolation."""
    found = changed_batch("a1", counts={"a1": Counts(read=1, refused={"no-route": 1})})
    assert found.cells["a1", "b1"] == found.cells["a1", "a2"] == "?"
    assert found.cells["a2", "b1"] == "no"
    assert not found.red


def test_a_tap_that_was_too_slow_proves_nothing() -> None:
    """What the instrument missed would count as not there."""
    assert changed_batch("a1", lost=1).cells["a1", "b1"] == "?"


def test_counters_of_a_cell_by_itself_make_it_red() -> None:
    """A relay that hands packets to a foreign client, which drops them, would pass for isolation."""
    expectation = Expectation(two_tenants())
    planned = cells(expectation)
    tried = []
    for cell, probes in planned.items():
        observed = observe(expectation, [faithful(expectation, probe) for probe in probes])
        if cell == ("a1", "b2"):
            counts = dict(observed.counts or {})
            counts["b2"] = Counts(given=1, refused={}, dropped={"bad-source": 1})
            observed = replace(observed, counts=counts)
        tried.append(Tried(cell, observed, by_itself=True))
    found = judge(expectation, tried)
    assert found.red_cells == (("a1", "b2"),)
    assert "the relay gave b2 1 packet, 0 were meant for it" in found.red[0].text


def test_a_probe_that_did_not_leave_proves_nothing() -> None:
    """A sender's own host that keeps packets back would pass for a relay that refuses them."""
    probe = probe_of(two_tenants(), "a1", "b1", "udp")
    assert verdict(two_tenants(), where(probe, left=0)).cells["a1", "b1"] == "?"
    host = probe_of(two_tenants(), "printer", "a1", "udp")
    assert verdict(two_tenants(), where(host, arrived=frozenset())).cells["printer", "a1"] == "?"


def test_a_denial_without_a_control_of_its_kind_is_unproven() -> None:
    """A kind of probe that never works anywhere would prove everything."""

    def no_udp(trace: Trace) -> Trace:
        return replace(trace, arrived=frozenset(), answered=frozenset()) if trace.probe.kind == "udp" else trace

    found = verdict(two_tenants(), no_udp)
    assert any("nothing of this kind passed" in finding.text for finding in found.doubtful)


def test_no_probe_is_no_success() -> None:
    """Not run is not passed."""
    assert not judge(Expectation(two_tenants()), ()).as_expected
    nothing = Tried(("a1", "a2"), Observed(()), by_itself=True)
    assert not judge(Expectation(two_tenants()), (nothing,)).as_expected


def test_counters_prove_the_denials_of_a_member_alone_in_its_cluster() -> None:
    """A fleet with such a member would never come out as expected."""
    found = verdict(with_a_lone_member())
    assert found.counted == ("lone",)
    assert found.as_expected


def test_an_own_address_that_another_cluster_has_too_may_answer_at_home() -> None:
    """A LAN host that asks its own gateway would look like a leak."""
    spec = with_a_lone_member()
    probe = probe_of(spec, "shed", "a2")
    assert not verdict(spec, where(probe, answered=frozenset({"shed"}))).red
    assert verdict(spec, where(probe, arrived=frozenset({"lone", "a2"}))).cells["shed", "a2"] == RED


def test_hosts_of_equal_address_in_equal_lans() -> None:
    """Two tenants with identical LANs: a host that sends to its own address gets it back from its own gateway."""
    members = tuple(
        member(f"{c}{n}", c, f"10.0.0.{n}/24", *["192.168.7.0/24"] * (n == 1)) for c in "ab" for n in (1, 2)
    )
    hosts = tuple(HostSpec(f"{c}-printer", f"{c}1", (ip_address("192.168.7.7"),)) for c in "ab")
    spec = LabSpec("identical", ("relay.example",), members, hosts)
    probe = probe_of(spec, "a-printer", "b-printer")
    assert not verdict(spec, where(probe, arrived=frozenset({"a1", "a-printer"}))).red
    assert verdict(spec, where(probe, arrived=frozenset({"a1", "a-printer", "b-printer"}))).red
    other = probe_of(spec, "a-printer", "b2")
    assert verdict(spec, where(other, arrived=frozenset({"a1", "a-printer", "a2"}))).red
