"""Sessions and absent members as texts of the status document."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from netlab.worlds.ip_packets import udp_packet
from tests.simulation.world import World, entry

NAME = 'Zo\u00eb "the \\ gate" \u5317\u4eac'


@pytest.fixture
def world(tmp_path: Path) -> World:
    made = World(tmp_path, [entry("a", "10.0.1.2", name=NAME), entry("b", "10.0.1.3", ciders=["192.168.1.0/24"])])
    made.online("a")
    return made


def test_texts_are_ascii_json(world: World) -> None:
    """A name with a quote in it ends everybody's status document."""
    listing = world.server.listing
    texts = [listing.session(world.session("a"), 100.0), listing.absent(world.core.members["b"], 100.0)]
    assert all(text.isascii() and "\n" not in text for text in texts)
    session, absent = map(json.loads, texts)
    assert (session["name"], session["state"], absent["ciders"]) == (NAME, "online", ["192.168.1.0/24"])


def test_a_second_text_is_current(world: World) -> None:
    """What was encoded once stays as it was, however much the session carries and whatever becomes of its member."""
    before = json.loads(world.server.listing.session(world.session("a"), world.reactor.now()))
    world.hosts[0].send(udp_packet("10.0.1.2", "10.0.1.3", (1, 2), bytes(100)))
    world.run(2.0)
    world.write_routes([entry("a", "10.0.1.2", name="Anna"), entry("b", "10.0.1.4")])
    world.run(2.0)
    after = json.loads(world.server.listing.session(world.session("a"), world.reactor.now()))
    assert (before["name"], after["name"]) == (NAME, "Anna")
    assert (before["drops"], after["drops"]) == ({}, {"offline": 1})
    assert after["age_s"] == pytest.approx(before["age_s"] + 4.0, abs=0.01)
    assert json.loads(world.server.listing.absent(world.core.members["b"], 0.0))["address"] == "10.0.1.4"


def test_a_member_that_spoke_meanwhile_was_heard_now(world: World) -> None:
    """A member is shown as heard of in the future, while a long document is on its way."""
    session = world.session("a")
    assert json.loads(world.server.listing.session(session, session.heard_at - 0.5))["proof_age_s"] == 0


def test_members_that_are_gone_are_forgotten(world: World) -> None:
    """Each member that was ever in routes.json takes memory for as long as the relay runs."""
    for number in range(20):
        world.write_routes([entry("a", "10.0.1.2"), entry(f"guest-{number}", "10.0.1.9")])
        world.run(2.0)
        assert [one["identity"] for one in world.status()["offline"]] == [f"guest-{number}"]
    assert len(world.server.listing._entries) <= len(world.core.members)
