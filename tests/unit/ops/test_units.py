"""rustun.ops.units: which units a fleet has, and whose keys each client is given."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from rustun.ops.filenames import client_file
from rustun.ops.inventory import load_inventory
from rustun.ops.keyring import Keyring, gather
from rustun.ops.units import client_unit, client_units, server_units, units

KEYED = """
[fleet]
name = "keyed"
minimum_tier = "key"
servers = [{ address = "a.example.org:9000" }, { name = "hk-1", address = "b.example.org:9000" }]
[cluster.a]
network = "10.0.1.0/24"
[cluster.a.member.plain]
[cluster.a.member.turning]
key = [1, 2]
[cluster.a.member.own]
public_key = "hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo="
[cluster.a.member.careful]
public_key = "I9dFPLs4yvMoCdEs4BZ6ZHJ1JxSjHYb4eRZVzQSqZHs="
psk = true
[cluster.a.member.low]
tier = "shared"
psk = true
[cluster.a.member."50% / é"]
"""
NAME = re.compile(r"[A-Za-z0-9:_.@\\-]{1,255}")  # of a unit: systemd.unit(5)


@pytest.fixture
def keyring(tmp_path: Path) -> Keyring:
    return made(tmp_path, KEYED)


def made(folder: Path, text: str) -> Keyring:
    """Return the keys of an inventory's text, none of them in a file yet."""
    file = folder / "fleet.toml"
    file.write_text(text)
    return gather(load_inventory(file), folder / "build")


def settings(text: str, name: str) -> list[str]:
    """Return the values of a setting in the order of the file."""
    return re.findall(rf"^{name}=(.*)$", text, re.MULTILINE)


def test_whose_file_has_another_name_has_a_drop_in(keyring: Keyring) -> None:
    """A second server or a member with an odd name is started with another's configuration, or all have drop-ins."""
    odd = client_unit("50% / é")
    assert list(units(keyring)) == [
        "rustun-server.service",
        "rustun-server.service.d/hk-1.conf",
        "rustun-client@.service",
        "rustun-client@turning.service.d/rustun.conf",
        "rustun-client@own.service.d/rustun.conf",
        "rustun-client@careful.service.d/rustun.conf",
        "rustun-client@low.service.d/rustun.conf",
        f"{odd}.d/rustun.conf",
    ]
    other = units(keyring)["rustun-server.service.d/hk-1.conf"]
    assert settings(other, "ExecStart") == ["", "/opt/rustun/current/bin/rustun serve /etc/rustun/hk-1.toml"]
    file = client_file("50% / é").replace("%", "%%")
    start = f"/opt/rustun/current/bin/rustun connect --config /etc/rustun/{file} --retry-refused"
    assert settings(units(keyring)[f"{odd}.d/rustun.conf"], "ExecStart") == ["", start]


def test_each_client_is_given_its_own_keys(keyring: Keyring) -> None:
    """A client does not start for want of a key, or is given one that its configuration does not name."""
    given = {
        member.identity: [
            line
            for name, text in client_units(keyring, member).items()
            for line in settings(text, "LoadCredential")
            if name.endswith(".conf") or len(client_units(keyring, member)) == 1
        ]
        for member in keyring.inventory.members
    }
    keys = "/etc/rustun/secrets/members"
    psk = "careful.psk:/etc/rustun/secrets/psks/careful.psk"
    assert given == {
        "plain": [f"%i.key:{keys}/%i.key"],
        "turning": ["", f"turning.key:{keys}/turning.key", f"turning@2.key:{keys}/turning@2.key"],
        "own": ["", "client-own.key:/etc/rustun/client-own.key"],
        "careful": ["", "client-careful.key:/etc/rustun/client-careful.key", psk],
        "low": ["", "shared.key:/etc/rustun/secrets/shared.key"],
        "50% / é": ["", *(f"{name}:{keys}/{name}" for name in ["50%%25%%20%%2f%%20%%c3a9.key"])],
    }


def test_an_exchange_of_two_keys_that_a_client_has_leaves_its_unit_alone(tmp_path: Path) -> None:
    """The middle step of a rotation would restart every client of the fleet."""
    prepared, switched = (made(tmp_path, KEYED.replace("[1, 2]", keys)) for keys in ("[1, 2]", "[2, 1]"))
    assert prepared.member_files["turning"] == tuple(reversed(switched.member_files["turning"]))
    name = "rustun-client@turning.service.d/rustun.conf"
    assert units(prepared)[name] == units(switched)[name]


def test_on_the_shared_tier_the_shared_key_is_the_usual_one(tmp_path: Path) -> None:
    """A small fleet with one shared key has a drop-in for every member."""
    keyring = made(tmp_path, KEYED.replace('"key"', '"shared"').replace("key = [1, 2]", 'tier = "shared"'))
    client = units(keyring)["rustun-client@.service"]
    assert settings(client, "LoadCredential") == ["shared.key:/etc/rustun/secrets/shared.key"]
    assert "rustun-client@turning.service.d/rustun.conf" not in units(keyring)


def test_where_all_have_a_pre_shared_key_it_is_usual(tmp_path: Path) -> None:
    """A large fleet has a drop-in for every member, or who has none does not start for want of it."""
    text = KEYED.replace('minimum_tier = "key"', "psk = true")
    text = text.replace("member.turning]\nkey = [1, 2]", "member.bare]\npsk = false")
    keyring = made(tmp_path, text)
    keys = "/etc/rustun/secrets"
    client = units(keyring)["rustun-client@.service"]
    assert settings(client, "LoadCredential") == [f"%i.key:{keys}/members/%i.key", f"%i.psk:{keys}/psks/%i.psk"]
    assert "rustun-client@plain.service.d/rustun.conf" not in units(keyring)
    bare = units(keyring)["rustun-client@bare.service.d/rustun.conf"]
    assert settings(bare, "LoadCredential") == ["", f"bare.key:{keys}/members/bare.key"]


@pytest.mark.parametrize(("port", "right"), [(9000, ""), (1024, ""), (1023, "CAP_NET_BIND_SERVICE")])
def test_a_low_port_is_the_only_right_of_a_server(tmp_path: Path, port: int, right: str) -> None:
    """A server on port 443 does not start, or every server has a right that it does not need."""
    keyring = made(tmp_path, KEYED.replace(":9000", f":{port}"))
    server = units(keyring)["rustun-server.service"]
    assert settings(server, "AmbientCapabilities") == settings(server, "CapabilityBoundingSet") == [right]


def test_a_host_gets_what_is_its_own(keyring: Keyring) -> None:
    """One server's drop-in lies on another's host, and starts the wrong configuration there."""
    first, second = keyring.inventory.servers
    assert list(server_units(keyring.inventory, first)) == ["rustun-server.service"]
    assert list(server_units(keyring.inventory, second)) == [
        "rustun-server.service",
        "rustun-server.service.d/hk-1.conf",
    ]
    everything = units(keyring)
    for member in keyring.inventory.members:
        assert client_units(keyring, member).items() <= everything.items()


def test_no_member_changes_the_unit_of_the_others(tmp_path: Path, keyring: Keyring) -> None:
    """One member's new key restarts every client of the fleet."""
    other = made(tmp_path, KEYED.replace("[cluster.a.member.plain]", "[cluster.a.member.plain]\nkey = 2"))
    assert units(other)["rustun-client@.service"] == units(keyring)["rustun-client@.service"]
    assert list(units(other))[3] == "rustun-client@plain.service.d/rustun.conf"


@pytest.mark.parametrize("identity", ["a", "..", "-", "50% / é", "é" * 80, "\\x2d", "a@b", "a:b", "x" * 255])
def test_every_identity_makes_a_unit(identity: str) -> None:
    """systemd refuses the unit of a member whose name it does not take."""
    name = client_unit(identity)
    assert NAME.fullmatch(name)
    assert name.count("@") >= 1 and name.startswith("rustun-client@")


def test_two_identities_never_share_a_unit() -> None:
    """Starting one member starts another one."""
    identities = ["a%b", "a:b", "a%3ab", "a~b", "a@b", "a b", "a/b"]
    assert len({client_unit(identity) for identity in identities}) == len(identities)


def test_the_document_shows_the_units_as_they_are(tmp_path: Path) -> None:
    """Whoever copies a unit out of docs/systemd.md gets an older one."""
    text = (Path(__file__).resolve().parents[3] / "docs" / "systemd.md").read_text()
    shown = dict(re.findall(r"^```ini (\S+)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE))
    plain = made(tmp_path, KEYED.split("[cluster.a.member.turning]")[0])
    for name in ("rustun-server.service", "rustun-client@.service"):
        lines = units(plain)[name].splitlines(keepends=True)
        assert shown[name] == "".join(line for line in lines if not line.startswith("#"))
