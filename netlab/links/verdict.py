"""What probes of an impairment have to show, and whether they did. No I/O: a train and its arrivals in, findings out.

Rules
  1. A figure holds within what we promise of it: the delay within a millisecond, the rate within 3 %, shares inside the
     99 % interval for the number sent. So one honest link in a hundred is found wanting by chance: who asks, repeats.
  2. The delay is judged by the median. Behind a rate it is by the fastest tenth, and more loss than wanted is no fault:
     on a link in use, probes queue with other people's packets and are dropped with them.
  3. What is not asked for is judged as well: a link without loss that loses is not the link that was wanted.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from math import ceil, sqrt
from statistics import median
from typing import Final

from netlab.links.impairment import PLAIN, Impairment, show_duration, show_rate
from netlab.links.probes import ETHERNET_BYTES, LEAST_FRAME_BYTES, Arrival, Train

TRAIN_S: Final = 0.5  # no train lasts longer
RATE_TRAIN_S: Final = 0.15
RATE_EXCESS: Final = 1.25  # how much faster than the rate its train is sent
MOST_MEASURED_RATE: Final = 400_000_000  # what one process sends and counts beside the wire; above, nobody looks
FRAME_BYTES: Final = 1514
LEAST_LEAVING_S: Final = 0.0001  # of a probe that is to fill a queue: several times what it takes to send one
QUEUE_SLACK: Final = 3  # the one that is leaving, and what is on its way to the queue or from it
SKIPPED_ARRIVALS: Final = 5  # what a shaper's bucket lets through at once is not its rate
DELAY_ERROR_S: Final = 0.001
RATE_ERROR: Final = 0.03
SIGMAS: Final = 2.576  # 99 %
SPREAD_OF_JITTER: Final = 0.2


@dataclass(frozen=True, slots=True)
class Finding:
    """One setting: what was wanted and what was found, in words.

    `may_be_the_machine`: a busy one makes packets late and a link slow as well; it never makes them early.
    """

    setting: str
    wanted: str
    found: str
    holds: bool
    may_be_the_machine: bool = False


def shares_train(impairment: Impairment) -> Train:
    """Return the train that shows delay and shares: long enough for them, thin enough for the rate."""
    count = 400 if impairment.loss or impairment.duplicate or impairment.reorder else 40
    spacing = max(0.0005, 20 * impairment.jitter_s / count)
    if impairment.rate_bit_s:
        spacing = max(spacing, 1.5 * LEAST_FRAME_BYTES * 8 / impairment.rate_bit_s)
    spacing = min(spacing, TRAIN_S / 10)
    return Train(min(count, int(TRAIN_S / spacing)), LEAST_FRAME_BYTES, spacing)


def rate_train(impairment: Impairment) -> Train | None:
    """Return the train that fills the link for a moment; None where no rate can be seen: none, too high, all lost."""
    rate = impairment.rate_bit_s
    if not 0 < rate <= MOST_MEASURED_RATE or impairment.loss == 1:
        return None
    most = min(FRAME_BYTES, impairment.mtu + ETHERNET_BYTES) if impairment.mtu else FRAME_BYTES
    size = max(LEAST_FRAME_BYTES, min(most, int(rate * RATE_TRAIN_S / 8 / 40)))
    spacing = size * 8 / rate / RATE_EXCESS
    return Train(max(2 * SKIPPED_ARRIVALS, ceil(RATE_TRAIN_S / spacing)), size, spacing)


def queue_train(impairment: Impairment) -> Train | None:
    """Return the train that overflows the queue for the rate; None where there is none, or where it cannot be seen.

    It cannot where packets go missing or overtake for other reasons, where they leave as fast as they are sent, and
    where half a second does not empty the queue again. The usual queue of a thousand packets is not looked at.
    """
    rate, queue = impairment.rate_bit_s, impairment.queue_packets
    blurred = impairment.loss or impairment.duplicate or impairment.reorder or impairment.jitter_s
    if not rate or blurred or queue == PLAIN.queue_packets:
        return None
    size = min(FRAME_BYTES, max(LEAST_FRAME_BYTES, int(3 * rate * LEAST_LEAVING_S / 8)))
    if size * 8 / rate < LEAST_LEAVING_S or queue * size * 8 / rate > TRAIN_S:
        return None
    return Train(2 * queue + 20, size, 0.0)


def judge_shares(impairment: Impairment, train: Train, arrivals: Sequence[Arrival]) -> list[Finding]:
    """Return findings on delay, loss, duplicates and order from the arrivals of `shares_train`."""
    numbers = [arrival.number for arrival in arrivals]
    came = len(set(numbers))
    findings = [judge_loss(impairment, train.count - came, train.count)]
    findings.append(_share("duplicate", impairment.duplicate, len(numbers) - came, came))
    delays = sorted(arrival.arrived - arrival.sent for arrival in arrivals)
    early = 0
    if impairment.reorder:
        early = sum(delay < (impairment.delay_s - impairment.jitter_s) / 2 for delay in delays)
        findings.append(_share("reorder", impairment.reorder, early, len(numbers)))
    else:
        steps = sum(later < earlier for earlier, later in pairwise(numbers))
        findings.append(Finding("reorder", "0%", f"{steps} of {len(numbers)} packets came late", steps == 0))
    if len(delays) > early:
        findings += _delay(impairment, train.size, delays[early:])
    return findings


def judge_loss(impairment: Impairment, found: int, of: int) -> Finding:
    """Return the finding on lost packets."""
    finding = _share("loss", impairment.loss, found, of, impairment.burst)
    queued = impairment.rate_bit_s and found > of * impairment.loss
    return replace(finding, holds=True) if queued else finding


def _share(setting: str, wanted: float, found: int, of: int, burst: float = 1.0) -> Finding:
    """Judge a number of packets by the 99 % interval of what was wanted; bursts make that wider (Gilbert's model)."""
    together = max(0.0, 1 - 1 / (burst * (1 - wanted))) if burst > 1 and wanted < 1 else 0.0
    variance = of * wanted * (1 - wanted) * (1 + together) / (1 - together)
    slack = SIGMAS * sqrt(variance) + (0 < wanted < 1)
    holds = abs(found - of * wanted) <= slack
    return Finding(setting, f"{wanted * 100:.10g}%", f"{found} of {of} packets", holds)


def _delay(impairment: Impairment, size: int, delays: Sequence[float]) -> list[Finding]:
    middle = delays[len(delays) // 10] if impairment.rate_bit_s else median(delays)
    wanted, jitter = impairment.delay_s, impairment.jitter_s
    leaving = size * 8 / impairment.rate_bit_s if impairment.rate_bit_s else 0.0
    holds = abs(middle - wanted - leaving) <= jitter + DELAY_ERROR_S
    is_late = middle > wanted + leaving
    findings = [Finding("delay", show_duration(wanted), f"{middle * 1e3:.2f} ms", holds, is_late)]
    if jitter:
        spread = delays[-1 - len(delays) // 20] - delays[0]  # of 95 %, as the promise is
        most = 2 * (jitter + DELAY_ERROR_S) if not impairment.rate_bit_s else float("inf")
        holds = SPREAD_OF_JITTER * jitter <= spread <= most
        words = f"{spread * 1e3:.2f} ms hold 95 %"
        findings.append(Finding("jitter", show_duration(jitter), words, holds, spread > most))
    return findings


def judge_rate(impairment: Impairment, train: Train, arrivals: Sequence[Arrival]) -> Finding:
    """Return the finding on the rate from the arrivals of `rate_train`.

    It is taken from probes that had to wait for the one before them: where the sender paused, the link was idle and has
    nothing to show. Nor has it where probes are missing that it does not lose: a busy receiver had no room for them.
    """
    came = sorted(arrivals, key=lambda one: one.arrived)[SKIPPED_ARRIVALS:]
    threes = zip(came, came[1:], came[2:], strict=False)
    pairs = [(before, after) for before, after, later in threes if _waited(impairment, before, after, later)]
    seconds = sum(after.arrived - before.arrived for before, after in pairs)
    found = len(pairs) * train.size * 8 / seconds if seconds else 0.0
    slack = RATE_ERROR + 2 * impairment.jitter_s / RATE_TRAIN_S
    holds = abs(found - impairment.rate_bit_s) <= slack * impairment.rate_bit_s and len(pairs) > len(came) / 2
    is_slow = found < impairment.rate_bit_s
    return Finding("rate", show_rate(impairment.rate_bit_s), f"{found / 1e6:.4g} Mbit/s", holds, is_slow)


def _waited(impairment: Impairment, before: Arrival, after: Arrival, later: Arrival) -> bool:
    """Return whether a probe was there when the one before it left: its sender was at the one behind it by then.

    Its own time says less: a sender without room in its buffer writes it down and waits.
    """
    missing = after.number > before.number + 1 and not impairment.loss and not impairment.reorder
    return not missing and later.sent + impairment.delay_s - impairment.jitter_s < before.arrived


def judge_queue(impairment: Impairment, train: Train, arrivals: Sequence[Arrival]) -> Finding:
    """Return the finding on the queue from the arrivals of `queue_train`.

    Sent and not yet left are those that wait, and one that is leaving. When the first is dropped the queue is full, but
    half of it may be other people's packets; where none is dropped, a busy sender was too slow to fill it.
    """
    came = sorted(arrivals, key=lambda one: one.number)
    left = sorted(one.arrived - impairment.delay_s for one in came)
    first_dropped = next((place for place, one in enumerate(came) if one.number != place), len(came))
    held = [one.number + 1 - bisect_right(left, one.sent) for one in came[:first_dropped]]
    most, wanted = max(held, default=0), impairment.queue_packets
    filled = len(came) < train.count
    holds = most <= wanted + QUEUE_SLACK and (not filled or most >= wanted / 2)
    return Finding("queue", str(wanted), f"{most} packets{'' if filled else ', and it was not full'}", holds)


def judge_size(mtu: int, fits: bool, larger_refused: bool) -> Finding:
    """Return the finding on the MTU: a packet of that size went through, one of a byte more did not get out."""
    found = f"{mtu} bytes {'went through' if fits else 'did not arrive'}"
    if not larger_refused:
        found += f", {mtu + 1} as well"
    return Finding("mtu", str(mtu), found, fits and larger_refused)


def judge_black_hole(errors_sent: int, errors_arrived: int, others_arrived: int) -> Finding:
    """Return the finding on a black hole: other packets pass, ICMP errors do not."""
    found = f"{errors_arrived} of {errors_sent} errors passed, and {others_arrived} other packets"
    return Finding("black_hole_icmp", "true", found, holds=not errors_arrived and bool(others_arrived))
