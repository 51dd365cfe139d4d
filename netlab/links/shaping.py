"""The kernel's part in a link, as data: which program gets which words, to be run inside the sender's namespace.

Rules
  1. Each list of commands says all, whatever was set before: a setting that is not named would stay as it was (`tc
     qdisc change` and a missing rate), or fall back (a missing loss).
  2. netem does delay, loss, duplication and reordering; the rate and its queue are a tbf below it, because netem's own
     limit counts packets that travel as if they waited, and so a long delay would cap the rate.
  3. netem is not asked for jitter (its jitter reorders, or with a rate makes all packets of a stream as late as the
     latest), for flapping (it has no clock) nor where a seed is given (old kernels have none): the wire does these.
  4. tbf alone serves where only a rate is wanted: exact, and at the kernel's speed; but not below 10 Mbit/s, where the
     two frames that its bucket lets through at once are milliseconds. Its queue is in bytes.
  5. MTU and black hole are always the kernel's: a smaller interface, and an nftables egress hook (Linux 5.16).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, Literal

from netlab.links.impairment import PLAIN, Impairment

Way = Literal["plain", "netem", "tbf", "wire"]
KERNEL_WAYS: Final = ("netem", "tbf")

OWN_MARK: Final = 0x7275776C  # on frames that the wire sends, so that they are not diverted again
TRAVELLING_PACKETS: Final = 1_000_000  # netem's limit: a second at ten gigabits
FRAME_BYTES: Final = 1514
LEAST_BUCKET_BYTES: Final = 2 * FRAME_BYTES  # tc rounds it down, and a frame that exceeds it never leaves
LEAST_TBF_BIT_S: Final = 10_000_000
BURST_S: Final = 0.0005  # tbf's bucket: what may leave at once, in seconds of the rate
ICMP_ERRORS: Final = "{ destination-unreachable, time-exceeded, parameter-problem }"
ICMP6_ERRORS: Final = "{ destination-unreachable, packet-too-big, time-exceeded, parameter-problem }"


@dataclass(frozen=True, slots=True)
class Command:
    """A program with its arguments, and what it reads on standard input."""

    words: tuple[str, ...]
    stdin: str = ""


def ways(impairment: Impairment) -> tuple[Way, ...]:
    """Return the ways that can do an impairment, the fastest first."""
    carried = replace(impairment, mtu=0, black_hole_icmp=False)
    if carried == replace(PLAIN, seed=impairment.seed):
        return ("plain",)
    if carried == Impairment(rate_bit_s=impairment.rate_bit_s) and impairment.rate_bit_s >= LEAST_TBF_BIT_S:
        return ("tbf", "wire")
    if impairment.jitter_s or impairment.flap or impairment.seed:
        return ("wire",)
    return ("netem", "wire")


def shape(device: str, impairment: Impairment, way: Way) -> tuple[Command, ...]:
    """Return the commands that let a device's queue do an impairment; for the ways plain and wire, none at all."""
    if way == "netem":
        return _netem(device, impairment)
    if way == "tbf":
        return (_command(f"tc qdisc replace dev {device} root handle 10: {_tbf(impairment)}"),)
    return (_command(f"tc qdisc replace dev {device} root handle 1: noqueue"),)


def _netem(device: str, impairment: Impairment) -> tuple[Command, ...]:
    words = [f"tc qdisc replace dev {device} root handle 1: netem limit {TRAVELLING_PACKETS}"]
    if impairment.delay_s:
        words.append(f"delay {round(impairment.delay_s * 1e6)}us")
    if impairment.loss:
        words.append(_netem_loss(impairment))
    if impairment.duplicate:
        words.append(f"duplicate {_percent(impairment.duplicate)}")
    if impairment.reorder:
        words.append(f"reorder {_percent(impairment.reorder)}")
    below = f"tc qdisc replace dev {device} parent 1:1 handle"
    if not impairment.rate_bit_s:
        return _command(" ".join(words)), _command(f"{below} 20: pfifo limit {TRAVELLING_PACKETS}")
    queue = f"tc qdisc replace dev {device} parent 10:1 handle 20: pfifo limit {impairment.queue_packets}"
    return _command(" ".join(words)), _command(f"{below} 10: {_tbf(impairment)}"), _command(queue)


def _netem_loss(impairment: Impairment) -> str:
    """Write independent loss, or Gilbert's model: into the losing state, out of it, lost there, lost elsewhere."""
    if impairment.burst == 1 or impairment.loss == 1:
        return f"loss {_percent(impairment.loss)}"
    leave = 1 / impairment.burst
    enter = leave * impairment.loss / (1 - impairment.loss)
    return f"loss gemodel {_percent(enter)} {_percent(leave)} 100% 0%"


def _tbf(impairment: Impairment) -> str:
    burst = max(LEAST_BUCKET_BYTES, round(impairment.rate_bit_s / 8 * BURST_S))
    limit = impairment.queue_packets * FRAME_BYTES
    return f"tbf rate {impairment.rate_bit_s}bit burst {burst} limit {limit}"


def _percent(share: float) -> str:
    return f"{share * 100:.7g}%"


def rules(device: str, impairment: Impairment, tap: str) -> Command:
    """Return the command that drops ICMP errors where they fall into a black hole, and diverts the rest into `tap`.

    Args:
        tap: the wire's device in the same namespace, "" where nothing is diverted.
    """
    table = f"netdev link_{device}"
    lines = [f"table {table}", f"delete table {table}"]
    if impairment.black_hole_icmp or tap:
        lines += [f"table {table} {{", " chain egress {"]
        lines += [f'  type filter hook egress device "{device}" priority 0']
        if impairment.black_hole_icmp:
            lines += [f"  icmp type {ICMP_ERRORS} drop", f"  icmpv6 type {ICMP6_ERRORS} drop"]
        if tap:
            lines += [f"  meta mark 0x{OWN_MARK:08x} accept", f'  fwd to "{tap}"']
        lines += [" }", "}"]
    return Command(("nft", "-f", "-"), "\n".join(lines) + "\n")


def size(device: str, mtu: int) -> Command:
    """Return the command that sets a device's MTU."""
    return _command(f"ip link set dev {device} mtu {mtu}")


def _command(line: str) -> Command:
    return Command(tuple(line.split()))
