"""What a link does to the packets of one direction, as a frozen record, and the words in which people write it.

Rules
  1. A setting that is not given leaves packets alone: `Impairment()` is a plain cable.
  2. Written form and record are one to one: `with_setting` reads what `settings` writes. The inventory, `lab-link` and
     every message use the same words.
  3. Jitter spreads the delay evenly by at most that much to either side and never changes the order of packets; only
     `reorder` does.
  4. Loss of `burst` 1 is independent from packet to packet. A longer burst is the mean number of packets lost in a row
     (Gilbert-Elliott: a bad state that loses all, a good one that loses none), with `loss` as the share over all.
  5. Rate counts whole Ethernet frames, as the kernel's own shapers do; `queue` is how many may wait for it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from fractions import Fraction
from math import isfinite
from types import MappingProxyType
from typing import Any, Final

Written = str | int | float | bool  # a value as TOML has it, or as typed

MAX_DELAY_S: Final = 10.0  # beyond it sessions have ended, and probes take as long
MIN_RATE_BIT_S: Final = 1000
MAX_RATE_BIT_S: Final = 100_000_000_000
MAX_QUEUE_PACKETS: Final = 100_000
MIN_MTU: Final = 68  # RFC 791; IPv6 needs 1280 and is off below
MAX_MTU: Final = 65_535
MAX_BURST: Final = 1000.0
MAX_FLAP_S: Final = 86_400.0

_SECONDS: Final = {"us": Fraction(1, 10**6), "ms": Fraction(1, 1000), "s": Fraction(1), "m": Fraction(60)}
_BITS: Final = {"bit": Fraction(1), "kbit": Fraction(10**3), "mbit": Fraction(10**6), "gbit": Fraction(10**9)}
_SHARES: Final = {"%": Fraction(1, 100), "": Fraction(1)}
_QUANTITY: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([a-z%]*)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Flap:
    """A cable that is up for `up_s` seconds, then down for `down_s`, again and again; it begins up."""

    up_s: float
    down_s: float


@dataclass(frozen=True, slots=True)
class Impairment:
    """What one direction of a link does to packets.

    Args:
        delay_s: one way, 0 to 10.
        jitter_s: at most `delay_s`.
        loss: share of packets, 0 to 1.
        burst: mean number of packets lost in a row, 1 to 1000.
        rate_bit_s: bits per second, 0 for no limit.
        queue_packets: how many may wait for the rate, 1 to 100,000; more are dropped.
        duplicate: share of packets that arrive twice, 0 to 1.
        reorder: share of packets that skip the delay and overtake, 0 to 1.
        mtu: largest IP packet in bytes, 0 for the interface's own.
        black_hole_icmp: errors (unreachable, too big, time exceeded) do not pass.
        flap: goes down and up by the clock, None for never.
        seed: of everything random here.
    """

    delay_s: float = 0.0
    jitter_s: float = 0.0
    loss: float = 0.0
    burst: float = 1.0
    rate_bit_s: int = 0
    queue_packets: int = 1000
    duplicate: float = 0.0
    reorder: float = 0.0
    mtu: int = 0
    black_hole_icmp: bool = False
    flap: Flap | None = None
    seed: int = 0


PLAIN: Final = Impairment()


@dataclass(frozen=True, slots=True)
class Link:
    """A cable between two nodes; `forth` is what it does from the first of its `ends` to the second, `back` back."""

    ends: tuple[str, str]
    forth: Impairment = PLAIN
    back: Impairment = PLAIN


PRESETS: Final[Mapping[str, Impairment]] = MappingProxyType(
    {
        "lan": PLAIN,
        "wifi": Impairment(delay_s=0.004, jitter_s=0.003, loss=0.001, burst=2.0, rate_bit_s=100_000_000),
        "mobile": Impairment(delay_s=0.030, jitter_s=0.010, loss=0.005, burst=3.0, rate_bit_s=20_000_000),
        "satellite": Impairment(delay_s=0.280, jitter_s=0.010, loss=0.002, rate_bit_s=50_000_000),
    }
)


def parse_duration(value: Written) -> float:
    """Return the seconds that "50ms", "1.5s", "200us" or "5m" says. Raises ValueError."""
    return _quantity(value, _SECONDS, 'a time with its unit, such as "50ms" or "2s"')


def parse_rate(value: Written) -> int:
    """Return the bits per second that "10mbit", "512kbit" or "1gbit" says. Raises ValueError."""
    return round(_quantity(value, _BITS, 'a rate with its unit, such as "10mbit"'))


def parse_share(value: Written) -> float:
    """Return the share (0 to 1) that "1%", "0.1%" or 0.01 says. Raises ValueError."""
    wanted = 'a share such as "1%", or 0.01'
    if isinstance(value, str):
        share = _quantity(value, _SHARES, wanted)
    else:
        share = _number(value, wanted)
    return _within(share, 0.0, 1.0, wanted)


def parse_flap(value: Written) -> Flap | None:
    """Return the schedule that "10s/2s" says, ten seconds up and two down, or None for "off". Raises ValueError."""
    if value is False or value == "off":
        return None
    wanted = 'times up and down such as "10s/2s", or "off"'
    up, _, down = value.partition("/") if isinstance(value, str) else ("", "", "")
    try:
        times = parse_duration(up.strip()), parse_duration(down.strip())
    except ValueError:
        raise ValueError(f"expected {wanted}, found {_shown(value)}") from None
    return Flap(*(_within(seconds, 0.001, MAX_FLAP_S, wanted) for seconds in times))


def _quantity(value: Written, units: Mapping[str, Fraction], wanted: str) -> float:
    if not isinstance(value, str) and value == 0 and value is not False:
        return 0.0
    match = _QUANTITY.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None or (match[2].lower() not in units and float(match[1]) != 0):
        raise ValueError(f"expected {wanted}, found {_shown(value)}")
    try:
        return float(Fraction(match[1]) * units.get(match[2].lower(), Fraction(0)))
    except (OverflowError, ValueError):  # the latter: more digits than Python reads
        raise ValueError(f"expected {wanted}, found one with {len(match[1])} digits") from None


def _number(value: Written, wanted: str) -> float:
    try:
        number = float("nan") if isinstance(value, bool) else float(value)
    except (ValueError, OverflowError):  # the latter: a whole number that is larger than any float
        number = float("nan")
    if not isfinite(number):
        raise ValueError(f"expected {wanted}, found {_shown(value)}")
    return number


def _within(number: float, least: float, most: float, wanted: str) -> float:
    if not least <= number <= most:
        raise ValueError(f"expected {wanted}, from {least:g} to {most:g}, found {number:g}")
    return number


def _shown(value: Written) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value).lower()


def _delay(value: Written) -> float:
    return _within(parse_duration(value), 0.0, MAX_DELAY_S, "seconds")


def _rate(value: Written) -> int:
    rate = parse_rate(value)
    return rate and int(_within(rate, MIN_RATE_BIT_S, MAX_RATE_BIT_S, "bits per second"))


def _burst(value: Written) -> float:
    wanted = "a mean number of packets"
    return _within(_number(value, wanted), 1.0, MAX_BURST, wanted)


def _whole(least: int, most: int, zero: bool, what: str) -> Callable[[Written], int]:
    """Return a reader of whole numbers in a range; with `zero`, 0 is taken as well."""

    def read(value: Written) -> int:
        number = _number(value, what)
        if number != int(number):
            raise ValueError(f"expected {what}, found {_shown(value)}")
        return 0 if zero and number == 0 else int(_within(number, least, most, what))

    return read


def _switch(value: Written) -> bool:
    known: dict[Written, bool] = {True: True, False: False, "true": True, "false": False, "on": True, "off": False}
    if not isinstance(value, bool | str) or value not in known:
        raise ValueError(f"expected true or false, found {_shown(value)}")
    return known[value]


def show_duration(seconds: float) -> str:
    """Return the shortest written form of a time: "50ms", "1.5s", "200us"."""
    if seconds >= 1:
        return f"{seconds:.10g}s"
    return f"{seconds * 1e3:.10g}ms" if seconds >= 1e-3 or not seconds else f"{seconds * 1e6:.10g}us"


def show_rate(rate: int) -> str:
    """Return the shortest written form of a rate: "10mbit"."""
    unit = next(name for name in ("gbit", "mbit", "kbit", "bit") if rate >= _BITS[name] or name == "bit")
    return f"{float(rate / _BITS[unit]):.12g}{unit}"


def _show_share(share: float) -> str:
    return f"{share * 100:.10g}%"


def _show_flap(flap: Flap | None) -> str:
    return f"{show_duration(flap.up_s)}/{show_duration(flap.down_s)}" if flap else "off"


@dataclass(frozen=True, slots=True)
class Setting:
    """How one field of an Impairment is read and written."""

    field: str
    read: Callable[[Written], Any]
    write: Callable[[Any], str]


SETTINGS: Final[Mapping[str, Setting]] = MappingProxyType(
    {
        "delay": Setting("delay_s", _delay, show_duration),
        "jitter": Setting("jitter_s", _delay, show_duration),
        "loss": Setting("loss", parse_share, _show_share),
        "burst": Setting("burst", _burst, "{:g}".format),
        "rate": Setting("rate_bit_s", _rate, show_rate),
        "queue": Setting("queue_packets", _whole(1, MAX_QUEUE_PACKETS, False, "a number of packets"), str),
        "duplicate": Setting("duplicate", parse_share, _show_share),
        "reorder": Setting("reorder", parse_share, _show_share),
        "mtu": Setting("mtu", _whole(MIN_MTU, MAX_MTU, True, "a packet's size in bytes"), str),
        "black_hole_icmp": Setting("black_hole_icmp", _switch, lambda on: str(on).lower()),
        "flap": Setting("flap", parse_flap, _show_flap),
        "seed": Setting("seed", _whole(0, 2**63 - 1, False, "a whole number"), str),
    }
)


def with_setting(impairment: Impairment, name: str, value: Written) -> Impairment:
    """Return `impairment` with one setting changed, all others as they were.

    Args:
        name: a key of SETTINGS.
        value: as written; "0" (or "off" for flap) takes the setting back.

    Raises:
        ValueError: no such setting, or not such a value; says what was expected and what was found.
    """
    setting = SETTINGS.get(name)
    if setting is None:
        raise ValueError(f'no setting "{name}"; settings: {", ".join(SETTINGS)}')
    return replace(impairment, **{setting.field: setting.read(value)})


def judge(impairment: Impairment) -> list[str]:
    """Return what does not fit together in an impairment, in words; nothing when all does."""
    problems = []
    if impairment.jitter_s > impairment.delay_s:
        jitter, delay = show_duration(impairment.jitter_s), show_duration(impairment.delay_s)
        problems.append(f"jitter {jitter} is more than the delay {delay}: no packet arrives before it was sent")
    if impairment.reorder and not impairment.delay_s:
        problems.append("reorder needs a delay: packets overtake by skipping it")
    if impairment.burst > 1 and not impairment.loss:
        problems.append("burst needs a loss: it says how many are lost in a row")
    if impairment.burst > 1 and impairment.loss == 1:
        problems.append("burst has no meaning where all is lost")
    return problems


def settings(impairment: Impairment) -> dict[str, str]:
    """Return the settings that differ from a plain cable's, as written."""
    plain = {field.name: getattr(PLAIN, field.name) for field in fields(Impairment)}
    found = ((name, setting, getattr(impairment, setting.field)) for name, setting in SETTINGS.items())
    return {name: setting.write(value) for name, setting, value in found if value != plain[setting.field]}


def from_settings(written: Mapping[str, Written]) -> Impairment:
    """Return the impairment that has these settings, and is plain in all others. Raises ValueError."""
    impairment = PLAIN
    for name, value in written.items():
        impairment = with_setting(impairment, name, value)
    return impairment


def words(impairment: Impairment) -> str:
    """Return the settings in a line: "delay=50ms loss=1%", or "plain"."""
    return " ".join(f"{name}={text}" for name, text in settings(impairment).items()) or "plain"
