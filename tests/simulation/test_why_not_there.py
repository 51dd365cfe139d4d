"""Why a member is not there: what status and log tell of handshakes that came to nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from rustun.protocol.handshake import Initiator
from rustun.protocol.suites import KEY, NO_PSK, Credentials, public_key
from rustun.protocol.tiers import Tier
from tests.simulation.conftest import MakeWorld
from tests.simulation.peers import RawPeer, hello
from tests.simulation.world import Entry, World, office, private_key, public_text

PSK_TEXT = "AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA="


def try_with(world: World, identity: str, name: str) -> None:
    """Shake hands as a member with the key pair of somebody."""
    peer = RawPeer(world)
    pair = Credentials(KEY, NO_PSK, private_key(name), public_key(private_key("server")))
    peer.send(Initiator(pair, hello(identity), bytes([1]) * 32, bytes(12)).first_frame)


def told(world: World, identity: str = "m0") -> dict[str, Any]:
    """Return what the status tells of a member that is not there."""
    offline: list[dict[str, Any]] = list(world.status()["offline"])
    return next(one for one in offline if one["identity"] == identity)


def test_a_wrong_key_is_told_with_its_age(make_world: MakeWorld) -> None:
    """If this fails, nobody sees why a member with a mixed-up key never comes in."""
    world = make_world(office(1), tier=Tier.KEY)
    try_with(world, "m0", "another")
    world.run(5.0)
    found = told(world)
    assert (found["state"], found["last_error"]) == ("offline", "refused: wrong key")
    assert found["last_error_age_s"] == pytest.approx(5.0, abs=0.1)
    assert found["last_seen_age_s"] is None


def test_the_newer_of_a_sessions_end_and_a_refusal_is_told(make_world: MakeWorld) -> None:
    """If this fails, an old reason hides the one that holds now."""
    world = make_world(office(1), tier=Tier.KEY)
    try_with(world, "m0", "another")
    (host,) = world.online("m0")
    host.client.stop("off", lambda: None)
    world.run(1.0)
    assert told(world)["last_error"] == "goodbye"
    try_with(world, "m0", "another")
    assert told(world)["last_error"] == "refused: wrong key"
    assert told(world)["last_seen_age_s"] > 0.5


def disabled(entry: Entry) -> Entry:
    return {**entry, "enabled": False}


def expired(entry: Entry) -> Entry:
    return {**entry, "expires_at": "2020-01-01"}


@pytest.mark.parametrize(("change", "words"), [(disabled, "is disabled"), (expired, "access ended")])
def test_who_may_not_come_in_is_told_before_and_after_a_try(
    make_world: MakeWorld, change: Callable[[Entry], Entry], words: str
) -> None:
    """If this fails, a member that was switched off looks like one that is down."""
    world = make_world([change(office(1)[0])], tier=Tier.KEY)
    state = change.__name__
    assert (told(world)["state"], told(world)["last_error"]) == (state, state)
    try_with(world, "m0", "m0")
    assert told(world)["state"] == state
    assert words in told(world)["last_error"]


def test_what_strangers_name_is_not_remembered(make_world: MakeWorld) -> None:
    """If this fails, whoever has some key fills the server's memory, or its status, with names."""
    world = make_world(office(2), tier=Tier.KEY)
    for number in range(50):
        try_with(world, f"nobody-{number}", "m1")
    try_with(world, "m0", "m1")
    assert set(world.core.last_failed) == {"m0"}
    assert "nobody-" not in json.dumps({**world.status(), "sessions": [], "offline": [told(world)]})
    world.write_routes([{**office(2)[1], "public_key": public_text("m1")}])
    world.run(1.0)
    assert not world.core.last_failed


def test_a_psk_on_one_side_only_is_told_as_the_usual_cause(make_world: MakeWorld) -> None:
    """If this fails, an operator reads "end-of-stream" and looks at the network."""
    world = make_world(office(1), tier=Tier.KEY)
    path = world.folder / "m0.psk"
    path.touch(0o600)
    path.write_text(PSK_TEXT)
    world.write_routes([{**office(1)[0], "public_key": public_text("m0"), "psk_file": "m0.psk"}])
    world.run(1.0)
    world.host("m0")
    world.run(2.0)
    assert "before it proved its keys; the usual cause is a psk_file" in world.log.texts("session-unproved")[0]
    assert "before it proved its keys" in told(world)["last_error"]


def test_the_keys_of_a_session_are_told_during_a_rotation(make_world: MakeWorld) -> None:
    """If this fails, nobody knows when the old key can go."""
    entries = office(2)
    entries[0]["public_key"] = [public_text("m0"), public_text("m0", "new")]
    world = make_world(entries, tier=Tier.KEY)
    world.write_config(server_ages=("", "next"))
    world.server.reload()
    world.run(1.0)
    world.online("m1")
    host = world.host_of(world.client_config("m0", ages=("new",), server_ages=("next",)))
    world.run(1.0)
    sessions: list[dict[str, Any]] = list(world.status()["sessions"])
    keys = {one["identity"]: (one["public_key"], one["server_public_key"]) for one in sessions}
    mine = (public_text("m0", "new"), public_text("server", "next"))
    assert keys == {"m0": mine, "m1": (public_text("m1"), public_text("server"))}
    status = host.status()
    assert (status["public_key"], status["server_public_key"]) == mine
    for log, reason in ((world.log, "session-up"), (host.log, "online")):
        assert [fields["public_key"] for _, found, _, fields in log.events if found == reason][-1] == mine[0]
