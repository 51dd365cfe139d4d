"""The way of a packet as the taps that it passes."""

from __future__ import annotations

from dataclasses import replace

from netlab import layout
from netlab.isolation.expectation import Expectation
from netlab.isolation.route import stations
from rustun.ops.lab.records import LabNat
from tests.unit.netlab.fleets import two_tenants


def way(sender: str, receiver: str | None) -> list[str]:
    """Return the stations with their directions; a2 is behind two routers, and sealed ones are in brackets."""
    routers = (LabNat("home", "strict", ("a2",)), LabNat("carrier", "open", ("home",)))
    spec = replace(two_tenants(), routers=routers)
    sites = Expectation(spec).site_of
    found = stations(spec, layout.plan(spec), sites[sender], sites[receiver] if receiver else None)
    return [("[{}]" if one.sealed else "{}").format(f"{one} {'out' if one.goes_out else 'in'}") for one in found]


def test_stations_are_in_the_order_in_which_a_packet_passes_them() -> None:
    """What is called seen last would name a place that the packet had not come to yet."""
    assert way("b2", "printer") == [
        "b2:rustun0 out", "[b2:eth0 out]", "[server:m4 in]",
        "[server:m3 out]", "[b1:eth0 in]", "b1:rustun0 in", "b1:lan0p1 out", "printer:eth0 in",
    ]  # fmt: skip
    assert way("printer", None) == [
        "printer:eth0 out", "b1:lan0p1 in", "b1:rustun0 out", "[b1:eth0 out]", "[server:m3 in]",
    ]  # fmt: skip


def test_routers_on_the_way_are_stations() -> None:
    """A packet that a NAT router loses would seem to be lost by the server."""
    found = [station.partition(" ")[0].strip("[") for station in way("a2", None)]
    assert [station.partition(":")[0] for station in found] == [
        "a2",
        "a2",
        "home",
        "home",
        "carrier",
        "carrier",
        "server",
    ]
