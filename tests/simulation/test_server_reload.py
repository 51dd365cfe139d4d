"""server.toml read again while members are online."""

from __future__ import annotations

import pytest

from rustun.config import load_server_config
from rustun.errors import ConfigError
from rustun.protocol.tiers import Tier
from rustun.relay.noise_session import NoiseSession
from tests.simulation.conftest import MakeWorld
from tests.simulation.world import World, keyed, office

SETTLE_S = 1.0


def reload(world: World) -> None:
    """Let the server read its files again and settle."""
    world.server.reload()
    world.run(SETTLE_S)


def test_a_second_key_of_the_server_costs_nobody_a_session(make_world: MakeWorld) -> None:
    """If this fails, the first step of a rotation cuts the whole fleet off."""
    world = make_world(office(2), tier=Tier.KEY)
    world.online("m0", "m1")
    before = list(world.core.sessions)
    world.write_config(server_ages=("new", ""))
    reload(world)
    assert list(world.core.sessions) == before
    newcomer = world.host_of(world.client_config("m1", server_ages=("new",)))
    world.run(SETTLE_S)
    assert newcomer.client.state == "online", "the new key serves"


def test_dropping_the_key_in_use_ends_the_session(make_world: MakeWorld) -> None:
    """If this fails, a server key that was stolen goes on protecting what was begun with it."""
    world = make_world(office(2), tier=Tier.KEY)
    world.write_config(server_ages=("", "new"))
    reload(world)
    (old,) = world.online("m0")
    new = world.host_of(world.client_config("m1", server_ages=("new",)))
    world.run(SETTLE_S)
    world.write_config(server_ages=("new",))
    reload(world)
    assert world.core.closes["re-keyed"] == 1
    assert world.present == {"m1"}
    assert new.client.reconnects == 0
    assert old.client.state != "online"


def test_a_client_that_pins_both_keys_finds_the_one_that_serves(make_world: MakeWorld) -> None:
    """If this fails, a client with the old and the new key is cut off when the old one goes."""
    world = make_world(office(1), tier=Tier.KEY)
    host = world.host_of(world.client_config("m0", server_ages=("", "new")))
    world.run(SETTLE_S)
    world.write_config(server_ages=("new",))
    reload(world)
    world.run_until_online("m0", limit_s=10.0)
    assert host.client.state == "online"


def test_a_client_with_two_keys_finds_the_one_that_is_known(make_world: MakeWorld) -> None:
    """If this fails, a member whose new key is not yet in routes.json cannot come in with the old one."""
    world = make_world(office(1), tier=Tier.KEY)
    world.host_of(world.client_config("m0", ages=("new", "")))
    world.run_until_online("m0", limit_s=10.0)


def test_a_raised_minimum_ends_the_sessions_below_it(make_world: MakeWorld) -> None:
    """If this fails, members that must have keys now go on without."""
    entries = keyed(office(1)) + office(2)[1:]
    world = make_world(entries, security={"minimum_tier": "shared"})
    world.online("m1")
    world.tier = Tier.KEY
    world.write_config({"minimum_tier": "key"})
    reload(world)
    assert world.core.closes["re-keyed"] == 1
    assert not world.present


def test_only_who_is_concerned_is_told(make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """If this fails, a reload holds all packets up while thousands of members are told what they know."""
    world = make_world(keyed(office(2)), tier=Tier.KEY)
    world.online("m0", "m1")
    told: list[str] = []
    monkeypatch.setattr(NoiseSession, "tell_config", lambda session: told.append(session.identity))
    reload(world)
    assert told == []
    first, second = keyed(office(2))
    world.write_routes([{**first, "name": "another name"}, second])
    reload(world)
    assert told == ["m0"]


def test_a_broken_server_toml_changes_nothing(make_world: MakeWorld) -> None:
    """If this fails, a slip of the pen while reloading takes the relay down, or leaves half of it in force."""
    world = make_world(office(2), tier=Tier.KEY)
    world.online("m0", "m1")
    before = list(world.core.sessions)
    good = (world.folder / "server.toml").read_text()
    (world.folder / "server.toml").write_text(good.replace("private_key_file", "privat_key_file"))
    reload(world)
    assert list(world.core.sessions) == before
    alarms = world.status()["alarms"]
    assert isinstance(alarms, list)
    assert "server.toml was refused: " in alarms[0]
    (world.folder / "server.toml").write_text(good)
    reload(world)
    assert not world.status()["alarms"]


def test_a_note_is_no_problem(make_world: MakeWorld) -> None:
    """If this fails, an operator looks for an error where there is none, and does not see the one there is."""
    world = make_world(office(1), tier=Tier.KEY)
    text = (world.folder / "server.toml").read_text()
    warned = "\n[conf_agent]\ncontrol_plane_url = 'http://control.example'\n"
    text = text.replace("private_key_file", "privat_key_file") + warned
    (world.folder / "server.toml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_server_config(world.folder / "server.toml")
    assert len(caught.value.problems) > len(caught.value.errors) > 0
    reload(world)
    problems = world.server.settings.problems
    assert problems == tuple(map(str, caught.value.errors))
    assert len(world.log.texts("config-problem")) == len(problems)
    (alarm,) = list(world.status()["alarms"])
    assert alarm.endswith(f"first: {problems[0]}")


def test_what_needs_a_restart_is_said(make_world: MakeWorld) -> None:
    """If this fails, an operator believes in a limit that is not in force."""
    world = make_world(office(1), tier=Tier.KEY)
    text = (world.folder / "server.toml").read_text()
    (world.folder / "server.toml").write_text(text.replace("[limit_config]", "[limit_config]\njson_depth = 4"))
    reload(world)
    (message,) = world.log.texts("config-waits")
    assert "limits" in message
    assert world.server.config.limits.json_depth == 8


def test_a_reload_is_under_way_until_everything_is_in_force(make_world: MakeWorld) -> None:
    """If this fails, whoever waits for a reload goes on before the new keys and members count."""
    world = make_world(office(2), tier=Tier.KEY)
    settings, roster = world.server.settings, world.server.roster
    world.run(SETTLE_S)
    assert (settings.is_reloading, roster.is_reading) == (False, False)
    world.server.reload()
    assert (settings.is_reloading, roster.is_reading) == (True, True)
    loads = world.server.roster.loaded_at
    world.run(SETTLE_S)
    assert (settings.is_reloading, roster.is_reading) == (False, False)
    assert roster.loaded_at > loads
