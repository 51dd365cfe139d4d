"""Addresses and prefixes: one spelling for each, and none that steers a terminal."""

from __future__ import annotations

import pytest

from rustun.config.addresses import parse_endpoint, parse_interface6, parse_listen, parse_prefix
from rustun.config.findings import Complaint


@pytest.mark.parametrize("zone", ["eth0", "1", "\x1b[31m", "a b", " "])
def test_no_prefix_and_no_member_has_a_zone(zone: str) -> None:
    """One prefix gets a second spelling that is not equal to the first, of characters that nobody looked at."""
    for text in (f"fd00:1::%{zone}/64", f"2001:db8::1%{zone}/128"):
        with pytest.raises(Complaint) as found:
            parse_prefix(text)
        assert str(found.value).isprintable()
        with pytest.raises(Complaint):
            parse_interface6(text)


def test_a_server_may_be_on_this_link() -> None:
    """A server on a link-local address cannot be named; or a zone that is no interface's name is shown as it is."""
    assert parse_endpoint("[fe80::1%eth0]:8080").host == "fe80::1%eth0"
    assert parse_listen("[fe80::1%eth0.100]:8080").host == "fe80::1%eth0.100"
    for zone in ("\x1b[31m", "a b", "e" * 16, "a%b"):
        with pytest.raises(Complaint):
            parse_endpoint(f"[fe80::1%{zone}]:8080")
