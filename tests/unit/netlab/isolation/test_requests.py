"""Which probes a request is for."""

from __future__ import annotations

import pytest

from netlab.errors import BadInput
from netlab.isolation.expectation import Expectation
from netlab.isolation.requests import choose
from tests.unit.netlab.fleets import two_tenants

EXPECTATION = Expectation(two_tenants())


@pytest.mark.parametrize(
    ("target", "kind", "chosen"),
    [
        ("a2", "udp", {"udp"}),
        ("a2", "tcp", {"tcp-open", "tcp-closed", "tcp-open6", "tcp-closed6"}),
        ("b1", "forged", {"forged-member", "forged-cluster", "forged-lan"}),
        ("broadcast", "all", {"broadcast-255.255.255.255", "broadcast-10.0.1.255"}),
        ("broadcast", "", {"broadcast-255.255.255.255", "broadcast-10.0.1.255"}),
        ("a2", "", {"icmp"}),
    ],
)
def test_a_kind_is_one_probe_or_begins_several(target: str, kind: str, chosen: set[str]) -> None:
    """The command below a red cell would send something else than what made it red."""
    assert {probe.what for probe in choose(EXPECTATION, "a1", target, kind)} == chosen


@pytest.mark.parametrize(
    ("sender", "target", "kind", "said"),
    [
        ("printr", "b1", "udp", "did you mean printer?"),
        ("nobody-at-all", "b1", "udp", "there are a1, a2"),
        ("a1", "elsewhere-at-all", "udp", "there are a1, a2"),
        ("b1", "printer", "udp", "by the tunnel"),
        ("a1", "a1", "udp", "by the tunnel"),
        ("a1", "b1", "ftp", "kinds: icmp, tcp-open"),
        ("(broadcast)", "b1", "icmp", "by the tunnel"),
    ],
)
def test_what_cannot_be_sent_is_said_with_what_can(sender: str, target: str, kind: str, said: str) -> None:
    """A slip at the keyboard would send nothing and look like a success."""
    with pytest.raises(BadInput) as error:
        choose(EXPECTATION, sender, target, kind)
    assert said in str(error.value)
