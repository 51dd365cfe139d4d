"""Taps: what words mean, and what a table says of them."""

from __future__ import annotations

from typing import Any

import pytest

from netlab.capture import taps
from netlab.capture.command import table
from netlab.capture.recorder import Tally
from netlab.errors import BadInput

STATUS: dict[str, Any] = {
    "nodes": [
        {"node": "server", "role": "server"},
        {"node": "bj-office-gw", "role": "member"},
        {"node": "bj-printer", "role": "host"},
        {"node": "bj-dev", "role": "member"},
    ],
    "cables": [
        {"ends": ["server:m1", "bj-office-gw:eth0"]},
        {"ends": ["bj-office-gw:lan0p1", "bj-printer:eth0"]},
        {"ends": ["server:m2", "bj-dev:eth0"]},
    ],
}


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        ("bj-dev", ["bj-dev:rustun0", "bj-dev:eth0"]),
        ("bj-office-gw", ["bj-office-gw:rustun0", "bj-office-gw:eth0", "bj-office-gw:lan0p1"]),
        ("server", ["server:m1", "server:m2"]),
        ("bj-dev-server", ["server:m2", "bj-dev:eth0"]),
        ("server-bj-dev", ["server:m2", "bj-dev:eth0"]),
        ("bj-dev:eth0", ["bj-dev:eth0"]),
        (" bj-dev , bj-printer, bj-dev:eth0,", ["bj-printer:eth0", "bj-dev:rustun0", "bj-dev:eth0"]),
    ],
)
def test_words_mean_interfaces(words: str, meant: list[str]) -> None:
    """Who names a node or a cable gets all of it, inner and outer side, in the same order each time."""
    assert [str(tap) for tap in taps.choose(STATUS, words)] == meant


def test_all_is_every_interface_once() -> None:
    """A capture of everything that leaves a tap out hides just what was looked for."""
    chosen = taps.choose(STATUS, "all")
    assert len(chosen) == len(set(chosen)) == 8
    assert [str(tap) for tap in chosen if tap.tunnel] == ["bj-office-gw:rustun0", "bj-dev:rustun0"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            "bj-dew",
            'no node or cable "bj-dew"\n  did you mean "bj-dev"? nodes: server, bj-office-gw, ',
        ),
        ("bj-dev-bj-printer", 'no node or cable "bj-dev-bj-printer"'),
        (" , ", "nothing to capture was named"),
    ],
)
def test_what_is_not_there_is_told(words: str, message: str) -> None:
    """A capture of nothing looks like a network without traffic."""
    with pytest.raises(BadInput) as told:
        taps.choose(STATUS, words)
    assert message in str(told.value)


def test_losses_are_told_in_words() -> None:
    """A number in a column is overlooked; packets that are missing from a capture mislead."""
    lines = table([Tally("bj-dev:rustun0", 1234, 0), Tally("bj-dev:eth0", 70000, 1200)])
    assert lines == [
        "tap               received      lost",
        "bj-dev:rustun0       1,234         0",
        "bj-dev:eth0         70,000     1,200",
        "1,200 packets were lost: there was no time to take them; --filter or fewer taps help",
    ]
