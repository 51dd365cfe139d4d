"""Clocks that jump: row 33. Keys go by boot time, `expires_at` by the clock of people, and nothing else by that."""

from __future__ import annotations

import pytest

from netlab.worlds.ip_packets import udp_packet
from rustun.protocol.tiers import Tier
from tests.simulation.conftest import MakeWorld
from tests.simulation.world import office

YEAR_S = 365 * 86_400.0
TIERS = pytest.mark.parametrize("tier", [Tier.KEY, Tier.SHARED])


@TIERS
@pytest.mark.parametrize("years", [-20, 20])
def test_row_33_a_clock_that_jumps_by_years_ends_no_session(make_world: MakeWorld, tier: Tier, years: int) -> None:
    """Row 33. If this fails, a wrong clock, or one that is set right, cuts everybody off or keeps old keys alive."""
    world = make_world(office(3), tier=tier)
    first, second = world.online("m0", "m1")
    sessions = list(world.core.sessions)
    world.reactor.wall_clock_offset_s = years * YEAR_S
    world.run(300.0)  # two rekeys
    assert list(world.core.sessions) == sessions
    late = world.host("m2")
    world.run_until_online("m2", limit_s=1.0)
    packets = [udp_packet("10.0.1.1", f"10.0.1.{number}", (1, 2), b"after") for number in (2, 3)]
    first.send(*packets)
    world.run()
    assert (second.packets, late.packets) == (packets[:1], packets[1:])
    assert not world.core.closes


@TIERS
def test_row_33_an_end_that_the_clock_jumps_over_has_come(make_world: MakeWorld, tier: Tier) -> None:
    """Row 33. If this fails, a host that slept, or whose clock was wrong, lets somebody in beyond his time."""
    members = office(2)
    members[0]["expires_at"] = "2030-01-01"
    world = make_world(members, tier=tier)
    host, _ = world.online("m0", "m1")
    world.reactor.wall_clock_offset_s = 20 * YEAR_S
    world.run(1.0)
    assert world.present == {"m1"}
    assert world.core.closes["expired"] == 1
    world.run(5.0)
    assert "access ended" in host.client.last_error
    world.reactor.wall_clock_offset_s = 0.0
    world.run_until_online("m0", limit_s=61.0)
