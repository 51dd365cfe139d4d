"""netlab.configuration: the files of a laboratory, and keys for those who keep their own."""

from __future__ import annotations

from pathlib import Path

from netlab.configuration import Choice, configure, load
from rustun.config import load_client_config, load_server_config, read_routes
from rustun.config.keys import encode_key, new_private_key, public_key_of

FLEET = '[fleet]\nname = "f"\nservers = [{ address = "a.example:1" }]\n[cluster.c]\nnetwork = "10.0.0.0/24"\n'
MEMBERS = "[cluster.c.member.m]\n[cluster.c.member.n]\n"


def test_a_fleet_whose_keys_are_generated_is_taken_as_it_is(tmp_path: Path) -> None:
    """The laboratory would rehearse other files than those of the real hosts."""
    source = tmp_path / "f.toml"
    source.write_text(FLEET + MEMBERS)
    assert configure(source, load(source), tmp_path / "build").folder == tmp_path / "build"
    assert configure(source, load(source), tmp_path / "build").inventory == load(source)


def test_who_keeps_a_private_key_gets_one_for_the_laboratory(tmp_path: Path) -> None:
    """A member with a key of its own could not be rehearsed, or its real files would name a key of the laboratory."""
    source, own = tmp_path / "f.toml", public_key_of(new_private_key())
    fleet = FLEET.replace("[cluster.c]", 'minimum_tier = "shared"\n[cluster.c]')
    source.write_text(f'{fleet}[cluster.c.member.m]\npublic_key = "{own}"\n[cluster.c.member.n]\n')
    made = configure(source, load(source), tmp_path / "build" / "f")
    assert (made.folder, (tmp_path / "build" / "f").exists()) == (tmp_path / "build" / "f-lab", False)
    [private] = load_client_config(made.folder / "client-m.toml").private_keys
    member, other = read_routes(made.folder / "routes.json").members
    assert [encode_key(key) for key in member.public_keys] == [private.public] != [own]
    assert other.public_keys == ()
    assert len(load_server_config(made.folder / "server.toml").security.private_keys) == 1


def test_who_is_off_or_past_has_no_machine(tmp_path: Path) -> None:
    """A laboratory would wait for a session that the server refuses, and not come up."""
    source = tmp_path / "f.toml"
    past = "[cluster.c.member.past]\nexpires_at = 2020-01-01\n"
    past += '[cluster.c.member.off]\nenabled = false\nciders = "192.168.1.0/24"\n'
    host = '[lab.host.h]\nbehind = "off"\naddress = "192.168.1.7"\n'
    source.write_text(FLEET + MEMBERS + past + host)
    spec = configure(source, load(source), tmp_path / "f").spec
    assert ([member.identity for member in spec.members], spec.hosts) == (["m", "n"], ())


def test_all_servers_are_one_relay(tmp_path: Path) -> None:
    """Clients of a fleet with several servers would find another key, or nobody, at all but the first of them."""
    source = tmp_path / "f.toml"
    source.write_text(FLEET.replace("a.example:1", 'a.example:1", name = "hk" }, { address = "b.example:2') + MEMBERS)
    made = configure(source, load(source), tmp_path / "f")
    assert (made.folder, made.spec.servers) == (tmp_path / "f-lab", ("a.example", "b.example"))
    relay = load_server_config(made.folder / "server.toml")
    assert {endpoint.port for endpoint in relay.listen} == {1, 2}
    [key] = relay.security.private_keys
    for server in load_client_config(made.folder / "client-m.toml").servers:
        assert [encode_key(public) for public in server.public_keys] == [key.public]


def test_two_choices_never_share_a_folder() -> None:
    """The second laboratory writes its members' files over those of the first, which then proves something else."""
    limits = (
        "",
        "sh",
        "sh-*",
        "sh*",
        "bj-dev",
        "bj,dev",
        "bj dev",
        "beijing/dev",
        "*",
        ",".join(f"m{n}" for n in range(99)),
    )
    suffixes = [Choice(limit, one).suffix for limit in limits for one in ("", "aes256")]
    assert len(set(suffixes)) == len(suffixes)
    assert all(len(one) < 64 and "/" not in one and one.isascii() for one in suffixes)
    assert [Choice("bj-dev", "aes256").suffix, Choice("beijing").suffix, Choice().suffix] == [
        "-bj-dev-aes256",
        "-beijing",
        "",
    ]
