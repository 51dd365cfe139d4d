"""Members as the dashboard and a control plane change them, at a server that runs."""

from __future__ import annotations

from datetime import UTC, datetime

from rustun.protocol.tiers import Tier
from rustun.web.management import Proposal, add, edit
from rustun.web.routes_on_disk import RoutesOnDisk
from rustun.web.routes_text import RoutesText
from rustun.web.sync_members import left_behind, members_told, replace_members
from tests.simulation.conftest import MakeWorld
from tests.simulation.world import office

IN_FORCE_S = 1.0
NOW = datetime(2026, 6, 1, tzinfo=UTC)


def test_what_the_dashboard_changes_is_in_force_within_a_second(make_world: MakeWorld) -> None:
    """If this fails, the dashboard says that somebody is out who goes on sending, or others feel an edit."""
    world = make_world(office(2))
    leaver, stays = world.online("m0", "m1")
    disk = RoutesOnDisk(world.routes_file)
    disk.write(disk.propose(lambda before: edit(before, "beijing", "m0", {"enabled": False}), ""))
    world.run(IN_FORCE_S)
    assert world.present == {"m1"}
    disk.write(disk.propose(lambda before: add(before, {"cluster": "beijing", "identity": "new"}), disk.read().digest))
    world.run(IN_FORCE_S)
    world.online("new")
    assert world.present == {"m1", "new"}
    assert (stays.client.reconnects, world.server.roster.problems) == (0, ())


def test_who_a_control_plane_takes_out_comes_back_with_the_same_key_only(make_world: MakeWorld) -> None:
    """If this fails, a control plane, which knows no keys, locks members out for good, or lets others in as them."""
    world = make_world(office(2), tier=Tier.KEY, security={"minimum_tier": "shared"})
    _, stays = world.online("m0", "m1")
    disk = RoutesOnDisk(world.routes_file)
    everybody = parsed(disk.read())

    def without(before: RoutesText) -> Proposal:
        return replace_members(before, everybody[1:], allow_empty=False, left_behind={})

    taken = disk.propose(without, "")
    disk.write(taken)
    world.run(IN_FORCE_S)
    assert world.present == {"m1"}

    def again(before: RoutesText) -> Proposal:
        return replace_members(before, everybody, allow_empty=False, left_behind=left_behind(taken, {}))

    disk.write(disk.propose(again, ""))
    world.run(IN_FORCE_S)
    world.online("m0")
    assert world.session("m0").tier is Tier.KEY
    assert stays.client.reconnects == 0


def parsed(routes: RoutesText) -> list[dict[str, object]]:
    """Return the members that a server tells, as the one that it steers reads them."""
    return [{"name": "", "cider_mapping": {}, **member} for member in members_told(routes, NOW)]
