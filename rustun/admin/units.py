"""Numbers for people: at most three digits and a unit."""

from __future__ import annotations

from typing import Final

NOTHING: Final = "-"
_DURATIONS: Final = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))
_SIZES: Final = ("B", "kB", "MB", "GB", "TB", "PB")
_RATES: Final = ("bit/s", "kbit/s", "Mbit/s", "Gbit/s", "Tbit/s")
BITS: Final = 8


def duration(seconds: float, units: int = 1) -> str:
    """Return "3 s", "2 h"; with two units "3 d 4 h". Rounded down; less than a second is "0 s"."""
    left = max(int(seconds), 0)
    words: list[str] = []
    for length, unit in _DURATIONS:
        count, left = divmod(left, length)
        if count:
            words.append(f"{count} {unit}")
        elif words:
            break
        if len(words) == units:
            break
    return " ".join(words) or "0 s"


def age(seconds: float | None) -> str:
    """Return "3 s ago", or "-" when there was no such time."""
    return NOTHING if seconds is None else f"{duration(seconds)} ago"


def size(count: float) -> str:
    """Return a count of bytes as "830 MB", "1.2 GB": powers of 1000, three digits at most."""
    value = float(count)
    for unit in _SIZES:
        if value < 999.5 or unit == _SIZES[-1]:  # what would round to 1000 takes the next unit
            digits = 1 if value < 9.95 and unit != "B" else 0
            return f"{value:.{digits}f} {unit}"
        value /= 1000
    raise AssertionError("unreachable: the last unit takes everything")


def round_trip(milliseconds: float | None) -> str:
    """Return "0.6 ms", "12 ms", "1.2 s", or "-" when none was measured."""
    if milliseconds is None:
        return NOTHING
    if milliseconds >= 999.5:
        return f"{milliseconds / 1000:.1f} s"
    return f"{milliseconds:.1f} ms" if milliseconds < 9.95 else f"{milliseconds:.0f} ms"


def rate(bytes_per_second: float) -> str:
    """Return bytes per second as the bits of a line: "8.1 Gbit/s", "0 bit/s"."""
    value = bytes_per_second * BITS
    for unit in _RATES:
        if value < 999.5 or unit == _RATES[-1]:
            digits = 1 if value < 9.95 and unit != _RATES[0] else 0
            return f"{value:.{digits}f} {unit}"
        value /= 1000
    raise AssertionError("unreachable: the last unit takes everything")
