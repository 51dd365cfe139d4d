"""What people write about a link, and what it means."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netlab.links.impairment import (
    PLAIN,
    PRESETS,
    SETTINGS,
    Flap,
    Impairment,
    Written,
    from_settings,
    judge,
    settings,
    with_setting,
    words,
)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("delay", "50ms", Impairment(delay_s=0.05)),
        ("delay", "200us", Impairment(delay_s=0.0002)),
        ("delay", "0", PLAIN),
        ("delay", 0, PLAIN),
        ("jitter", "1.5 s", Impairment(jitter_s=1.5)),
        ("loss", "1%", Impairment(loss=0.01)),
        ("loss", 0.5, Impairment(loss=0.5)),
        ("loss", "0.5", Impairment(loss=0.5)),
        ("burst", 3, Impairment(burst=3.0)),
        ("rate", "10mbit", Impairment(rate_bit_s=10_000_000)),
        ("rate", "0", PLAIN),
        ("queue", "20", Impairment(queue_packets=20)),
        ("duplicate", "100%", Impairment(duplicate=1.0)),
        ("reorder", "2%", Impairment(reorder=0.02)),
        ("mtu", 1400, Impairment(mtu=1400)),
        ("mtu", 0, PLAIN),
        ("black_hole_icmp", True, Impairment(black_hole_icmp=True)),
        ("black_hole_icmp", "on", Impairment(black_hole_icmp=True)),
        ("flap", "10s/500ms", Impairment(flap=Flap(10.0, 0.5))),
        ("flap", "off", PLAIN),
        ("seed", 7, Impairment(seed=7)),
    ],
)
def test_written_values_mean_what_they_say(name: str, value: Written, expected: Impairment) -> None:
    """A lab would measure another link than the one that was written down."""
    assert with_setting(PLAIN, name, value) == expected


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("delay", "50", 'expected a time with its unit, such as "50ms" or "2s", found "50"'),
        ("delay", 50, 'expected a time with its unit, such as "50ms" or "2s", found 50'),
        ("delay", False, 'expected a time with its unit, such as "50ms" or "2s", found false'),
        ("delay", "2m", "expected seconds, from 0 to 10, found 120"),
        ("delay", f"{10**400}s", 'expected a time with its unit, such as "50ms" or "2s", found one with 401 digits'),
        ("rate", f"{'9' * 5000}bit", 'expected a rate with its unit, such as "10mbit", found one with 5000 digits'),
        ("burst", 10**400, f"expected a mean number of packets, found {10**400}"),
        ("delay", "-5ms", 'expected a time with its unit, such as "50ms" or "2s", found "-5ms"'),
        ("loss", "1", None),
        ("loss", "101%", 'expected a share such as "1%", or 0.01, from 0 to 1, found 1.01'),
        ("loss", "a lot", 'expected a share such as "1%", or 0.01, found "a lot"'),
        ("loss", True, 'expected a share such as "1%", or 0.01, found true'),
        ("burst", 0.5, "expected a mean number of packets, from 1 to 1000, found 0.5"),
        ("rate", "10", 'expected a rate with its unit, such as "10mbit", found "10"'),
        ("rate", "1bit", "expected bits per second, from 1000 to 1e+11, found 1"),
        ("queue", 0, "expected a number of packets, from 1 to 100000, found 0"),
        ("queue", "1.5", 'expected a number of packets, found "1.5"'),
        ("mtu", 60, "expected a packet's size in bytes, from 68 to 65535, found 60"),
        ("black_hole_icmp", "yes", 'expected true or false, found "yes"'),
        ("black_hole_icmp", 1, "expected true or false, found 1"),
        ("flap", "10s", 'expected times up and down such as "10s/2s", or "off", found "10s"'),
        ("flap", True, 'expected times up and down such as "10s/2s", or "off", found true'),
        ("flap", "0s/1s", 'expected times up and down such as "10s/2s", or "off", from 0.001 to 86400, found 0'),
        ("latency", "5ms", f'no setting "latency"; settings: {", ".join(SETTINGS)}'),
    ],
)
def test_wrong_values_are_told_with_what_was_expected(name: str, value: Written, message: str | None) -> None:
    """A slip of the unit would be taken as another value, or end in a traceback."""
    if message is None:
        assert with_setting(PLAIN, name, value) == Impairment(loss=1.0)
        return
    with pytest.raises(ValueError, match="expected|no setting") as caught:
        with_setting(PLAIN, name, value)
    assert str(caught.value) == message


def test_one_setting_keeps_the_others() -> None:
    """A second `--set` would take the first one back, as `tc qdisc change` does."""
    both = with_setting(with_setting(PLAIN, "delay", "50ms"), "loss", "1%")
    assert both == Impairment(delay_s=0.05, loss=0.01)
    assert with_setting(both, "delay", "0") == Impairment(loss=0.01)


@pytest.mark.parametrize(
    ("impairment", "problem"),
    [
        (Impairment(jitter_s=0.01), "jitter 10ms is more than the delay 0ms"),
        (Impairment(reorder=0.1), "reorder needs a delay"),
        (Impairment(burst=3.0), "burst needs a loss"),
        (Impairment(burst=3.0, loss=1.0), "burst has no meaning where all is lost"),
    ],
)
def test_settings_that_contradict_each_other_are_told(impairment: Impairment, problem: str) -> None:
    """A setting without its partner would silently do nothing."""
    assert [line[: len(problem)] for line in judge(impairment)] == [problem]


@pytest.mark.parametrize("name", PRESETS)
def test_presets_fit_together(name: str) -> None:
    """A preset that no link can have would fail in every lab that names it."""
    assert judge(PRESETS[name]) == []


SAMPLES = st.builds(
    Impairment,
    delay_s=st.integers(0, 10_000_000).map(lambda us: us / 1e6),
    jitter_s=st.integers(0, 10_000).map(lambda ms: ms / 1e3),
    loss=st.integers(0, 10_000).map(lambda n: n / 1e4),
    rate_bit_s=st.just(0) | st.integers(1000, 10**11),
    queue_packets=st.integers(1, 100_000),
    mtu=st.just(0) | st.integers(68, 65535),
    black_hole_icmp=st.booleans(),
    flap=st.none() | st.builds(Flap, st.integers(1, 9999).map(lambda n: n / 1e3), st.integers(1, 99).map(float)),
    seed=st.integers(0, 2**53),
)


@given(SAMPLES)
def test_what_is_shown_can_be_set_again(impairment: Impairment) -> None:
    """`--show` would print a line that `--set` reads as something else."""
    read = from_settings(settings(impairment))
    for field in Impairment.__slots__:
        assert getattr(read, field) == pytest.approx(getattr(impairment, field)) or field == "flap"
    assert settings(read) == settings(impairment)


def test_a_plain_cable_is_called_plain() -> None:
    """An unimpaired link would be shown as an empty line."""
    assert words(PLAIN) == "plain"
    assert words(Impairment(delay_s=0.05, loss=0.01)) == "delay=50ms loss=1%"


def test_the_documents_say_what_presets_and_settings_are() -> None:
    """People would look a setting up and find another."""
    text = (Path(__file__).parents[4] / "docs" / "lab.md").read_text()
    for name, impairment in PRESETS.items():
        assert f"| {name} | {words(impairment)} |" in text
    for name in SETTINGS:
        assert f"`{name}`" in text
