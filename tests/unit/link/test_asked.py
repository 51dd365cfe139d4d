"""Members and addresses as people write them."""

from __future__ import annotations

import time
from ipaddress import ip_address

import pytest

from rustun.link.asked import as_address, unknown_member


@pytest.mark.parametrize("text", ["10.0.1.1", "fd00::1"])
def test_addresses_are_addresses(text: str) -> None:
    """If this fails, nobody can ask about a host behind a member."""
    assert as_address(text) == ip_address(text)


@pytest.mark.parametrize("text", ["bj-dev", "", "10.0.1", "10.0.1.1/24", "fe80::1%eth0", "１0.0.1.1", "\0"])
def test_anything_else_is_none(text: str) -> None:
    """If this fails, a slip is taken for an address that somebody else has."""
    assert as_address(text) is None


def test_a_misspelt_member_is_told_the_nearest_one() -> None:
    """If this fails, whoever mistypes a name is told nothing that helps, or is shown terminal codes."""
    error = unknown_member("bj-dve", ["bj-office-gw", "bj-dev", "sh-db"])
    assert (error.message, error.remedy) == ('no member and no address: "bj-dve"', 'did you mean "bj-dev"?')
    assert "\x1b" not in unknown_member("\x1b[31m", ["\x1b[31n"]).message
    assert "\x1b" not in unknown_member("\x1b[31m", ["\x1b[31n"]).remedy


def test_a_misspelt_member_of_many_does_not_hold_the_loop() -> None:
    """If this fails, each mistyped name stops every packet of a large fleet for a tenth of a second."""
    crowd = [f"member-{number:05}-of-a-large-fleet" for number in range(10_000)]
    took = []
    for _ in range(5):
        began = time.perf_counter()
        unknown_member("member-99999-of-a-large-flete", crowd)
        took.append(time.perf_counter() - began)
    assert min(took) < 0.02
