"""What counts as taken: trains go through a lane in virtual time, and are judged as probes on a real link are."""

from __future__ import annotations

from dataclasses import replace

import pytest

from netlab.links import verdict
from netlab.links.impairment import PLAIN, PRESETS, Impairment
from netlab.links.lane import Lane
from netlab.links.probes import Arrival, Train
from netlab.links.verdict import Finding


def ride(impairment: Impairment, train: Train, late_s: float = 0.0) -> list[Arrival]:
    """Let a train go through a lane, each probe `late_s` more on its way, and return its arrivals."""
    lane = Lane("a->b", impairment, 0.0)
    arrivals = []

    def collect(until: float) -> None:
        while (deadline := lane.deadline()) is not None and deadline <= until:
            for frame in lane.take(deadline):
                number = int.from_bytes(frame[:4])
                arrivals.append(Arrival(number, number * train.spacing_s, deadline + late_s))

    for number in range(train.count):
        now = number * train.spacing_s
        collect(now)
        lane.offer(number.to_bytes(4).ljust(train.size), now)
    collect(1e9)
    return arrivals


def judged(is_: Impairment, wanted: Impairment, late_s: float = 0.0) -> list[Finding]:
    """Return what is found wanting where `wanted` was asked for and the link is like `is_`."""
    train = verdict.shares_train(wanted)
    findings = verdict.judge_shares(wanted, train, ride(is_, train, late_s))
    if (full := verdict.rate_train(wanted)) is not None:
        findings.append(verdict.judge_rate(wanted, full, ride(is_, full)))
    if (burst := verdict.queue_train(wanted)) is not None:
        findings.append(verdict.judge_queue(wanted, burst, ride(is_, burst)))
    return [finding for finding in findings if not finding.holds]


@pytest.mark.parametrize(
    "impairment",
    [
        *PRESETS.values(),
        Impairment(delay_s=0.1, jitter_s=0.05),
        Impairment(loss=1.0),
        Impairment(loss=1.0, rate_bit_s=10_000_000),
        Impairment(loss=0.1, burst=5.0),
        Impairment(duplicate=0.3, delay_s=0.01),
        Impairment(reorder=0.2, delay_s=0.02),
        Impairment(rate_bit_s=64_000),
        Impairment(rate_bit_s=100_000_000, mtu=1400),
        Impairment(rate_bit_s=1_000_000, delay_s=0.3, loss=0.02),
        Impairment(rate_bit_s=1_000_000, delay_s=0.01, queue_packets=20),
        Impairment(rate_bit_s=50_000_000, queue_packets=300),
    ],
)
def test_a_link_that_does_what_was_asked_is_taken(impairment: Impairment) -> None:
    """Honest links would be refused."""
    assert judged(impairment, impairment) == []


def test_a_receiver_without_room_is_not_the_links_fault() -> None:
    """An honest link would be replaced by a slower way where the machine is busy."""
    wanted = Impairment(rate_bit_s=100_000_000)
    train = verdict.rate_train(wanted)
    assert train is not None
    arrivals = [one for one in ride(wanted, train) if one.number % 200 < 140]
    assert verdict.judge_rate(wanted, train, arrivals).holds
    assert not verdict.judge_rate(replace(wanted, rate_bit_s=80_000_000), train, arrivals).holds


def test_a_sender_that_had_to_wait_is_not_the_links_fault() -> None:
    """An honest link would be replaced by a slower way where its sender waits for room, and then for a processor."""
    wanted = Impairment(rate_bit_s=100_000_000)
    train = verdict.rate_train(wanted)
    assert train is not None
    arrivals = [
        Arrival(one.number, one.sent + 0.05 * (one.number > 500), one.arrived + 0.05 * (one.number >= 500))
        for one in ride(wanted, train)
    ]
    assert verdict.judge_rate(wanted, train, arrivals).holds


@pytest.mark.parametrize(
    ("is_", "wanted", "setting"),
    [
        (PLAIN, Impairment(delay_s=0.005), "delay"),
        (Impairment(delay_s=0.052), Impairment(delay_s=0.05), "delay"),
        (Impairment(delay_s=0.05), PLAIN, "delay"),
        (Impairment(delay_s=0.05), Impairment(delay_s=0.05, jitter_s=0.01), "jitter"),
        (Impairment(delay_s=0.05, jitter_s=0.04), Impairment(delay_s=0.05, jitter_s=0.01), "jitter"),
        (PLAIN, Impairment(loss=0.05), "loss"),
        (Impairment(loss=0.05), PLAIN, "loss"),
        (Impairment(loss=0.5), Impairment(loss=0.3), "loss"),
        (PLAIN, Impairment(duplicate=0.1), "duplicate"),
        (Impairment(duplicate=0.1), PLAIN, "duplicate"),
        (Impairment(delay_s=0.02), Impairment(delay_s=0.02, reorder=0.2), "reorder"),
        (Impairment(delay_s=0.02, reorder=0.2), Impairment(delay_s=0.02), "reorder"),
        (PLAIN, Impairment(rate_bit_s=10_000_000), "rate"),
        (Impairment(rate_bit_s=10_500_000), Impairment(rate_bit_s=10_000_000), "rate"),
        (Impairment(rate_bit_s=9_500_000), Impairment(rate_bit_s=10_000_000), "rate"),
        (Impairment(rate_bit_s=10**7), Impairment(rate_bit_s=10**7, queue_packets=20), "queue"),
        (Impairment(rate_bit_s=10**7, queue_packets=26), Impairment(rate_bit_s=10**7, queue_packets=20), "queue"),
        (Impairment(rate_bit_s=10**7, queue_packets=8), Impairment(rate_bit_s=10**7, queue_packets=20), "queue"),
    ],
)
def test_a_link_that_does_something_else_is_told(is_: Impairment, wanted: Impairment, setting: str) -> None:
    """An impairment that did not take would pass for one that did, and every measurement on it would be wrong."""
    assert setting in {finding.setting for finding in judged(is_, wanted)}


@pytest.mark.parametrize(
    ("is_", "busy"),
    [
        (Impairment(delay_s=0.06, rate_bit_s=10_000_000), True),
        (Impairment(delay_s=0.01, rate_bit_s=10_000_000), False),
        (Impairment(delay_s=0.02, rate_bit_s=5_000_000), True),
        (Impairment(delay_s=0.02, rate_bit_s=10_000_000, duplicate=0.5), False),
    ],
    ids=["late", "early", "slow", "twice"],
)
def test_what_a_busy_machine_can_do_is_told_from_what_it_cannot(is_: Impairment, busy: bool) -> None:
    """A link that is wrong for sure would be probed for seconds, or an honest one be refused after a busy second."""
    found = judged(is_, Impairment(delay_s=0.02, rate_bit_s=10_000_000))
    assert found
    assert all(finding.may_be_the_machine for finding in found) == busy


def test_a_delay_is_promised_to_a_millisecond() -> None:
    """The limit would be wider or narrower than what the documents say."""
    wanted = Impairment(delay_s=0.05)
    assert judged(wanted, wanted, late_s=0.0009) == []
    (finding,) = judged(wanted, wanted, late_s=0.0011)
    assert (finding.setting, finding.wanted, finding.found) == ("delay", "50ms", "51.10 ms")


def test_on_a_rate_other_peoples_packets_are_no_fault() -> None:
    """A link could not be changed while it is in use."""
    wanted = Impairment(delay_s=0.05, rate_bit_s=10_000_000)
    train = verdict.shares_train(wanted)
    arrivals = ride(wanted, train)
    waited = [Arrival(one.number, one.sent, one.arrived + 0.2 * (one.number % 3 > 0)) for one in arrivals[:-5]]
    in_order = sorted(waited, key=lambda one: one.number)
    assert all(finding.holds for finding in verdict.judge_shares(wanted, train, in_order))


@pytest.mark.parametrize(
    ("finding", "holds"),
    [
        (verdict.judge_size(1400, fits=True, larger_refused=True), True),
        (verdict.judge_size(1400, fits=False, larger_refused=True), False),
        (verdict.judge_size(1400, fits=True, larger_refused=False), False),
        (verdict.judge_black_hole(8, 0, 8), True),
        (verdict.judge_black_hole(8, 1, 8), False),
        (verdict.judge_black_hole(8, 0, 0), False),
    ],
)
def test_a_denial_counts_only_where_the_rest_passes(finding: Finding, holds: bool) -> None:
    """A dead link would pass for a narrow one, or for a black hole."""
    assert finding.holds == holds


def test_rates_beyond_measure_are_not_guessed() -> None:
    """A train that the sender cannot fill would find every fast link wanting."""
    assert verdict.rate_train(Impairment(rate_bit_s=verdict.MOST_MEASURED_RATE + 1)) is None
    assert verdict.rate_train(PLAIN) is None


def test_an_outage_of_a_slow_link_is_no_fault_of_its_rate() -> None:
    """A link that has a rate could not be taken down: no packet comes, so no rate is seen."""
    wanted = Impairment(delay_s=0.05, loss=1.0, rate_bit_s=10_000_000)
    assert judged(wanted, wanted) == []
