"""One direction of a link, frame by frame in virtual time."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from itertools import pairwise
from statistics import mean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netlab.links import lane as lanes
from netlab.links.impairment import PLAIN, Flap, Impairment
from netlab.links.lane import Lane

FRAME_BYTES = 1250  # 10,000 bits


def frame(number: int) -> bytes:
    """Return a frame that can be told from others."""
    return number.to_bytes(4) + bytes(FRAME_BYTES - 4)


def numbers(frames: Iterable[bytes]) -> list[int]:
    """Return which frames these are."""
    return [int.from_bytes(one[:4]) for one in frames]


def drain(lane: Lane) -> list[tuple[float, int]]:
    """Let time pass from deadline to deadline; return (when, which frame) until nothing is left."""
    found = []
    while (deadline := lane.deadline()) is not None:
        found += [(deadline, number) for number in numbers(lane.take(deadline))]
    return found


def run(impairment: Impairment, times: Iterable[float], name: str = "a->b") -> tuple[Lane, list[tuple[float, int]]]:
    """Offer a frame at each of the times, taking what is due in between; return the lane and all (when, which)."""
    lane = Lane(name, impairment, 0.0)
    found = []
    for number, now in enumerate(times):
        while (deadline := lane.deadline()) is not None and deadline <= now:
            found += [(deadline, one) for one in numbers(lane.take(deadline))]
        lane.offer(frame(number), now)
    return lane, found + drain(lane)


def every(step_s: float, count: int) -> list[float]:
    """Return `count` times, `step_s` apart."""
    return [number * step_s for number in range(count)]


def test_a_plain_lane_passes_frames_at_once() -> None:
    """A link without settings would still cost time."""
    lane = Lane("a->b", PLAIN, 5.0)
    lane.offer(frame(1), 5.0)
    assert lane.deadline() == 5.0
    assert numbers(lane.take(5.0)) == [1]
    assert lane.deadline() is None


def test_delay_is_exact_and_nothing_leaves_early() -> None:
    """Round trips would be shorter or longer than written down."""
    lane, found = run(Impairment(delay_s=0.05), every(0.001, 100))
    assert [number for _, number in found] == list(range(100))
    assert [when for when, _ in found] == pytest.approx([0.05 + number * 0.001 for number in range(100)])
    lane.offer(frame(7), 1.0)
    assert lane.take(1.0499) == []


def test_jitter_keeps_order_bounds_and_mean() -> None:
    """Packets would overtake each other unasked, or a dense stream would always get the longest delay."""
    rules = Impairment(delay_s=0.05, jitter_s=0.02)
    _, found = run(rules, every(0.0005, 20_000))
    assert [number for _, number in found] == list(range(20_000))
    delays = [when - number * 0.0005 for when, number in found]
    assert min(delays) >= 0.03 - 1e-9
    assert max(delays) <= 0.07 + 1e-9
    assert mean(delays) == pytest.approx(0.05, abs=0.002)
    assert max(delays) - min(delays) > 0.03
    sparse = [when - number * 1.0 for when, number in run(rules, every(1.0, 500))[1]]
    assert mean(sparse) == pytest.approx(0.05, abs=0.002)
    assert max(sparse) - min(sparse) > 0.035


def test_rate_spaces_frames_and_the_queue_holds_just_so_many() -> None:
    """A link would be faster than its rate, or hold more than its queue."""
    rules = Impairment(rate_bit_s=1_000_000, queue_packets=5)
    lane, found = run(rules, [0.0] * 20)
    assert [number for _, number in found] == list(range(6))  # one is leaving, five wait
    assert [when for when, _ in found] == pytest.approx([0.01 * n for n in range(1, 7)])
    assert lane.counts.queue_full == 14
    _, steady = run(rules, every(0.005, 1000))
    arrivals = [when for when, _ in steady]
    assert all(later - earlier == pytest.approx(0.01) for earlier, later in pairwise(arrivals))


def test_frames_on_their_way_do_not_fill_the_queue() -> None:
    """A long delay would cap the rate: the queue is for those that wait, not for those that travel."""
    rules = Impairment(delay_s=0.5, rate_bit_s=10_000_000, queue_packets=2)
    lane, found = run(rules, every(0.001, 1000))
    assert lane.counts.queue_full == 0
    assert len(found) == 1000


@pytest.mark.parametrize(("share", "burst"), [(0.01, 1.0), (0.3, 1.0), (0.05, 4.0), (0.4, 2.5)])
def test_loss_has_its_share_and_its_bursts(share: float, burst: float) -> None:
    """A lossy link would lose more or less than written down, or one by one where bursts were asked for."""
    lane, found = run(Impairment(loss=share, burst=burst, seed=3), every(0.001, 60_000))
    arrived = [number for _, number in found]
    assert lane.counts.lost == 60_000 - len(arrived)
    assert lane.counts.lost / 60_000 == pytest.approx(share, rel=0.1)
    gaps = [later - earlier - 1 for earlier, later in pairwise(arrived) if later - earlier > 1]
    expected = burst if burst > 1 else 1 / (1 - share)
    assert mean(gaps) == pytest.approx(expected, rel=0.1)


def test_total_loss_lets_nothing_through() -> None:
    """A link that is cut would leak."""
    _, found = run(Impairment(loss=1.0), every(0.001, 1000))
    assert found == []


def test_duplicates_follow_their_original() -> None:
    """Duplicates would be missing or come out of order."""
    lane, found = run(Impairment(duplicate=0.2, delay_s=0.01), every(0.001, 5000))
    arrived = [number for _, number in found]
    assert arrived == sorted(arrived)
    assert len(arrived) - 5000 == lane.counts.duplicated
    assert lane.counts.duplicated / 5000 == pytest.approx(0.2, rel=0.1)


def test_reordered_frames_skip_the_delay_and_no_others_do() -> None:
    """Reordering would touch packets that were not picked, or none."""
    lane, found = run(Impairment(delay_s=0.02, reorder=0.1), every(0.001, 5000))
    early = [number for when, number in found if when - number * 0.001 < 0.001]
    late = [number for when, number in found if when - number * 0.001 >= 0.001]
    assert len(early) == lane.counts.overtook
    assert len(early) / 5000 == pytest.approx(0.1, rel=0.15)
    assert late == sorted(late)
    assert early == sorted(early)


def test_a_flapping_cable_is_down_by_the_clock() -> None:
    """Packets would pass while the cable is unplugged, or be lost while it is not."""
    lane, found = run(Impairment(flap=Flap(2.0, 1.0)), every(0.1, 90))
    assert {number for _, number in found} == {n for n in range(90) if (n * 0.1 + 1e-9) % 3 < 2 - 1e-8}
    assert lane.counts.cable_down == 30


@given(
    before=st.builds(Impairment, delay_s=st.sampled_from([0.0, 0.1, 1.0]), rate_bit_s=st.sampled_from([0, 1_000_000])),
    after=st.builds(Impairment, delay_s=st.sampled_from([0.0, 0.05]), rate_bit_s=st.sampled_from([0, 5_000_000])),
)
def test_a_change_loses_and_reorders_nothing_that_waits(before: Impairment, after: Impairment) -> None:
    """`lab-link --set` would itself harm the packets on their way."""
    lane = Lane("a->b", before, 0.0)
    for number in range(50):
        lane.offer(frame(number), number * 0.001)
    lane.change(after, 0.05)
    for number in range(50, 100):
        lane.offer(frame(number), number * 0.001)
    assert [number for _, number in drain(lane)] == list(range(100))


def test_the_same_seed_and_name_treat_the_same_frames_alike() -> None:
    """A failure seen once could not be repeated; and all links of a lab would lose the same packets."""
    rules = Impairment(loss=0.1, duplicate=0.1, delay_s=0.01, jitter_s=0.005, reorder=0.1)
    times = every(0.001, 500)
    first = run(rules, times)[1]
    assert run(rules, times)[1] == first
    assert run(rules, times, name="b->a")[1] != first
    assert run(replace(rules, seed=1), times)[1] != first


def test_what_cannot_be_held_is_dropped_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fast sender into a long delay would take all memory."""
    monkeypatch.setattr(lanes, "MAX_HELD_BYTES", 10 * FRAME_BYTES)
    lane, found = run(Impairment(delay_s=10.0), [0.0] * 25)
    assert len(found) == 10
    assert lane.counts.queue_full == 15
    lane.offer(frame(1), 20.0)
    assert lane.counts.queue_full == 15
