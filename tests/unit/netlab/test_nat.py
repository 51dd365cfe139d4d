"""The rules of NAT routers; what they do, tests/netlab/test_nat.py shows."""

from __future__ import annotations

import pytest

from netlab.nat import rules
from rustun.ops.lab.records import LabNat, NatKind


def test_the_kinds_differ_in_what_tells_them_apart() -> None:
    """One kind would be another under its name."""
    scripts = {kind: rules(LabNat("r", kind, ("m",))) for kind in ("open", "moderate", "strict")}
    assert [kind for kind, script in scripts.items() if "fully-random" in script] == ["strict"]
    assert [kind for kind, script in scripts.items() if "dnat" in script] == ["open"]


@pytest.mark.parametrize("kind", ["open", "moderate", "strict"])
def test_times_stand_where_they_are_written(kind: NatKind) -> None:
    """A mapping would live longer than the file says, or shorter than the kernel does without a word."""
    assert "ct timeout" not in rules(LabNat("r", kind, ("m",)))
    script = rules(LabNat("r", kind, ("m",), udp_timeout_s=30, tcp_timeout_s=300))
    assert "unreplied : 30, replied : 30" in script
    assert "established : 300" in script
    assert ("timeout 30s" in script and "timeout 300s" in script) == (kind == "open")
