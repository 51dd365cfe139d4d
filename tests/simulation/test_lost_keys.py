"""A routes.json that was rewritten by something that does not know public keys (docs/protocol.md, "Tiers")."""

from __future__ import annotations

import json

import pytest

from rustun.protocol.handshake import Refusal, Welcome
from rustun.protocol.tiers import Tier
from tests.simulation.conftest import MakeWorld
from tests.simulation.peers import NoisePeer, proof
from tests.simulation.world import KEY, World, entry, office


def rewritten(world: World, **more: object) -> None:
    """Write the members as another tool has them: the seed's keys only."""
    world.write_routes([{**one, **more} for one in office(2)])


def shared_key_opens(world: World, identity: str) -> bool:
    """Tell whether a holder of the shared key can come in as this member."""
    peer = NoisePeer(world, identity, proof(KEY), connected=False)
    answer = peer.shake_hands()
    peer.close()
    assert isinstance(answer, Welcome) or (isinstance(answer, Refusal) and answer.code == "tier")
    return isinstance(answer, Welcome)


@pytest.mark.parametrize("while_down", [False, True])
def test_no_rewrite_opens_a_member_to_the_shared_key(make_world: MakeWorld, while_down: bool) -> None:
    """If this fails, a tool that does not know `public_key` hands every member to whoever has the shared key."""
    world = make_world(office(2), tier=Tier.KEY, security={"minimum_tier": "shared"})
    world.online("m0", "m1")
    before = list(world.core.sessions)
    if while_down:
        world.stop_server()
        rewritten(world)
        world.run(1.0)
        world.start_server()
        world.run_until_online("m0", "m1")
    else:
        rewritten(world)
        world.run(1.0)
        assert list(world.core.sessions) == before, "nobody who proves its key is cut off"
    assert {world.session(identity).tier for identity in ("m0", "m1")} == {Tier.KEY}
    assert not shared_key_opens(world, "m0")
    status = world.status()
    assert isinstance(status["routes"], dict)
    assert status["routes"]["keeping_keys"] == ["m0", "m1"]
    assert "2 members lost the public_key" in str(status["alarms"])
    rewritten(world, tier="shared")
    world.run(1.0)
    assert shared_key_opens(world, "m0"), "the operator's word"
    assert not world.status()["alarms"]


def test_garbage_in_what_is_remembered_opens_nobody(make_world: MakeWorld) -> None:
    """If this fails, a damaged disk does what no operator said."""
    world = make_world(office(2), tier=Tier.KEY, security={"minimum_tier": "shared"})
    world.online("m0")
    world.stop_server()
    rewritten(world)
    (world.folder / "known-keys.json").write_text("garbage")
    world.start_server()
    assert not shared_key_opens(world, "m0")
    assert "nobody can tell whether there was a key" in json.dumps(world.status()["alarms"])


@pytest.mark.parametrize("method", ["xor", "plain"])
def test_testing_modes_keep_keys_as_well(make_world: MakeWorld, method: str) -> None:
    """If this fails, a rewrite opens a member with a key to everybody where a testing mode is configured."""
    world = make_world([entry("m0", "10.0.1.1")], tier=Tier.KEY, method=method)
    world.write_routes([entry("m0", "10.0.1.1")])
    world.run(1.0)
    world.host("m0", method=method)
    world.run(5.0)
    assert not world.present


def test_a_lowered_minimum_remembers_what_was_known(make_world: MakeWorld) -> None:
    """If this fails, an entry that lost its key in the key tier is open once a lower tier is allowed."""
    world = make_world(office(2), tier=Tier.KEY)
    rewritten(world)
    world.run(1.0)
    assert not (world.folder / "known-keys.json").exists()
    world.write_config({"minimum_tier": "shared"})
    world.server.reload()
    world.reactor.run_until_true((world.folder / "known-keys.json").exists, 10.0)
    assert not shared_key_opens(world, "m0")
    world.stop_server()
    world.start_server()
    assert not shared_key_opens(world, "m0")
