"""Sessions and absent members as texts of the status document."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from netlab.worlds.ip_packets import udp_packet
from tests.browser.pretended_relay import FLOWS
from tests.simulation.world import World, entry, whole

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
    before = "b"
    for number in range(20):
        steps = world.server.status()
        for _ in range(3):
            next(steps)  # its members are chosen; it is made when they have gone
        world.write_routes([entry("a", "10.0.1.2"), entry(f"guest-{number}", "10.0.1.9")])
        world.run(2.0)
        assert [one["identity"] for one in whole(steps)["offline"]] == [before]
        before = world.status()["offline"][0]["identity"]
        assert before == f"guest-{number}"
    assert world.core.listed.keys() <= world.core.members.keys()


def test_who_knows_a_session_is_told_what_flows(world: World) -> None:
    """A page shows bytes as a round trip, or a queue as drops: a list has no names."""
    listing, session = world.server.listing, world.session("a")
    stray = udp_packet("10.9.9.9", "10.0.1.3", (1, 2), b"")
    world.hosts[0].send(udp_packet("10.0.1.2", "10.0.1.3", (1, 2), bytes(100)), stray)
    world.run(2.0)
    now = world.reactor.now()
    everything = json.loads(listing.session(session, now))
    assert everything["refused"]
    told = json.loads(listing.session(session, now, listing.known(listing.as_of())))
    assert told == [everything[key] for key in ("number", *FLOWS)]


def test_a_session_keeps_its_number_and_is_told_anew_with_its_entry(world: World) -> None:
    """A new name never reaches a page that is open, or begins the member's rates anew."""
    listing = world.server.listing
    before = json.loads(listing.session(world.session("a"), 100.0))
    known = listing.known(listing.as_of())
    world.write_routes([entry("a", "10.0.1.2", name="Anna"), entry("b", "10.0.1.3")])
    world.run(2.0)
    after = json.loads(listing.session(world.session("a"), 100.0, known))
    assert (after["number"], after["name"]) == (before["number"], "Anna")


def test_an_absent_member_is_told_anew_when_its_state_changes(world: World) -> None:
    """A member that was disabled stays offline on every page."""
    listing = world.server.listing
    listing.absent(world.core.members["b"], 100.0)
    known = listing.known(listing.as_of())
    assert listing.absent(world.core.members["b"], 101.0, known) == str(known)
    world.write_routes([entry("a", "10.0.1.2", name=NAME), entry("b", "10.0.1.3", enabled=False)])
    world.run(2.0)
    assert json.loads(listing.absent(world.core.members["b"], 103.0, known))["state"] == "disabled"


@pytest.mark.parametrize(
    "since",
    [
        "", "0", "7", "-7", "ffffffff-7", "-", "RUN-", "RUN-x", "RUN--1", "RUN-\u0667", "RUN-1.0", "RUN-1", "\ud800-0",
        f"RUN-{'9' * 4000}", "RUN.00000000-0",
    ],
)  # fmt: skip
def test_what_was_never_told_is_not_known(world: World, since: str) -> None:
    """After a restart a page goes on with the members of the relay that was there before, under other names."""
    run, _, _ = world.server.listing.as_of().partition("-")
    assert world.server.listing.known(since.replace("RUN", run)) == 0


def test_who_comes_while_a_document_is_made_is_told_of_next(world: World) -> None:
    """A page never learns who a member is that came while somebody else was told of it first."""
    steps = world.server.status()
    next(steps)
    world.online("b")
    world.status()
    first = whole(steps)
    again = world.status(since=first["as_of"])
    assert [one["identity"] for one in again["sessions"] if isinstance(one, dict)] == ["a", "b"]


def test_who_comes_again_is_told_anew(world: World) -> None:
    """Who was told that a member is gone is told a number of it, when its entry is there again, and knows it not."""
    entries = [entry("a", "10.0.1.2", name=NAME), entry("b", "10.0.1.3")]
    world.write_routes(entries)
    world.run(2.0)
    world.status()
    world.write_routes(entries[:1])
    world.run(2.0)
    without = world.status()
    world.write_routes(entries)
    world.run(2.0)
    assert [type(one) for one in world.status(since=without["as_of"])["offline"]] == [dict]


@pytest.mark.parametrize(("cluster", "member"), [("beijing", ""), ("", "b"), ("beijing", "b")])
def test_who_knows_some_is_told_all_of_the_others(world: World, cluster: str, member: str) -> None:
    """A program that asks for one member first, and for all then, gets numbers of which it was told nothing."""
    everything = world.status()
    some = world.status(cluster, member)
    assert [type(one) for one in world.status(since=some["as_of"])["offline"]] == [dict]
    assert [type(one) for one in world.status(cluster, member, everything["as_of"])["offline"]] == [dict]
    again = world.status(cluster, member, some["as_of"])
    assert [type(one) for one in again["offline"]] == [int]
