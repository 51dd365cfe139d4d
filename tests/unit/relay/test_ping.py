"""Pings from a server to its members' clients."""

from __future__ import annotations

from pathlib import Path

import pytest

from rustun.errors import UsageError
from rustun.relay.ping import ping_target
from tests.simulation.seed_peer import SeedClient
from tests.simulation.world import KEY, World, entry

ENTRIES = [entry("a", "10.0.1.2"), entry("b", "10.0.1.3"), entry("old", "10.0.1.4", tier="legacy")]


@pytest.fixture
def world(tmp_path: Path) -> World:
    made = World(tmp_path, ENTRIES, security={"minimum_tier": "shared"})
    made.online("a")
    return made


def test_a_member_that_is_there_answers(world: World) -> None:
    """If this fails, a server cannot tell how far a member is, or its pings cost the member's budget of messages."""
    facts, send = ping_target(world.core, "a")
    assert facts["member"] == "a"
    assert (facts["cluster"], facts["address"], facts["tier"]) == ("beijing", "10.0.1.2", "shared")
    assert send is not None
    heard: list[float] = []
    for _ in range(60):
        send(lambda: heard.append(world.reactor.now()))
        world.run(0.02)
    world.run(1.0)
    assert len(heard) == 60
    assert world.present == {"a"}, "answers that were asked for are free"
    world.finish()


def test_takeover_still_hears_its_own_ping(world: World) -> None:
    """If this fails, a ping that somebody asks for keeps an incumbent from proving that it lives."""
    session = world.session("a")
    _, send = ping_target(world.core, "a")
    assert send is not None
    send(lambda: None)
    world.host("a")
    send(lambda: None)
    world.run(3.0)
    assert world.session("a") is session, "the shared tier's incumbent answers, so it stays"
    world.finish()


def test_who_cannot_be_asked(world: World) -> None:
    """If this fails, a ping to nobody hangs, or is answered for somebody else."""
    facts, send = ping_target(world.core, "b")
    assert (send, facts["why_not"]) == (None, "not connected: rustun status tells since when, and why")
    old = SeedClient(world, "old", world.method, KEY)
    assert old.shake_hands() is not None
    facts, send = ping_target(world.core, "old")
    assert (send, facts["why_not"]) == (None, "the seed's wire has no word for a ping from a server")
    for identity in ("", "aa"):
        with pytest.raises(UsageError):
            ping_target(world.core, identity)
    world.finish()
