"""Numbers for people."""

from __future__ import annotations

import pytest

from rustun.admin.units import age, duration, round_trip, size


@pytest.mark.parametrize(
    ("seconds", "units", "text"),
    [
        (0, 1, "0 s"),
        (0.9, 1, "0 s"),
        (3.7, 1, "3 s"),
        (59.9, 1, "59 s"),
        (60, 1, "1 min"),
        (7_199, 1, "1 h"),
        (7_265, 2, "2 h 1 min"),
        (86_400, 2, "1 d"),
        (3 * 86_400 + 4 * 3_600 + 59, 2, "3 d 4 h"),
        (86_400 + 59, 2, "1 d"),
        (-5, 1, "0 s"),
    ],
)
def test_duration(seconds: float, units: int, text: str) -> None:
    """An age is shown with the wrong unit, or an uptime skips one ("1 d 59 s")."""
    assert duration(seconds, units) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1_000, "1.0 kB"),
        (9_940, "9.9 kB"),
        (9_960, "10 kB"),
        (830_400_000, "830 MB"),
        (999_600, "1.0 MB"),
        (1_234_567_890, "1.2 GB"),
        (5e17, "500 PB"),
        (5e18, "5000 PB"),
    ],
)
def test_size(count: float, text: str) -> None:
    """A byte count rounds to "1000 kB" or takes the wrong unit."""
    assert size(count) == text


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [
        (None, "-"),
        (0.04, "0.0 ms"),
        (0.55, "0.6 ms"),
        (9.96, "10 ms"),
        (120, "120 ms"),
        (999.7, "1.0 s"),
        (1_240, "1.2 s"),
    ],
)
def test_round_trip(milliseconds: float | None, text: str) -> None:
    """A round trip that was never measured is shown as a number, or one of seconds as milliseconds."""
    assert round_trip(milliseconds) == text


def test_age_of_what_never_was() -> None:
    """A member that was never seen is shown as seen just now."""
    assert age(None) == "-"
    assert age(3) == "3 s ago"
